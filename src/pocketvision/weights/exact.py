"""A network whose activations are rounded to the grids that a quantized file records.

    x -> scale * (clip(round(x / scale) + zero point) - zero point)      at every edge

So the dequantized network answers as the file's own runtime does, up to the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.model import Network

RANGES = {"uint8": (0, 255), "int8": (-128, 127)}
HEAD_POOL, SOFTMAX = ".pool", ".softmax"


def exact_network(bundle: Bundle) -> Network:
    """The bundle's network in eval mode, rounding as its quantization.json says.

    Raises UsageError for a bundle that records no grids.
    """
    record = bundle.quantization
    if not isinstance(record, Mapping) or not record.get("edges"):
        raise UsageError(
            "the bundle records no grids of activations, so that nothing can be rounded to them: "
            "only a file of quantized weights (uint8 or int8 .tflite) brings some"
        )
    net = bundle.network()
    for address, edge in record["edges"].items():
        _attach(net, address, grid(edge))
    return net


def grid(edge: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """The rounding of one edge: a function of real values. Raises UsageError."""
    try:
        lowest, highest = RANGES[edge["scheme"]]
        scale, zero = float(edge["scale"]), int(edge["zero_point"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"quantization.json holds an edge that is not understood: {edge}") from None

    def rounded(x: Tensor) -> Tensor:
        # Ties go away from zero, as in TFLite's kernels; torch.round would send them to even.
        steps = torch.floor((x / scale).abs() + 0.5) * torch.sign(x)
        return (torch.clamp(steps + zero, lowest, highest) - zero) * scale

    return rounded


def _attach(net: Network, address: str, rounded: Callable[[Tensor], Tensor]) -> None:
    """Round where the tensor of `address` comes out."""
    if address == "input":
        net.stem.register_forward_pre_hook(lambda _m, x: (rounded(x[0]),))
        return
    if address.endswith(SOFTMAX):  # behind the logits, which are our output
        return
    if address.endswith(HEAD_POOL):
        owner = _module(net, address.removesuffix(HEAD_POOL))
        reader = owner.hidden if hasattr(owner, "hidden") else owner.reduce
        reader.register_forward_pre_hook(lambda _m, x: (rounded(x[0]),))
        return
    _module(net, address).register_forward_hook(lambda _m, _x, y: rounded(y))


def _module(net: nn.Module, address: str) -> Any:
    try:
        return net.get_submodule(address)
    except AttributeError:
        raise UsageError(f"quantization.json names {address!r}, which the network has not") from None
