"""Stages that move numbers to other places and compute nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pocketvision.compiler import graph as g
from pocketvision.compiler.lower_elementwise import SHARES, blockwise, in_blocks
from pocketvision.compiler.lower_graph import Spread
from pocketvision.compiler.program import BLOCK, Code, Stage, Tensor, Weights

Find = Mapping[str, Tensor]


class Place(NamedTuple):
    """A rectangle of pixels begins at (top, left) and takes every `down`-th, `along`-th."""

    top: int = 0
    left: int = 0
    down: int = 1
    along: int = 1


CORNER = Place()


def concat(node: g.Concat, find: Find) -> list[Stage]:
    """The parts one after another."""
    stages, at = [], 0
    for name in node.parts:
        x, out = find[name], find[node.output]
        index = range(x.c)
        if node.axis == 2:
            stages.append(move(node.name, x, out, index, first=at))
        else:
            to = Place(top=at) if node.axis == 0 else Place(left=at)
            stages.append(move(node.name, x, out, index, to=to))
        at += (x.h, x.w, x.c)[node.axis]
    return stages


def channels(node: g.Channels, find: Find) -> list[Stage]:
    """Some channels, in any order."""
    index = [int(i) for i in node.index]
    return [move(node.name, find[node.x], find[node.output], index)]


def crop(node: g.Crop, find: Find) -> list[Stage]:
    """Some rows and columns."""
    x, start = find[node.x], Place(node.top, node.left, *node.step)
    return [move(node.name, x, find[node.output], range(x.c), start=start)]


def spread(node: Spread, find: Find) -> list[Stage]:
    """Images side by side."""
    out = find[node.output]
    stages = []
    for phase in node.phases:
        index = range(phase.channel, phase.channel + out.c)
        to = Place(phase.top, phase.left, *node.step)
        stages.append(move(node.name, find[phase.x], out, index, to=to))
    return stages


def move(
    name: str,
    x: Tensor,
    out: Tensor,
    index: Sequence[int],
    *,
    first: int = 0,
    start: Place = CORNER,
    to: Place = CORNER,
) -> Stage:
    """Channels `index` of pixels of x from `start` on, to channels from `first` on at `to`."""
    h = min(_count(x.h, start.top, start.down), _count(out.h, to.top, to.down))
    w = min(_count(x.w, start.left, start.along), _count(out.w, to.left, to.along))
    groups = _by_block(_pieces(index, first))
    head: list[int] = [h, w, *start, *to]
    pieces: list[int] = []
    behind = len(head) + 3 * len(groups)
    for block, found in groups.items():
        head += [block, behind + len(pieces), len(found)]
        pieces += [n for piece in found for n in piece]
    chunks = max(1, min(-(-SHARES // len(groups)), h))
    return Stage(
        name=name,
        code=Code("move.c"),
        unit="pv_move_unit",
        units=len(groups) * chunks,
        chunks=chunks,
        inp=x,
        out=out,
        numbers=(*head, *pieces),
    )


def _count(size: int, first: int, step: int) -> int:
    """How many of every `step`-th from `first` on there are."""
    return max(0, -(-(size - first) // step))


Piece = tuple[int, int, int, int]  # input block, its lane, output lane, channels


def _pieces(index: Sequence[int], first: int) -> Iterable[tuple[int, Piece]]:
    """(output block, piece): runs of channels that follow each other, cut in powers of 2."""
    at = 0
    while at < len(index):
        lane, out = index[at] % BLOCK, first + at
        most = min(len(index) - at, BLOCK - lane, BLOCK - out % BLOCK)
        run = 1
        while run < most and index[at + run] == index[at] + run:
            run += 1
        run = 1 << run.bit_length() - 1
        yield out // BLOCK, (index[at] // BLOCK, lane, out % BLOCK, run)
        at += run


def _by_block(pieces: Iterable[tuple[int, Piece]]) -> dict[int, list[Piece]]:
    found: dict[int, list[Piece]] = {}
    for block, piece in pieces:
        found.setdefault(block, []).append(piece)
    return found


def flatten(node: g.Flatten, find: Find) -> list[Stage]:
    """An image as a vector."""
    x, out = find[node.x], find[node.output]
    if (x.h, x.w) == (1, 1):
        return [move(node.name, x, out, range(x.c))]
    return [
        Stage(
            name=node.name,
            code=Code("flatten.c"),
            unit="pv_flatten_unit",
            units=x.blocks,
            inp=x,
            out=out,
            whole=node.order == "hwc",
        )
    ]


def constant(node: g.Constant, out: Tensor, weights: Weights) -> Stage:
    """A value from among the weights."""
    at = weights.add(in_blocks(np.asarray(node.value, np.float32)))
    return blockwise(node.name, Code("constant.c"), "pv_constant", out, numbers=(at,))
