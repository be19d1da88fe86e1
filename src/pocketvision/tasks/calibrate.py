"""Temperature and threshold fitted on validation answers, and how far they can be trusted.

The same images fit and judge, so that figures "after" are cross-fitted: each image is judged by
what the other folds gave. What is kept is fitted on all of them. n images, k classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketvision.data.order import order
from pocketvision.decision import SCORES, Decision
from pocketvision.labels import Labels
from pocketvision.tasks.classify import log_softmax, measure, softmax
from pocketvision.tasks.decide import known, scores
from pocketvision.tasks.reliability import Answers, adaptive_ece, bins, coverage_rows, ece, noise
from pocketvision.tasks.reliability import aurc as area

FOLDS = 5
BOUNDS = (0.01, 100.0)  # of 1 / temperature
STEPS, CLOSE = 60, 1e-12
DRAWS, MOST_BELOW = 200, 0.975
MARGIN = 1e-3  # below the lowest right answer, where nothing lies under it


def temperature(logits_nk: np.ndarray, truth_n: np.ndarray, *, labels: Labels) -> float:
    """The T of least mean -log softmax(z / T)[truth], over the images and one more of which any
    class is as likely: without that one an errorless validation set would drive T to 0.

    That is mean over i of (1 + 1/n) logsumexp(b z_i) - b z_i,truth - (b / n) mean_j z_ij, convex in
    b = 1 / T; its slope is followed to 0 by Newton's steps inside a bracket, in float64.
    Source: arXiv:1706.04599, section 4.2; the extra image: Laplace's rule, as in Platt 1999.
    """
    z, own = _seen(logits_nk, truth_n, labels)
    extra = 1 / len(z)
    wanted = float((own + extra * z.mean(axis=1)).mean())
    low, high = BOUNDS
    b = 1.0
    for _ in range(STEPS):
        slope, bend = _slope(b, z, wanted, 1 + extra)
        if bend == 0.0:
            break
        low, high = (low, b) if slope > 0 else (b, high)
        near = b - slope / bend
        after = near if low < near < high else (low * high) ** 0.5
        if abs(after - b) <= CLOSE * b:
            break
        b = after
    return 1 / b


def _seen(
    logits_nk: np.ndarray, truth_n: np.ndarray, labels: Labels
) -> tuple[np.ndarray, np.ndarray]:
    """(z, own): logits without hidden entries, from 0 downwards, and those of the true classes."""
    x = np.asarray(logits_nk, np.float64)
    own = x[np.arange(len(x)), truth_n]
    z = np.delete(x, list(labels.hidden), axis=1)
    most = z.max(axis=1, keepdims=True)
    return z - most, own - most[:, 0]


def _slope(b: float, z: np.ndarray, wanted: float, weight: float) -> tuple[float, float]:
    """First and second derivative of the loss by b: weight * E_p[z] - wanted, weight * Var_p[z]."""
    p = np.exp(b * z)
    p /= p.sum(axis=1, keepdims=True)
    mean = (p * z).sum(axis=1)
    spread = (p * (z - mean[:, None]) ** 2).sum(axis=1)
    return float(weight * mean.mean() - wanted), float(weight * spread.mean())


# ------------------------------------------------------------------------------------------ decide


def fitted(
    logits_nk: np.ndarray, truth_n: np.ndarray, *, labels: Labels, known_share: float
) -> Decision:
    """The decision fitted on all images, with cross-fitted figures.

    Raises LabelError where shapes or indices do not fit.
    """
    measure(logits_nk, truth_n, labels=labels)  # for its checks
    data = _Data(np.asarray(logits_nk), np.asarray(truth_n), labels, known_share)
    score, areas = _chosen(data)
    made = _fit(data, score)
    return replace(made, images=len(data.truth), figures=_figures(data, made, areas))


@dataclass(frozen=True)
class _Data:
    """What is fitted on."""

    logits: np.ndarray
    truth: np.ndarray
    labels: Labels
    known_share: float

    def part(self, rows: np.ndarray) -> _Data:
        """Some of the images."""
        return replace(self, logits=self.logits[rows], truth=self.truth[rows])

    @property
    def right(self) -> np.ndarray:
        """bool (n,): the first answer is the true class."""
        p = log_softmax(self.logits, hidden=self.labels.hidden)
        return np.asarray(p.argmax(axis=1) == self.truth)


def _fit(data: _Data, score: str) -> Decision:
    t = temperature(data.logits, data.truth, labels=data.labels)
    plain = Decision(temperature=t, score=score, known_share=data.known_share)
    found = scores(data.logits, plain, hidden=data.labels.hidden)
    return replace(plain, threshold=threshold(found, data.right, keep=data.known_share))


def threshold(score_n: np.ndarray, right_n: np.ndarray, *, keep: float) -> float | None:
    """Half way below the score that `keep` of the right answers reach, so that another runtime's
    rounding moves no image across it; None where no answer is right.
    """
    good = np.sort(score_n[right_n])
    if not len(good):
        return None
    # Shares such as 0.95 are not exact: 0.95 * 20 must not become 20 by rounding up.
    last = good[len(good) - max(int(np.ceil(keep * len(good) - 1e-9)), 1)]
    below = score_n[score_n < last]
    return float((last + below.max()) / 2 if len(below) else last - MARGIN * abs(last))


def _chosen(data: _Data) -> tuple[str, dict[str, float]]:
    """The score that tells right answers from wrong ones best, and the area of each.

    The probability, unless the energy's area under risk over coverage is smaller in nearly all of
    so many draws of the images with replacement.
    """
    hidden, right = data.labels.hidden, data.right
    t = temperature(data.logits, data.truth, labels=data.labels)
    by = {s: scores(data.logits, Decision(temperature=t, score=s), hidden=hidden) for s in SCORES}
    areas = {s: area(found, right) for s, found in by.items()}
    if areas["energy"] >= areas["probability"]:
        return "probability", areas
    draw, n = np.random.Generator(np.random.PCG64(0)), len(right)
    picks = (draw.integers(0, n, n) for _ in range(DRAWS))
    better = [area(by["energy"][i], right[i]) < area(by["probability"][i], right[i]) for i in picks]
    return ("energy" if np.mean(better) >= MOST_BELOW else "probability"), areas


# ----------------------------------------------------------------------------------------- figures


def _figures(data: _Data, made: Decision, areas: dict[str, float]) -> dict[str, Any]:
    """What is measured: before at temperature 1, after cross-fitted."""
    folds = min(FOLDS, len(data.truth)) if len(data.truth) > 1 else 0
    before = Answers.of(softmax(data.logits, hidden=data.labels.hidden), data.truth)
    p, sure, score = _cross_fitted(data, made, folds)
    after = Answers.of(p, data.truth)
    answered = int(sure.sum())
    return {
        "folds": folds,
        "nll": {"before": before.nll, "after": after.nll},
        "ece": {"before": ece(before), "after": ece(after), "noise": noise(after)},
        "adaptive_ece": {"before": adaptive_ece(before), "after": adaptive_ece(after)},
        "bins": {"before": bins(before), "after": bins(after)},
        "aurc": areas,
        "unknown": {
            "rejected": 1 - answered / len(sure),
            "kept_right": float(sure[after.right].mean()) if after.right.any() else None,
            "accuracy_known": float(after.right[sure].mean()) if answered else None,
        },
        "coverage": coverage_rows(score, after.right),
    }


def trust(
    logits_nk: np.ndarray, truth_n: np.ndarray, labels: Labels, decision: Decision | None
) -> dict[str, Any]:
    """How far a decision that was fitted elsewhere holds on these images: calibration errors, the
    share that is answered and how good those answers are (None where nothing is unknown).
    """
    used = decision or Decision()
    scaled = np.asarray(logits_nk, np.float64) / used.temperature
    answers = Answers.of(softmax(scaled, hidden=labels.hidden), np.asarray(truth_n))
    sure = known(logits_nk, used, hidden=labels.hidden)
    decides = used.threshold is not None
    return {
        "temperature": None if decision is None else used.temperature,
        "ece": ece(answers),
        "adaptive_ece": adaptive_ece(answers),
        "noise": noise(answers),
        "coverage": float(sure.mean()) if decides else None,
        "accuracy_known": float(answers.right[sure].mean()) if decides and sure.any() else None,
    }


def _cross_fitted(
    data: _Data, made: Decision, folds: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probabilities (n, k), known (n,), score (n,)), each image's by a decision that did not see
    it; with one image by its own.
    """
    p, sure = np.zeros(data.logits.shape), np.ones(len(data.truth), bool)
    score, hidden = np.zeros(len(sure)), data.labels.hidden
    for rest, held in _folds(len(sure), folds):
        own = _fit(data.part(rest), made.score) if folds else made
        logits = data.logits[held]
        p[held] = softmax(np.asarray(logits, np.float64) / own.temperature, hidden=hidden)
        sure[held] = known(logits, own, hidden=hidden)
        score[held] = scores(logits, own, hidden=hidden)
    return p, sure, score


def _folds(n: int, folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rest, held) rows; which image is in which fold follows from a hash of its place."""
    shuffled = np.asarray(order(n, seed=0, epoch=0))
    if folds < 2:
        yield shuffled, shuffled
        return
    for k in range(folds):
        held = np.arange(n) % folds == k
        yield shuffled[~held], shuffled[held]
