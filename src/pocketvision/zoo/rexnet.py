"""ReXNet: channels that grow by the same step in every block, SiLU after the expansion.

Source: arXiv:2007.00992, as built by the authors' code (`rexnetv1.py`, `rexnetv1_lite.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pocketvision.spec import (
    Activation,
    Conv,
    Gate,
    InvertedResidual,
    LinearBottleneck,
    NetSpec,
    Separable,
    Single,
)
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_divisor, checked_width
from pocketvision.zoo.rounding import make_divisible

STEM, FIRST, LAST = 32, 16, 1280
EXPANSION = 6


class Stage(NamedTuple):
    """Repeats, stride of the first, gates."""

    n: int
    s: int
    se: bool


STAGES = (
    #     n  s  SE
    Stage(1, 1, False),
    Stage(2, 2, False),
    Stage(2, 2, True),
    Stage(3, 2, True),
    Stage(3, 1, True),
    Stage(5, 2, True),
)
BLOCKS = sum(stage.n for stage in STAGES)


class Row(NamedTuple):
    """One block in absolute channels."""

    c_in: int
    t: int
    c_out: int
    stride: int
    se: bool

    @property
    def shortcut(self) -> int:
        """Leading channels that receive the input, though the output is wider."""
        return self.c_in if self.stride == 1 and self.c_in <= self.c_out else 0


def rexnet(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
    divisor: int = 1,
    gates: bool = True,
) -> NetSpec:
    """ReXNet (v1) of any width.

    Channels are rounded half to even, as Python does; the published weights need that. `divisor` 8
    gives timm's `rexnetr` instead, whose every width is a multiple of 8; without `gates` it is the
    authors' `use_se=False`. Raises SpecError.
    """
    w, divisor = checked_width(width), checked_divisor(divisor)

    def whole(channels: float) -> int:
        nearest = round(channels)
        return nearest if divisor == 1 else make_divisible(nearest, divisor)

    first = whole(STEM * max(1.0, w))
    rows = _rows(first, _growing(w, step=180 / BLOCKS, whole=whole), gates=gates)
    blocks: list[LinearBottleneck | Single] = [_linear_bottleneck(r, divisor) for r in rows]
    last = int(LAST * w) if divisor == 1 else make_divisible(LAST * w, divisor)
    blocks.append(Single(conv=pointwise(rows[-1].c_out, last, act="silu")))
    return assemble(
        "rexnet",
        "rexnet",
        stem=stem(in_channels, first, act="silu"),
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def rexnet_lite(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """ReXNet-lite of any width: no gates, ReLU6, multiples of 8.

    Its channels grow by 164/15 a block, not 180/16; a hidden layer of 1024 with norm and ReLU6
    follows the pool. Raises SpecError.
    """
    w = checked_width(width)

    def whole(channels: float) -> int:
        return make_divisible(round(channels))

    first = whole(STEM * max(1.0, w))
    rows = _rows(first, _growing(w, step=164 / (BLOCKS - 1), whole=whole), gates=False)
    blocks: list[Separable | InvertedResidual | Single] = [_plain_bottleneck(r) for r in rows]
    last = int(LAST * max(1.0, w))
    blocks.append(Single(conv=pointwise(rows[-1].c_out, last, act="relu6")))
    hidden = Conv(c_in=last, c_out=1024, bias=True, act="relu6")
    return assemble(
        "rexnet_lite",
        "rexnet",
        stem=stem(in_channels, first, act="relu6"),
        blocks=blocks,
        hidden=(hidden,),
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


class PlainRow(NamedTuple):
    """One depthwise-separable block: output channels, stride of the depthwise."""

    c: int
    s: int


PLAIN = (
    #        c    s
    PlainRow(96, 1),
    PlainRow(144, 2),
    PlainRow(192, 1),
    PlainRow(240, 2),
    PlainRow(288, 1),
    PlainRow(336, 2),
    PlainRow(384, 1),
    PlainRow(432, 1),
    PlainRow(480, 1),
    PlainRow(528, 1),
    PlainRow(576, 1),
    PlainRow(1024, 2),
    PlainRow(1280, 1),
)


def rexnet_plain(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """A reconstruction of the paper's "plain" ReXNet: cite no published figure for it.

    MobileNetV1's blocks with channels that grow evenly and SiLU after each 1x1. The paper's layer
    table was never released: the channels here are a guess at it. Raises SpecError.
    """
    w = checked_width(width)
    first = stem(in_channels, make_divisible(STEM * w), act="relu6")
    blocks: list[Separable] = []
    c_in = first.c_out
    for row in PLAIN:
        c_out = make_divisible(row.c * w)
        filtered = depthwise(c_in, stride=row.s, act="relu6")
        blocks.append(Separable(depthwise=filtered, pointwise=pointwise(c_in, c_out, act="silu")))
        c_in = c_out
    return assemble(
        "rexnet_plain",
        "rexnet",
        stem=first,
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


# ------------------------------------------------------------------------------------------ widths


def _growing(width: float, *, step: float, whole: Callable[[float], int]) -> list[int]:
    """Output channels of the blocks: the first, then one more step each, times the width.

    Below width 1 the first block keeps its channels and only the step shrinks.
    """
    channels, base = [], FIRST / min(1.0, width)
    for _ in range(BLOCKS):
        channels.append(whole(base * width))
        base += step
    return channels


def _rows(stem_channels: int, channels: list[int], *, gates: bool) -> list[Row]:
    """Channels laid over the stages; the first block has no expansion."""
    rows: list[Row] = []
    c_in, left = stem_channels, iter(channels)
    for stage in STAGES:
        for i in range(stage.n):
            c_out = next(left)
            t = EXPANSION if rows else 1
            rows.append(Row(c_in, t, c_out, stage.s if i == 0 else 1, gates and stage.se))
            c_in = c_out
    return rows


# ------------------------------------------------------------------------------------------ blocks


def _linear_bottleneck(row: Row, divisor: int) -> LinearBottleneck:
    wide = row.c_in if row.t == 1 else make_divisible(row.c_in * row.t, divisor)
    return LinearBottleneck(
        expand=None if row.t == 1 else pointwise(row.c_in, wide, act="silu"),
        depthwise=depthwise(wide, stride=row.stride),
        gate=_gate(wide, divisor) if row.se else None,
        activation=Activation(channels=wide, act="relu6"),
        project=pointwise(wide, row.c_out),
        shortcut=row.shortcut,
    )


def _gate(wide: int, divisor: int) -> Gate:
    squeeze = wide // 12 if divisor == 1 else make_divisible(wide / 12, divisor)
    return Gate(channels=wide, squeeze=squeeze, act="relu", gate="sigmoid", norm="batch")


def _plain_bottleneck(row: Row) -> Separable | InvertedResidual:
    wide = row.c_in * row.t
    filtered = depthwise(wide, stride=row.stride, act="relu6")
    project = pointwise(wide, row.c_out)
    if row.t == 1:
        return Separable(depthwise=filtered, pointwise=project, shortcut=row.shortcut)
    expand = pointwise(row.c_in, wide, act="relu6")
    return InvertedResidual(
        expand=expand, depthwise=filtered, project=project, shortcut=row.shortcut
    )
