"""The order of samples in an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Quota:
    """How often each class comes in an epoch: `truth` (n,) holds the samples' classes, `draws` (k,)
    counts that sum to n. Two of them are equal only where they are the same object.
    """

    truth: np.ndarray
    draws: np.ndarray


def quota_of(truth: np.ndarray, classes: int, *, power: float) -> Quota:
    """Shares in proportion to (images of the class) ** `power`: 1 leaves them, 0 makes them equal.

    Draws are whole numbers within 1 of their share, the largest remainders rounded up.
    """
    counts = np.bincount(truth, minlength=classes)
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** power, 0.0)
    wanted = weights / weights.sum() * len(truth)
    draws = np.floor(wanted).astype(np.int64)
    rest = len(truth) - int(draws.sum())
    draws[np.argsort(draws - wanted, kind="stable")[:rest]] += 1
    return Quota(truth, draws)


def balanced_order(quota: Quota, *, seed: int, epoch: int) -> np.ndarray:
    """int64 (n,): samples of an epoch, each class as often as its quota says, a pure function of
    (quota, seed, epoch).

    A class's samples come from an endless chain of shuffled passes over it, of which each epoch
    takes the next piece: none comes twice more often than another.
    """
    classes = (np.flatnonzero(quota.truth == c) for c in range(len(quota.draws)))
    chosen = np.concatenate(
        [
            _piece(members, int(draws) * epoch, int(draws), seed)
            for members, draws in zip(classes, quota.draws, strict=True)
        ]
    )
    return chosen[order(len(chosen), seed=seed, epoch=epoch)]


def _piece(members: np.ndarray, begin: int, count: int, seed: int) -> np.ndarray:
    """Entries begin .. begin + count of the chain of shuffled passes over `members`."""
    if not count:
        return members[:0]
    size = len(members)
    first, last = begin // size, (begin + count - 1) // size
    passes = [
        members[np.argsort(_keys(members, seed, p), kind="stable")] for p in range(first, last + 1)
    ]
    return np.concatenate(passes)[begin - first * size :][:count]


def _keys(members: np.ndarray, seed: int, number: int) -> np.ndarray:
    # The second number of each counter: the first one shuffles the epoch.
    return bits(seed=seed, epoch=-1 - number, indices=members, count=1, first=1)[:, 0]


def numbered(indices: np.ndarray, n: int) -> np.ndarray:
    """int64: each index of 0 .. n - 1, plus n for each time that it came before; so that what is
    drawn by these numbers differs between the copies of a sample.
    """
    by_index = np.argsort(indices, kind="stable")
    ranked = indices[by_index]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    since = np.arange(len(ranked)) - np.repeat(starts, np.diff(np.r_[starts, len(ranked)]))
    copies = np.empty_like(since)
    copies[by_index] = since
    return indices + n * copies
