"""MobileNetV4, the convolutional networks: universal inverted bottlenecks.

Source: arXiv:2404.10518, tables 11 (conv small), 12 (conv medium) and 13 (conv large).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketvision.spec import Conv, FusedInverted, NetSpec, Single, UniversalInverted
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.rounding import make_divisible

ACT = "relu"
HIDDEN = 1280


class C(NamedTuple):
    """A plain convolution: kernel, output channels, stride."""

    k: int
    o: int
    s: int


class F(NamedTuple):
    """A fused inverted residual: kernel, expansion, output channels, stride."""

    k: int
    e: int
    o: int
    s: int


class U(NamedTuple):
    """A universal inverted bottleneck: first kernel, inner kernel (0: none), expansion, output
    channels, stride.
    """

    a: int
    k: int
    e: int
    o: int
    s: int


class Table(NamedTuple):
    """Stem channels and rows."""

    stem: int
    rows: tuple[C | F | U, ...]


SMALL = Table(
    32,
    (
        C(3, 32, 2),
        C(1, 32, 1),
        C(3, 96, 2),
        C(1, 64, 1),
        # a  k  e    o  s
        U(5, 5, 3, 96, 2),
        U(0, 3, 2, 96, 1),
        U(0, 3, 2, 96, 1),
        U(0, 3, 2, 96, 1),
        U(0, 3, 2, 96, 1),
        U(3, 0, 4, 96, 1),
        U(3, 3, 6, 128, 2),
        U(5, 5, 4, 128, 1),
        U(0, 5, 4, 128, 1),
        U(0, 5, 3, 128, 1),
        U(0, 3, 4, 128, 1),
        U(0, 3, 4, 128, 1),
        C(1, 960, 1),
    ),
)
MEDIUM = Table(
    32,
    (
        F(3, 4, 48, 2),
        # a  k  e    o  s
        U(3, 5, 4, 80, 2),
        U(3, 3, 2, 80, 1),
        U(3, 5, 6, 160, 2),
        U(3, 3, 4, 160, 1),
        U(3, 3, 4, 160, 1),
        U(3, 5, 4, 160, 1),
        U(3, 3, 4, 160, 1),
        U(3, 0, 4, 160, 1),
        U(0, 0, 2, 160, 1),
        U(3, 0, 4, 160, 1),
        U(5, 5, 6, 256, 2),
        U(5, 5, 4, 256, 1),
        U(3, 5, 4, 256, 1),
        U(3, 5, 4, 256, 1),
        U(0, 0, 4, 256, 1),
        U(3, 0, 4, 256, 1),
        U(3, 5, 2, 256, 1),
        U(5, 5, 4, 256, 1),
        U(0, 0, 4, 256, 1),
        U(0, 0, 4, 256, 1),
        U(5, 0, 2, 256, 1),
        C(1, 960, 1),
    ),
)
LARGE = Table(
    24,
    (
        F(3, 4, 48, 2),
        # a  k  e    o  s
        U(3, 5, 4, 96, 2),
        U(3, 3, 4, 96, 1),
        U(3, 5, 4, 192, 2),
        U(3, 3, 4, 192, 1),
        U(3, 3, 4, 192, 1),
        U(3, 3, 4, 192, 1),
        U(3, 5, 4, 192, 1),
        U(5, 3, 4, 192, 1),
        U(5, 3, 4, 192, 1),
        U(5, 3, 4, 192, 1),
        U(5, 3, 4, 192, 1),
        U(5, 3, 4, 192, 1),
        U(3, 0, 4, 192, 1),
        U(5, 5, 4, 512, 2),
        U(5, 5, 4, 512, 1),
        U(5, 5, 4, 512, 1),
        U(5, 5, 4, 512, 1),
        U(5, 0, 4, 512, 1),
        U(5, 3, 4, 512, 1),
        U(5, 0, 4, 512, 1),
        U(5, 0, 4, 512, 1),
        U(5, 3, 4, 512, 1),
        U(5, 5, 4, 512, 1),
        U(5, 0, 4, 512, 1),
        U(5, 0, 4, 512, 1),
        U(5, 0, 4, 512, 1),
        C(1, 960, 1),
    ),
)


def mobilenet_v4_conv_small(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MobileNetV4-Conv-Small of any width.

    The stem does not shrink below width 1 and the head's hidden layer stays at 1280. Raises
    SpecError.
    """
    return _network("mobilenet_v4_conv_small", SMALL, width, in_channels, resolution=resolution,
                    classes=classes, dropout=dropout, numerics=numerics)  # fmt: skip


def mobilenet_v4_conv_medium(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MobileNetV4-Conv-Medium of any width; the ends as for Small.

    Raises SpecError.
    """
    return _network("mobilenet_v4_conv_medium", MEDIUM, width, in_channels, resolution=resolution,
                    classes=classes, dropout=dropout, numerics=numerics)  # fmt: skip


def mobilenet_v4_conv_large(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MobileNetV4-Conv-Large of any width; the ends as for Small.

    Raises SpecError.
    """
    return _network("mobilenet_v4_conv_large", LARGE, width, in_channels, resolution=resolution,
                    classes=classes, dropout=dropout, numerics=numerics)  # fmt: skip


# ------------------------------------------------------------------------------------------- blocks


def _network(name: str, table: Table, width: float, in_channels: int, **options: Any) -> NetSpec:
    w = checked_width(width)
    first = stem(in_channels, make_divisible(table.stem * max(w, 1.0)), act=ACT)
    blocks: list[Single | FusedInverted | UniversalInverted] = []
    c_in = first.c_out
    for row in table.rows:
        blocks.append(_block(c_in, make_divisible(row.o * w), row))
        c_in = blocks[-1].c_out
    hidden = Conv(c_in=c_in, c_out=HIDDEN, act=ACT)
    return assemble(name, "mobilenet_v4", stem=first, blocks=blocks, hidden=(hidden,), **options)


def _block(c_in: int, c_out: int, row: C | F | U) -> Single | FusedInverted | UniversalInverted:
    if isinstance(row, C):
        return Single(conv=Conv(c_in=c_in, c_out=c_out, kernel=row.k, stride=row.s, act=ACT))
    wide = make_divisible(c_in * row.e)
    shortcut = c_in if row.s == 1 and c_in == c_out else 0
    project = pointwise(wide, c_out)
    if isinstance(row, F):
        expand = Conv(c_in=c_in, c_out=wide, kernel=row.k, stride=row.s, act=ACT)
        return FusedInverted(expand=expand, project=project, shortcut=shortcut)
    outer = row.s if not row.k else 1
    return UniversalInverted(
        depthwise_first=depthwise(c_in, row.a, stride=outer) if row.a else None,
        expand=pointwise(c_in, wide, act=ACT),
        depthwise=depthwise(wide, row.k, stride=row.s, act=ACT) if row.k else None,
        project=project,
        shortcut=shortcut,
    )
