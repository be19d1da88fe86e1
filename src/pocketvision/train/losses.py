"""What a step makes smaller: a scalar from a batch's logits and its classes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_nk: Tensor, truth_n: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over n of -sum_k q_k log p_k, with q = (1 - smoothing) one-hot + smoothing / k.

    Shapes: (n, k), (n,) -> ().   Source of the smoothing: arXiv:1512.00567, section 7.
    """
    return F.cross_entropy(logits_nk.float(), truth_n, label_smoothing=smoothing)
