"""Round numbers for an axis."""

from __future__ import annotations

import math

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Two to `most` round numbers that enclose `low` and `high`, evenly spaced."""
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    rough = (high - low) / (most - 1)
    scale = 10.0 ** math.floor(math.log10(rough))
    for step in (s * scale for s in (*STEPS, 20.0)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            return [round(i * step, 12) for i in range(first, last + 1)]
    return [low, high]


def whole_ticks(low: int, high: int, *, most: int = 6) -> list[int]:
    """Round whole numbers inside `low` to `high` (epochs): the ends of an axis need no tick."""
    step = 1
    while (high - low) / step > most - 1:
        step = next(s for s in _whole_steps() if s > step)
    first = -(-low // step) * step
    return list(range(first, high + 1, step))


def _whole_steps() -> list[int]:
    return [m * 10**e for e in range(10) for m in (1, 2, 5)]


def label(value: float, step: float) -> str:
    """A tick with as many decimals as its spacing asks for."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    if step < 1 and not math.isclose(round(step, digits), step):
        digits += 1
    return f"{value:.{digits}f}"
