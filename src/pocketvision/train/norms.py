"""Batch-norm put back into a network that came without: files for inference fold it away.

A convolution with bias b becomes convolution and norm with mean m, variance v, scale sqrt(v + eps)
and shift b + m: the same function for every m and v. Zero and one would do in eval mode; but in
training a norm takes the batch's own statistics, and the function would change at the first step.
So m and v are measured: then both modes agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.model import Network
from pocketvision.nn.conv import ConvNormAct, MixedConvNormAct
from pocketvision.spec import AnyBlock, Cell, Conv, MixedConv, NetSpec, layers
from pocketvision.zoo import MODELS


def bare_layers(spec: NetSpec) -> tuple[str, ...]:
    """Addresses of stem and block layers whose norm was folded away; none where one is left, or
    where the network never had any (SqueezeNet).

    Hidden layers of a head and gates stay as they are: some have no norm by design, and a norm over
    one pixel an image is a noisy one.
    """
    body = _body(spec)
    if any(layer.norm == "batch" for _, layer in body) or _never_normed(spec):
        return ()
    return tuple(name for name, layer in body if layer.norm == "none")


def _body(spec: NetSpec) -> list[tuple[str, Conv | MixedConv]]:
    """Convolutions of stem and blocks with their addresses."""
    rows = [(n, x) for n, x in layers(spec) if not n.startswith("heads.")]
    return [(name, layer) for name, layer in rows if isinstance(layer, Conv | MixedConv)]


def _never_normed(spec: NetSpec) -> bool:
    """True for a network of the zoo that has no batch-norm by design."""
    if spec.name not in MODELS:
        return False
    return not any(layer.norm == "batch" for _, layer in _body(MODELS[spec.name]()))


def with_norms(
    spec: NetSpec, weights: Mapping[str, Tensor], names: Iterable[str]
) -> tuple[NetSpec, dict[str, Tensor]]:
    """(spec, weights) with a norm behind each layer of `names`, of the same function in eval mode:
    scale 1, shift = the bias, mean 0, variance 1 - epsilon.
    """
    wanted, made = set(names), dict(weights)
    for name in wanted:
        _split_(made, name, spec.numerics.bn_epsilon)
    stem = replace(spec.stem, norm="batch") if "stem" in wanted else spec.stem
    blocks = tuple(_block(b, f"blocks.{i}", wanted) for i, b in enumerate(spec.blocks))
    return replace(spec, stem=stem, blocks=blocks), made


def _block(block: AnyBlock, address: str, wanted: set[str]) -> AnyBlock:
    if isinstance(block, Cell):
        return block
    names = [name for name, _ in block.layers if f"{address}.{name}" in wanted]
    changed: dict[str, Any] = {n: _batch(getattr(block, n)) for n in names}
    made: AnyBlock = replace(block, **changed)
    return made


def _batch(layer: Conv | MixedConv) -> Conv | MixedConv:
    if isinstance(layer, MixedConv):
        return replace(layer, norm="batch")
    return replace(layer, norm="batch", bias=False)


def _split_(weights: dict[str, Tensor], name: str, epsilon: float) -> None:
    """Turn the bias of one layer, or those of its parts, into the shift of a norm."""
    keys = [k for k in weights if k.startswith(f"{name}.") and k.endswith(".bias")]
    shift = torch.cat([weights.pop(k) for k in sorted(keys, key=_part)])
    weights |= {
        f"{name}.norm.weight": torch.ones_like(shift),
        f"{name}.norm.bias": shift,
        f"{name}.norm.running_mean": torch.zeros_like(shift),
        f"{name}.norm.running_var": torch.full_like(shift, 1 - epsilon),
        f"{name}.norm.num_batches_tracked": torch.tensor(0),
    }


def _part(key: str) -> int:
    """Place of a part's bias: 3 of "blocks.1.depthwise.parts.3.bias", 0 of a plain one's."""
    piece = key.split(".")[-2]
    return int(piece) if piece.isdigit() else 0


@torch.no_grad()
def measure_(network: Network, names: Iterable[str], batches: Iterable[Tensor]) -> None:
    """Give the norms of `names` the mean and variance that their inputs have over `batches`
    (n, c, h, w); the network's function in eval mode stays. Its mode too.
    """
    norms = {name: _norm(network.get_submodule(name)) for name in names}
    sums = {name: _Sums() for name in norms}
    was_training = network.training
    network.eval()
    with ExitStack() as stack:
        for name, norm in norms.items():
            handle = norm.register_forward_pre_hook(lambda _m, x, s=sums[name]: s.add(x[0]))
            stack.callback(handle.remove)
        for x in batches:
            network.trunk(x)
    network.train(was_training)
    for name, norm in norms.items():
        _set_(norm, *sums[name].mean_and_variance())


def _norm(layer: nn.Module) -> nn.BatchNorm2d:
    assert isinstance(layer, ConvNormAct | MixedConvNormAct)
    assert isinstance(layer.norm, nn.BatchNorm2d)
    return layer.norm


class _Sums:
    """Mean and variance by channel of maps that come in batches."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        """Take note of a map (n, c, h, w): its variance about its own mean, so that nothing
        cancels, weighed by its pixels.
        """
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        pixels = x.numel() // x.shape[1]
        self.count += pixels
        self.first = self.first + mean.double() * pixels
        self.second = self.second + (variance.double() + mean.double() ** 2) * pixels

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """float64 (c,), (c,)."""
        mean = torch.as_tensor(self.first / self.count)
        return mean, (torch.as_tensor(self.second / self.count) - mean**2).clamp_min(0.0)


def _set_(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Other statistics, and the scale and shift with which the function stays.

    y = (x - m) g / sqrt(v + eps) + s, so that g' = g sqrt((v' + eps) / (v + eps)) and
    s' = s + (m' - m) g / sqrt(v + eps).
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    slope = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    norm.bias.copy_(norm.bias.double() + (mean - norm.running_mean.double()) * slope)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(slope * torch.sqrt(norm.running_var.double() + norm.eps))
