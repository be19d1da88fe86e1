"""Squeeze-and-excite: one factor a channel from the mean over space."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.nn.conv import ConvNormAct


class SqueezeExcite(nn.Module):
    """x * expand(reduce(mean of x)). Shapes: (n, c, h, w) -> same. Source: arXiv:1709.01507.

    `reduce` and `expand` are 1x1 convolutions with bias; `norm` puts a batch-norm after `reduce`
    (ReXNet's own).
    """

    def __init__(
        self,
        channels: int,
        squeeze: int,
        *,
        act: str = "relu",
        gate: str = "hard_sigmoid",
        norm: bool = False,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.reduce = ConvNormAct(
            channels, squeeze, norm=norm, bias=True, act=act, epsilon=epsilon, momentum=momentum
        )
        self.expand = ConvNormAct(squeeze, channels, norm=False, bias=True, act=gate)

    def forward(self, x: Tensor) -> Tensor:
        """x, each channel scaled."""
        # Not x.mean((2, 3)): channels-last, the pooling operator makes a training step 8% faster.
        return x * self.expand(self.reduce(F.adaptive_avg_pool2d(x, 1)))
