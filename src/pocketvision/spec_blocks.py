"""Blocks that run layer after layer, with a shortcut over all or some of the channels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from pocketvision.errors import SpecError
from pocketvision.spec_layers import Activation, Conv, Gate, Layer, MixedConv, Pool


def _check_chain(block: Any) -> None:
    kind = type(block).__name__
    check_one_input(block)
    rows = block.layers
    if not rows:
        raise SpecError(f"{kind} has no layer")
    for (name_a, a), (name_b, b) in pairwise(rows):
        if a.c_out != b.c_in:
            raise SpecError(f"{kind}.{name_b} takes {b.c_in} channels but {name_a} gives {a.c_out}")
    shortcut = block.shortcut
    even = all(getattr(layer, "strides", (1, 1)) == (1, 1) for _, layer in rows)
    if shortcut and (shortcut > min(rows[0][1].c_in, rows[-1][1].c_out) or not even):
        raise SpecError(
            f"{kind}.shortcut={shortcut} needs stride 1 and that many channels on both sides"
        )


def check_one_input(block: Any) -> None:
    """Raise SpecError unless the block reads exactly one earlier output."""
    kind = type(block).__name__
    if not block.inputs or any(i >= 0 for i in block.inputs):
        raise SpecError(f"{kind}.inputs must be negative")
    if len(block.inputs) != 1:
        raise SpecError(f"{kind} takes one input, got {block.inputs}")


class _Chain:
    """Shared by the chain kinds: what follows from the layers alone."""

    __slots__: tuple[str, ...] = ()
    inputs: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_chain(self)

    @property
    def layers(self) -> tuple[tuple[str, Layer], ...]:
        """(name, layer) in the order they run."""
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return tuple(row for row in values if isinstance(row[1], Layer))

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


@dataclass(frozen=True, slots=True, kw_only=True)
class UniversalInverted(_Chain):
    """Inverted residual whose depthwise may stand before the expansion, inside, at both or nowhere.

    Source: MobileNetV4, arXiv:2404.10518, section 3.1. The first depthwise is linear; the stride is
    the inner one's where there is one.
    """

    depthwise_first: Conv | None = None
    expand: Conv
    depthwise: Conv | None = None
    project: Conv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedInverted(_Chain):
    """Inverted residual with expansion and depthwise fused into one dense convolution.

    Source: MobileNetV4, arXiv:2404.10518, section 3.1 ("fused IB"), after EfficientNet-EdgeTPU.
    """

    expand: Conv
    project: Conv
    shortcut: int = 0
    inputs: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreActivated(_Chain):
    """An activation, then a convolution that has none of its own; or the activation alone."""

    activation: Activation
    conv: Conv | None = None
    inputs: tuple[int, ...] = (-1,)
    shortcut: ClassVar[int] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling(_Chain):
    """One pool as a block of its own, between the stages of older networks."""

    pool: Pool
    inputs: tuple[int, ...] = (-1,)
    shortcut: ClassVar[int] = 0
