"""GhostNet: half of every wide map is made from the other half by a cheap depthwise.

Source: arXiv:1911.11907, table 1, in the columns of the authors' code
(huawei-noah/Efficient-AI-Backbones `ghostnet.py`).
"""

from __future__ import annotations

from typing import NamedTuple

from pocketvision.spec import Conv, Gate, GhostBottleneck, NetSpec, Single
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.rounding import make_divisible

ACT = "relu"
STEM, HIDDEN = 16, 1280
DIVISOR = 4
CHEAP_KERNEL = 3


class Row(NamedTuple):
    """Kernel, expanded channels, output channels, gate's ratio of the expanded, stride."""

    k: int
    t: int
    c: int
    se: float
    s: int


ROWS = (
    #   k    t    c    SE  s
    Row(3, 16, 16, 0, 1),
    Row(3, 48, 24, 0, 2),
    Row(3, 72, 24, 0, 1),
    Row(5, 72, 40, 0.25, 2),
    Row(5, 120, 40, 0.25, 1),
    Row(3, 240, 80, 0, 2),
    Row(3, 200, 80, 0, 1),
    Row(3, 184, 80, 0, 1),
    Row(3, 184, 80, 0, 1),
    Row(3, 480, 112, 0.25, 1),
    Row(3, 672, 112, 0.25, 1),
    Row(5, 672, 160, 0.25, 2),
    Row(5, 960, 160, 0, 1),
    Row(5, 960, 160, 0.25, 1),
    Row(5, 960, 160, 0, 1),
    Row(5, 960, 160, 0.25, 1),
)


def ghostnet(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """GhostNet of any width.

    The hidden layer of the head stays at 1280. Raises SpecError.
    """
    w = checked_width(width)
    first = stem(in_channels, make_divisible(STEM * w, DIVISOR), act=ACT)
    blocks: list[GhostBottleneck | Single] = []
    c_in = first.c_out
    for row in ROWS:
        wide, c_out = (make_divisible(c * w, DIVISOR) for c in (row.t, row.c))
        blocks.append(_bottleneck(c_in, wide, c_out, row))
        c_in = c_out
    last = make_divisible(ROWS[-1].t * w, DIVISOR)
    blocks.append(Single(conv=pointwise(c_in, last, act=ACT)))
    hidden = Conv(c_in=last, c_out=HIDDEN, norm="none", act=ACT)
    return assemble(
        "ghostnet",
        "ghostnet",
        stem=first,
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
        hidden=(hidden,),
    )


def _bottleneck(c_in: int, wide: int, c_out: int, row: Row) -> GhostBottleneck:
    squeeze = make_divisible(wide * row.se, DIVISOR)
    moves = row.s > 1 or c_in != c_out
    return GhostBottleneck(
        primary1=pointwise(c_in, wide // 2, act=ACT),
        cheap1=depthwise(wide // 2, CHEAP_KERNEL, act=ACT),
        depthwise=depthwise(wide, row.k, stride=row.s) if row.s > 1 else None,
        gate=Gate(channels=wide, squeeze=squeeze) if row.se else None,
        primary2=pointwise(wide, c_out // 2),
        cheap2=depthwise(c_out // 2, CHEAP_KERNEL),
        aside_depthwise=depthwise(c_in, row.k, stride=row.s) if moves else None,
        aside_project=pointwise(c_in, c_out) if moves else None,
    )
