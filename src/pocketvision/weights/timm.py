"""timm's parameter names (1.0.x): MobileNetV1-V3 and MixNet (`conv_stem`, `blocks.S.I`), ReXNet.

Source: read off the state dictionaries of timm 1.0.31.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pocketvision.spec import NetSpec
from pocketvision.weights.match import fit, modules, natural

# Where a module stands in the network, and inside a block with or without an expansion.
SECTIONS = ("conv_stem", "bn1", "stem", "blocks", "features", "conv_head", "bn2", "norm_head")
ENDS = ("head", "classifier")
EXPANDED = ("conv_exp", "conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_pwl", "bn3")
SEPARABLE = ("conv_dw", "bn1", "se", "conv_pw", "conv_pwl", "bn2")
SINGLE = ("conv", "bn1")
INSIDE = ("conv_reduce", "fc1", "conv", "bn", "conv_expand", "fc2")


def to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's state dictionary as weights of `spec`. Raises WeightsError."""
    prefixes = list(modules(tensors))
    return fit(spec, tensors, sorted(prefixes, key=lambda p: _key(p, prefixes)))


def _key(prefix: str, prefixes: list[str]) -> tuple[object, ...]:
    section, _, rest = prefix.partition(".")
    place = (*SECTIONS, *ENDS).index(section) if section in (*SECTIONS, *ENDS) else 99
    if section not in ("blocks", "features"):
        return place, _inner_rank(rest.split("."))
    depth = 2 if section == "blocks" else 1  # blocks.<stage>.<index>, features.<index>
    pieces = rest.split(".")
    block = tuple(int(p) for p in pieces[:depth] if p.isdigit())
    if section == "features" and len(pieces) == 2:  # ReXNet's last convolution
        return place, block, 0, _inner_rank(pieces[1:])
    layer, inner = pieces[depth], pieces[depth + 1 :]
    start = f"{section}.{'.'.join(pieces[:depth])}."
    names = {p.removeprefix(start).split(".")[0] for p in prefixes if p.startswith(start)}
    return place, block, _rank(layer, names), _inner_rank(inner)


def _rank(layer: str, names: set[str]) -> int:
    """Position of a layer in its block: the same name means another thing in another kind."""
    if "conv_dw" not in names:
        order: tuple[str, ...] = SINGLE
    elif "conv_exp" in names or {"conv_pw", "conv_pwl"} <= names:
        order = EXPANDED
    else:
        order = SEPARABLE
    return order.index(layer) if layer in order else 99


def _inner_rank(inner: list[str]) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    text = ".".join(inner)
    return (INSIDE.index(text) if text in INSIDE else 0), natural(text)
