"""The confusion matrix as an HTML table: real cells that can be read, selected and printed."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from pocketvision.report.markup import Markup, join, name, scrolled, tag
from pocketvision.report.palette import LEVELS
from pocketvision.report.run import Confusion
from pocketvision.report.words import columns, percent, shortened

# More classes than this make a picture in which nothing can be found.
MOST_CLASSES = 60
NAME_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Fit:
    """How a matrix of some number of classes is set: its class, and whether counts are shown."""

    style: str
    shows_counts: bool


def fit(names: tuple[str, ...]) -> Fit:
    """Wide cells while they fit a page, then narrow ones, then plain squares."""
    k, widest = len(names), max(columns(n) for n in names)
    if k <= 8 and k * widest <= 56:
        return Fit("heat wide lying", True)
    if k <= 12:
        return Fit("heat medium lying" if widest <= 4 else "heat medium", True)
    if k <= 25:
        return Fit("heat narrow lying" if widest <= 2 else "heat narrow", True)
    return Fit("heat tiny", False)


def heat_table(confusion: Confusion) -> Markup:
    """Rows are the true classes, columns the answers; colour is the share of the row."""
    how = fit(confusion.names)
    head = tag("thead", _answers_row(confusion), _names_row(confusion))
    shares = confusion.shares()
    rows = [_row(confusion, shares, i, how) for i in range(len(confusion.names))]
    body = tag("tbody", rows)
    words = "Rows: the true class. Columns: the answer. Colour: share of the row."
    caption = tag("caption", words, class_="unseen")
    table = tag("table", caption, head, body, class_=how.style)
    return join(
        [
            tag("p", words, class_="quiet"),
            scrolled(table, "confusion matrix"),
            tag("div", legend(), class_="scroll"),
        ]
    )


def _answers_row(confusion: Confusion) -> Markup:
    corner = tag("td", class_="corner")
    return tag("tr", corner, tag("th", "answer", scope="colgroup", colspan=len(confusion.names),
                                 class_="axis-name"))  # fmt: skip


def _names_row(confusion: Confusion) -> Markup:
    heads = [tag("th", _short(n), scope="col", class_="answer") for n in confusion.names]
    return tag("tr", tag("th", "true class", scope="col", class_="axis-name"), heads)


def _short(text: str) -> Markup:
    """A name that fits beside the matrix; the whole of it shows under the pointer."""
    return tag("span", name(shortened(text, NAME_COLUMNS)), title=text)


def _row(confusion: Confusion, shares: tuple[tuple[float, ...], ...], i: int, how: Fit) -> Markup:
    true = confusion.names[i]
    cells = [_cell(confusion, shares[i][j], i, j, how) for j in range(len(confusion.names))]
    return tag("tr", tag("th", _short(true), scope="row"), cells)


def _cell(confusion: Confusion, share: float, i: int, j: int, how: Fit) -> Markup:
    count = confusion.counts[i][j]
    if count == 0:
        return tag("td", class_="right h0" if i == j else None)
    style = f"{'right' if i == j else 'wrong'} h{level(share)}"
    title = f"{confusion.names[i]} answered as {confusion.names[j]}: {count} ({percent(share)})"
    text = str(count) if how.shows_counts else tag("span", str(count), class_="unseen")
    return tag("td", text, class_=style, title=title)


def level(share: float) -> int:
    """The step of colour, 1 for the smallest share above nothing."""
    return 1 + bisect_right(LEVELS, share)


def legend() -> Markup:
    """What the steps of colour mean, for right answers and for mistakes."""
    steps = [*(f"<{100 * bound:.0f}%" for bound in LEVELS), f"{100 * LEVELS[-1]:.0f}%+"]
    rows = []
    for kind, title in (("right", "right"), ("wrong", "mistaken")):
        cells = [tag("td", s, class_=f"{kind} h{i}") for i, s in enumerate(steps, 1)]
        rows.append(tag("tr", tag("th", title, scope="row"), cells))
    return tag("table", tag("caption", "Share of the row", class_="unseen"), tag("tbody", rows),
               class_="heat-legend")  # fmt: skip
