"""MixNet: depthwise convolutions of several kernels side by side, grouped 1x1, gates.

Source: arXiv:1907.09595, figure 5, in the columns of the authors' code (tensorflow/tpu
`mixnet_builder.py`). L is M at width 1.3; XL is timm's, M at width 1.6 and depth 1.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pocketvision.spec import Conv, Gate, InvertedResidual, MixedConv, NetSpec, Separable, Single
from pocketvision.zoo.convs import pointwise, stem
from pocketvision.zoo.depth import deepened
from pocketvision.zoo.frame import Resolution, assemble, checked_depth, checked_width
from pocketvision.zoo.rounding import make_divisible

RE, SW = "relu", "silu"
FEATURES = 1536


class Row(NamedTuple):
    """Repeats, kernels, groups of the two 1x1 (a, p), stride, expansion, output, gate, activation.

    The gate's ratio is of the block's *input* channels.
    """

    r: int
    k: tuple[int, ...]
    a: int
    p: int
    s: int
    e: int
    o: int
    se: float
    act: str


class Table(NamedTuple):
    """Stem channels, then stages of rows."""

    stem: int
    stages: tuple[tuple[Row, ...], ...]


K3, K35, K357 = (3,), (3, 5), (3, 5, 7)
K3579, K357911 = (3, 5, 7, 9), (3, 5, 7, 9, 11)

S = Table(
    16,
    (
        #    r  k       a  p  s  e  o    se    act
        (Row(1, K3, 1, 1, 1, 1, 16, 0, RE),),
        (Row(1, K3, 2, 2, 2, 6, 24, 0, RE), Row(1, K3, 2, 2, 1, 3, 24, 0, RE)),
        (Row(1, K357, 1, 1, 2, 6, 40, 0.5, SW), Row(3, K35, 2, 2, 1, 6, 40, 0.5, SW)),
        (Row(1, K357, 1, 2, 2, 6, 80, 0.25, SW), Row(2, K35, 1, 2, 1, 6, 80, 0.25, SW)),
        (Row(1, K357, 2, 2, 1, 6, 120, 0.5, SW), Row(2, K3579, 2, 2, 1, 3, 120, 0.5, SW)),
        (Row(1, K357911, 1, 1, 2, 6, 200, 0.5, SW), Row(2, K3579, 1, 2, 1, 6, 200, 0.5, SW)),
    ),
)
M = Table(
    24,
    (
        #    r  k     a  p  s  e  o    se    act
        (Row(1, K3, 1, 1, 1, 1, 24, 0, RE),),
        (Row(1, K357, 2, 2, 2, 6, 32, 0, RE), Row(1, K3, 2, 2, 1, 3, 32, 0, RE)),
        (Row(1, K3579, 1, 1, 2, 6, 40, 0.5, SW), Row(3, K35, 2, 2, 1, 6, 40, 0.5, SW)),
        (Row(1, K357, 1, 1, 2, 6, 80, 0.25, SW), Row(3, K3579, 2, 2, 1, 6, 80, 0.25, SW)),
        (Row(1, K3, 1, 1, 1, 6, 120, 0.5, SW), Row(3, K3579, 2, 2, 1, 3, 120, 0.5, SW)),
        (Row(1, K3579, 1, 1, 2, 6, 200, 0.5, SW), Row(3, K3579, 1, 2, 1, 6, 200, 0.5, SW)),
    ),
)


def mixnet_s(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
    depth: float = 1.0,
) -> NetSpec:
    """MixNet-S of any width.

    The 1536 features are never scaled. Raises SpecError.
    """
    return _network(
        "mixnet_s",
        S,
        width,
        depth,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mixnet_m(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.25,
    depth: float = 1.0,
) -> NetSpec:
    """MixNet-M of any width.

    The 1536 features are never scaled. Raises SpecError.
    """
    return _network(
        "mixnet_m",
        M,
        width,
        depth,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mixnet_l(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.25,
    depth: float = 1.0,
) -> NetSpec:
    """MixNet-L: MixNet-M at width 1.3 (times `width`).

    The 1536 features are never scaled. Raises SpecError.
    """
    return _network(
        "mixnet_l",
        M,
        1.3 * checked_width(width),
        depth,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mixnet_xl(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.25,
    depth: float = 1.0,
) -> NetSpec:
    """MixNet-XL, which is timm's: MixNet-M at width 1.6 and depth 1.2.

    `width` and `depth` multiply these once more. The 1536 features are never scaled. Raises
    SpecError.
    """
    return _network(
        "mixnet_xl",
        M,
        1.6 * checked_width(width),
        1.2 * checked_depth(depth),
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def split(channels: int, groups: int) -> list[int]:
    """Channels of each group: equal shares, the remainder to the first."""
    share = channels // groups
    return [channels - share * (groups - 1)] + [share] * (groups - 1)


# ------------------------------------------------------------------------------------------ blocks


def _network(
    name: str, table: Table, width: float, depth: float, in_channels: int, **options: Any
) -> NetSpec:
    w = checked_width(width)
    first = stem(in_channels, make_divisible(table.stem * w), act=RE)
    blocks: list[Separable | InvertedResidual | Single] = []
    c_in = first.c_out
    for row in _unrolled(table, checked_depth(depth)):
        c_out = make_divisible(row.o * w)
        blocks.append(_block(row, c_in, c_out))
        c_in = c_out
    blocks.append(Single(conv=pointwise(c_in, FEATURES, act=RE)))
    return assemble(name, "mixnet", stem=first, blocks=blocks, **options)


def _unrolled(table: Table, depth: float) -> Iterator[Row]:
    for stage in table.stages:
        repeats = deepened([row.r for row in stage], depth, up=False)
        for row, n in zip(stage, repeats, strict=True):
            yield row
            yield from [row._replace(s=1)] * (n - 1)


def _block(row: Row, c_in: int, c_out: int) -> Separable | InvertedResidual:
    shortcut = c_in if row.s == 1 and c_in == c_out else 0
    wide = c_in * row.e
    filtered = _filters(wide, row)
    project = _grouped(wide, c_out, row.p, act="none")
    if row.e == 1:
        return Separable(depthwise=filtered, pointwise=project, shortcut=shortcut)
    squeeze = max(1, int(c_in * row.se))
    gate = Gate(channels=wide, squeeze=squeeze, act=row.act, gate="sigmoid") if row.se else None
    return InvertedResidual(
        expand=_grouped(c_in, wide, row.a, act=row.act),
        depthwise=filtered,
        gate=gate,
        project=project,
        shortcut=shortcut,
    )


def _filters(channels: int, row: Row) -> Conv | MixedConv:
    """One depthwise a kernel, over its share of the channels."""
    norm = "batch" if len(row.k) == 1 else "none"
    act = row.act if len(row.k) == 1 else "none"
    parts = tuple(
        Conv(c_in=c, c_out=c, kernel=k, stride=row.s, groups=c, norm=norm, act=act)
        for c, k in zip(split(channels, len(row.k)), row.k, strict=True)
    )
    return parts[0] if len(parts) == 1 else MixedConv(parts=parts, act=row.act)


def _grouped(c_in: int, c_out: int, groups: int, *, act: str) -> Conv | MixedConv:
    """A 1x1, or several over slices of the channels."""
    if groups == 1:
        return pointwise(c_in, c_out, act=act)
    shares = zip(split(c_in, groups), split(c_out, groups), strict=True)
    parts = tuple(Conv(c_in=i, c_out=o, norm="none") for i, o in shares)
    return MixedConv(parts=parts, act=act)
