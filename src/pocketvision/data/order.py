"""The order of samples in an epoch."""

from __future__ import annotations

import numpy as np

from pocketvision.data.counter import bits


def order(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """int64 (n,): a permutation of 0 .. n - 1, a pure function of (n, seed, epoch)."""
    # Epochs of augmentation count from 0 up; the order takes its numbers from the other end.
    drawn = bits(seed=seed, epoch=-1 - epoch, indices=np.arange(n), count=1)[:, 0]
    return np.argsort(drawn, kind="stable")


def repeated(order: np.ndarray, times: int) -> np.ndarray:
    """int64 (n,): the first n / times of an order (n,), each `times` times in a row, so that its
    copies meet in one batch; copy k of image i is the number i + k n, and one copy is the order.

    Sources: arXiv:1901.09335 (augment your batch), arXiv:1902.05509, section 3 (repeated
    augmentation, with the epoch's length kept as DeiT does).
    """
    n = len(order)
    copies = order[: -(-n // times), None] + n * np.arange(times)
    return copies.reshape(-1)[:n]
