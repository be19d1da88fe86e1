"""Nodes that change nothing go; so do constants that only take part in arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pocketvision.compiler import reference
from pocketvision.compiler.graph import (
    Act,
    Affine,
    Binary,
    Channels,
    Concat,
    Constant,
    Crop,
    Flatten,
    GlobalMean,
    Graph,
    Node,
    Pad,
    Pool,
    Resize,
    Shape,
)
from pocketvision.compiler.passes.rewrite import is_plain, rebuilt

MAX_CONSTANT = 1 << 22  # numbers that a folded constant may have


def identity(graph: Graph) -> Graph:
    """Without nodes whose result is their input."""
    renamed = {
        node.output: node.x  # type: ignore[attr-defined]
        for node in graph.nodes
        if (rule := IDLE.get(type(node))) is not None and rule(node, graph.shapes[node.inputs[0]])
    }
    renamed |= {
        n.output: n.parts[0] for n in graph.nodes if isinstance(n, Concat) and not n.parts[1:]
    }
    if not renamed:
        return graph
    return rebuilt(graph, (n for n in graph.nodes if n.output not in renamed), renamed)


IDLE: dict[type[Node], Callable[[Any, Shape], bool]] = {
    Act: lambda n, x: is_plain(n.act),
    Affine: lambda n, x: bool((n.scale == 1).all() and (n.bias == 0).all() and is_plain(n.act)),
    Channels: lambda n, x: len(n.index) == x[2] and bool((n.index == np.arange(x[2])).all()),
    Crop: lambda n, x: n.shape == x,
    Pad: lambda n, x: not any(n.pads),
    Resize: lambda n, x: n.size == x[:2] and n.scales == (1, 1),
    Pool: lambda n, x: n.kernel == n.stride == (1, 1) and not any(n.pads),
    GlobalMean: lambda n, x: x[:2] == (1, 1),
    Flatten: lambda n, x: x[:2] == (1, 1),
}


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


def single(graph: Graph) -> Graph:
    """All weights as float32, rounded once."""
    return rebuilt(graph, [_single(node) for node in graph.nodes])


def _single(node: Node) -> Node:
    changed: dict[str, Any] = {}
    for name in ("weight", "bias", "scale", "value"):
        found = getattr(node, name, None)
        if isinstance(found, np.ndarray):
            changed[name] = np.ascontiguousarray(found, np.float32)
    act = getattr(node, "act", None)
    if act is not None and act.slope is not None:
        changed["act"] = replace(act, slope=act.slope.astype(np.float32))
    return replace(node, **changed) if changed else node
