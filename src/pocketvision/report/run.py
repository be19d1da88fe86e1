"""A run folder as a value: everything that plots and the page show, read once and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision import spec_json
from pocketvision.errors import DataError, SpecError
from pocketvision.report import tables
from pocketvision.spec import NetSpec

EPOCH_COLUMNS: dict[str, tables.Reader] = {
    "epoch": tables.whole,
    "train_loss": tables.real,
    "val_loss": tables.real,
    "val_accuracy": tables.share,
}
CLASS_COLUMNS: dict[str, tables.Reader] = {
    "class": str,
    "n": tables.whole,
    "correct": tables.whole,
    "recall": tables.share,
    "recall_low": tables.share,
    "recall_high": tables.share,
    "precision": tables.share,
    "f1": tables.share,
}
PREDICTION_COLUMNS: dict[str, tables.Reader] = {
    "path": str,
    "label": str,
    "predicted": str,
    "probability": tables.share,
    "correct": tables.yes,
}


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of results.csv; a figure that was not measured is NaN."""

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class of per_class.csv; shares from 0 to 1, NaN where undefined."""

    name: str
    n: int
    correct: int
    recall: float
    recall_low: float
    recall_high: float
    precision: float
    f1: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of images: `counts[true][predicted]`, classes in the order of `names`."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def shares(self) -> tuple[tuple[float, ...], ...]:
        """Each row divided by its sum; NaN throughout for a class without images."""
        return tuple(
            tuple(c / sum(row) if sum(row) else math.nan for c in row) for row in self.counts
        )

    def mistakes(self) -> list[tuple[int, int, int]]:
        """(count, true, predicted) of every pair that was mistaken, the most frequent first."""
        k = range(len(self.names))
        pairs = [(self.counts[i][j], i, j) for i in k for j in k if i != j and self.counts[i][j]]
        return sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))


@dataclass(frozen=True, slots=True)
class Prediction:
    """One validation image: its path or name, its class, the answer and how sure it was."""

    path: str
    label: str
    predicted: str
    probability: float
    correct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder; None where a file is not there."""

    folder: Path
    summary: Mapping[str, Any] | None
    config: Mapping[str, Any] | None
    setup: Mapping[str, Any] | None
    environment: Mapping[str, Any] | None
    epochs: tuple[Epoch, ...] | None
    classes: tuple[ClassRow, ...] | None
    confusion: Confusion | None
    predictions: tuple[Prediction, ...] | None
    exports: tuple[Mapping[str, Any], ...] | None
    bench: tuple[Mapping[str, Any], ...] | None
    bench_host: Mapping[str, Any] | None
    spec: NetSpec | None

    def number(self, key: str) -> float | None:
        """A finite figure of summary.json; None when it is not there. Raises DataError."""
        value = (self.summary or {}).get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise tables.damaged(self.folder / "summary.json", f"{key!r} is not a number")
        return value if math.isfinite(value) else None

    def words(self, key: str) -> str | None:
        """A text of summary.json; None when it is not there. Raises DataError."""
        return _text_in(self.summary, key, self.folder / "summary.json")

    @property
    def data(self) -> str | None:
        """What was trained on, as it was given: a folder, a CSV file or a builtin name.

        Raises DataError.
        """
        return _text_in(self.setup, "data", self.folder / "setup.json") or self.words("dataset")


def _text_in(row: Mapping[str, Any] | None, key: str, path: Path) -> str | None:
    value = (row or {}).get(key)
    if value is not None and not isinstance(value, str):
        raise tables.damaged(path, f"{key!r} is not text")
    return value or None


def read(folder: Path) -> Run:
    """Read a run folder. Raises DataError for a folder that is none, or a damaged file in it."""
    _check_folder(folder)
    bench = tables.json_value(folder / "bench.json")
    host = bench.get("host") if isinstance(bench, dict) else None
    return Run(
        folder=folder,
        summary=tables.json_object(folder / "summary.json"),
        config=tables.json_object(folder / "config.json"),
        setup=tables.json_object(folder / "setup.json"),
        environment=tables.json_object(folder / "env.json"),
        epochs=_epochs(folder / "results.csv"),
        classes=_classes(folder / "per_class.csv"),
        confusion=_confusion(folder / "confusion.csv"),
        predictions=_predictions(folder / "predictions.csv"),
        exports=_rows(folder / "exports.json", tables.json_value(folder / "exports.json")),
        bench=_rows(folder / "bench.json", bench),
        bench_host=host if isinstance(host, dict) else None,
        spec=_spec(folder / "bundle" / "spec.json"),
    )


def best(epochs: Sequence[Epoch]) -> Epoch | None:
    """The first epoch with the highest validation accuracy; None when none was measured."""
    measured = [e for e in epochs if not math.isnan(e.val_accuracy)]
    return max(measured, key=lambda e: e.val_accuracy, default=None)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the folder of a run, such as runs/train/*")
    if not any((folder / name).exists() for name in ("summary.json", "results.csv")):
        raise DataError(
            f"{folder} is not the folder of a run: it holds neither summary.json nor "
            "results.csv; give a folder that `pocketvision train` wrote"
        )


def _epochs(path: Path) -> tuple[Epoch, ...] | None:
    rows = tables.csv_rows(path, EPOCH_COLUMNS)
    if rows is None:
        return None
    # A resumed run may have written an epoch twice; the later row is the one that counts.
    by_epoch = {row["epoch"]: Epoch(**row) for row in rows}
    return tuple(by_epoch[e] for e in sorted(by_epoch))


def _classes(path: Path) -> tuple[ClassRow, ...] | None:
    rows = tables.csv_rows(path, CLASS_COLUMNS)
    return None if rows is None else tuple(ClassRow(row.pop("class"), **row) for row in rows)


def _predictions(path: Path) -> tuple[Prediction, ...] | None:
    rows = tables.csv_rows(path, PREDICTION_COLUMNS)
    return None if rows is None else tuple(Prediction(**row) for row in rows)


def _confusion(path: Path) -> Confusion | None:
    lines = tables.csv_lines(path)
    if lines is None:
        return None
    if not lines or len(lines[0]) < 2:
        raise tables.damaged(path, "its first line names no class")
    names = tuple(lines[0][1:])
    if tuple(row[0] for row in lines[1:]) != names:
        raise tables.damaged(path, "its rows are not the classes of its columns, in that order")
    columns = dict.fromkeys(names, tables.whole)
    if len(columns) != len(names):
        raise tables.damaged(path, "it names a class twice")
    rows = tables.csv_rows(path, columns) or []
    return Confusion(names, tuple(tuple(row[n] for n in names) for row in rows))


def _rows(path: Path, value: Any) -> tuple[Mapping[str, Any], ...] | None:
    """The list of objects in a file's value, bare or under "rows"."""
    if value is None:
        return None
    rows = value.get("rows") if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        raise tables.damaged(path, "it holds no list of objects")
    return tuple(rows)


def _spec(path: Path) -> NetSpec | None:
    raw = tables.text(path)
    if raw is None:
        return None
    try:
        return spec_json.loads(raw)
    except SpecError as e:
        raise tables.damaged(path, str(e)) from None
