"""The running average of a network's weights, which answers better than the last ones do."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """A copy of a network, in eval mode, whose floats follow: average += (1 - d) (value - average).

    Batch-norm's statistics are averaged with the weights that they belong to.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        pairs = _pairs(self.network, network)
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move towards the network's present values; decay 0 copies them."""
        for kept, value in self._counts:
            kept.copy_(value)
        own, new = (list(column) for column in zip(*self._floats, strict=True))
        get_ema_multi_avg_fn(decay)(own, new, None)


def _pairs(a: nn.Module, b: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The same tensors of two networks of one shape; they stay valid as values change in place."""
    of_b = b.state_dict()
    return [(value, of_b[name]) for name, value in a.state_dict().items()]
