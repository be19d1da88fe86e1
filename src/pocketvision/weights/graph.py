"""A network as other runtimes store it: operators in order, between named tensors.

TFLite and ONNX files are both read into this; `passes` joins what they take apart, and `blocks`
finds our blocks in it. Arrays are in PyTorch's layout (OIHW).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pocketvision.nn.conv import pads


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A batch-norm that stands behind its convolution."""

    scale: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a convolution or linear layer holds. `rules` are the padding rules it may stem from."""

    weight: np.ndarray
    bias: np.ndarray | None = None
    norm: Norm | None = None
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    groups: int = 1
    rules: frozenset[str] = frozenset()
    tensors: tuple[str, ...] = ()

    @property
    def kernel(self) -> int:
        """Height of the kernel (width is equal: readers refuse others)."""
        return self.weight.shape[2]

    @property
    def depthwise(self) -> bool:
        """True when every channel is filtered alone."""
        return 1 < self.groups == self.weight.shape[0] and self.weight.shape[1] == 1

    @property
    def pointwise(self) -> bool:
        """True for a plain 1x1."""
        return self.kernel == 1 and self.groups == 1 and self.stride == (1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator.

    op      conv (convolution or linear), norm, act, shift (plus a number), scale (times a number),
            bias (plus one number a channel), add, mul, mean (over space), max_pool, reshape,
            softmax, quantize, identity, or the file's own name for anything else
    act     the activation: of an `act`, or joined to a conv or add
    value   the number of shift and scale, (kernel, stride) of max_pool, the slope of a
            hard-sigmoid where it is not ours
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    name: str = ""
    act: str = "none"
    value: object = None
    filter: Filter | None = None
    norm: Norm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Operators in an order in which they can run. `shapes`: (h, w) of tensors where known.

    `grids`: (scale, zero point, lowest, highest) of each tensor kept in whole numbers.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, tuple[int, int]] = field(default_factory=dict)
    grids: dict[str, tuple[float, int, int, int]] = field(default_factory=dict)
    stored: dict[str, tuple[str, int | None, np.ndarray, np.ndarray]] = field(default_factory=dict)

    def consumers(self, tensor: str) -> list[Node]:
        """The operators that read a tensor, in order."""
        return [n for n in self.nodes if tensor in n.inputs]


Pads = tuple[tuple[int, int], tuple[int, int]]


def rules_of(
    explicit: Pads,
    kernel: int,
    stride: tuple[int, int],
    dilation: int,
    size: tuple[int, int] | None,
) -> frozenset[str]:
    """The padding rules that give ((top, bottom), (left, right)) at an input of `size` (h, w).

    With an unknown size, TensorFlow's rule counts at even sizes, where it differs from PyTorch's.
    """
    found = set()
    for rule in ("same", "symmetric", "bottom_right"):
        sizes = size or (64, 64)
        given = tuple(
            pads(n, kernel, s, dilation, rule) for n, s in zip(sizes, stride, strict=True)
        )
        if given == explicit:
            found.add(rule)
    return frozenset(found)
