"""The per-class table of the page: recall with its interval as a small picture in each row."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pocketvision.report.markup import Markup, join, name, scrolled, tag
from pocketvision.report.run import ClassRow
from pocketvision.report.words import ABSENT, percent

# The weakest of so many classes are what a reader can use; all are in per_class.csv.
MOST_ROWS = 200
COLUMNS = ("class", "recall", "", "95% interval", "images", "right", "precision", "F1")


def weakest_first(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """Lowest recall first; classes without images come last."""
    return sorted(rows, key=lambda r: (math.isnan(r.recall), r.recall, r.name))


def class_table(rows: Sequence[ClassRow]) -> Markup:
    """One row a class, the weakest first."""
    head = [
        tag("th", title or tag("span", "recall as a bar", class_="unseen"), scope="col",
            class_="name" if title == "class" else None)
        for title in COLUMNS
    ]  # fmt: skip
    body = tag("tbody", [_row(r) for r in weakest_first(rows)[:MOST_ROWS]])
    words = "Weakest class first. The thin line is the interval."
    if len(rows) > MOST_ROWS:
        words += f" The {MOST_ROWS} weakest of {len(rows):,}; all are in per_class.csv."
    caption = tag("caption", words, class_="unseen")
    table = tag("table", caption, tag("thead", tag("tr", head)), body, class_="figures")
    return join([tag("p", words, class_="quiet"), scrolled(table, "classes")])


def _row(row: ClassRow) -> Markup:
    interval = f"{percent(row.recall_low)} to {percent(row.recall_high)}"
    return tag(
        "tr",
        tag("th", name(row.name), scope="row", class_="name"),
        tag("td", percent(row.recall)),
        tag("td", bar(row.recall, row.recall_low, row.recall_high), class_="bar-cell"),
        tag("td", ABSENT if math.isnan(row.recall) else interval, class_="quiet"),
        tag("td", f"{row.n:,}"),
        tag("td", f"{row.correct:,}"),
        tag("td", percent(row.precision)),
        tag("td", ABSENT if math.isnan(row.f1) else f"{row.f1:.3f}"),
    )


def bar(share: float, low: float, high: float) -> Markup:
    """A share as a bar over its full length, with the interval as a line; empty for NaN."""
    parts = [tag("rect", x=0, y=3, width=100, height=10, class_="track")]
    if not math.isnan(share):
        parts.append(tag("rect", x=0, y=3, width=100.0 * share, height=10, class_="fill"))
    if not any(map(math.isnan, (share, low, high))):
        a, b = 100.0 * low, 100.0 * high
        ends = f"M{a:.1f} 8H{b:.1f}M{a:.1f} 4V12M{b:.1f} 4V12"
        parts.append(tag("path", d=ends, class_="whisker"))
    return tag(
        "svg",
        parts,
        class_="bar",
        viewBox="0 0 100 16",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
