"""MobileNetV2: inverted residuals with linear bottlenecks. Source: arXiv:1801.04381, table 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from pocketvision.spec import Conv, DoubleDepthwise, InvertedResidual, NetSpec, Separable, Single
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.depth import deepened
from pocketvision.zoo.frame import (
    Resolution,
    assemble,
    checked_depth,
    checked_divisor,
    checked_width,
)
from pocketvision.zoo.rounding import make_divisible

ACT = "relu6"
STEM = 32
LAST = 1280


class Row(NamedTuple):
    """Expansion, output channels, repeats, stride of the first."""

    t: int
    c: int
    n: int
    s: int


ROWS = (
    #   t    c  n  s
    Row(1, 16, 1, 1),
    Row(6, 24, 2, 2),
    Row(6, 32, 3, 2),
    Row(6, 64, 4, 2),
    Row(6, 96, 3, 1),
    Row(6, 160, 3, 2),
    Row(6, 320, 1, 1),
)

Bottleneck = Separable | InvertedResidual | DoubleDepthwise


def mobilenet_v2(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
    depth: float = 1.0,
    divisor: int = 8,
    fixed_ends: bool = False,
) -> NetSpec:
    """MobileNetV2 of any width.

    The last 1x1 stays at 1280 for widths up to 1, as published. `depth` multiplies the repeats and
    `fixed_ends` keeps stem, first and last stage and last 1x1 unscaled (timm's `mobilenetv2_110d`,
    `mobilenetv2_120d`); `divisor` 4 is d-li14's at width 0.1. Raises SpecError.
    """
    w, divisor = checked_width(width), checked_divisor(divisor)
    first = stem(in_channels, STEM if fixed_ends else make_divisible(STEM * w, divisor), act=ACT)
    rows = _deepened(checked_depth(depth), fixed_ends)
    blocks: list[Bottleneck | Single] = []
    c_in = first.c_out
    for t, c_out, stride in _unrolled(rows, w, divisor):
        blocks.append(bottleneck(c_in, c_out, t=t, stride=stride))
        c_in = c_out
    last = LAST if fixed_ends else make_divisible(LAST * max(1.0, w), divisor)
    blocks.append(Single(conv=pointwise(c_in, last, act=ACT)))
    return assemble(
        "mobilenet_v2",
        "mobilenet_v2",
        stem=first,
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mobilenet_v2_extra_depthwise(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MobileNetV2 with a second depthwise in each block: MobileNeXt's control.

    The paper (arXiv:2007.02269, table 1) does not say where the second one stands; here it follows
    the first, at stride 1. The first block, which has no wide space, stays as it is.
    Raises SpecError.
    """
    plain = mobilenet_v2(
        width=width,
        resolution=resolution,
        classes=classes,
        in_channels=in_channels,
        numerics=numerics,
        dropout=dropout,
    )
    doubled = [_doubled(b) if isinstance(b, InvertedResidual) else b for b in plain.blocks]
    return replace(plain, name="mobilenet_v2_extra_depthwise", blocks=tuple(doubled))


def bottleneck(c_in: int, c_out: int, *, t: int, stride: int) -> Separable | InvertedResidual:
    """One row unrolled: without expansion (t = 1) it is a separable block."""
    shortcut = c_in if stride == 1 and c_in == c_out else 0
    wide = c_in * t
    filtered = depthwise(wide, stride=stride, act=ACT)
    project = pointwise(wide, c_out)
    if t == 1:
        return Separable(depthwise=filtered, pointwise=project, shortcut=shortcut)
    expand = pointwise(c_in, wide, act=ACT)
    return InvertedResidual(expand=expand, depthwise=filtered, project=project, shortcut=shortcut)


def _deepened(depth: float, fixed_ends: bool) -> list[Row]:
    ends = (ROWS[0], ROWS[-1]) if fixed_ends else ()
    return [r if r in ends else r._replace(n=deepened([r.n], depth)[0]) for r in ROWS]


def _unrolled(rows: list[Row], width: float, divisor: int) -> Iterator[tuple[int, int, int]]:
    """(expansion, channels out, stride) of every block in order."""
    for row in rows:
        c = make_divisible(row.c * width, divisor)
        for i in range(row.n):
            yield row.t, c, row.s if i == 0 else 1


def _doubled(block: InvertedResidual) -> DoubleDepthwise:
    wide = block.depthwise.c_out
    assert isinstance(block.expand, Conv)
    assert isinstance(block.depthwise, Conv)
    assert isinstance(block.project, Conv)
    return DoubleDepthwise(
        expand=block.expand,
        depthwise=block.depthwise,
        depthwise2=depthwise(wide, act=ACT),
        project=block.project,
        shortcut=block.shortcut,
    )
