"""A searched cell: a small graph over two earlier outputs (NASNet, DARTS)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pocketvision.nn.conv import PaddedConv

Norm = Callable[[int], nn.Module]


def separable(
    c_in: int, c_out: int, kernel: int, *, stride: int, norm: Norm, rule: str
) -> nn.Sequential:
    """(relu, depthwise, 1x1, norm) twice; the first has the stride and changes the width.

    Source: arXiv:1707.07012, A.4.
    """
    steps: list[nn.Module] = []
    for c, s in ((c_in, stride), (c_out, 1)):
        steps += _filtered(c, c_out, kernel, stride=s, dilation=1, norm=norm, rule=rule)
    return nn.Sequential(*steps)


def dilated(
    c_in: int, c_out: int, kernel: int, *, stride: int, norm: Norm, rule: str
) -> nn.Sequential:
    """relu, depthwise at dilation 2, 1x1, norm. Source: DARTS, arXiv:1806.09055, section 3.1.1."""
    steps = _filtered(c_in, c_out, kernel, stride=stride, dilation=2, norm=norm, rule=rule)
    return nn.Sequential(*steps)


def _filtered(
    c_in: int, c_out: int, kernel: int, *, stride: int, dilation: int, norm: Norm, rule: str
) -> list[nn.Module]:
    depthwise = PaddedConv(
        c_in,
        c_in,
        kernel=kernel,
        stride=stride,
        groups=c_in,
        dilation=dilation,
        bias=False,
        rule=rule,
    )
    return [nn.ReLU(), depthwise, nn.Conv2d(c_in, c_out, 1, bias=False), norm(c_out)]


class FactorizedReduction(nn.Module):
    """Halve the size without losing every second pixel: two 1x1 at stride 2, one pixel apart.

    Shapes: (n, c_in, h, w) -> (n, c_out, ceil(h/2), ceil(w/2)). Source: arXiv:1707.07012, A.4.
    """

    def __init__(self, c_in: int, c_out: int, *, norm: Norm) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.norm = norm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """The reduced map; the odd path sees x moved by one pixel, zeros coming in at the end."""
        x = x.relu()
        moved = nn.functional.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))
        return self.norm(torch.cat([self.even(x), self.odd(moved)], dim=1))


def squeeze(c_in: int, c_out: int, *, norm: Norm) -> nn.Sequential:
    """relu, 1x1, norm: brings an input to the cell's channels."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), norm(c_out))


class CellGraph(nn.Module):
    """Nodes 0 and 1 are the inputs; node k >= 2 sums its edges; the output joins `concat`.

    `edges[k]` lists (source node, module). Shapes: (n, c_older, ...), (n, c_newer, h, w) ->
    (n, channels * len(concat), h', w').
    """

    def __init__(
        self,
        older: nn.Module,
        newer: nn.Module,
        edges: Sequence[Sequence[tuple[int, nn.Module]]],
        concat: Sequence[int],
    ) -> None:
        super().__init__()
        self.older, self.newer = older, newer
        self.ops = nn.ModuleList(nn.ModuleList(op for _, op in row) for row in edges)
        self.sources = [[source for source, _ in row] for row in edges]
        self.concat = list(concat)

    def forward(self, older: Tensor, newer: Tensor) -> Tensor:
        """The cell's output."""
        nodes = [self.older(older), self.newer(newer)]
        for ops, sources in zip(self._rows(), self.sources, strict=True):
            terms = [op(nodes[i]) for op, i in zip(ops, sources, strict=True)]
            nodes.append(sum(terms[1:], terms[0]))
        return torch.cat([nodes[i] for i in self.concat], dim=1)

    def _rows(self) -> list[nn.ModuleList]:
        return [row for row in self.ops if isinstance(row, nn.ModuleList)]
