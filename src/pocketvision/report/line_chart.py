"""A line chart as inline SVG: its text can be selected, and it follows the page's colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pocketvision.report import axis
from pocketvision.report.markup import Markup, join, tag

# Units of the view box; a phone shows them at about 0.85 CSS pixels, a desktop at 1.2.
WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 30, 44
# More points than this cannot be told apart at that width.
MOST_POINTS = 800
MOST_DOTS = 15


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `style` is its class in the style sheet; NaN is a point not measured."""

    title: str
    style: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True, slots=True)
class Mark:
    """One point to point out, with a few words."""

    x: float
    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Across:
    """The axis across: its title, and (value, words) of its ticks between two ends."""

    title: str
    ticks: Callable[[float, float], list[tuple[float, str]]]


def _epochs(low: float, high: float) -> list[tuple[float, str]]:
    return [(e, str(e)) for e in axis.whole_ticks(math.ceil(low), math.floor(high))]


def _shares(low: float, high: float) -> list[tuple[float, str]]:
    at = [t / 4 for t in range(5)]
    return [(t, axis.percent_label(t, 0.25)) for t in at if low <= t <= high]


EPOCHS = Across("epoch", _epochs)


def shares(title: str) -> Across:
    """An axis of shares from 0 to 1, in percent."""
    return Across(title, _shares)


@dataclass(frozen=True, slots=True)
class Frame:
    """Data to view box: the range of both axes."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The point in units of the view box."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (
            HEIGHT - TOP - BOTTOM
        )


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    description: str,
    mark: Mark | None = None,
    tick: Callable[[float, float], str] = axis.label,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    across: Across = EPOCHS,
) -> Markup | None:
    """The chart, over epochs unless `across` says otherwise; None when no line has a finite point.

    `tick` words a y tick from its value and the spacing; `bounds` are values that y cannot pass.
    """
    points = [p for line in lines for p in _finite(line)]
    if not points:
        return None
    frame, y_ticks = _frame(lines, [y for _, y in points], bounds)
    parts = [
        tag("title", title),
        tag("desc", description),
        _grid(frame, y_ticks, tick, across),
        *(_line(frame, line) for line in lines),
        _legend(lines, mark),
    ]
    if mark:
        x, y = frame.at(mark.x, mark.y)
        parts.append(tag("circle", cx=x, cy=y, r=4.5, class_="mark"))
    return tag(
        "svg",
        parts,
        class_="chart",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=description,
    )


def _finite(line: Line) -> list[tuple[float, float]]:
    pairs = zip(line.xs, line.ys, strict=True)
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _frame(
    lines: Sequence[Line], ys: Sequence[float], bounds: tuple[float, float]
) -> tuple[Frame, list[float]]:
    """All epochs across, measured or not, so that charts side by side have one axis."""
    xs = [x for line in lines for x in line.xs]
    y_ticks = axis.ticks(min(ys), max(ys), bounds=bounds)
    low, high = min(xs), max(xs)
    # A single epoch stands in the middle of its axis.
    x_range = (low, high) if high > low else (low - 1, high + 1)
    return Frame(x_range, (y_ticks[0], y_ticks[-1])), y_ticks


def _grid(
    frame: Frame, y_ticks: Sequence[float], tick: Callable[[float, float], str], across: Across
) -> Markup:
    step = y_ticks[1] - y_ticks[0]
    parts = []
    for value in y_ticks:
        _, y = frame.at(frame.x[0], value)
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", tick(value, step), x=LEFT - 7, y=y + 4, class_="tick end"))
    for value, words in across.ticks(*frame.x):
        x, y = frame.at(value, frame.y[0])
        parts.append(tag("line", x1=x, x2=x, y1=y, y2=y + 4, class_="axis"))
        parts.append(tag("text", words, x=x, y=y + 18, class_="tick middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(tag("text", across.title, x=middle, y=HEIGHT - 6, class_="tick middle"))
    return join(parts)


def _line(frame: Frame, line: Line) -> Markup:
    """One polyline through what was measured (not every epoch is validated), dots where few are."""
    at = [frame.at(x, y) for x, y in _thinned(_finite(line))]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    parts = [tag("polyline", points=points, class_=f"line {line.style}")] if len(at) > 1 else []
    if len(at) <= MOST_DOTS:
        parts += [tag("circle", cx=x, cy=y, r=2.6, class_=f"dot {line.style}") for x, y in at]
    return join(parts)


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    every = -(-len(points) // MOST_POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _legend(lines: Sequence[Line], mark: Mark | None) -> Markup:
    """One row above the plot, where no line can run through its words."""
    parts, x = [], LEFT
    for line in lines:
        parts.append(tag("line", x1=x, x2=x + 24, y1=13, y2=13, class_=f"line {line.style}"))
        parts.append(tag("text", line.title, x=x + 30, y=17, class_="tick"))
        x += 48 + 7 * len(line.title)
    if mark:
        parts.append(tag("circle", cx=x + 6, cy=13, r=4.5, class_="mark"))
        parts.append(tag("text", mark.words, x=x + 17, y=17, class_="tick strong"))
    return join(parts)
