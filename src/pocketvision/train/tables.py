"""The tables of a run folder, as CSV: epochs, classes, confusion, predictions."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.decision import Decision
from pocketvision.files import replace_file
from pocketvision.labels import Labels
from pocketvision.tasks.classify import ClassFigures, Metrics
from pocketvision.tasks.decide import decided
from pocketvision.train.events import Row

CLASS_COLUMNS = (
    "class",
    "n",
    "correct",
    "recall",
    "recall_low",
    "recall_high",
    "precision",
    "precision_low",
    "precision_high",
    "f1",
)
PREDICTION_COLUMNS = ("path", "label", "predicted", "probability", "correct", "known")


def write_results(folder: Path, rows: Sequence[Row]) -> None:
    """results.csv: an epoch a line, written anew so that a resumed run has each once."""
    columns = [f.name for f in fields(Row)]
    _write(folder / "results.csv", columns, (list(asdict(row).values()) for row in rows))


def write_classes(folder: Path, metrics: Metrics) -> None:
    """per_class.csv: a class a line, with 95% intervals; an empty cell where nothing is known."""
    rows = (
        [c.name, c.n, c.correct, c.recall, *c.recall_interval, *_precision(c), c.f1]
        for c in metrics.per_class
    )
    _write(folder / "per_class.csv", CLASS_COLUMNS, rows)


def _precision(c: ClassFigures) -> tuple[float, float, float]:
    return (c.precision, *c.precision_interval)


def write_confusion(folder: Path, metrics: Metrics) -> None:
    """confusion.csv: a true class a line, an answered class a column, counts of images."""
    rows = zip(metrics.names, metrics.confusion.tolist(), strict=True)
    header = ["true / answered", *metrics.names]
    _write(folder / "confusion.csv", header, ([name, *counts] for name, counts in rows))


def write_predictions(
    folder: Path,
    names: Sequence[str],
    truth: np.ndarray,
    *,
    logits: np.ndarray,
    labels: Labels,
    decision: Decision | None = None,
) -> None:
    """predictions.csv: a validation image a line, with the answer and how sure it was; calibrated,
    and known or not, where there is a decision.
    """
    answers = decided(logits, names, labels=labels, decision=decision, most=1)
    rows = (
        [a.path, labels.names[t], a.label, a.probability, a.label == labels.names[t], a.known]
        for a, t in zip(answers, truth.tolist(), strict=True)
    )
    _write(folder / "predictions.csv", PREDICTION_COLUMNS, rows)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    replace_file(path, text.getvalue())


def _cell(value: Any) -> Any:
    """The shortest text that reads back as the value: floats to 6 digits, NaN and None empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value
