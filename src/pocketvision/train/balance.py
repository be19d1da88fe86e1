"""What a run does where classes have unequal numbers of images, and how strongly. No torch.

Legend of shapes: k classes; counts (k,) of training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from pocketvision.errors import LabelError
from pocketvision.train.config import TrainConfig

AUTO_RATIO = 3.0  # below it, `auto` leaves the classes as they are
WARN_RATIO = 10.0
BETA = 0.999  # arXiv:1901.05555: a class is worth at most 1 / (1 - BETA) images
# Classes are drawn in proportion to (images)**POWER: the square root of arXiv:1805.00932, section
# 2.1. At 0, all alike, a class of few images comes so often that they are learned by heart.
POWER = 0.5


def counts_of(truth: np.ndarray, classes: int) -> np.ndarray:
    """int64 (k,): images of each class."""
    return np.bincount(truth, minlength=classes)


def ratio(counts: np.ndarray) -> float:
    """Images of the largest class over those of the smallest that has any."""
    some = counts[counts > 0]
    return float(some.max() / some.min())


def decided(
    config: TrainConfig, counts: np.ndarray, names: Sequence[str]
) -> tuple[TrainConfig, tuple[str, ...]]:
    """The config with `auto` put into words, and what a person should know about the choice.

    Raises LabelError where classes that have no training image are to be balanced.
    """
    found, kind = ratio(counts), config.balance
    if kind is None:
        unequal = found > WARN_RATIO
        return config, (f"{_words(counts, names)}: {_would(counts)}",) if unequal else ()
    if kind == "none":
        return config, ()
    _check_all_there(counts, names)
    chosen = _chosen(found) if kind == "auto" else kind
    over = "over" if found > AUTO_RATIO else "not over"
    why = f" (auto: {over} {AUTO_RATIO:g}:1)" if kind == "auto" else ""
    return replace(config, balance=chosen), (f"{_words(counts, names)}: --balance {chosen}{why}",)


def _chosen(found: float) -> Literal["none", "logit-adjust"]:
    return "logit-adjust" if found > AUTO_RATIO else "none"


def _would(counts: np.ndarray) -> str:
    return (
        f"rare classes will be missed more often; --balance auto would train with "
        f"{_chosen(ratio(counts))}, --balance none says that it is meant"
    )


def _words(counts: np.ndarray, names: Sequence[str]) -> str:
    some = np.flatnonzero(counts)
    most, least = (int(some[place]) for place in (counts[some].argmax(), counts[some].argmin()))
    return (
        f"class imbalance {ratio(counts):.3g}:1 ({names[most]} {counts[most]} training images, "
        f"{names[least]} {counts[least]})"
    )


def _check_all_there(counts: np.ndarray, names: Sequence[str]) -> None:
    if empty := [name for name, n in zip(names, counts, strict=True) if not n]:
        raise LabelError(
            f"no training image of {', '.join(map(repr, empty))}: there is nothing to balance; add "
            "images, remove the class, or leave --balance out"
        )


def class_weights(counts: np.ndarray) -> np.ndarray:
    """float64 (k,): weight of an image of each class, 1 in the mean over the training images.

    In proportion to (1 - b) / (1 - b^n), one over the effective number of n images. Source:
    arXiv:1901.05555, equation 5; there the weights' sum is k instead.
    """
    raw = (1 - BETA) / (1 - BETA ** np.maximum(counts, 1).astype(np.float64))
    return np.asarray(raw * counts.sum() / (raw * counts).sum())


def prior(counts: np.ndarray) -> np.ndarray:
    """float64 (k,): each class's share of the training images, whose log joins the logits while
    training. A class without any counts as one, for a log of 0 would end the run.
    """
    some = np.maximum(counts, 1)
    return np.asarray(some / some.sum())


def draw_weights(counts: np.ndarray) -> np.ndarray:
    """float64 (k,): how often an image of each class is drawn by the sampler in an epoch, in the
    mean; 1 in the mean over the training images.
    """
    raw = np.maximum(counts, 1.0) ** (POWER - 1)
    return np.asarray(raw * counts.sum() / (raw * counts).sum())
