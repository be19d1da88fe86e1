"""Round numbers for an axis."""

from __future__ import annotations

import math

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def ticks(
    low: float, high: float, *, most: int = 6, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> list[float]:
    """Two to `most` round numbers that enclose `low` and `high`, evenly spaced.

    None lies outside `bounds` unless the values themselves do.
    """
    at = _enclosing(low, high, most)
    inside = [t for t in at if bounds[0] <= t <= bounds[1]]
    return inside if bounds[0] <= low and high <= bounds[1] else at


def _enclosing(low: float, high: float, most: int) -> list[float]:
    # A line that is flat, up to rounding, stands in the middle.
    largest = max(abs(low), abs(high))
    if high - low <= max(1e-9 * largest, 1e-12):
        half = 0.5 * largest if largest > 1e-9 else 0.5
        low, high = low - half, high + half
    rough = (high - low) / (most - 1)
    exponent = math.floor(math.log10(rough))
    scale = 10.0**exponent
    for step in (s * scale for s in (*STEPS, 20.0)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            return [round(i * step, 2 - exponent) for i in range(first, last + 1)]
    return [low, high]


def whole_ticks(low: int, high: int, *, most: int = 6) -> list[int]:
    """Round whole numbers inside `low` to `high` (epochs): the ends of an axis need no tick."""
    step = 1
    while (high - low) / step > most - 1:
        step = next(s for s in _whole_steps() if s > step)
    first = -(-low // step) * step
    return list(range(first, high + 1, step))


def _whole_steps() -> list[int]:
    return [m * 10**e for e in range(17) for m in (1, 2, 5)]


def label(value: float, step: float) -> str:
    """A tick with as many decimals as its spacing asks for."""
    if abs(value) >= 1e5:
        return f"{value:.3g}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    while step < 1 and digits < 12 and not math.isclose(round(step, digits), step):
        digits += 1
    return f"{value:.{digits}f}"


def percent_label(value: float, step: float) -> str:
    """A tick of shares: 0.985 at a spacing of 0.005 -> "98.5%"."""
    return f"{label(100.0 * value, round(100.0 * step, 9))}%"
