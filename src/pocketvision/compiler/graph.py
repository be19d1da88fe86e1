"""The compiler's graph: a list of few operators over images of shape (height, width, channels).

Every value is one image; how many there are in a batch is the caller's loop. A vector of n numbers
is a (1, 1, n) image. Weights are numpy arrays inside the nodes, so that a pass that folds or merges
is arithmetic. Zeros are how irregular operators become regular ones: a grouped or split 1x1
convolution is a dense matrix with zero blocks, a mixed depthwise convolution is one of the largest
kernel with zero borders; the plan finds the zeros again and computes nothing for them.

Nodes are in an order in which they can be computed. A `Graph` checks itself when it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Shape = tuple[int, int, int]  # height, width, channels
Pads = tuple[int, int, int, int]  # top, left, bottom, right

ACTIVATIONS = (
    "none",
    "relu",
    "clip",  # low .. high
    "hard_swish",  # x * clip(x / 6 + 0.5, 0, 1)
    "hard_sigmoid",  # clip(alpha * x + beta, 0, 1)
    "sigmoid",
    "silu",  # x * sigmoid(x)
    "leaky_relu",  # alpha where negative
    "prelu",  # a slope a channel where negative
    "tanh",
    "exp",
    "sqrt",
    "abs",
    "neg",
)


@dataclass(frozen=True)
class Activation:
    """An element-wise function; `alpha`, `beta` are its numbers (for clip: low, high)."""

    kind: str = "none"
    alpha: float = 0.0
    beta: float = 0.0
    slope: np.ndarray | None = field(default=None, compare=False)  # (c,), prelu

    def __post_init__(self) -> None:
        if self.kind not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.kind}")


LINEAR = Activation()


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One operator. `name` is the ONNX node it came from (the last, where several were fused)."""

    name: str
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values read."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False)
class _One(Node):
    x: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one value read."""
        return (self.x,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(_One):
    """act(conv(in_act(x * gate)) + bias + residual).

    weight: (c_out, kh, kw, c_in / groups). `gate` is a (1, 1, c_in) value. `residual` has the
    output's shape or fewer channels: then it is added to the first ones. A matrix product over
    vectors is the 1x1 convolution of a (1, 1, n) image.
    """

    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    act: Activation = LINEAR
    in_act: Activation = LINEAR
    gate: str | None = None
    residual: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The image, then gate and residual where there are such."""
        return (self.x, *(v for v in (self.gate, self.residual) if v is not None))

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return (self.weight.shape[1], self.weight.shape[2])

    def dense(self) -> np.ndarray:
        """Weights (c_out, kh, kw, c_in) of one group that computes the same: zeros in between."""
        if self.groups == 1:
            return self.weight
        c_out, kh, kw, per_in = self.weight.shape
        made = np.zeros((c_out, kh, kw, per_in * self.groups), self.weight.dtype)
        per_out = c_out // self.groups
        for i in range(self.groups):
            rows = slice(i * per_out, (i + 1) * per_out)
            made[rows, ..., i * per_in : (i + 1) * per_in] = self.weight[rows]
        return made


@dataclass(frozen=True, kw_only=True, eq=False)
class Depthwise(_One):
    """act(depthwise(x) + bias + residual). weight: (kh, kw, c): one filter a channel.

    `residual` as in `Conv`: it may have fewer channels than the output.
    """

    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    act: Activation = LINEAR
    residual: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The image, then the residual where there is one."""
        return (self.x,) if self.residual is None else (self.x, self.residual)

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return (self.weight.shape[0], self.weight.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvTranspose(_One):
    """act(transposed convolution + bias). weight: (c_in, kh, kw, c_out / groups)."""

    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    pads: Pads = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    act: Activation = LINEAR


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool(_One):
    """Largest or mean of windows. `count_padding`: a mean divides by the whole window."""

    kind: Literal["max", "mean"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: Pads = (0, 0, 0, 0)
    count_padding: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class GlobalMean(_One):
    """The mean over space: (h, w, c) -> (1, 1, c)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Act(_One):
    """An activation on its own."""

    act: Activation


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(_One):
    """act(x * scale + bias), a number each channel: (c,)."""

    scale: np.ndarray
    bias: np.ndarray
    act: Activation = LINEAR


@dataclass(frozen=True, kw_only=True, eq=False)
class Binary(Node):
    """act(x op y); y has x's shape, or is (1, 1, c), (h, w, 1) or (1, 1, 1) and repeated."""

    kind: Literal["add", "mul", "sub", "div", "max", "min"]
    x: str
    y: str
    act: Activation = LINEAR

    @property
    def inputs(self) -> tuple[str, ...]:
        """Both values."""
        return (self.x, self.y)


@dataclass(frozen=True, kw_only=True, eq=False)
class Concat(Node):
    """Images behind each other, along axis 0 (height), 1 (width) or 2 (channels)."""

    parts: tuple[str, ...]
    axis: int = 2

    @property
    def inputs(self) -> tuple[str, ...]:
        """The parts, in order."""
        return self.parts


@dataclass(frozen=True, kw_only=True, eq=False)
class Channels(_One):
    """Output channel i is channel index[i] of x: slices, splits, shuffles."""

    index: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Crop(_One):
    """Rows top .. top + h and columns left .. left + w, every `step`-th."""

    top: int
    left: int
    shape: Shape
    step: tuple[int, int] = (1, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad(_One):
    """Rows and columns added at the borders: a value, or mirrored or repeated pixels."""

    pads: Pads
    kind: Literal["constant", "reflect", "edge"] = "constant"
    value: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Resize(_One):
    """To `size` = (h, w). `coordinates` and `rounding` as in ONNX's operator of that name.

    `scales` = (out / in) as the file gives them, since they may differ from the ratio of sizes.
    """

    size: tuple[int, int]
    scales: tuple[float, float]
    kind: Literal["nearest", "linear"]
    coordinates: Literal["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    rounding: Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"] = (
        "round_prefer_floor"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax(_One):
    """Over the channels of every pixel."""

    log: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Flatten(_One):
    """(h, w, c) -> (1, 1, h * w * c); `order` "chw" as ONNX flattens NCHW, or "hwc"."""

    order: Literal["chw", "hwc"] = "chw"


@dataclass(frozen=True, kw_only=True, eq=False)
class Constant(Node):
    """A value known when compiling: an image (h, w, c)."""

    value: np.ndarray

    @property
    def inputs(self) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input of the model. `layout` is the order in which the file (and the C API) has it.

    `vector` is True where the file's tensor is (n, c) only; `shape` is then (1, 1, c).
    """

    name: str
    shape: Shape
    layout: Literal["nchw", "nhwc", "nc"] = "nchw"


@dataclass(frozen=True, kw_only=True)
class Output:
    """An output of the model: which value, and the file's own shape of it for one image.

    `layout` says how the (h, w, c) value becomes that flat array: "nchw" channels first, "nhwc"
    as it is, "nc" a vector. `shape` is the file's, without the batch axis.
    """

    name: str
    value: str
    shape: tuple[int, ...]
    layout: Literal["nchw", "nhwc", "nc"] = "nchw"


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes in computable order; `shapes` of every value. Raises ValueError if it is not whole."""

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    shapes: Mapping[str, Shape]

    def __post_init__(self) -> None:
        known = {i.name for i in self.inputs}
        for node in self.nodes:
            if missing := [v for v in node.inputs if v not in known]:
                raise ValueError(f"{node.name} reads {missing[0]} before it is made")
            if node.output in known:
                raise ValueError(f"{node.name} makes {node.output} a second time")
            known.add(node.output)
        if missing := [v for v in known if v not in self.shapes]:
            raise ValueError(f"the shape of {missing[0]} is not known")
        if missing := [o.value for o in self.outputs if o.value not in known]:
            raise ValueError(f"output {missing[0]} is never made")

    def users(self) -> dict[str, list[Node]]:
        """Nodes that read each value; outputs of the model are not counted."""
        found: dict[str, list[Node]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                found[value].append(node)
        return found

    def maker(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {node.output: node for node in self.nodes}
