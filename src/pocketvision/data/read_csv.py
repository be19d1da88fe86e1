"""A CSV or TSV file with the columns image, label and perhaps split, or one to group by."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pocketvision.data.dataset import SPLIT_NAMES, SPLITS, Dataset, Sample, natural
from pocketvision.data.groups import GroupBy, grouped
from pocketvision.data.split import with_val
from pocketvision.errors import DataError, LabelError, UsageError, closest

DELIMITERS = ",\t;"
Row = tuple[int, str, str, str, str]  # line number, image, label, split, group
Columns = tuple[int, int, int | None, int | None]  # places of image, label, split, group


def read_csv(path: Path, *, seed: int, val_fraction: float, by: GroupBy | None = None) -> Dataset:
    """The dataset of a table. Raises DataError with the line that is wrong, UsageError for a column
    to group by that is not there.
    """
    column = by.what if by is not None and by.kind == "column" else None
    rows, has_split = _rows(path, column)
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
            Sample(path.parent / image, table[label], image, group=group if column else None)
            for _, image, label, _, group in named[s]
        )
        for s in SPLITS
        if s in named
    }
    words = "table of image, label" + (", split" if has_split else "")
    found = grouped(found, by, folder_of=_folder)
    found, held = with_val(found, seed=seed, fraction=val_fraction)
    return Dataset(path.stem, path.parent, classes, found, words + held)


def _folder(sample: Sample) -> str:
    """The folder that stands in the table before the file's name."""
    folder = PurePosixPath(sample.name.replace("\\", "/")).parent.as_posix()
    return "" if folder == "." else folder


def _rows(path: Path, column: str | None) -> tuple[list[Row], bool]:
    """Rows with their line numbers, and whether the table has a split. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as f:
            first = f.readline()
            f.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            reader = csv.reader(f, delimiter=delimiter, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            columns = _columns(path, header, column)
            rows = [_row(path, reader.line_num, cells, columns) for cells in reader if any(cells)]
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from None
    except csv.Error as e:
        raise DataError(f"{path} is not a valid table: {e}") from None
    if not rows:
        raise DataError(f"{path} has no rows below its header")
    _check_once(path, rows)
    return rows, columns[2] is not None


def _columns(path: Path, header: Sequence[str], column: str | None) -> Columns:
    missing = [name for name in ("image", "label") if name not in header]
    if missing:
        raise DataError(
            f"{path} lacks the column {missing[0]!r} in its first line ({', '.join(header)}); "
            "it must read image,label or image,label,split"
        )
    place = header.index("split") if "split" in header else None
    group = None if column is None else _column(path, header, column)
    return header.index("image"), header.index("label"), place, group


def _column(path: Path, header: Sequence[str], column: str) -> int:
    name = column.strip().lower()
    if name not in header:
        raise UsageError(
            f"--group-by column:{column}: {path} has no such column{closest(name, header)} "
            f"(columns: {', '.join(header)})"
        )
    return header.index(name)


def _row(path: Path, line: int, cells: Sequence[str], columns: Columns) -> Row:
    values = ["" if c is None or c >= len(cells) else cells[c].strip() for c in columns]
    needed = {"image": 0, "label": 1, **({} if columns[3] is None else {"group": 3})}
    for name, i in needed.items():
        if not values[i]:
            raise DataError(f"{path}, line {line}: no {name}")
    return line, values[0], values[1], values[2], values[3]


def _check_once(path: Path, rows: Sequence[Row]) -> None:
    """Each image stands once: twice is a leak, a conflict or a doubled weight."""
    seen: dict[str, int] = {}
    for line, image, *_ in rows:
        if image in seen:
            raise DataError(f"{path} lists {image!r} twice, in lines {seen[image]} and {line}")
        seen[image] = line


def _check_labels(path: Path, classes: Sequence[str], named: dict[str, list[Row]]) -> None:
    """Labels of val and test occur in train. Raises LabelError."""
    for name in ("val", "test"):
        for line, _, label, *_ in named.get(name, ()):
            if label not in classes:
                raise LabelError(
                    f"{path}, line {line}: label {label!r} of split {name} does not occur in train "
                    f"({len(classes)} labels do)"
                )
