"""The middle of the page: curves, classes, confusion, and the mistakes themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pocketvision.report import axis
from pocketvision.report.class_table import class_table
from pocketvision.report.heat_table import MOST_CLASSES, heat_table
from pocketvision.report.line_chart import Line, Mark, line_chart
from pocketvision.report.markup import Markup, join, name, scrolled, tag
from pocketvision.report.overview import missing
from pocketvision.report.pictures import SMALL, Source, data_uri
from pocketvision.report.run import Confusion, Epoch, Prediction, Run, best
from pocketvision.report.words import figure, percent

MOST_PAIRS = 10
MOST_MISTAKES = 24
MIXED_LOSS = (
    "the training loss is that of mixed images and their shared targets. It cannot fall to 0 and "
    "may stay above the validation loss; only the latter compares runs."
)

TAUGHT_LOSS = (
    "the training loss holds what was learned from the teachers and is of another scale than the "
    "validation loss, the cross-entropy; only the latter compares runs."
)


def curves(run: Run) -> Markup:
    """Loss and accuracy over epochs."""
    if run.epochs is None:
        return missing("results.csv", "there are no curves")
    charts = [c for c in (_loss_chart(run.epochs), _accuracy_chart(run.epochs)) if c]
    if not charts:
        return tag("p", "results.csv holds no finished epoch yet.", class_="missing")
    return join([tag("div", charts, class_="charts"), _explained(run.config or {})])


def _explained(config: Mapping[str, Any]) -> Markup:
    """What to know of the training loss where images were mixed, or teachers asked."""
    flags = [flag for flag in ("mixup", "cutmix") if config.get(flag)]
    rows = [f"{' and '.join(flags)}: {MIXED_LOSS}"] if flags else []
    if config.get("distill"):
        rows.append(f"distill {config['distill']}: {TAUGHT_LOSS}")
    return join([tag("p", text) for text in rows])


def _loss_chart(epochs: Sequence[Epoch]) -> Markup | None:
    xs = [e.epoch for e in epochs]
    lines = [
        Line("training", "train", xs, [e.train_loss for e in epochs]),
        Line("validation", "val", xs, [e.val_loss for e in epochs]),
    ]
    last = epochs[-1] if epochs else None
    words = last and f"Loss over {len(epochs)} epochs; the last: training " + (
        f"{figure(last.train_loss)}, validation {figure(last.val_loss)}"
    )
    chart = line_chart(lines, title="Loss", description=words or "", bounds=(0.0, math.inf))
    return chart and tag("figure", tag("h3", "Loss"), chart)


def _accuracy_chart(epochs: Sequence[Epoch]) -> Markup | None:
    top = best(epochs)
    if top is None:
        return None
    words = f"best {percent(top.val_accuracy)}, epoch {top.epoch}"
    line = Line("validation", "val", [e.epoch for e in epochs], [e.val_accuracy for e in epochs])
    chart = line_chart(
        [line],
        title="Accuracy",
        description=f"Validation accuracy over {len(epochs)} epochs: {words}",
        mark=Mark(top.epoch, top.val_accuracy, words),
        tick=axis.percent_label,
        bounds=(0.0, 1.0),
    )
    return chart and tag("figure", tag("h3", "Accuracy"), chart)


def classes(run: Run) -> Markup:
    """The per-class table."""
    if run.classes is None:
        return missing("per_class.csv", "there are no figures by class")
    words = (
        "Recall: of the images of this class, the share that was recognised. Precision: of the "
        "answers with this name, the share that was right. The interval (Wilson, 95%) says how "
        "far the recall of other images like these may lie; few images give a wide one."
    )
    return join([tag("p", words), class_table(run.classes)])


def confusion(run: Run) -> Markup:
    """The matrix, and the pairs that are most often mistaken."""
    if run.confusion is None:
        return missing("confusion.csv", "which classes are mistaken for which is not known here")
    k = len(run.confusion.names)
    if k > MOST_CLASSES:
        words = f"With {k} classes the matrix is too large for a page; it is in confusion.csv."
        return join([tag("p", words, class_="quiet"), _pairs(run.confusion)])
    matrix = tag("div", heat_table(run.confusion), class_="whole")
    return tag("div", matrix, tag("div", _pairs(run.confusion)), class_="side")


def _pairs(matrix: Confusion) -> Markup:
    pairs = matrix.mistakes()
    if not pairs:
        return tag("p", "No image was mistaken for another class.")
    totals = [sum(row) for row in matrix.counts]
    head = [
        tag("th", t, scope="col", class_="name" if t in ("true class", "answer") else None)
        for t in ("true class", "answer", "images", "share")
    ]
    rows = [
        tag("tr", tag("th", name(matrix.names[i]), scope="row", class_="name"),
            tag("td", name(matrix.names[j]), class_="name"), tag("td", f"{n:,}"),
            tag("td", percent(n / totals[i])))
        for n, i, j in pairs[:MOST_PAIRS]
    ]  # fmt: skip
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="figures")
    return join([tag("h3", "Most often mistaken"), scrolled(table, "pairs most often mistaken")])


def mistakes(run: Run, source: Source) -> Markup:
    """The wrong answers that the network was surest of, each with its image."""
    if run.predictions is None:
        return missing("predictions.csv", "the mistakes cannot be shown")
    wrong = surest_mistakes(run.predictions)
    if not wrong:
        return tag("p", f"None: all {len(run.predictions):,} validation images are right.")
    words = (
        f"{len(wrong):,} of {len(run.predictions):,} validation images were mistaken. Where the "
        "network was sure and wrong, look at the label first: it may be the label that is wrong."
    )
    images = [source(p.path) for p in wrong[:MOST_MISTAKES]]
    if all(image is None for image in images):
        words += " The images are not where they were, so only their names are shown."
    figures = [_photo(p, image) for p, image in zip(wrong, images, strict=False)]
    return join([tag("p", words), tag("div", figures, class_="photos")])


def surest_mistakes(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Wrong answers, the most probable first."""
    wrong = [p for p in predictions if not p.correct]
    return sorted(wrong, key=lambda p: (math.isnan(p.probability), -p.probability, p.path))


def _photo(row: Prediction, image: np.ndarray | None) -> Markup:
    if image is None:
        frame = Markup("")
    else:
        small = max(image.shape[:2]) <= SMALL
        alt = f"an image of {row.label} that was answered as {row.predicted}"
        picture = tag("img", src=data_uri(image), alt=alt, class_="small" if small else None)
        frame = tag("div", picture, class_="frame")
    words = [
        tag("strong", name(row.predicted)), f" ({percent(row.probability, digits=0)})", tag("br"),
        "really ", name(row.label),
        tag("span", name(tail(row.path)), class_="path", title=row.path),
    ]  # fmt: skip
    return tag("figure", frame, tag("figcaption", words))


def tail(path: str) -> str:
    """The last folder and the file: enough to tell images apart, short enough for a caption."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
