"""The order of samples in an epoch."""

from __future__ import annotations

import numpy as np

from pocketvision.data.counter import bits


def order(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """int64 (n,): a permutation of 0 .. n - 1, a pure function of (n, seed, epoch)."""
    # Epochs of augmentation count from 0 up; the order takes its numbers from the other end.
    drawn = bits(seed=seed, epoch=-1 - epoch, indices=np.arange(n), count=1)[:, 0]
    return np.argsort(drawn, kind="stable")
