"""The last layer fitted to fewer images than there are, and what it then answers rightly.

Answers are those that are best where all classes are as frequent: logits less the log of each
class's share of the training images (arXiv:2007.07314, eq. 9). So a small class is judged by what
is known of it, not by how seldom it may be answered, which needs no images to be put right.

n training, m validation images, k classes, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pocketvision.data.order import order
from pocketvision.train.head import Layer, fitted

PARTS = (8, 4, 2)  # an eighth, a quarter, a half of each class
QUARTERS = 4  # of one class: enough is left out to see it among so few validation images
DRAWS = 8  # parts of each size; quarters of a class come in fours that share no image
CHUNK = 256
TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the last layer reads of both splits, float32 (n, d) or (n, d, h, w), with classes."""

    train: np.ndarray
    truth: np.ndarray
    val: np.ndarray
    val_truth: np.ndarray
    classes: Sequence[str]

    def weights(self) -> np.ndarray:
        """(m,): what each validation image weighs where classes weigh the same; sums to 1."""
        counts = np.bincount(self.val_truth, minlength=len(self.classes))
        return np.asarray(1 / (counts[self.val_truth] * (counts > 0).sum()))


@dataclass(frozen=True)
class Refits:
    """Fits near the layer of all images. `right` (m,) is what that one answers rightly, `strength`
    its decay times n: the decay stands beside a mean loss, so that one and the same prior on the
    weights weighs more where images are fewer.
    """

    features: Features
    layer: Layer
    strength: float
    right: np.ndarray
    seed: int
    on_fit: Callable[[], None]

    def rightly(self, rows: np.ndarray) -> np.ndarray:
        """bool (m,): what the layer fitted to some training images answers rightly."""
        f, rows = self.features, np.sort(rows)
        made = fitted(f.train[rows], f.truth[rows], self.layer, decay=self.strength / len(rows))
        self.on_fit()
        return rightly(made.layer, f, rows)

    def of_class(self, c: int, draw: int) -> np.ndarray:
        """A class's training images in an order that follows from (seed, draw) alone."""
        truth = self.features.truth
        shuffled = np.asarray(order(len(truth), seed=self.seed, epoch=draw))
        return shuffled[truth[shuffled] == c]

    def nested(self, part: int) -> tuple[int, np.ndarray]:
        """(images, right answers (draws, m)) of one `part`-th of each class, rounded up: the first
        of each draw's order, so that a smaller part lies in a larger one.
        """
        rows = []
        for draw in range(DRAWS):
            own = (self.of_class(c, draw) for c in range(len(self.features.classes)))
            rows.append(np.concatenate([r[: -(-len(r) // part)] for r in own]))
        return len(rows[0]), np.stack([self.rightly(r) for r in rows])

    def quarters(self, c: int) -> tuple[float, np.ndarray]:
        """(images of class c over those left, right answers (draws, m)) with one quarter of class c
        beside all other images: each quarter in turn, then of another order. At least one is left.
        """
        others, found, left = np.flatnonzero(self.features.truth != c), [], 0
        for draw in range(DRAWS):
            own = self.of_class(c, draw // QUARTERS)
            kept = own[draw % QUARTERS % len(own) :: QUARTERS]
            left += len(kept)
            found.append(self.rightly(np.concatenate([others, kept])))
        return DRAWS * len(own) / left, np.stack(found)


def begun(
    features: Features, layer: Layer, *, seed: int = 0, on_fit: Callable[[], None] = lambda: None
) -> Refits:
    """The fit to all images, from which the others start; `layer` gives its shape only."""
    zero = torch.zeros_like
    blank = replace(layer, weight=zero(layer.weight), bias=zero(layer.bias))
    whole = fitted(features.train, features.truth, blank, seed=seed)
    on_fit()
    n = len(features.truth)
    strength, right = whole.decay * n, rightly(whole.layer, features, np.arange(n))
    return Refits(features, whole.layer, strength, right, seed, on_fit)


@torch.no_grad()
def rightly(layer: Layer, features: Features, rows: np.ndarray) -> np.ndarray:
    """bool (m,): which validation images a layer fitted to training images `rows` answers rightly.
    A class without any is not answered.
    """
    counts = np.bincount(features.truth[rows], minlength=len(features.classes))
    seldom = torch.from_numpy(np.log(np.maximum(counts, TINY) / counts.sum())).float()
    seldom[torch.from_numpy(counts == 0)] = torch.inf
    chunks = torch.from_numpy(features.val).split(CHUNK)
    answers = [(layer.logits(x) - seldom).argmax(1) for x in chunks]
    return np.asarray(torch.cat(answers).numpy() == features.val_truth)
