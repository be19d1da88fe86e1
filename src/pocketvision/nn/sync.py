"""Batch-norm over a batch whose rows several processes hold: the statistics are of all of them.

torch's own SyncBatchNorm runs on GPUs only. Names of parameters and buffers are BatchNorm2d's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Together(Protocol):
    """How the processes exchange numbers."""

    def each(self, value: Tensor) -> Tensor:
        """The values (...) of all processes in order, (processes, ...)."""
        ...

    def sum_(self, values: list[Tensor]) -> None:
        """Replace each value by the sum over all processes."""
        ...


class SyncNorm(nn.BatchNorm2d):
    """BatchNorm2d whose batch is that of all processes together. (n, c, h, w) -> same."""

    together: Together

    def forward(self, x: Tensor) -> Tensor:
        """Normalised by the statistics of the whole batch in training, by the kept ones else."""
        if not self.training:
            return super().forward(x)
        total, mean, variance = moments(x.detach(), self.together)
        self._follow(total, mean, variance)
        y: Tensor = _Normalised.apply(
            x, self.weight, self.bias, mean, variance, self.eps, total, self.together
        )
        return y

    @torch.no_grad()
    def _follow(self, total: float, mean: Tensor, variance: Tensor) -> None:
        """Move the kept statistics, as BatchNorm2d does: the variance without bias."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (total / max(total - 1, 1))
        self.running_mean.mul_(1 - share).add_(mean, alpha=share)
        self.running_var.mul_(1 - share).add_(unbiased, alpha=share)


@torch.no_grad()
def moments(x: Tensor, together: Together) -> tuple[float, Tensor, Tensor]:
    """(pixels, mean (c,), variance (c,)) over the maps (n, c, h, w) of all processes.

    Each one's variance is about its own mean, and they are joined in float64 by Chan, Golub and
    LeVeque's rule, so that nothing cancels: v = sum n_r (v_r + (m_r - m)^2) / sum n_r. Every
    process does this arithmetic in the same order. Source: The American Statistician 37, 1983.
    """
    values = x.float() if x.dtype == torch.bfloat16 else x
    variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
    count = torch.full_like(mean, x.numel() // x.shape[1])
    rows = together.each(torch.stack([count, mean, variance]).double())
    n, m, v = rows[:, 0], rows[:, 1], rows[:, 2]
    total = n.sum(0)
    centre = (n * m).sum(0) / total
    spread = (n * (v + (m - centre) ** 2)).sum(0) / total
    return float(total[0]), centre.to(values.dtype), spread.to(values.dtype)


class _Normalised(torch.autograd.Function):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, where mean and variance are of the
    whole batch and so follow x: with g = dL/dy and z = (x - mean) / sqrt(variance + eps),
    dL/dx = weight / sqrt(variance + eps) * (g - mean(g) - z mean(g z)), means over all processes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
        total: float,
        together: Together,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.total, ctx.together = eps, total, together
        y: Tensor = torch.native_batch_norm(
            x, weight, bias, mean, variance, training=False, momentum=0.0, eps=eps
        )[0]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        scaled, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        if ctx.needs_input_grad[0]:
            sums = torch.stack([by_bias, by_weight]).double()
            ctx.together.sum_([sums])
            _centre_(scaled, x, weight, mean, variance + ctx.eps, sums / ctx.total)
        own = [
            g if needed else None
            for g, needed in zip((scaled, by_weight, by_bias), ctx.needs_input_grad, strict=False)
        ]
        return (*own, None, None, None, None, None)


def _centre_(
    scaled: Tensor, x: Tensor, weight: Tensor, mean: Tensor, spread: Tensor, means: Tensor
) -> None:
    """Take from `scaled` = weight / sqrt(spread) * g what follows from the statistics."""
    inverse = spread.double().rsqrt()
    factor = weight.double() * inverse
    shift, slope = -factor * means[0], -factor * means[1] * inverse
    by_channel = [v.to(mean.dtype).view(1, -1, 1, 1) for v in (mean, slope, shift)]
    scaled.addcmul_(x - by_channel[0], by_channel[1]).add_(by_channel[2])


def sync_(network: nn.Module, together: Together) -> None:
    """Give the network norms over the batch of all processes, in place of its own."""
    for norm in _replaced_(network, nn.BatchNorm2d, SyncNorm):
        norm.together = together


def plain_(network: nn.Module) -> None:
    """Give the network norms of its own again."""
    list(_replaced_(network, SyncNorm, nn.BatchNorm2d))


def _replaced_(network: nn.Module, old: type, new: type) -> Iterator[Any]:
    """Put norms of kind `new` with the same values in the place of those of kind `old`."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is old:
                norm = new(child.num_features, eps=child.eps, momentum=child.momentum)
                norm.weight, norm.bias = child.weight, child.bias
                norm.running_mean, norm.running_var = child.running_mean, child.running_var
                norm.num_batches_tracked = child.num_batches_tracked
                setattr(module, name, norm.train(child.training))
                yield norm
