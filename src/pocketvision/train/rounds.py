"""Long work over many images, shared by processes in rounds: none waits long for another."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch

from pocketvision.train.features import PIECE
from pocketvision.train.ranks import Ranks

Answer = Callable[[slice], Generator[int, None, np.ndarray]]


def in_rounds(ranks: Ranks, n: int, answer: Answer) -> Generator[int, None, np.ndarray]:
    """Returns `answer` of n images, (n, ...), on all processes; yields how many came with a batch
    or, of several processes, with a round in which each took a piece.
    """
    if ranks.count == 1:
        alone: np.ndarray = yield from answer(slice(0, n))
        return alone
    rows = []
    for start in range(0, n, PIECE * ranks.count):
        size = min(PIECE * ranks.count, n - start)
        rows.append(_round(ranks, start, size, answer))
        yield size
    return np.concatenate(rows)


def _round(ranks: Ranks, start: int, size: int, answer: Answer) -> np.ndarray:
    """Answers to the `size` images from `start` on, a piece a process."""
    first = min(start + PIECE * ranks.rank, start + size)
    own = slice(first, min(first + PIECE, start + size))
    # A process that is left without images looks at one to know the shape of an answer.
    rows = torch.from_numpy(_end(answer(own if own.start < own.stop else slice(0, 1))))
    padded = rows.new_zeros((PIECE, *rows.shape[1:]))
    padded[: len(rows)] = rows
    return ranks.each(padded).flatten(0, 1)[:size].numpy().copy()


def part_of(pixels: Any, rows: slice) -> Any:
    """Rows of images; all of them without reading any."""
    return pixels if rows == slice(0, len(pixels)) else pixels[rows]


def _end(run: Generator[int, None, np.ndarray]) -> np.ndarray:
    """What a generator returns."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            value: np.ndarray = end.value
            return value
