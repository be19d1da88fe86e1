"""Do answers hold what their probabilities promise? Calibration error, and risk over coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pocketvision.tasks.classify import wilson

BINS = 15
COVERAGES = tuple(i / 20 for i in range(20, 0, -1))
TINY = 1e-300


@dataclass(frozen=True)
class Answers:
    """The first answer to each of n images: its probability, whether it was right, and the mean
    -log probability of the true classes.
    """

    confidence: np.ndarray
    right: np.ndarray
    nll: float

    @staticmethod
    def of(p_nk: np.ndarray, truth_n: np.ndarray) -> Answers:
        """Of probabilities (n, k) and classes (n,)."""
        own = p_nk[np.arange(len(truth_n)), truth_n]
        nll = float(-np.log(np.maximum(own, TINY)).mean())
        return Answers(p_nk.max(axis=1), p_nk.argmax(axis=1) == truth_n, nll)


def bins(answers: Answers) -> list[dict[str, float]]:
    """Those of 15 equal bins of confidence, ((m - 1) / 15, m / 15], that hold answers: how many,
    their mean confidence, and the share that was right.
    """
    place = np.clip(np.ceil(answers.confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return [_bin(answers, place == m) for m in np.unique(place)]


def _bin(answers: Answers, rows: np.ndarray) -> dict[str, float]:
    confidence = answers.confidence[rows]
    return {
        "n": len(confidence),
        "confidence": float(confidence.mean()),
        "accuracy": float(answers.right[rows].mean()),
    }


def ece(answers: Answers) -> float:
    """Expected calibration error: sum over bins of n_m / n |accuracy_m - confidence_m|.

    Source: arXiv:1706.04599, section 2, eq. 3, with its 15 bins.
    """
    return _gap(bins(answers))


def adaptive_ece(answers: Answers) -> float:
    """The same over 15 bins of equally many answers (as many bins as answers where fewer)."""
    in_order = np.argsort(answers.confidence, kind="stable")
    parts = np.array_split(in_order, min(BINS, len(in_order)))
    return _gap([_bin(answers, part) for part in parts])


def _gap(rows: list[dict[str, float]]) -> float:
    total = sum(r["n"] for r in rows)
    return float(sum(r["n"] * abs(r["accuracy"] - r["confidence"]) for r in rows) / total)


def noise(answers: Answers) -> float:
    """The error that perfectly calibrated answers would show on so few images: each bin's share of
    right answers would still scatter about its confidence p.

    E|X - n p| = 2 v C(n, v) p^v (1 - p)^(n - v + 1), v = floor(n p) + 1 (de Moivre 1730; Diaconis &
    Zabell 1991, Statistical Science 6, 284-302).
    """
    rows = bins(answers)
    return sum(_deviation(int(r["n"]), r["confidence"]) for r in rows) / len(answers.right)


def _deviation(n: int, p: float) -> float:
    """E|X - n p| of a binomial X."""
    if p <= 0 or p >= 1:
        return 0.0
    v = math.floor(n * p) + 1
    if v > n:  # n p rounded up to n
        return 0.0
    ways = math.lgamma(n + 1) - math.lgamma(v + 1) - math.lgamma(n - v + 1)
    return 2 * v * math.exp(ways + v * math.log(p) + (n - v + 1) * math.log1p(-p))


# ---------------------------------------------------------------------------------------- coverage


def aurc(score_n: np.ndarray, right_n: np.ndarray) -> float:
    """Area under risk over coverage: the mean, over m, of the wrong share among the m surest.

    Source: Geifman & El-Yaniv, arXiv:1705.08500 (risk and coverage); arXiv:1805.08206 (the area).
    """
    wrong = ~right_n[np.argsort(-score_n, kind="stable")]
    return float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean())


def coverage_rows(score_n: np.ndarray, right_n: np.ndarray) -> list[dict[str, float]]:
    """At 5% to 100% of the images, the surest first: how many, and the accuracy among them with its
    95% Wilson interval.
    """
    right = right_n[np.argsort(-score_n, kind="stable")]
    rows = []
    for share in COVERAGES:
        n = max(round(share * len(right)), 1)
        low, high = wilson(int(right[:n].sum()), n)
        rows.append({"coverage": share, "n": n, "accuracy": float(right[:n].mean()),
                     "low": low, "high": high})  # fmt: skip
    return rows
