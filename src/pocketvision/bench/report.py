"""Rows of figures as aligned text, as Markdown and as JSON.

A row is a dictionary; keys are column titles and carry the unit (`median_ms`). Rows may lack keys.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

Row = Mapping[str, object]

ABSENT = "-"


def text(rows: Sequence[Row], *, columns: Sequence[str] | None = None) -> str:
    """The rows under their titles, numbers to the right, two spaces between columns."""
    titles, cells, right = _cells(rows, columns)
    widths = _widths(titles, cells)
    rule = ["-" * w for w in widths]
    lines = [_line(r, widths, right, "  ") for r in [titles, rule, *cells]]
    return "\n".join(line.rstrip() for line in lines)


def markdown(rows: Sequence[Row], *, columns: Sequence[str] | None = None) -> str:
    """The rows as a Markdown table, aligned in its source too."""
    titles, cells, right = _cells(rows, columns)
    titles = [_escaped(t) for t in titles]
    cells = [[_escaped(c) for c in row] for row in cells]
    widths = [max(w, 3) for w in _widths(titles, cells)]
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    lines = [_line(r, widths, right, " | ") for r in [titles, rule, *cells]]
    return "\n".join(f"| {line} |" for line in lines)


def as_json(rows: Sequence[Row], **beside: object) -> str:
    """One JSON object: format, the rows, and what goes beside them (host, method)."""
    return json.dumps({"format": 1, **beside, "rows": [dict(r) for r in rows]}, indent=2)


def shown(value: object) -> str:
    """One cell: four significant digits for a float, thousands set apart in a whole number, yes or
    no for a bool, `-` for None.
    """
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e7:
        return f"{value:.2e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".")


def _cells(
    rows: Sequence[Row], columns: Sequence[str] | None
) -> tuple[list[str], list[list[str]], list[bool]]:
    """Titles, shown cells, and whether each column goes to the right (all its values numbers)."""
    titles = list(columns or dict.fromkeys(key for row in rows for key in row))
    cells = [[shown(row.get(t)) for t in titles] for row in rows]
    return titles, cells, [_numeric(row.get(t) for row in rows) for t in titles]


def _numeric(values: Iterable[object]) -> bool:
    present = [v for v in values if v is not None]
    return bool(present) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in present
    )


def _widths(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width, [t, *(row[i] for row in cells)])) for i, t in enumerate(titles)]


def width(word: str) -> int:
    """Columns of a terminal that `word` takes: wide letters take two, combining marks none."""
    wide = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in word)
    return wide - sum(unicodedata.combining(c) > 0 for c in word)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool], between: str) -> str:
    padded = []
    for word, w, r in zip(row, widths, right, strict=True):
        space = " " * (w - width(word))
        padded.append(space + word if r else word + space)
    return between.join(padded)


def _escaped(word: str) -> str:
    return word.replace("|", "\\|").replace("\n", " ")
