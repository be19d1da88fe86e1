"""ShuffleNetV2: half of the channels pass by, and a shuffle mixes the halves.

Source: arXiv:1807.11164, table 5; the widths 0.25 and 0.33 are PaddleClas's.
"""

from __future__ import annotations

from typing import NamedTuple

from pocketvision.errors import SpecError
from pocketvision.spec import NetSpec, Pool, Pooling, Single, SplitUnit
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width

ACT = "relu"
STEM = 24
REPEATS = (4, 8, 4)


class Row(NamedTuple):
    """Output channels of the three stages and of the last 1x1."""

    stage2: int
    stage3: int
    stage4: int
    conv5: int


ROWS = {
    0.25: Row(24, 48, 96, 512),
    0.33: Row(32, 64, 128, 512),
    0.5: Row(48, 96, 192, 1024),
    1.0: Row(116, 232, 464, 1024),
    1.5: Row(176, 352, 704, 1024),
    2.0: Row(244, 488, 976, 2048),
}


def shufflenet_v2(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """ShuffleNetV2 at the published widths: 0.25, 0.33, 0.5, 1, 1.5 and 2.

    Raises SpecError.
    """
    if checked_width(width) not in ROWS:
        known = ", ".join(str(w) for w in ROWS)
        raise SpecError(f"shufflenet_v2 exists at the widths {known}, got {width!r}")
    row, c_in = ROWS[width], STEM
    blocks: list[Pooling | SplitUnit | Single] = [Pooling(pool=Pool(channels=c_in, kernel=3))]
    for c_out, repeats in zip(row[:3], REPEATS, strict=True):
        blocks.append(_halving(c_in, c_out))
        blocks += [_splitting(c_out)] * (repeats - 1)
        c_in = c_out
    blocks.append(Single(conv=pointwise(c_in, row.conv5, act=ACT)))
    return assemble(
        "shufflenet_v2",
        "shufflenet_v2",
        stem=stem(in_channels, STEM, act=ACT),
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def _halving(c_in: int, c_out: int) -> SplitUnit:
    half = c_out // 2
    return SplitUnit(
        aside_depthwise=depthwise(c_in, stride=2),
        aside_project=pointwise(c_in, half, act=ACT),
        expand=pointwise(c_in, half, act=ACT),
        depthwise=depthwise(half, stride=2),
        project=pointwise(half, half, act=ACT),
    )


def _splitting(channels: int) -> SplitUnit:
    half = channels // 2
    return SplitUnit(
        expand=pointwise(half, half, act=ACT),
        depthwise=depthwise(half),
        project=pointwise(half, half, act=ACT),
    )
