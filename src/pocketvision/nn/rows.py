"""Dropout and drop-path of a process that holds some rows of a batch and others hold the rest.

What is drawn for image i of the whole batch must not depend on who holds it. So each process draws
for the whole batch, in the order and shape of a single one, and uses the rows that it holds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketvision.nn.chain import Chain
from pocketvision.nn.steps import Sum


class Rows:
    """Where the present rows lie: from row `first` of a batch of `whole`."""

    def __init__(self) -> None:
        self.first, self.whole = 0, 0

    def of(self, drawn: Tensor, n: int) -> Tensor:
        """The n present rows of what was drawn for the whole batch."""
        return drawn[self.first : self.first + n]

    def drop_path(self, y: Tensor, rate: float) -> Tensor:
        """`nn.chain.drop_path` of the whole batch, the present rows of it."""
        drawn = torch.rand((self.whole, 1, 1, 1), dtype=y.dtype, device=y.device)
        return y * (self.of(drawn, len(y)) >= rate) / (1.0 - rate)


class RowDropout(nn.Dropout):
    """`nn.Dropout` of the whole batch, the present rows of it, to the bit. (n, ...) -> same."""

    def __init__(self, p: float, rows: Rows) -> None:
        super().__init__(p)
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """The rows with values set to zero at rate p, the others scaled up."""
        if not self.training or not self.p:
            return x
        noise = x.new_empty((self.rows.whole, *x.shape[1:]))
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            # Values are drawn in the order of memory.
            noise = noise.contiguous(memory_format=torch.channels_last)
        noise.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * self.rows.of(noise, len(x))


def rows_(network: nn.Module) -> None:
    """Make the network's dropout and drop-path those of rows, in place; `see` says which ones."""
    rows = Rows()
    network.rows = rows  # type: ignore[assignment]
    for module in list(network.modules()):
        if isinstance(module, Chain | Sum):
            module.drop = rows.drop_path
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, RowDropout(child.p, rows).train(child.training))


def see(network: nn.Module, first: int, whole: int) -> None:
    """The next forward pass is over the rows from `first` on of a batch of `whole`; nothing to do
    for a network that sees whole batches.
    """
    rows = getattr(network, "rows", None)
    if rows is not None:
        rows.first, rows.whole = first, whole
