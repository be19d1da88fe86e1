"""MnasNet: inverted residuals found by a search that measured latency on a phone.

Source: arXiv:1807.11626, figure 7 (A1), in the columns of the authors' code (tensorflow/tpu
`mnasnet_models.py`), which also holds B1 (no gates) and the small network.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketvision.spec import InvertedResidual, NetSpec, Separable, Single
from pocketvision.zoo.convs import pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.inverted import inverted
from pocketvision.zoo.rounding import make_divisible

ACT = "relu"
LAST = 1280
SE = 0.25


class Row(NamedTuple):
    """Repeats, kernel, stride of the first, expansion, output channels, gate's ratio."""

    r: int
    k: int
    s: int
    e: int
    o: int
    se: float


class Table(NamedTuple):
    """Stem channels and rows."""

    stem: int
    rows: tuple[Row, ...]


B1 = Table(
    32,
    (
        #   r  k  s  e    o  se
        Row(1, 3, 1, 1, 16, 0),
        Row(3, 3, 2, 3, 24, 0),
        Row(3, 5, 2, 3, 40, 0),
        Row(3, 5, 2, 6, 80, 0),
        Row(2, 3, 1, 6, 96, 0),
        Row(4, 5, 2, 6, 192, 0),
        Row(1, 3, 1, 6, 320, 0),
    ),
)
A1 = Table(
    32,
    (
        #   r  k  s  e    o  se
        Row(1, 3, 1, 1, 16, 0),
        Row(2, 3, 2, 6, 24, 0),
        Row(3, 5, 2, 3, 40, SE),
        Row(4, 3, 2, 6, 80, 0),
        Row(2, 3, 1, 6, 112, SE),
        Row(3, 5, 2, 6, 160, SE),
        Row(1, 3, 1, 6, 320, 0),
    ),
)
SMALL = Table(
    8,
    (
        #   r  k  s  e    o  se
        Row(1, 3, 1, 1, 8, 0),
        Row(1, 3, 2, 3, 16, 0),
        Row(2, 3, 2, 6, 16, 0),
        Row(4, 5, 2, 6, 32, SE),
        Row(3, 3, 1, 6, 32, SE),
        Row(3, 5, 2, 6, 88, SE),
        Row(1, 3, 1, 6, 144, 0),
    ),
)


def mnasnet(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MnasNet-B1 of any width: no gates.

    The last 1x1 is never scaled. Raises SpecError.
    """
    return _network("mnasnet", B1, width, in_channels, resolution=resolution, classes=classes,
                    dropout=dropout, numerics=numerics)  # fmt: skip


def mnasnet_a1(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MnasNet-A1 of any width: the paper's network, with gates.

    The last 1x1 is never scaled. Raises SpecError.
    """
    return _network("mnasnet_a1", A1, width, in_channels, resolution=resolution, classes=classes,
                    dropout=dropout, numerics=numerics)  # fmt: skip


def mnasnet_small(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MnasNet-small of any width.

    The last 1x1 is never scaled. Raises SpecError.
    """
    return _network("mnasnet_small", SMALL, width, in_channels, resolution=resolution,
                    classes=classes, dropout=dropout, numerics=numerics)  # fmt: skip


def _network(name: str, table: Table, width: float, in_channels: int, **options: Any) -> NetSpec:
    w = checked_width(width)
    first = stem(in_channels, make_divisible(table.stem * w), act=ACT)
    blocks: list[Separable | InvertedResidual | Single] = []
    c_in = first.c_out
    for row in table.rows:
        c_out = make_divisible(row.o * w)
        for i in range(row.r):
            stride = 1 if i else row.s
            blocks.append(
                inverted(c_in, c_out, expansion=row.e, kernel=row.k, stride=stride, act=ACT,
                         gate_ratio=row.se)
            )  # fmt: skip
            c_in = c_out
    blocks.append(Single(conv=pointwise(c_in, LAST, act=ACT)))
    return assemble(name, "mnasnet", stem=first, blocks=blocks, **options)
