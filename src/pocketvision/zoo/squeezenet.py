"""SqueezeNet: fire modules between max pools, no batch-norm, a classifier made of 1x1s.

Source: arXiv:1602.07360, table 1 (version 1.0), and the authors' repository (version 1.1: a 3x3
first layer and earlier pools, 2.4 times less arithmetic at the same accuracy).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketvision.spec import Conv, Fire, MapClassifier, NetSpec, Pool, Pooling
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.rounding import make_divisible

ACT = "relu"


class Row(NamedTuple):
    """One fire module: squeezed channels, channels of each of its two expansions."""

    s1x1: int
    e: int


class Table(NamedTuple):
    """First layer (kernel, channels), then stages of fire modules; a pool stands before each."""

    kernel: int
    stem: int
    stages: tuple[tuple[Row, ...], ...]


ROWS = (
    #   s1x1  e
    Row(16, 64),
    Row(16, 64),
    Row(32, 128),
    Row(32, 128),
    Row(48, 192),
    Row(48, 192),
    Row(64, 256),
    Row(64, 256),
)
V1_0 = Table(7, 96, (ROWS[:3], ROWS[3:7], ROWS[7:]))
V1_1 = Table(3, 64, (ROWS[:2], ROWS[2:4], ROWS[4:]))


def squeezenet_1_0(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.5,
) -> NetSpec:
    """SqueezeNet 1.0, the paper's, of any width.

    Raises SpecError.
    """
    return _network(
        "squeezenet_1_0",
        V1_0,
        width,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def squeezenet_1_1(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.5,
) -> NetSpec:
    """SqueezeNet 1.1: the same modules with less arithmetic, of any width.

    Raises SpecError.
    """
    return _network(
        "squeezenet_1_1",
        V1_1,
        width,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def _network(
    name: str, table: Table, width: float, in_channels: int, *, classes: int, dropout: float,
    **options: Any,
) -> NetSpec:  # fmt: skip
    w = checked_width(width)
    c_in = make_divisible(table.stem * w)
    first = Conv(c_in=in_channels, c_out=c_in, kernel=table.kernel, stride=2, norm="none",
                 act=ACT, padded=False)  # fmt: skip
    blocks: list[Fire | Pooling] = []
    for stage in table.stages:
        blocks.append(Pooling(pool=Pool(channels=c_in, kernel=3, padded=False)))
        for row in stage:
            blocks.append(_fire(c_in, make_divisible(row.s1x1 * w), make_divisible(row.e * w)))
            c_in = blocks[-1].c_out
    head = MapClassifier(c_in=c_in, classes=classes, dropout=dropout, act=ACT)
    return assemble(name, "squeezenet", stem=first, blocks=blocks, classes=classes,
                    dropout=dropout, head=head, **options)  # fmt: skip


def _fire(c_in: int, narrow: int, wide: int) -> Fire:
    return Fire(
        squeeze=Conv(c_in=c_in, c_out=narrow, norm="none", act=ACT),
        expand1=Conv(c_in=narrow, c_out=wide, norm="none", act=ACT),
        expand3=Conv(c_in=narrow, c_out=wide, kernel=3, norm="none", act=ACT),
    )
