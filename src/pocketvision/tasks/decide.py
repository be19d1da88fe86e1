"""Calibrated answers, and "unknown" where they are not sure enough. n images, k classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pocketvision.decision import Decision
from pocketvision.labels import Labels
from pocketvision.tasks.classify import Prediction, decode, softmax


def scores(logits_nk: np.ndarray, decision: Decision, *, hidden: Sequence[int] = ()) -> np.ndarray:
    """float64 (n,): how sure each answer is, by the decision's score; hidden entries play no part.

    Source of the energy: arXiv:2010.03759, eq. 4, here with the sign by which more is surer.
    """
    scaled = np.asarray(logits_nk, np.float64) / decision.temperature
    if decision.score == "probability":
        return softmax(scaled, hidden=hidden).max(axis=1)
    seen = np.delete(scaled, list(hidden), axis=1)
    most = seen.max(axis=1)
    return decision.temperature * (most + np.log(np.exp(seen - most[:, None]).sum(axis=1)))


def known(logits_nk: np.ndarray, decision: Decision, *, hidden: Sequence[int] = ()) -> np.ndarray:
    """bool (n,): where an answer is given."""
    if decision.threshold is None:
        return np.ones(len(logits_nk), bool)
    return scores(logits_nk, decision, hidden=hidden) >= decision.threshold


def decided(
    logits_nk: np.ndarray,
    paths: Sequence[str],
    *,
    labels: Labels,
    decision: Decision | None,
    most: int = 5,
) -> list[Prediction]:
    """`classify.decode` with calibrated probabilities and with `known` set; without a decision the
    plain one. Raises LabelError, UsageError.
    """
    if decision is None:
        return decode(logits_nk, paths, labels=labels, most=most)
    scaled = np.asarray(logits_nk, np.float64) / decision.temperature
    rows = decode(scaled, paths, labels=labels, most=most)
    sure = known(logits_nk, decision, hidden=labels.hidden)
    return [replace(row, known=bool(k)) for row, k in zip(rows, sure, strict=True)]
