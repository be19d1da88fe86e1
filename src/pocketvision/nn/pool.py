"""Pooling over windows, padded by the same rules as the convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.nn.conv import pads


class WindowPool(nn.Module):
    """Max or mean over kernel x kernel windows. (n, c, h, w) -> (n, c, h', w').

    `op`: "max", "mean" (over the real pixels of a window), "mean_zeros" (padding counts as zeros).
    `rule`: a padding rule of the spec, or "ceil": no padding, and a last window may hang over the
    end.
    """

    def __init__(self, *, op: str, kernel: int, stride: int, rule: str) -> None:
        super().__init__()
        self.op, self.kernel, self.stride, self.rule = op, kernel, stride, rule

    def forward(self, x: Tensor) -> Tensor:
        """The pooled map."""
        if self.rule in ("symmetric", "ceil"):
            return self._pooled(x, (self.kernel - 1) // 2 if self.rule == "symmetric" else 0)
        sides = self._pads(x.shape[-1]) + self._pads(x.shape[-2])
        if self.op == "max":
            return self._pooled(F.pad(x, sides, value=float("-inf")), 0)
        y = self._pooled(F.pad(x, sides), 0)
        if self.op == "mean_zeros":
            return y
        # The share of real pixels in each window, the same for every sample and channel.
        real = F.pad(torch.ones_like(x[:1, :1]), sides)
        return y / self._pooled(real, 0)

    def extra_repr(self) -> str:
        """What distinguishes one pool from another."""
        return f"{self.op}, kernel={self.kernel}, stride={self.stride}, rule={self.rule}"

    def _pads(self, size: int) -> tuple[int, int]:
        return pads(size, self.kernel, self.stride, 1, self.rule)

    def _pooled(self, x: Tensor, padding: int) -> Tensor:
        ceil = self.rule == "ceil"
        if self.op == "max":
            return F.max_pool2d(x, self.kernel, self.stride, padding, ceil_mode=ceil)
        zeros = self.op == "mean_zeros"
        return F.avg_pool2d(x, self.kernel, self.stride, padding, ceil, count_include_pad=zeros)
