"""Constants are computed, and become numbers a channel where they are that."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketvision.compiler import reference
from pocketvision.compiler.graph import (
    Affine,
    Binary,
    Constant,
    Graph,
    Node,
    Shape,
)
from pocketvision.compiler.passes.rewrite import rebuilt

MAX_CONSTANT = 1 << 22  # numbers that a folded constant may have


def constants(graph: Graph) -> Graph:
    """Nodes of constants are computed, and a constant number a channel becomes an Affine."""
    known: dict[str, np.ndarray] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        made = node
        if isinstance(node, Constant):
            known[node.output] = node.value
        elif isinstance(node, Binary) and (node.x in known) != (node.y in known):
            made = _arithmetic(node, known, graph.shapes) or node
        elif node.inputs and all(v in known for v in node.inputs):
            made = _computed(node, known, graph.shapes[node.output]) or node
            if isinstance(made, Constant):
                known[made.output] = made.value
        nodes.append(made)
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _computed(node: Node, known: dict[str, np.ndarray], shape: Shape) -> Constant | None:
    if np.prod(shape, dtype=np.float64) > MAX_CONSTANT:
        return None
    values = {v: known[v].astype(np.float64) for v in node.inputs}
    with np.errstate(all="ignore"):
        return Constant(name=node.name, output=node.output, value=reference.evaluate(node, values))


def _arithmetic(node: Binary, known: dict[str, np.ndarray], shapes: Any) -> Affine | None:
    swapped = node.x in known
    k, other = (known[node.x], node.y) if swapped else (known[node.y], node.x)
    shape = shapes[node.output]
    # A constant as large as the image may still hold one number a channel.
    if shapes[other] != shape or not (k == k[:1, :1]).all():
        return None
    k = np.broadcast_to(k[:1, :1].reshape(-1), shape[2:]).astype(np.float64)
    scale, bias = np.ones_like(k), np.zeros_like(k)
    if node.kind == "add":
        bias = k
    elif node.kind == "mul":
        scale = k
    elif node.kind == "sub":
        scale, bias = (-scale, k) if swapped else (scale, -k)
    elif node.kind == "div" and not swapped and k.all():
        scale = 1 / k
    else:
        return None
    return Affine(name=node.name, output=node.output, x=other, scale=scale, bias=bias, act=node.act)


def doubled(graph: Graph) -> Graph:
    """x + x is 2 x, x - x is 0."""
    nodes = list(graph.nodes)
    for i, node in enumerate(nodes):
        if isinstance(node, Binary) and node.x == node.y and node.kind in ("add", "sub"):
            scale = np.full(graph.shapes[node.x][2], 2.0 if node.kind == "add" else 0.0)
            nodes[i] = Affine(name=node.name, output=node.output, x=node.x, scale=scale,
                              bias=np.zeros_like(scale), act=node.act)  # fmt: skip
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph
