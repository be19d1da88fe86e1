"""The spec: a network as a frozen value, with absolute channels, checked when it is made.

A `NetSpec` is a stem, a tuple of blocks and named heads, plus the numerics that trained weights
depend on (padding rule, batch-norm epsilon). Blocks are built of *layers* (`Conv`, `MixedConv`,
`Gate`), each of which carries everything that decides its tensors: channels, kernel, stride,
groups, dilation, rank, norm, activation. Every layer has an address (`stem`, `blocks.13.expand`,
`heads.label.classifier`), which cost rows, weight names, quantization and pruning share.

Only the standard library is imported here: listing, costing and searching stay instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from pocketvision.errors import SpecError, closest

ACTIVATIONS = ("none", "relu", "relu6", "hard_swish", "silu", "sigmoid", "hard_sigmoid")
NORMS = ("batch", "none")
# "same": TensorFlow's rule, the odd pixel at the bottom and right, by the parity of the input.
# "symmetric": PyTorch's k//2 on both sides.
# "bottom_right": Keras' MobileNetV1, one pixel at the bottom and right at stride 2, any parity.
PADDINGS = ("same", "symmetric", "bottom_right")


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise SpecError(message)


def _positive(owner: object, **values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SpecError(f"{type(owner).__name__}.{name} must be an integer >= 1, got {value!r}")


def _one_of(owner: object, field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(
            f"{type(owner).__name__}.{field} must be one of {', '.join(allowed)}, "
            f"got {value!r}{closest(str(value), allowed)}"
        )


# ------------------------------------------------------------------------------------------- layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """One convolution with its norm and activation: conv -> norm -> act.

    `norm="none"` means that the convolution has a bias instead (as in folded files and after
    pooling); `bias=True` beside a norm keeps both. `rank` factors a 1x1 in two: c_in -> rank ->
    c_out.
    """

    c_in: int
    c_out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    norm: str = "batch"
    bias: bool = False
    act: str = "none"
    rank: int | None = None

    def __post_init__(self) -> None:
        _positive(self, c_in=self.c_in, c_out=self.c_out, kernel=self.kernel, stride=self.stride)
        _positive(self, groups=self.groups, dilation=self.dilation)
        _one_of(self, "norm", self.norm, NORMS)
        _one_of(self, "act", self.act, ACTIVATIONS)
        divides = self.c_in % self.groups == 0 and self.c_out % self.groups == 0
        if not divides:  # no _check here: writing {self} would cost more than the rest
            raise SpecError(f"Conv.groups must divide c_in and c_out, got {self}")
        if self.rank is not None:
            _positive(self, rank=self.rank)
            if self.kernel != 1 or self.groups != 1:
                raise SpecError(f"Conv.rank factors only a plain 1x1 convolution, got {self}")

    @property
    def depthwise(self) -> bool:
        """True when every channel is filtered alone."""
        return self.groups == self.c_in == self.c_out and self.groups > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedConv:
    """Parallel convolutions over consecutive slices of the channels, joined, then one norm and act.

    Source: MixNet, arXiv:1907.09595, section 3; parts carry neither norm nor activation of their
    own.
    """

    parts: tuple[Conv, ...]
    norm: str = "batch"
    act: str = "none"

    def __post_init__(self) -> None:
        _check(len(self.parts) >= 2, f"MixedConv.parts needs two or more, got {len(self.parts)}")
        _one_of(self, "norm", self.norm, NORMS)
        _one_of(self, "act", self.act, ACTIVATIONS)
        bare = all(p.norm == "none" and p.act == "none" and p.rank is None for p in self.parts)
        _check(bare, "MixedConv.parts must have norm='none' and act='none'; the whole carries them")
        _check(len({p.stride for p in self.parts}) == 1, "MixedConv.parts must share one stride")

    @property
    def c_in(self) -> int:
        """Channels in, over all parts."""
        return sum(p.c_in for p in self.parts)

    @property
    def c_out(self) -> int:
        """Channels out, over all parts."""
        return sum(p.c_out for p in self.parts)

    @property
    def stride(self) -> int:
        """The one stride of all parts."""
        return self.parts[0].stride


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Squeeze-and-excite: x * gate(expand(act(norm(reduce(mean over space of x))))), both 1x1 with
    bias.

    Source: arXiv:1709.01507; `norm="batch"` after the reduction is ReXNet's.
    """

    channels: int
    squeeze: int
    act: str = "relu"
    gate: str = "hard_sigmoid"
    norm: str = "none"

    def __post_init__(self) -> None:
        _positive(self, channels=self.channels, squeeze=self.squeeze)
        _one_of(self, "act", self.act, ACTIVATIONS)
        _one_of(self, "gate", self.gate, ("sigmoid", "hard_sigmoid"))
        _one_of(self, "norm", self.norm, NORMS)

    @property
    def c_in(self) -> int:
        """Channels in (and out)."""
        return self.channels

    @property
    def c_out(self) -> int:
        """Channels out (and in)."""
        return self.channels

    @property
    def reduce(self) -> Conv:
        """The 1x1 that squeezes."""
        bias = True
        return Conv(c_in=self.channels, c_out=self.squeeze, norm=self.norm, bias=bias, act=self.act)

    @property
    def expand(self) -> Conv:
        """The 1x1 that gives a factor for each channel."""
        return Conv(c_in=self.squeeze, c_out=self.channels, norm="none", bias=True, act=self.gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """An activation that stands alone in a block (ReXNet's comes after the gate)."""

    channels: int
    act: str

    def __post_init__(self) -> None:
        _positive(self, channels=self.channels)
        _one_of(self, "act", self.act, ACTIVATIONS)

    @property
    def c_in(self) -> int:
        """Channels in (and out)."""
        return self.channels

    @property
    def c_out(self) -> int:
        """Channels out (and in)."""
        return self.channels


Layer = Conv | MixedConv | Gate | Activation


# ------------------------------------------------------------------------------------------- blocks


class Block(Protocol):
    """What every block kind offers; a chain of layers with an optional shortcut, or a cell."""

    inputs: tuple[int, ...]

    @property
    def c_in(self) -> int: ...  # noqa: D102
    @property
    def c_out(self) -> int: ...  # noqa: D102
    @property
    def stride(self) -> int: ...  # noqa: D102


def _chain(block: Any) -> tuple[tuple[str, Layer], ...]:
    """The layers of a chain block in order, as (name, layer), checked to fit each other."""
    rows = []
    for f in fields(block):
        value = getattr(block, f.name)
        if isinstance(value, Conv | MixedConv | Gate | Activation):
            rows.append((f.name, value))
    return tuple(rows)


def _check_chain(block: Any) -> None:
    kind = type(block).__name__
    _check(
        bool(block.inputs) and all(i < 0 for i in block.inputs), f"{kind}.inputs must be negative"
    )
    _check(len(block.inputs) == 1, f"{kind} takes one input, got {block.inputs}")
    rows = block.layers
    for (name_a, a), (name_b, b) in pairwise(rows):
        _check(
            a.c_out == b.c_in,
            f"{kind}.{name_b} takes {b.c_in} channels but {name_a} gives {a.c_out}",
        )
    shortcut = block.shortcut
    if shortcut:
        fits = shortcut <= min(block.c_in, block.c_out) and block.stride == 1
        _check(
            fits, f"{kind}.shortcut={shortcut} needs stride 1 and that many channels on both sides"
        )


class _Chain:
    """Shared by the chain kinds: what follows from the layers alone."""

    __slots__ = ()
    inputs: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_chain(self)

    @property
    def layers(self) -> tuple[tuple[str, Layer], ...]:
        """(name, layer) in the order they run."""
        return _chain(self)

    @property
    def c_in(self) -> int:
        """Channels in."""
        return self.layers[0][1].c_in

    @property
    def c_out(self) -> int:
        """Channels out."""
        return self.layers[-1][1].c_out

    @property
    def stride(self) -> int:
        """Product of the strides of the layers."""
        total = 1
        for _, layer in self.layers:
            total *= getattr(layer, "stride", 1)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Single(_Chain):
    """One convolution as a block of its own: a last 1x1, or a layer of a plain network."""

    conv: Conv
    inputs: tuple[int, ...] = (-1,)
    shortcut: ClassVar[int] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Separable(_Chain):
    """Depthwise, then pointwise. Source: MobileNetV1, arXiv:1704.04861, figure 3.

    `gate` sits between the two (first block of MobileNetV3-Small); `shortcut` is the number of
    leading channels to which the input is added (0: no shortcut).
    """

    depthwise: Conv | MixedConv
    gate: Gate | None = None
    pointwise: Conv | MixedConv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvertedResidual(_Chain):
    """Expand, depthwise, gate, linear projection, shortcut between the narrow ends.

    Source: MobileNetV2, arXiv:1801.04381, table 1; gate after the depthwise activation:
    MobileNetV3, arXiv:1905.02244, figure 4; mixed depthwise and grouped 1x1: MixNet,
    arXiv:1907.09595.
    """

    expand: Conv | MixedConv
    depthwise: Conv | MixedConv
    gate: Gate | None = None
    project: Conv | MixedConv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleDepthwise(_Chain):
    """Inverted residual with a second depthwise in the wide space: MobileNeXt's control for
    MobileNetV2.

    Source: arXiv:2007.02269, table 1 ("with an extra depthwise convolution"); the placement
    (expand, depthwise with the stride, depthwise, project) is the natural reading, not established.
    """

    expand: Conv
    depthwise: Conv
    depthwise2: Conv
    project: Conv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandglass(_Chain):
    """Depthwise, reduce (linear), expand, depthwise (linear), shortcut between the wide ends.

    Source: MobileNeXt, arXiv:2007.02269, figure 3d. The authors' code leaves the first depthwise
    out where the channels change, and the second too at stride 1; then the field is None.
    `shortcut` is the number of leading channels that receive the input (the identity-tensor
    multiplier, section 3.3).
    """

    depthwise: Conv | None
    reduce: Conv
    expand: Conv
    depthwise2: Conv | None
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck(_Chain):
    """Reduce, one or two depthwise in the narrow space, expand; shortcut between the wide ends.

    Source: MobileNeXt, arXiv:2007.02269, figure 3a and 3b (variants (a) and (b) of its ablation).
    """

    reduce: Conv
    depthwise: Conv
    depthwise2: Conv | None = None
    expand: Conv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowDepthwise(_Chain):
    """Depthwise, expand, project, depthwise: an inverted residual with its depthwise at the narrow
    ends.

    Source: MobileNeXt, arXiv:2007.02269, figure 3c (variant (c) of its ablation).
    """

    depthwise: Conv
    expand: Conv
    project: Conv
    depthwise2: Conv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearBottleneck(_Chain):
    """ReXNet's block: expand, depthwise (no activation), gate, activation, linear projection, part
    shortcut.

    Source: ReXNet, arXiv:2007.00992, and clovaai/rexnet `rexnetv1.py`: the activation comes after
    the gate, and the first `shortcut` channels of the output receive the input although the output
    is wider.
    """

    expand: Conv | None
    depthwise: Conv
    gate: Gate | None = None
    activation: Activation
    project: Conv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


# --------------------------------------------------------------------------------------------- cell

CELL_OPS = ("skip", "max_3", "avg_3", "sep_3", "sep_5", "sep_7", "dil_3", "dil_5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One operation inside a cell: reads node `source`, works at `stride`, adds into its node."""

    source: int
    op: str
    stride: int = 1

    def __post_init__(self) -> None:
        _one_of(self, "op", self.op, CELL_OPS)
        _check(self.source >= 0, f"Edge.source must be >= 0, got {self.source}")
        _check(self.stride in (1, 2), f"Edge.stride must be 1 or 2, got {self.stride}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A small graph over two earlier outputs, as NASNet and DARTS build their networks.

    Nodes 0 and 1 are the two inputs, each brought to `channels` by relu, 1x1 and norm (`squeeze`),
    the older one by a factorized reduction where it is twice as large (`reduce_older`). Node 2, 3,
    ... is the sum of its edges; the output joins the nodes named by `concat`.
    Source: NASNet, arXiv:1707.07012, section 3.3 and appendix A; DARTS, arXiv:1806.09055, section
    2.1.
    """

    c_older: int
    c_newer: int
    channels: int
    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]
    reduce_older: bool = False
    inputs: tuple[int, ...] = (-2, -1)

    def __post_init__(self) -> None:
        _positive(self, c_older=self.c_older, c_newer=self.c_newer, channels=self.channels)
        _check(len(self.inputs) == 2, f"Cell takes two inputs, got {self.inputs}")
        _check(all(i < 0 for i in self.inputs), "Cell.inputs must be negative (how far back)")
        for n, edges in enumerate(self.nodes, start=2):
            late = [e.source for e in edges if e.source >= n]
            _check(not late, f"Cell node {n} reads node {late}, which comes no earlier")
            _check(bool(edges), f"Cell node {n} has no edge")
        top = 2 + len(self.nodes)
        _check(bool(self.concat), "Cell.concat names no node")
        _check(all(0 <= i < top for i in self.concat), f"Cell.concat must lie in 0..{top - 1}")

    @property
    def c_in(self) -> int:
        """Channels of the newer input."""
        return self.c_newer

    @property
    def c_out(self) -> int:
        """Channels of the joined output."""
        return self.channels * len(self.concat)

    @property
    def stride(self) -> int:
        """2 for a reduction cell, else 1."""
        return max(e.stride for edges in self.nodes for e in edges)


AnyBlock = (
    Single
    | Separable
    | InvertedResidual
    | DoubleDepthwise
    | Sandglass
    | Bottleneck
    | NarrowDepthwise
    | LinearBottleneck
    | Cell
)

KINDS: Mapping[str, type] = MappingProxyType(
    {
        "single": Single,
        "separable": Separable,
        "inverted_residual": InvertedResidual,
        "double_depthwise": DoubleDepthwise,
        "sandglass": Sandglass,
        "bottleneck": Bottleneck,
        "narrow_depthwise": NarrowDepthwise,
        "linear_bottleneck": LinearBottleneck,
        "cell": Cell,
    }
)
TAGS: Mapping[type, str] = MappingProxyType({cls: tag for tag, cls in KINDS.items()})


# -------------------------------------------------------------------------------------------- heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """Pool over space, hidden 1x1 layers (after the pool: MobileNetV3's 1280), dropout, linear to
    classes.
    """

    c_in: int
    classes: int
    hidden: tuple[Conv, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, c_in=self.c_in, classes=self.classes)
        _check(
            0.0 <= self.dropout < 1.0, f"Classifier.dropout must be in [0, 1), got {self.dropout}"
        )
        width = self.c_in
        for conv in self.hidden:
            _check(
                conv.kernel == conv.stride == 1, "Classifier.hidden layers must be 1x1, stride 1"
            )
            _check(conv.c_in == width, f"Classifier.hidden takes {conv.c_in} channels, got {width}")
            width = conv.c_out

    @property
    def features(self) -> int:
        """Width of the vector that the last linear layer reads."""
        return self.hidden[-1].c_out if self.hidden else self.c_in


HEADS: Mapping[str, type] = MappingProxyType({"classifier": Classifier})


# ---------------------------------------------------------------------------------------------- net


@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """What trained weights depend on beside their values; `name` is the source whose rules these
    are.
    """

    name: str = "torch"
    padding: str = "symmetric"
    bn_epsilon: float = 1e-5
    bn_momentum: float = 0.1

    def __post_init__(self) -> None:
        _one_of(self, "padding", self.padding, PADDINGS)
        _check(
            0.0 < self.bn_epsilon < 1.0,
            f"Numerics.bn_epsilon must be in (0, 1), got {self.bn_epsilon}",
        )
        _check(
            0.0 < self.bn_momentum <= 1.0,
            f"Numerics.bn_momentum must be in (0, 1] (PyTorch's sense), got {self.bn_momentum}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSpec:
    """A whole network. `resolution` is (height, width); `heads` maps a name to its head, in
    order.
    """

    name: str
    resolution: tuple[int, int]
    stem: Conv
    blocks: tuple[AnyBlock, ...]
    heads: tuple[tuple[str, Classifier], ...]
    numerics: Numerics = Numerics()

    def __post_init__(self) -> None:
        _positive(self, height=self.resolution[0], width=self.resolution[1])
        _check(bool(self.heads), "NetSpec.heads is empty: a network needs one or more outputs")
        names = [name for name, _ in self.heads]
        _check(len(set(names)) == len(names), f"NetSpec.heads has a name twice: {names}")
        _check(all(n.isidentifier() for n in names), f"NetSpec.heads names must be words: {names}")
        self._check_joints()

    def _check_joints(self) -> None:
        outs = [self.stem.c_out]
        for i, block in enumerate(self.blocks):
            sources = [len(outs) + k for k in block.inputs]
            _check(
                min(sources) >= 0 or isinstance(block, Cell), f"blocks.{i} reads before the stem"
            )
            got = [outs[max(s, 0)] for s in sources]
            want = [block.c_older, block.c_newer] if isinstance(block, Cell) else [block.c_in]
            _check(got == want, f"blocks.{i} takes {want} channels but its inputs give {got}")
            outs.append(block.c_out)
        for name, head in self.heads:
            _check(
                head.c_in == outs[-1], f"heads.{name} takes {head.c_in} channels, got {outs[-1]}"
            )

    @property
    def in_channels(self) -> int:
        """Channels of the image."""
        return self.stem.c_in

    def head(self, name: str | None = None) -> Classifier:
        """The head called `name`, or the only one. Raises SpecError."""
        table = dict(self.heads)
        if name is None and len(table) == 1:
            return next(iter(table.values()))
        if name not in table:
            raise SpecError(f"no head called {name!r}; heads: {', '.join(table)}")
        return table[name]


def layers(spec: NetSpec) -> Iterator[tuple[str, Layer]]:
    """Every layer of chain blocks, stem and heads with its address, in the order they run."""
    yield "stem", spec.stem
    for i, block in enumerate(spec.blocks):
        if not isinstance(block, Cell):
            for name, layer in block.layers:
                yield f"blocks.{i}.{name}", layer
    for name, head in spec.heads:
        for i, conv in enumerate(head.hidden):
            yield f"heads.{name}.hidden.{i}", conv
