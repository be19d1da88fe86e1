"""What a step makes smaller: a scalar from a batch's logits and its classes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.train.config import TrainConfig
from pocketvision.train.job import Batch, Objective


def cross_entropy(logits_nk: Tensor, truth: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over n of -sum_k q_k log p_k, with q = (1 - smoothing) t + smoothing / k; `truth` holds
    the target shares t, or classes whose t is one-hot.

    Shapes: (n, k), (n, k) or (n,) -> ().   Source of the smoothing: arXiv:1512.00567, section 7.
    """
    return F.cross_entropy(logits_nk.float(), truth, label_smoothing=smoothing)


def plain(config: TrainConfig) -> Objective:
    """Cross-entropy with the config's smoothing, as an objective."""

    def objective(network: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(network(batch.x), batch.truth, smoothing=config.label_smoothing)

    return objective
