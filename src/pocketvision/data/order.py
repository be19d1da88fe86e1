"""The order of samples in an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketvision.data.counter import bits

WINDOW = 4  # groups that are mixed at a time


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


def windowed_order(
    sizes: Sequence[int], *, seed: int, epoch: int, window: int = WINDOW
) -> np.ndarray:
    """int64 (n,): a permutation of samples that lie in groups of `sizes`, one behind the other, of
    which any stretch needs few groups: a pure function of (sizes, seed, epoch).

    The shuffled groups stand in a circle, a unit of time apart; each sample comes at a moment drawn
    evenly from the `window` units behind its group's place. So `window` groups are mixed at any
    time, and each of them leaves as another one comes.
    """
    count = len(sizes)
    place = np.empty(count, np.int64)
    place[order(count, seed=seed, epoch=epoch)] = np.arange(count)
    n = int(np.sum(sizes))
    # The third number of each counter: the first one shuffles groups, the second is the sampler's.
    drawn = bits(seed=seed, epoch=-1 - epoch, indices=np.arange(n), count=1, first=2)[:, 0]
    wait = (drawn >> np.uint64(11)) * 2.0**-53 * min(window, count)
    return np.argsort((np.repeat(place, sizes) + wait) % count, kind="stable")
