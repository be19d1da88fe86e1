"""Plots of a run as PNG files: curves, confusion matrix, recall by class, sample images.

Needs the extra `plots` (matplotlib). Each function makes a figure from values; `write` makes the
files of a run folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pocketvision.report import pictures
from pocketvision.report.axis import label, percent_label, ticks, whole_ticks
from pocketvision.report.class_table import weakest_first
from pocketvision.report.figure import drawn_names, new_figure, plain_axes, save
from pocketvision.report.palette import BLUE, GREY, INK, PALE, SKY, TRAIN, VALIDATION
from pocketvision.report.plots_samples import samples
from pocketvision.report.plots_spec import cost_bars, spec_picture
from pocketvision.report.run import ClassRow, Confusion, Epoch, Run, best, read
from pocketvision.report.words import columns, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Up to here each cell of the matrix holds its value, each class its name.
MOST_VALUES, MOST_NAMES = 15, 60
MOST_BARS = 60
MOST_DOTS = 15  # so few epochs were validated that each is marked


def write(
    run_folder: Path, *, output: Path | None = None, source: pictures.Source | None = None
) -> tuple[Path, ...]:
    """Write every plot that the run has files for into `output` (its own plots/); their paths.

    Raises MissingRuntime without matplotlib, DataError for a folder that is no run or a damaged
    file in it, PocketvisionError when a plot cannot be written.
    """
    folder = output or run_folder / "plots"
    run = read(run_folder)
    made = figures(run, source=source or pictures.of_run(run))
    return tuple(save(figure, folder / f"{name}.png") for name, figure in made)


def figures(run: Run, *, source: pictures.Source) -> Iterator[tuple[str, Figure]]:
    """(file name, figure) of everything that the run's files allow, one at a time."""
    if run.epochs:
        yield "loss", loss_curve(run.epochs)
        if best(run.epochs):
            yield "accuracy", accuracy_curve(run.epochs)
    if run.confusion:
        yield "confusion_counts", confusion_matrix(run.confusion)
        yield "confusion_shares", confusion_matrix(run.confusion, normalised=True)
    if run.classes:
        yield "recall", recall_bars(run.classes)
    if run.predictions:
        yield "samples", samples(run.predictions, source, classes=_class_order(run))
    if run.spec:
        yield "cost", cost_bars(run.spec)
        yield "network", spec_picture(run.spec)


def _class_order(run: Run) -> tuple[str, ...]:
    """Classes in the network's order, as far as the files tell."""
    if run.confusion:
        return run.confusion.names
    return tuple(row.name for row in run.classes or ())


# ------------------------------------------------------------------------------------------- curves


def loss_curve(epochs: Sequence[Epoch]) -> Figure:
    """Training and validation loss over epochs; epochs that were not validated are passed over."""
    figure = new_figure(7, 4)
    axes = plain_axes(figure.subplots())
    _curve(axes, epochs, "train_loss", "training", TRAIN, "--")
    _curve(axes, epochs, "val_loss", "validation", VALIDATION, "-")
    _epoch_axis(axes, epochs)
    losses = [v for e in epochs for v in (e.train_loss, e.val_loss) if math.isfinite(v)]
    _value_axis(axes, losses, label, most=math.inf)
    axes.set_ylabel("loss", color=INK)
    axes.set_title("Loss", loc="left", color=INK, fontweight="bold")
    axes.legend(frameon=False, labelcolor=INK)
    return figure


def accuracy_curve(epochs: Sequence[Epoch]) -> Figure:
    """Validation accuracy over epochs with the best one marked."""
    figure = new_figure(7, 4)
    axes = plain_axes(figure.subplots())
    _curve(axes, epochs, "val_accuracy", "validation", VALIDATION, "-")
    _epoch_axis(axes, epochs)
    measured = [e.val_accuracy for e in epochs if math.isfinite(e.val_accuracy)]
    _value_axis(axes, measured, percent_label, most=1.0)
    axes.set_title("Validation accuracy", loc="left", color=INK, fontweight="bold")
    if top := best(epochs):
        words = f"best {percent(top.val_accuracy)}, epoch {top.epoch}"
        axes.plot([top.epoch], [top.val_accuracy], "o", label=words, markersize=8,
                  markerfacecolor="white", markeredgecolor=BLUE, markeredgewidth=2,
                  linestyle="none", clip_on=False)  # fmt: skip
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return figure


def _curve(
    axes: Axes, epochs: Sequence[Epoch], field: str, title: str, colour: str, style: str
) -> None:
    points = [(e.epoch, getattr(e, field)) for e in epochs if math.isfinite(getattr(e, field))]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    marker = "o" if len(points) <= MOST_DOTS else None
    axes.plot(xs, ys, style, color=colour, label=title, linewidth=2, marker=marker, markersize=4,
              clip_on=False)  # fmt: skip


def _value_axis(
    axes: Axes, values: Sequence[float], words: Callable[[float, float], str], *, most: float
) -> None:
    """Round ticks that enclose the values, as on the page; none below 0 or over `most`."""
    if values:
        at = ticks(min(values), max(values), bounds=(0.0, most))
        axes.set_yticks(at, [words(t, at[1] - at[0]) for t in at])
        axes.set_ylim(at[0], at[-1])


def _epoch_axis(axes: Axes, epochs: Sequence[Epoch]) -> None:
    first, last = epochs[0].epoch, epochs[-1].epoch
    axes.set_xticks(whole_ticks(first, last))
    axes.set_xlim(*((first, last) if last > first else (first - 1, first + 1)))
    axes.set_xlabel("epoch", color=INK)


# ------------------------------------------------------------------------------------------ classes


def confusion_matrix(confusion: Confusion, *, normalised: bool = False) -> Figure:
    """The matrix in counts, or as shares of the row; values only where there are few classes."""
    k = len(confusion.names)
    side = min(max(0.55 * k if k <= MOST_VALUES else 0.24 * k, 2.6), 13.0)
    figure = new_figure(side + 3.0, side + 2.2)
    axes = figure.subplots()
    values = confusion.shares() if normalised else confusion.counts
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1 if normalised else None)
    _class_ticks(axes, confusion.names)
    if k <= MOST_VALUES:
        _cell_values(axes, confusion, normalised=normalised)
    axes.set_title("Confusion: " + ("shares of the true class" if normalised else "images"),
                   loc="left", color=INK, fontweight="bold")  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25)
    bar.outline.set_visible(False)
    if normalised:
        bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0%", "25%", "50%", "75%", "100%"])
    bar.ax.tick_params(colors=GREY, labelcolor=INK, labelsize=9)
    return figure


def _class_ticks(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xlabel("answer", color=INK)
    axes.set_ylabel("true class", color=INK)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)
    if len(names) > MOST_NAMES:
        return
    shown, at = drawn_names(names), range(len(names))
    size = 9 if len(names) <= MOST_VALUES else 7
    widest = max(map(columns, shown))
    lying = (widest <= 3 and len(names) <= MOST_VALUES) or (widest <= 8 and len(names) <= 6)
    axes.set_xticks(at, shown, rotation=0 if lying else 90, fontsize=size)
    axes.set_yticks(at, shown, fontsize=size)


def _cell_values(axes: Axes, confusion: Confusion, *, normalised: bool) -> None:
    shares = confusion.shares()
    top = max((max(row) for row in confusion.counts), default=0) or 1
    for i, row in enumerate(confusion.counts):
        for j, count in enumerate(row):
            if count:
                depth = shares[i][j] if normalised else count / top
                words = percent(shares[i][j], digits=0) if normalised else f"{count}"
                axes.text(j, i, words, ha="center", va="center", fontsize=9,
                          color="white" if depth > 0.55 else INK)  # fmt: skip


def recall_bars(rows: Sequence[ClassRow]) -> Figure:
    """Recall of each class with its interval, the weakest on top."""
    shown = [r for r in weakest_first(rows) if not math.isnan(r.recall)][:MOST_BARS]
    figure = new_figure(7.5, 1.4 + 0.28 * max(len(shown), 2))
    axes = plain_axes(figure.subplots(), grid="x")
    at = list(range(len(shown)))
    axes.barh(at, [r.recall for r in shown], height=0.62, color=SKY)
    spans = [[max(r.recall - r.recall_low, 0) for r in shown],
             [max(r.recall_high - r.recall, 0) for r in shown]]  # fmt: skip
    axes.errorbar([r.recall for r in shown], at, xerr=spans, fmt="none", ecolor=INK, capsize=3,
                  elinewidth=1.1, clip_on=False)  # fmt: skip
    every = [r.name for r in rows]
    names = dict(zip(every, drawn_names(every), strict=True))
    axes.set_yticks(at, [f"{names[r.name]}  ({r.n})" for r in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(PALE)
    rest = len(rows) - len(shown)
    words = "Recall by class, 95% interval (images)"
    axes.set_title(words + (f"; {rest} more not shown" if rest else ""), loc="left", color=INK,
                   fontweight="bold")  # fmt: skip
    return figure
