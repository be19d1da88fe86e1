"""Xception: separable convolutions without a norm between, and shortcuts; and DeepLab's variant.

Source: arXiv:1610.02357, figure 5; the variant with 41 layers: arXiv:1802.02611, figure 4, with
strided separable convolutions instead of pools and a norm after each depthwise. The first two
convolutions of the paper's network are not padded (its code, Keras applications `xception.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pocketvision.spec import Conv, NetSpec, Pool, Separable, SeparableResidual, Single
from pocketvision.zoo.convs import stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.rounding import make_divisible

ACT = "relu"
STEM = (32, 64)
ENTRY = (128, 256, 728)
MIDDLE_REPEATS = 8
EXIT, LAST = 1024, (1536, 2048)
LAST_41 = (1536, 1536, 2048)


def xception(
    *,
    width: float = 1.0,
    resolution: Resolution = 299,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """Xception, the paper's network, of any width.

    Raises SpecError.
    """
    w = checked_width(width)
    c1, c_in = (make_divisible(c * w) for c in STEM)
    first = Conv(c_in=in_channels, c_out=c1, kernel=3, stride=2, act=ACT, padded=False)
    second = Conv(c_in=c1, c_out=c_in, kernel=3, act=ACT, padded=False)
    blocks: list[Single | SeparableResidual | Separable] = [Single(conv=second)]
    for i, c in enumerate(ENTRY):
        c_out = make_divisible(c * w)
        blocks.append(_pooled(c_in, (c_out, c_out), first_act=ACT if i else "none"))
        c_in = c_out
    blocks += [_same(c_in, norm="bare")] * MIDDLE_REPEATS
    c_out = make_divisible(EXIT * w)
    blocks.append(_pooled(c_in, (c_in, c_out), first_act=ACT))
    for c in LAST:
        c_in, c_out = c_out, make_divisible(c * w)
        blocks.append(_separable(c_in, c_out, norm="bare", act="none"))
    return _assembled("xception", "xception", first, blocks, resolution=resolution,
                      classes=classes, dropout=dropout, numerics=numerics)  # fmt: skip


def xception41(
    *,
    width: float = 1.0,
    resolution: Resolution = 299,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """DeepLab's Xception with 41 layers, of any width.

    Raises SpecError.
    """
    w = checked_width(width)
    c1, c_in = (make_divisible(c * w) for c in STEM)
    second = Conv(c_in=c1, c_out=c_in, kernel=3, act=ACT)
    blocks: list[Single | SeparableResidual | Separable] = [Single(conv=second)]
    for c in ENTRY:
        c_out = make_divisible(c * w)
        blocks.append(_strided(c_in, (c_out, c_out, c_out)))
        c_in = c_out
    blocks += [_same(c_in, norm="batch")] * MIDDLE_REPEATS
    c_out = make_divisible(EXIT * w)
    blocks.append(_strided(c_in, (c_in, c_out, c_out)))
    for c in LAST_41:
        c_in, c_out = c_out, make_divisible(c * w)
        blocks.append(_separable(c_in, c_out, norm="batch", act=ACT))
    return _assembled("xception41", "xception41", stem(in_channels, c1, act=ACT), blocks,
                      resolution=resolution, classes=classes, dropout=dropout,
                      numerics=numerics)  # fmt: skip


def _assembled(name: str, family: str, first: Conv, blocks: Sequence[Any], **options: Any
               ) -> NetSpec:  # fmt: skip
    return assemble(name, family, stem=first, blocks=blocks, **options)


# ------------------------------------------------------------------------------------------- blocks


def _deep(c: int, *, norm: str, stride: int = 1, act: str = "none") -> Conv:
    return Conv(c_in=c, c_out=c, kernel=3, stride=stride, groups=c, norm=norm, act=act)


def _wide(c_in: int, c_out: int) -> Conv:
    return Conv(c_in=c_in, c_out=c_out)


def _separable(c_in: int, c_out: int, *, norm: str, act: str) -> Separable:
    """One of the last separable convolutions, each with its activation and no shortcut."""
    pointwise = Conv(c_in=c_in, c_out=c_out, act=ACT)
    return Separable(depthwise=_deep(c_in, norm=norm, act=act), pointwise=pointwise)


def _pooled(c_in: int, widths: tuple[int, int], *, first_act: str) -> SeparableResidual:
    """Two separable convolutions and a pool: the size halves."""
    c1, c2 = widths
    return SeparableResidual(
        depthwise1=_deep(c_in, norm="bare"),
        pointwise1=_wide(c_in, c1),
        depthwise2=_deep(c1, norm="bare"),
        pointwise2=_wide(c1, c2),
        pool=Pool(channels=c2, kernel=3),
        shortcut=Conv(c_in=c_in, c_out=c2, stride=2),
        first_act=first_act,
        act=ACT,
    )


def _strided(c_in: int, widths: tuple[int, int, int]) -> SeparableResidual:
    """Three separable convolutions, the last with a stride: the size halves."""
    c1, c2, c3 = widths
    return SeparableResidual(
        depthwise1=_deep(c_in, norm="batch"),
        pointwise1=_wide(c_in, c1),
        depthwise2=_deep(c1, norm="batch"),
        pointwise2=_wide(c1, c2),
        depthwise3=_deep(c2, norm="batch", stride=2),
        pointwise3=_wide(c2, c3),
        shortcut=Conv(c_in=c_in, c_out=c3, stride=2),
        first_act=ACT,
        act=ACT,
    )


def _same(c: int, *, norm: str) -> SeparableResidual:
    """Three separable convolutions at one width and size: the middle of both networks."""
    return SeparableResidual(
        depthwise1=_deep(c, norm=norm),
        pointwise1=_wide(c, c),
        depthwise2=_deep(c, norm=norm),
        pointwise2=_wide(c, c),
        depthwise3=_deep(c, norm=norm),
        pointwise3=_wide(c, c),
        first_act=ACT,
        act=ACT,
    )
