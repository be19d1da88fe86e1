"""Activations that a file spells out: hard-swish, hard-sigmoid, SiLU from their arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pocketvision.compiler.graph import Act, Activation, Affine, Binary, Graph, Node
from pocketvision.compiler.passes.rewrite import Uses, is_plain, rebuilt, uniform

CLOSE = 1e-6


def spelled(graph: Graph) -> Graph:
    """With the primitive spelling of an activation read as one node."""
    uses = Uses(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        made = _read(node, uses)
        nodes.append(made)
        uses.maker[made.output] = made  # later patterns are built of earlier ones
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _read(node: Node, uses: Uses) -> Node:
    if isinstance(node, Binary) and node.kind == "mul" and is_plain(node.act):
        return _product(node, node.x, node.y, uses) or _product(node, node.y, node.x, uses) or node
    if isinstance(node, Affine) and is_plain(node.act):
        return _scaled_clip(node, uses) or _late_sixth(node, uses) or node
    if isinstance(node, Act):
        return _simpler(node, uses)
    return node


def _product(node: Binary, x: str, gate: str, uses: Uses) -> Node | None:
    """x * sigmoid(x) and x * hard_sigmoid(x)."""
    made = uses.maker.get(gate)
    if not isinstance(made, Act) or made.x != x:
        return None
    act = made.act
    if act.kind == "sigmoid":
        return Act(name=node.name, output=node.output, x=x, act=Activation("silu"))
    if act.kind == "hard_sigmoid" and _near(act.alpha, 1 / 6) and _near(act.beta, 0.5):
        return Act(name=node.name, output=node.output, x=x, act=Activation("hard_swish"))
    return None


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE)


def _line(value: str, uses: Uses) -> tuple[str, float, float] | None:
    """(x, scale, bias) of a value that is x * scale + bias, one number each for all channels."""
    made = uses.maker.get(value)
    if not isinstance(made, Affine) or not is_plain(made.act):
        return None
    scale, bias = uniform(made.scale), uniform(made.bias)
    return None if scale is None or bias is None else (made.x, scale, bias)


def _scaled_clip(node: Affine, uses: Uses) -> Node | None:
    """clip(a x + b, 0, 6) / 6 is clip(a x / 6 + b / 6, 0, 1)."""
    clip, scale, bias = uses.maker.get(node.x), uniform(node.scale), uniform(node.bias)
    if not isinstance(clip, Act) or clip.act.kind != "clip" or not scale or bias != 0:
        return None
    low, high = clip.act.alpha * scale, clip.act.beta * scale
    if low != 0 or not _near(high, 1):
        return None
    x, a, b = _line(clip.x, uses) or (clip.x, 1.0, 0.0)
    act = Activation("hard_sigmoid", _tidy(a * scale), _tidy(b * scale))
    return Act(name=node.name, output=node.output, x=x, act=act)


def _tidy(number: float) -> float:
    """1/6 and 1/2 where the file's float32 numbers come close."""
    for usual in (1 / 6, 0.5):
        if _near(number, usual):
            return usual
    return number


def _late_sixth(node: Affine, uses: Uses) -> Node | None:
    """x * clip(x + 3, 0, 6), and only then / 6."""
    product, scale = uses.only(node.x, Binary), uniform(node.scale)
    if product is None or product.kind != "mul" or not is_plain(product.act):
        return None
    if scale is None or not _near(scale, 1 / 6) or node.bias.any():
        return None
    for x, gate in ((product.x, product.y), (product.y, product.x)):
        clip = uses.maker.get(gate)
        if not isinstance(clip, Act) or clip.act.kind != "clip":
            continue
        whole = (clip.act.alpha, clip.act.beta) == (0, 6)
        line = _line(clip.x, uses)
        if whole and line and line[0] == x and line[1] == 1 and _near(line[2], 3):
            return Act(name=node.name, output=node.output, x=x, act=Activation("hard_swish"))
    return None


def _simpler(node: Act, uses: Uses) -> Act:
    """One clip for two, and the plainest name for what is left."""
    act, x = node.act, node.x
    below = uses.maker.get(x)
    if isinstance(below, Act) and (ours := _range(act)) and (theirs := _range(below.act)):
        low, high = np.clip(theirs, *ours)
        act, x = Activation("clip", float(low), float(high)), below.x
    if act.kind == "prelu" and act.slope is not None and uniform(act.slope) is not None:
        act = Activation("leaky_relu", float(act.slope[0]))
    if act.kind == "clip":
        act = {
            (0.0, math.inf): Activation("relu"),
            (-math.inf, math.inf): Activation(),
        }.get((act.alpha, act.beta), act)
    if act.kind == "leaky_relu" and act.alpha in (0, 1):
        act = Activation("none" if act.alpha else "relu")
    return node if act == node.act and x == node.x else replace(node, x=x, act=act)


def _range(act: Activation) -> tuple[float, float] | None:
    if act.kind == "relu":
        return 0.0, math.inf
    return (act.alpha, act.beta) if act.kind == "clip" else None
