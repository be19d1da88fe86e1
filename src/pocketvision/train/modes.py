"""Batch-norm answers in two modes: by its kept statistics, and by those of the batch in hand.

Training sees the second, users the first. Where the second is much better, the kept statistics are
not those of the data: too few steps for their average, or images that changed since.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pocketvision.data.order import order
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess, to_tensor
from pocketvision.tasks.classify import Z_95

MOST_IMAGES = 512
LEAST_GAP = 0.05


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Shares of the same n images that were right by kept and by batch statistics; `gained` and
    `lost` count those that only the second, only the first answered rightly.
    """

    n: int
    kept: float
    batch: float
    gained: int
    lost: int

    @property
    def differ(self) -> bool:
        """Batch statistics win by over 5 points, and by more than chance among the images that
        changed (McNemar 1947: gained - lost over sqrt(gained + lost)).
        """
        over = self.gained - self.lost
        return over > LEAST_GAP * self.n and over > Z_95 * math.sqrt(self.gained + self.lost)

    def to_dict(self) -> dict[str, object]:
        """The fields and the verdict, as JSON values."""
        return {**asdict(self), "differ": self.differ}


def norms_of(network: nn.Module) -> dict[str, _BatchNorm]:
    """Every batch-norm that keeps statistics, by its address."""
    rows = network.named_modules()
    return {n: m for n, m in rows if isinstance(m, _BatchNorm) and m.running_mean is not None}


@contextmanager
def by_batch(network: nn.Module) -> Iterator[None]:
    """Batch-norms take the statistics of the batch in hand and keep none; all else, dropout too,
    as in eval mode. The modes come back as they were.
    """
    before = {m: m.training for m in network.modules()}
    network.eval()
    for norm in norms_of(network).values():
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for module, mode in before.items():
            module.training = mode
        for norm in norms_of(network).values():
            norm.track_running_stats = True


def mixed_batches(n: int, size: int) -> list[np.ndarray]:
    """Rows 0..n - 1 in batches of `size` or a little more, shuffled: files come class by class,
    and a batch of one class has other statistics than training saw.
    """
    shuffled = np.asarray(order(n, seed=0, epoch=0))
    return np.array_split(shuffled, max(n // size, 1))


@torch.no_grad()
def modes(
    network: Network,
    images_nhwc: np.ndarray,
    truth_n: np.ndarray,
    preprocess: Preprocess,
    *,
    kept_logits: np.ndarray,
    batch_size: int,
) -> Modes | None:
    """Both modes on up to 512 images uint8 (n, h, w, c) in batches of training's size, where
    `kept_logits` (n, k) are the answers in eval mode; None without batch-norm or with one image.
    """
    if not norms_of(network) or len(truth_n) < 2:
        return None
    seen, batch = [], []
    with by_batch(network):
        for rows in map(np.sort, mixed_batches(len(truth_n), batch_size)):
            x = torch.from_numpy(to_tensor(images_nhwc[rows], preprocess))
            y = network(x.contiguous(memory_format=torch.channels_last))
            batch.append(y.argmax(1).numpy() == truth_n[rows])
            seen.append(rows)
            if sum(map(len, seen)) + batch_size > MOST_IMAGES:
                break
    rows = np.concatenate(seen)
    kept = kept_logits[rows].argmax(1) == truth_n[rows]
    return _compared(kept, np.concatenate(batch))


def _compared(kept: np.ndarray, batch: np.ndarray) -> Modes:
    return Modes(
        n=len(kept),
        kept=float(kept.mean()),
        batch=float(batch.mean()),
        gained=int((batch & ~kept).sum()),
        lost=int((kept & ~batch).sum()),
    )
