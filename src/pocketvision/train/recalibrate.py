"""Batch-norm statistics measured anew: exact means and variances over images, not a moving average.

Every norm's input is summed up while the network normalises by batch, as in training, so that what
a norm was before plays no part in what comes after it ("precise batch-norm": arXiv:2105.07576,
section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess, to_tensor
from pocketvision.train.modes import by_batch, mixed_batches, norms_of

PIECE = 8  # images that are held in float64 at a time


class Moments:
    """Mean and population variance by channel, pooled in float64 over maps that come in batches.

    With N_b values, mean m_b and variance v_b of each part, N = sum N_b, m = sum N_b m_b / N and
    v = sum N_b (v_b + (m_b - m)^2) / N; summed part by part as Chan, Golub & LeVeque 1979 do, so
    that nothing cancels.
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean = torch.zeros(channels, dtype=torch.float64)
        self.square = torch.zeros(channels, dtype=torch.float64)  # sum of (x - mean)^2

    def add(self, x: Tensor) -> None:
        """Take note of maps (n, c, h, w) or vectors (n, c)."""
        for part in x.split(PIECE):
            values = part.double().transpose(0, 1).flatten(1)
            variance, mean = torch.var_mean(values, dim=1, correction=0)
            n = values.shape[1]
            apart, total = mean - self.mean, self.count + n
            self.square += variance * n + apart.square() * (self.count * n / total)
            self.mean += apart * (n / total)
            self.count = total

    @property
    def variance(self) -> Tensor:
        """float64 (c,)."""
        return self.square / self.count


@torch.no_grad()
def recalibrated_(network: Network, batches: Iterable[Tensor]) -> int:
    """Give every batch-norm the moments that its input has over `batches` (n, c, h, w); how many
    norms there are comes back. Raises UsageError where there is none.
    """
    norms = norms_of(network)
    if not norms:
        raise no_norms(network)
    moments = {name: Moments(norm.num_features) for name, norm in norms.items()}
    seen = 0
    with ExitStack() as stack:
        for name, norm in norms.items():
            handle = norm.register_forward_pre_hook(lambda _m, x, s=moments[name]: s.add(x[0]))
            stack.callback(handle.remove)
        stack.enter_context(by_batch(network))
        for x in batches:
            network(x)
            seen += 1
    for name, norm in norms.items():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.running_mean.copy_(moments[name].mean)
        norm.running_var.copy_(moments[name].variance)
        norm.num_batches_tracked.fill_(seen)
    return len(norms)


def no_norms(network: Network) -> UsageError:
    """The error for a network without batch-norm."""
    return UsageError(
        f"{network.spec.name} has no batch-norm to recalibrate: its norms were folded into the "
        "convolutions when it was made for inference, or it never had any"
    )


def shuffled_inputs(
    images_nhwc: np.ndarray, preprocess: Preprocess, *, batch_size: int
) -> Iterator[Tensor]:
    """float32 (b, c, h, w): every image once, shuffled, b >= batch_size where there are so many.

    Raises UsageError with one image, which has no statistics.
    """
    if len(images_nhwc) < 2:
        raise UsageError("batch statistics need at least 2 images, got 1")
    for rows in map(np.sort, mixed_batches(len(images_nhwc), batch_size)):
        x = torch.from_numpy(to_tensor(images_nhwc[rows], preprocess))
        yield x.contiguous(memory_format=torch.channels_last)
