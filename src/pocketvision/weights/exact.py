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
POOL, SOFTMAX = ".pool", ".softmax"
TIE = 2.0**-12  # above the rounding of float32, far below a step


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
        _attach(net, address, grid(edge, nudge=TIE if address.endswith(POOL) else 0.0))
    return net


def grid(edge: Mapping[str, Any], *, nudge: float = 0.0) -> Callable[[Tensor], Tensor]:
    """The rounding of one edge: a function of real values. Raises UsageError.

    `nudge`, a small part of a step, sends ties up: a mean of few whole numbers often lies on one,
    and kernels take (sum + n / 2) / n.
    """
    try:
        lowest, highest = RANGES[edge["scheme"]]
        scale, zero = float(edge["scale"]), int(edge["zero_point"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"quantization.json holds an edge that is not understood: {edge}"
        ) from None

    def rounded(x: Tensor) -> Tensor:
        steps = torch.round(x / scale + nudge)
        return (torch.clamp(steps + zero, lowest, highest) - zero) * scale

    return rounded


def _attach(net: Network, address: str, rounded: Callable[[Tensor], Tensor]) -> None:
    """Round where the tensor of `address` comes out."""
    if address == "input":
        net.stem.register_forward_pre_hook(lambda _m, x: (rounded(x[0]),))
        return
    if address.endswith(SOFTMAX):  # behind the logits, which are our output
        return
    if address.endswith(POOL):
        owner = _module(net, address.removesuffix(POOL))
        reader = owner.hidden if hasattr(owner, "hidden") else owner.reduce
        reader.register_forward_pre_hook(lambda _m, x: (rounded(x[0]),))
        return
    _module(net, address).register_forward_hook(lambda _m, _x, y: rounded(y))


def _module(net: nn.Module, address: str) -> Any:
    try:
        return net.get_submodule(address)
    except AttributeError:
        raise UsageError(
            f"quantization.json names {address!r}, which the network has not"
        ) from None
