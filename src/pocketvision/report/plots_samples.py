"""A page of validation images, some right and some wrong, with what was said of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.report.figure import drawn_names, new_figure
from pocketvision.report.palette import INK, RIGHT, WRONG
from pocketvision.report.pictures import SMALL, Source, thumbnail
from pocketvision.report.run import Prediction
from pocketvision.report.words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, ROWS_OF_EACH = 6, 2
NAME_COLUMNS = 17


def samples(
    predictions: Sequence[Prediction], source: Source, *, classes: Sequence[str] = ()
) -> Figure:
    """Rows of wrong answers, then of right ones, each over the whole range of sureness.

    `classes` in their order give a name that cannot be drawn the number that other plots give it.
    Images that are not there any more leave a grey square with the words under it.
    """
    chosen = [*picked(predictions, correct=False), *picked(predictions, correct=True)]
    rows = max(1, math.ceil(len(chosen) / COLUMNS))
    figure = new_figure(2.0 * COLUMNS, 2.5 * rows + 0.5)
    figure.suptitle(_title(predictions), x=0.01, ha="left", color=INK, fontweight="bold",
                    fontsize=12)  # fmt: skip
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    every = list(dict.fromkeys([*classes, *(n for p in chosen for n in (p.label, p.predicted))]))
    names = dict(zip(every, drawn_names(every, limit=NAME_COLUMNS), strict=True))
    for axes, row in zip(grid, chosen, strict=False):
        _photo(axes, source(row.path), RIGHT if row.correct else WRONG)
        axes.set_xlabel(_words(row, names), color=INK, fontsize=9)
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    return figure


def picked(predictions: Sequence[Prediction], *, correct: bool) -> list[Prediction]:
    """Up to two rows of such answers, from the surest to the least sure in even steps."""
    pool = sorted(
        (p for p in predictions if p.correct is correct),
        key=lambda p: (math.isnan(p.probability), -p.probability, p.path),
    )
    most = COLUMNS * ROWS_OF_EACH
    if len(pool) <= most:
        return pool
    return [pool[round(i * (len(pool) - 1) / (most - 1))] for i in range(most)]


def _title(predictions: Sequence[Prediction]) -> str:
    wrong = sum(not p.correct for p in predictions)
    return f"{wrong:,} wrong and {len(predictions) - wrong:,} right of {len(predictions):,} images"


def _photo(axes: Axes, image: np.ndarray | None, colour: str) -> None:
    """The image in the middle of a square, so that all captions stand in line."""
    grey = np.full((8, 8, 3), 225, np.uint8)
    pixels = grey if image is None else np.asarray(thumbnail(image))
    height, width = pixels.shape[:2]
    half = max(height, width) / 2
    axes.imshow(pixels, interpolation="nearest" if 2 * half <= SMALL else "antialiased",
                extent=(-width / 2, width / 2, -height / 2, height / 2))  # fmt: skip
    axes.set(xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[])
    axes.spines[:].set(color=colour, linewidth=2.5)


def _words(row: Prediction, names: Mapping[str, str]) -> str:
    """Right and wrong differ in mark and words, not by colour alone."""
    answer = f"{names[row.predicted]} ({percent(row.probability, digits=0)})"
    return f"✓ {answer}\n" if row.correct else f"✗ {answer}\nreally {names[row.label]}"
