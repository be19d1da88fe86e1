"""What a step makes smaller: a scalar from a batch's logits and its classes."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.train.config import TrainConfig
from pocketvision.train.job import Batch, Objective

# (logits (n, k), classes (n,) or shares of all classes (n, k)) -> the mean loss over n
Hard = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits_nk: Tensor, truth: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over n of -sum_k q_k log p_k, with q = (1 - smoothing) t + smoothing / k; `truth` holds
    the target shares t, or classes whose t is one-hot.

    Shapes: (n, k), (n, k) or (n,) -> ().   Source of the smoothing: arXiv:1512.00567, section 7.
    """
    return F.cross_entropy(logits_nk.float(), truth, label_smoothing=smoothing)


def hard(config: TrainConfig) -> Hard:
    """The loss against labels that the config asks for: its smoothing."""
    return lambda logits, truth: cross_entropy(logits, truth, smoothing=config.label_smoothing)


def plain(config: TrainConfig) -> Objective:
    """The loss of `hard` as an objective."""
    loss = hard(config)

    def objective(network: nn.Module, batch: Batch) -> Tensor:
        return loss(network(batch.x), batch.truth)

    return objective
