"""ResNet-18 and ResNet-50, as teachers. Source: arXiv:1512.03385, table 1."""

from __future__ import annotations

from typing import Any

from pocketvision.spec import Conv, NetSpec, Pool, Pooling, Residual
from pocketvision.zoo.convs import pointwise
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.rounding import make_divisible

ACT = "relu"
STEM = 64
# Narrow channels of the four stages; a bottleneck's output is four times as wide.
STAGES = (64, 128, 256, 512)
REPEATS_18, REPEATS_50 = (2, 2, 2, 2), (3, 4, 6, 3)
WIDENING = 4


def resnet18(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """ResNet-18 of any width: two 3x3 a block.

    Raises SpecError.
    """
    return _network(
        "resnet18",
        REPEATS_18,
        width,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def resnet50(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """ResNet-50 of any width: bottlenecks, with the stride in their 3x3 ("v1.5").

    Raises SpecError.
    """
    return _network(
        "resnet50",
        REPEATS_50,
        width,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def _network(
    name: str, repeats: tuple[int, ...], width: float, in_channels: int, **options: Any
) -> NetSpec:
    w = checked_width(width)
    c_in = make_divisible(STEM * w)
    first = Conv(c_in=in_channels, c_out=c_in, kernel=7, stride=2, act=ACT)
    blocks: list[Pooling | Residual] = [Pooling(pool=Pool(channels=c_in, kernel=3))]
    make = _basic if repeats is REPEATS_18 else _bottleneck
    for stage, (channels, n) in enumerate(zip(STAGES, repeats, strict=True)):
        for i in range(n):
            stride = 2 if stage and not i else 1
            blocks.append(make(c_in, make_divisible(channels * w), stride))
            c_in = blocks[-1].c_out
    return assemble(name, "resnet", stem=first, blocks=blocks, **options)


def _basic(c_in: int, c: int, stride: int) -> Residual:
    return Residual(
        conv1=Conv(c_in=c_in, c_out=c, kernel=3, stride=stride, act=ACT),
        conv2=Conv(c_in=c, c_out=c, kernel=3),
        shortcut=_shortcut(c_in, c, stride),
        act=ACT,
    )


def _bottleneck(c_in: int, c: int, stride: int) -> Residual:
    return Residual(
        conv1=pointwise(c_in, c, act=ACT),
        conv2=Conv(c_in=c, c_out=c, kernel=3, stride=stride, act=ACT),
        conv3=pointwise(c, WIDENING * c),
        shortcut=_shortcut(c_in, WIDENING * c, stride),
        act=ACT,
    )


def _shortcut(c_in: int, c_out: int, stride: int) -> Conv | None:
    """Nothing where input and output are alike, else a 1x1."""
    alike = c_in == c_out and stride == 1
    return None if alike else Conv(c_in=c_in, c_out=c_out, stride=stride)
