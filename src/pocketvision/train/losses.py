"""What a step makes smaller: a scalar from a batch's logits and its classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.train.balance import class_weights, prior
from pocketvision.train.config import TrainConfig
from pocketvision.train.job import Batch, Objective

# (logits (n, k), shares of all classes (n, k) or classes (n,)) -> the mean loss over n
Hard = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits_nk: Tensor, truth: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over n of -sum_k q_k log p_k, with q = (1 - smoothing) t + smoothing / k; `truth` holds
    the target shares t, or classes whose t is one-hot.

    Shapes: (n, k), (n, k) or (n,) -> ().   Source of the smoothing: arXiv:1512.00567, section 7.
    """
    return F.cross_entropy(logits_nk.float(), truth, label_smoothing=smoothing)


def weighted(
    logits_nk: Tensor, truth: Tensor, weights_k: Tensor, *, smoothing: float = 0.0
) -> Tensor:
    """Mean over n of sum_c t_c w_c l_c, with l_c the smoothed cross-entropy of class c: the weight
    is that of the image's class; an image mixed of two has the mix of two weighted losses.

    Divided by n and not by the weights' sum, so that parts of a batch add up to the whole; weights
    with a mean of 1 leave the learning rate its meaning. Shapes as in `cross_entropy`, (k,).
    """
    shares = truth if truth.ndim == 2 else F.one_hot(truth, logits_nk.shape[1])
    shares = shares * weights_k.to(logits_nk.device)
    wanted = (1 - smoothing) * shares + smoothing / shares.shape[1] * shares.sum(1, keepdim=True)
    return -(wanted * logits_nk.float().log_softmax(1)).sum(1).mean()


def adjusted(
    logits_nk: Tensor, truth: Tensor, prior_k: Tensor, *, smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy of logits + log prior, so that the bare logits answer as if all classes
    were as frequent. The smoothed share is spread by the prior as well: spread evenly, it would ask
    of rare classes more than their share, and after the prior is gone they would always be named.

    Shapes as in `cross_entropy`, (k,).   Source: arXiv:2007.07314, equation 10, tau = 1.
    """
    prior = prior_k.to(logits_nk.device)
    shares = truth if truth.ndim == 2 else F.one_hot(truth, logits_nk.shape[1])
    wanted = (1 - smoothing) * shares + smoothing * prior
    return F.cross_entropy(logits_nk.float() + prior.log(), wanted)


def hard(config: TrainConfig, counts: np.ndarray | None = None) -> Hard:
    """The loss against labels that the config asks for: its smoothing and its balance, the latter
    by the number of training images of each class, `counts` (k,). Raises UsageError without them.
    """
    smoothing = config.label_smoothing
    if config.balance not in ("loss", "logit-adjust"):
        return lambda logits, truth: cross_entropy(logits, truth, smoothing=smoothing)
    if counts is None:
        raise UsageError(f"--balance {config.balance} needs the number of images of each class")
    if config.balance == "loss":
        weights = torch.from_numpy(class_weights(counts)).float()
        return lambda logits, truth: weighted(logits, truth, weights, smoothing=smoothing)
    shares = torch.from_numpy(prior(counts)).float()
    return lambda logits, truth: adjusted(logits, truth, shares, smoothing=smoothing)


def plain(config: TrainConfig, counts: np.ndarray | None = None) -> Objective:
    """The loss of `hard` as an objective."""
    loss = hard(config, counts)

    def objective(network: nn.Module, batch: Batch) -> Tensor:
        return loss(network(batch.x), batch.truth)

    return objective
