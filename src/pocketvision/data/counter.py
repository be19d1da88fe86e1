"""Random numbers as a pure function of (seed, epoch, sample): no state, so nothing can shift them.

The number of workers, the batch a sample falls into, a resume or another process count cannot
change what is drawn. Source: the mixing function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014),
chained over the parts of the counter.
"""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(x: np.ndarray) -> np.ndarray:
    """uint64 -> uint64, one to one; each input bit changes about half of the output bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def bits(*, seed: int, epoch: int, indices: np.ndarray, count: int, first: int = 0) -> np.ndarray:
    """uint64 (n, count) for n sample indices: numbers `first`, `first` + 1, ... of each."""
    x = np.zeros(1, np.uint64)
    for part in (seed, epoch):
        x = mixed((x + np.uint64(part % 2**64)) * GOLDEN + GOLDEN)
    x = mixed((x + np.asarray(indices).astype(np.uint64)) * GOLDEN + GOLDEN)[:, None]
    return mixed((x + np.arange(first, first + count, dtype=np.uint64)) * GOLDEN + GOLDEN)


def stream(seed: int, number: int) -> int:
    """The seed of another row of numbers, for a use that must not shift those of the seed itself.

    It is drawn at an epoch that neither augmentation (from 0 up) nor the order (from -1 down) will
    come to.
    """
    return int(bits(seed=seed, epoch=2**62 + number, indices=np.zeros(1), count=1)[0, 0])


def uniforms(*, seed: int, epoch: int, indices: np.ndarray, count: int) -> np.ndarray:
    """float64 (n, count), even in [0, 1), for n sample indices."""
    drawn = bits(seed=seed, epoch=epoch, indices=indices, count=count)
    return (drawn >> np.uint64(11)) * 2.0**-53
