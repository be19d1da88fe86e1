"""The two cells that DARTS found, as ImageNet networks of fourteen cells.

Source: arXiv:1806.09055, figure 4 and section 3.2 (second order: V2; first order: V1), in the form
of the authors' code (quark0/darts `genotypes.py`, `model.py`): 48 initial channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketvision.spec import Activation, Cell, Conv, Edge, NetSpec, PreActivated, Single
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.rounding import make_divisible

CHANNELS = 48
CELLS = 14
CONCAT = (2, 3, 4, 5)

Pairs = tuple[tuple[str, int], ...]


class Genotype(NamedTuple):
    """Operation and source of every edge, two edges a node, of the normal and reduction cell."""

    normal: Pairs
    reduce: Pairs


V1 = Genotype(
    normal=(
        *(("sep_3", 1), ("sep_3", 0)),
        *(("skip", 0), ("sep_3", 1)),
        *(("skip", 0), ("sep_3", 1)),
        *(("sep_3", 0), ("skip", 2)),
    ),
    reduce=(
        *(("max_3", 0), ("max_3", 1)),
        *(("skip", 2), ("max_3", 0)),
        *(("max_3", 0), ("skip", 2)),
        *(("skip", 2), ("avg_3", 0)),
    ),
)
V2 = Genotype(
    normal=(
        *(("sep_3", 0), ("sep_3", 1)),
        *(("sep_3", 0), ("sep_3", 1)),
        *(("sep_3", 1), ("skip", 0)),
        *(("skip", 0), ("dil_3", 2)),
    ),
    reduce=(
        *(("max_3", 0), ("max_3", 1)),
        *(("skip", 2), ("max_3", 1)),
        *(("max_3", 0), ("skip", 2)),
        *(("skip", 2), ("max_3", 1)),
    ),
)


def darts_v1(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """DARTS V1 (first order) for ImageNet, of any width.

    Raises SpecError.
    """
    return _network("darts_v1", V1, width, in_channels, resolution=resolution, classes=classes,
                    dropout=dropout, numerics=numerics)  # fmt: skip


def darts_v2(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """DARTS V2 (second order) for ImageNet, of any width.

    Raises SpecError.
    """
    return _network("darts_v2", V2, width, in_channels, resolution=resolution, classes=classes,
                    dropout=dropout, numerics=numerics)  # fmt: skip


def _network(
    name: str, genotype: Genotype, width: float, in_channels: int, **options: Any
) -> NetSpec:
    c = make_divisible(CHANNELS * checked_width(width), 4)
    first = Conv(c_in=in_channels, c_out=c // 2, kernel=3, stride=2, act="relu")
    blocks: list[Single | PreActivated | Cell] = [
        Single(conv=Conv(c_in=c // 2, c_out=c, kernel=3, stride=2)),
        PreActivated(
            activation=Activation(channels=c, act="relu"),
            conv=Conv(c_in=c, c_out=c, kernel=3, stride=2),
        ),
    ]
    reduced = True  # the last layer of the stem halves the size too
    for i in range(CELLS):
        reduction = i in (CELLS // 3, 2 * CELLS // 3)
        c *= 2 if reduction else 1
        blocks.append(
            Cell(
                c_older=blocks[-2].c_out,
                c_newer=blocks[-1].c_out,
                channels=c,
                nodes=_nodes(genotype.reduce if reduction else genotype.normal, reduction),
                concat=CONCAT,
                reduce_older=reduced,
            )
        )
        reduced = reduction
    return assemble(name, "darts", stem=first, blocks=blocks, **options)


def _nodes(pairs: Pairs, reduction: bool) -> tuple[tuple[Edge, ...], ...]:
    """Edges two by two; in a reduction those that read an input have stride 2."""
    edges = [
        Edge(source=source, op=op, stride=2 if reduction and source < 2 else 1)
        for op, source in pairs
    ]
    return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True))
