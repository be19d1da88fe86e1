"""First values of the weights, with their source; repeatable from one seed."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def initialise_(net: nn.Module, seed: int) -> None:
    """Fill `net` in place: convolutions N(0, 2 / (k*k*c_out/groups)), norms 1 and 0, linears N(0,
    0.01).

    Source: the fan-out rule of the authors' MnasNet/EfficientNet code (`conv_kernel_initializer`,
    tensorflow/tpu), where a depthwise fan-out is k*k; linears as torchvision's `mobilenetv2.py`.
    """
    draw = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[0, 0].numel() * module.out_channels / module.groups
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=draw)
            _zero_(module.bias)
        elif isinstance(module, nn.Linear):
            module.weight.normal_(0.0, 0.01, generator=draw)
            _zero_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _zero_(bias: torch.Tensor | None) -> None:
    if bias is not None:
        bias.zero_()
