"""A chain of layers with an optional shortcut over all or some of the channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def drop_path(y: Tensor, rate: float) -> Tensor:
    """y with whole samples set to zero at `rate` and the rest scaled up, so that the mean stays.

    Draws from torch's default generator: the training loop seeds it for each step.
    Source: stochastic depth, arXiv:1603.09382, in the form of EfficientNet's drop-connect.
    """
    keep = torch.rand((y.shape[0], 1, 1, 1), dtype=y.dtype, device=y.device) >= rate
    return y * keep / (1.0 - rate)


class Chain(nn.Module):
    """Layers in order, then x added to the first `shortcut` channels (0: nothing is added).

    Shapes: (n, c_in, h, w) -> (n, c_out, h', w').
    """

    drop = staticmethod(drop_path)

    def __init__(
        self,
        layers: dict[str, nn.Module],
        *,
        shortcut: int = 0,
        c_out: int = 0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.shortcut, self.c_out, self.drop_path = shortcut, c_out, drop_path

    def forward(self, x: Tensor) -> Tensor:
        """The chain's output with the shortcut added."""
        y = x
        for layer in self.children():
            y = layer(y)
        return self._joined(x, y) if self.shortcut else y

    def _joined(self, x: Tensor, y: Tensor) -> Tensor:
        if self.training and self.drop_path:
            y = self.drop(y, self.drop_path)
        k = self.shortcut
        if k == self.c_out:
            return y + (x if x.shape[1] == k else x[:, :k])
        return torch.cat([y[:, :k] + x[:, :k], y[:, k:]], dim=1)
