"""Text files of a run folder, read with suspicion: absent is None, damaged is a DataError.

The message names the file and what is wrong in one line.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pocketvision.errors import DataError

# A run folder holds text of at most a few megabytes; more than this is something else.
LIMIT_BYTES = 256 * 2**20

# Nothing that was measured comes near these; what does would only break arithmetic further on.
MOST_DIGITS, MOST_DEPTH, MOST_NUMBER, MOST_COUNT = 30, 40, 1e30, 2**53

Reader = Callable[[str], Any]


def damaged(path: Path, reason: str) -> DataError:
    """The one-line error for a file that cannot be used."""
    reason = " ".join(reason.split())
    return DataError(
        f"{path} is damaged: {reason}; repeat the command that wrote it, "
        "or move the file away to leave its part out"
    )


def text(path: Path) -> str | None:
    """The file as text, None when it is not there. Raises DataError."""
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise damaged(path, "it is not a file")
        if path.stat().st_size > LIMIT_BYTES:
            raise damaged(path, f"it is larger than {LIMIT_BYTES >> 20} MiB")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise damaged(path, f"byte {e.start} is not UTF-8") from None
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror or e}") from None


def json_value(path: Path) -> Any:
    """What the JSON file holds, None when it is not there. Raises DataError."""
    raw = text(path)
    if raw is None:
        return None
    try:
        value = json.loads(raw, parse_int=_integer)
    except json.JSONDecodeError as e:
        raise damaged(path, f"line {e.lineno} is not JSON ({e.msg})") from None
    except (ValueError, RecursionError):
        raise damaged(path, "it is not JSON that can be read") from None
    if _depth(value) > MOST_DEPTH:
        raise damaged(path, f"it is nested more than {MOST_DEPTH} deep")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _depth(value: Any) -> int:
    """Levels of lists and objects inside one another, without recursion."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, list | dict)]:
        depth += 1
        level = [c for v in level for c in (v.values() if isinstance(v, dict) else v)]
    return depth


def json_object(path: Path) -> dict[str, Any] | None:
    """A JSON file that holds an object, None when it is not there. Raises DataError."""
    value = json_value(path)
    if value is not None and not isinstance(value, dict):
        raise damaged(path, f"it holds a {type(value).__name__}, not an object")
    return value


def csv_rows(path: Path, columns: Mapping[str, Reader]) -> list[dict[str, Any]] | None:
    """Rows of a CSV file with `columns` read by their functions; other columns are left alone.

    None when the file is not there. Raises DataError naming the line and the column.
    """
    lines = csv_lines(path)
    if lines is None:
        return None
    header = lines[0] if lines else []
    if missing := [c for c in columns if c not in header]:
        raise damaged(path, f"its first line lacks the column {missing[0]!r}")
    wanted = [(name, header.index(name), read) for name, read in columns.items()]
    return [_row(path, line, row, len(header), wanted) for line, row in enumerate(lines[1:], 2)]


def csv_lines(path: Path) -> list[list[str]] | None:
    """Every line of a CSV file that is not blank, None when it is not there. Raises DataError."""
    raw = text(path)
    if raw is None:
        return None
    try:
        return [row for row in csv.reader(io.StringIO(raw, newline=""), strict=True) if row]
    except csv.Error as e:
        raise damaged(path, f"it is not CSV ({e})") from None


def _row(
    path: Path, line: int, row: list[str], width: int, wanted: Iterable[tuple[str, int, Reader]]
) -> dict[str, Any]:
    if len(row) != width:
        raise damaged(path, f"row {line} has {len(row)} cells where the first has {width}")
    out = {}
    for name, i, read in wanted:
        try:
            out[name] = read(row[i])
        except (ValueError, OverflowError):
            raise damaged(path, f"row {line}, column {name!r}: {row[i][:40]!r}") from None
    return out


# ----------------------------------------------------------------------------------- cells of a CSV


def real(cell: str) -> float:
    """A number; an empty cell is NaN (not measured), a diverged one infinite."""
    number = float(cell) if cell.strip() else math.nan
    return math.copysign(math.inf, number) if abs(number) > MOST_NUMBER else number


def whole(cell: str) -> int:
    """A count: an integer that is not negative."""
    number = int(cell)
    if not 0 <= number <= MOST_COUNT:
        raise ValueError(f"a count cannot be {number}")
    return number


def share(cell: str) -> float:
    """A number from 0 to 1, or NaN for an empty cell."""
    number = real(cell)
    if number != number:
        return number
    # The upper end of an interval is 1.0000000000000002 after rounding.
    if not -1e-6 <= number <= 1.0 + 1e-6:
        raise ValueError(f"a share cannot be {number}")
    return min(max(number, 0.0), 1.0)


def yes(cell: str) -> bool:
    """True or False, in the spellings of Python, JSON and spreadsheets."""
    word = cell.strip().lower()
    if word not in ("true", "false", "1", "0"):
        raise ValueError(f"neither true nor false: {cell!r}")
    return word in ("true", "1")
