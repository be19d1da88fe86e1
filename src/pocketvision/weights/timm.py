"""timm's parameter names (1.0.x).

MobileNetV1-V4, MixNet, EfficientNet, MnasNet (`conv_stem`, `blocks.S.I`), GhostNet (the same with
`ghost1`, `ghost2`), ReXNet (`features.I`), Xception (`blockN.rep.J`; 41: `blocks.I.stack`), ResNet.
Source: read off the state dictionaries of timm 1.0.31.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from pocketvision.spec import NetSpec
from pocketvision.weights import numbered
from pocketvision.weights.match import fit, modules, natural

# Where a module stands in the network, and inside a block of each kind.
SECTIONS = ("conv_stem", "bn1", "stem", "blocks", "features", "conv_head", "bn2", "norm_head")
ENDS = ("head", "classifier")
EXPANDED = ("conv_exp", "conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_pwl", "bn3")
SEPARABLE = ("conv_dw", "bn1", "se", "conv_pw", "conv_pwl", "bn2")
GHOST = ("ghost1", "conv_dw", "bn_dw", "se", "ghost2", "shortcut")
UNIVERSAL = ("dw_start", "pw_exp", "dw_mid", "pw_proj")
FUSED = ("conv_exp", "bn1", "conv_pwl", "bn2")
SINGLE = ("conv", "bn1")
XCEPTION = re.compile(r"(conv|bn|block|fc)(\d*)")
XCEPTION_41 = ("stack", "shortcut")
INSIDE = ("conv_reduce", "fc1", "conv", "bn", "conv_expand", "fc2")
# Ghost modules: what is made first; DeepLab's separable pairs.
INNER = ("primary_conv", "cheap_operation", "conv_dw", "bn_dw", "conv_pw", "bn_pw")


def to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's state dictionary as weights of `spec`. Raises WeightsError."""
    prefixes = list(modules(tensors))
    sections = {p.partition(".")[0] for p in prefixes}
    if "layer1" in sections:
        return numbered.to_ours(spec, tensors)
    if "block1" in sections:
        return fit(spec, tensors, sorted(prefixes, key=_xception_key))
    return fit(spec, tensors, sorted(prefixes, key=lambda p: _key(p, prefixes)))


def _key(prefix: str, prefixes: list[str]) -> tuple[object, ...]:
    section, _, rest = prefix.partition(".")
    place = (*SECTIONS, *ENDS).index(section) if section in (*SECTIONS, *ENDS) else 99
    if section not in ("blocks", "features"):
        return place, _inner_rank(rest.split("."))
    pieces = rest.split(".")
    # blocks.<stage>.<index>, but features.<index> (ReXNet) and blocks.<index> (Xception 41)
    depth = 2 if section == "blocks" and pieces[1:2] and pieces[1].isdigit() else 1
    block = tuple(int(p) for p in pieces[:depth] if p.isdigit())
    if section == "features" and len(pieces) == 2:  # ReXNet's last convolution
        return place, block, 0, _inner_rank(pieces[1:])
    layer, inner = "".join(pieces[depth : depth + 1]), pieces[depth + 1 :]
    start = f"{section}.{'.'.join(pieces[:depth])}."
    names = {p.removeprefix(start).split(".")[0] for p in prefixes if p.startswith(start)}
    return place, block, _rank(layer, names), _inner_rank(inner)


def _rank(layer: str, names: set[str]) -> int:
    """Position of a layer in its block: the same name means another thing in another kind."""
    order = _order(names)
    return order.index(layer) if layer in order else 99


def _order(names: set[str]) -> tuple[str, ...]:
    """The running order of a block that has layers of these names."""
    for order, mark in ((GHOST, "ghost1"), (UNIVERSAL, "pw_exp"), (XCEPTION_41, "stack")):
        if mark in names:
            return order
    if "conv_dw" in names:
        expanded = "conv_exp" in names or {"conv_pw", "conv_pwl"} <= names
        return EXPANDED if expanded else SEPARABLE
    return FUSED if "conv_pwl" in names else SINGLE


def _inner_rank(inner: list[str]) -> tuple[object, ...]:
    text = ".".join(inner)
    if inner and inner[0] in INNER:  # ghost1.primary_conv.0
        return INNER.index(inner[0]), natural(".".join(inner[1:]))
    if len(inner) == 2 and inner[1] in INNER:  # stack.conv1.conv_dw
        return 0, (*natural(inner[0]), (INNER.index(inner[1]), 0, ""))
    if len(inner) == 2 and inner[0].isdigit() and inner[1] in INSIDE:  # stem.0.conv
        return int(inner[0]), natural(str(INSIDE.index(inner[1])))
    return (INSIDE.index(text) if text in INSIDE else 0), natural(text)


def _xception_key(prefix: str) -> tuple[object, ...]:
    """conv1, bn1, conv2, bn2, block1 to block12, conv3, bn3, conv4, bn4, fc."""
    section, _, rest = prefix.partition(".")
    known = XCEPTION.fullmatch(section)
    if not known:
        return 4, natural(prefix)
    name, number = known[1], int(known[2] or 0)
    if name == "block":
        return 1, number, rest.startswith("skip"), natural(rest)
    if name == "fc":
        return 3, natural(rest)
    return (0 if number < 3 else 2), number, name == "bn", natural(rest)
