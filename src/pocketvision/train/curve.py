"""Error over the number of images: a + b n^-c, and what more images would bring by it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Exponents found on images lie from 0.1 to 0.5, those of theory at 0.5 and 1 (arXiv:1712.00409).
EXPONENTS = np.linspace(0.1, 1.0, 37)
TINY = 1e-12  # less is rounding
PLAIN = 0.5  # where the error does not fall, so that any exponent fits


@dataclass(frozen=True)
class Curve:
    """error(n) = a + b n^-c with a, b >= 0."""

    a: float
    b: float
    c: float

    def error(self, n: float) -> float:
        """The error with n images."""
        return self.a + self.b * n**-self.c


def fitted(n: np.ndarray, error: np.ndarray, *, exponents: np.ndarray = EXPONENTS) -> Curve:
    """The curve of least squares through points (s,): for each exponent of the grid a and b in
    closed form, on their bounds where they would be negative.
    """
    best = Curve(float(error.mean()), 0.0, PLAIN)
    least = float(np.square(error - error.mean()).sum()) - TINY
    for c in exponents:
        x = np.asarray(n, float) ** -c
        a, b = _line(x, error)
        rest = float(np.square(error - a - b * x).sum())
        if rest < least:
            best, least = Curve(a, b, float(c)), rest
    return best


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(a, b) >= 0 of least squares of a + b x."""
    apart = x - x.mean()
    spread = float(apart @ apart)
    b = max(float(apart @ y) / spread, 0.0) if spread > 0 else 0.0
    a = float(y.mean() - b * x.mean())
    if a >= 0:
        return a, b
    return 0.0, max(float(x @ y) / float(x @ x), 0.0)


def gained(drop: float, have: float, more: float, *, left: float, c: float) -> float:
    """What `more` images bring beside `have`, where leaving only have / left of them costs `drop`.

    Along a + b n^-c that costs b have^-c (left^c - 1), so that more bring
    drop (1 - (1 + more / have)^-c) / (left^c - 1).
    """
    return drop * float((1 - (1 + more / have) ** -c) / (left**c - 1))
