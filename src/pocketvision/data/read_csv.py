"""A CSV or TSV file with the columns image, label and perhaps split."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pocketvision.data.dataset import SPLIT_NAMES, SPLITS, Dataset, Sample, natural
from pocketvision.data.split import with_val
from pocketvision.errors import DataError, LabelError

DELIMITERS = ",\t;"
Row = tuple[int, str, str, str]  # line number, image, label, split


def read_csv(path: Path, *, seed: int, val_fraction: float) -> Dataset:
    """The dataset of a table. Raises DataError with the line that is wrong."""
    rows, has_split = _rows(path)
    named: dict[str, list[Row]] = {}
    for row in rows:
        name = SPLIT_NAMES.get(row[3].lower(), "") if has_split else "train"
        if not name:
            raise DataError(
                f"{path}, line {row[0]}: split {row[3]!r} is unknown; use train, val or test"
            )
        named.setdefault(name, []).append(row)
    if "train" not in named:
        raise DataError(f"{path} has no row of split train")
    classes = tuple(sorted({r[2] for r in named["train"]}, key=natural))
    _check_labels(path, classes, named)
    table = {name: i for i, name in enumerate(classes)}
    found = {
        s: tuple(
            Sample(path.parent / image, table[label], image) for _, image, label, _ in named[s]
        )
        for s in SPLITS
        if s in named
    }
    words = "table of image, label" + (", split" if has_split else "")
    found, held = with_val(found, seed=seed, fraction=val_fraction)
    return Dataset(path.stem, path.parent, classes, found, words + held)


def _rows(path: Path) -> tuple[list[Row], bool]:
    """Rows with their line numbers, and whether the table has a split. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as f:
            first = f.readline()
            f.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            reader = csv.reader(f, delimiter=delimiter, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            columns = _columns(path, header)
            rows = [_row(path, reader.line_num, cells, columns) for cells in reader if any(cells)]
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from None
    except csv.Error as e:
        raise DataError(f"{path} is not a valid table: {e}") from None
    if not rows:
        raise DataError(f"{path} has no rows below its header")
    _check_once(path, rows)
    return rows, columns[2] is not None


def _columns(path: Path, header: Sequence[str]) -> tuple[int, int, int | None]:
    missing = [name for name in ("image", "label") if name not in header]
    if missing:
        raise DataError(
            f"{path} lacks the column {missing[0]!r} in its first line ({', '.join(header)}); "
            "it must read image,label or image,label,split"
        )
    place = header.index("split") if "split" in header else None
    return header.index("image"), header.index("label"), place


def _row(path: Path, line: int, cells: Sequence[str], columns: tuple[int, int, int | None]) -> Row:
    values = ["" if c is None or c >= len(cells) else cells[c].strip() for c in columns]
    for name, value in zip(("image", "label"), values, strict=False):
        if not value:
            raise DataError(f"{path}, line {line}: no {name}")
    return line, values[0], values[1], values[2]


def _check_once(path: Path, rows: Sequence[Row]) -> None:
    """Each image stands once: twice is a leak, a conflict or a doubled weight."""
    seen: dict[str, int] = {}
    for line, image, _, _ in rows:
        if image in seen:
            raise DataError(f"{path} lists {image!r} twice, in lines {seen[image]} and {line}")
        seen[image] = line


def _check_labels(path: Path, classes: Sequence[str], named: dict[str, list[Row]]) -> None:
    """Labels of val and test occur in train. Raises LabelError."""
    for name in ("val", "test"):
        for line, _, label, _ in named.get(name, ()):
            if label not in classes:
                raise LabelError(
                    f"{path}, line {line}: label {label!r} of split {name} does not occur in train "
                    f"({len(classes)} labels do)"
                )
