"""The network that an exported file holds: batch-norm folded, outputs in the order of heads."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from pocketvision.model import Network
from pocketvision.nn.conv import ConvNormAct, MixedConvNormAct


class Outputs(nn.Module):
    """The network with a tuple of outputs. (n, c, h, w) -> ((n, classes), ...)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """One tensor a head, in the order of the spec."""
        y = self.network(x)
        return tuple(y.values()) if isinstance(y, dict) else (y,)


def folded(network: Network) -> Network:
    """A copy in eval mode that answers the same without batch-norm (searched cells keep theirs).

    y = (w*x + b - mean) * g + beta with g = gamma / sqrt(var + eps), computed in float64. Exporters
    fold a norm after a convolution by themselves, but not one after a join (MixNet's).
    """
    out = copy.deepcopy(network).eval()
    for module in out.modules():
        if isinstance(module, ConvNormAct):
            _fold_(module, [module.conv])
        elif isinstance(module, MixedConvNormAct):
            _fold_(module, list(module.parts))
    return out


def _fold_(owner: ConvNormAct | MixedConvNormAct, convs: list[nn.Module]) -> None:
    """Move `owner.norm` into `convs`, which share its channels in order; an identity stays."""
    norm = getattr(owner, "norm", None)
    if not isinstance(norm, nn.BatchNorm2d):
        return
    start = 0
    for conv in convs:
        assert isinstance(conv, nn.Conv2d)
        _scale_(conv, norm, slice(start, start + conv.out_channels))
        start += conv.out_channels
    owner.norm = nn.Identity()


@torch.no_grad()
def _scale_(conv: nn.Conv2d, norm: nn.BatchNorm2d, part: slice) -> None:
    mean, var, gamma, beta = (_wide(t)[part] for t in _statistics(norm))
    g = gamma / torch.sqrt(var + norm.eps)
    bias = torch.zeros_like(mean) if conv.bias is None else _wide(conv.bias)
    dtype = conv.weight.dtype
    conv.weight = nn.Parameter((_wide(conv.weight) * g[:, None, None, None]).to(dtype))
    conv.bias = nn.Parameter(((bias - mean) * g + beta).to(dtype))


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var, norm.weight, norm.bias


def _wide(t: Tensor) -> Tensor:
    return t.detach().double()
