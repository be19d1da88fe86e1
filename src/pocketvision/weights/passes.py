"""What files take apart, joined again: biases, batch-norms and activations go to their convolution.

x + 3, cut to 0..6, / 6            hard-sigmoid     (MobileNetV3, arXiv:1905.02244, section 5.2)
x * (x + 3 cut to 0..6) / 6        hard-swish
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pocketvision.weights.graph import Filter, Graph, Node

# TF-slim writes 1/6 with five digits.
SIXTH = 1 / 6
CLOSE = 1e-4


def joined(graph: Graph) -> Graph:
    """The graph with every pattern above as one node. Inference only: quantize nodes vanish too."""
    for step in (_without_quantize, _acts, _biases, _norms, _fused):
        graph = step(graph)
    return graph


def _without(graph: Graph, drop: Callable[[Node], bool]) -> Graph:
    """The graph without nodes that pass their input on; readers read the input instead."""
    alias: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(alias.get(t, t) for t in node.inputs))
        if drop(node):
            alias[node.output] = node.inputs[0]
        else:
            kept.append(node)
    outputs = tuple(alias.get(t, t) for t in graph.outputs)
    return replace(graph, nodes=tuple(kept), outputs=outputs)


def _without_quantize(graph: Graph) -> Graph:
    return _without(graph, lambda n: n.op in ("quantize", "identity") and n.act == "none")


# --------------------------------------------------------------------------------- activations


def _acts(graph: Graph) -> Graph:
    """Decomposed activations as one `act` node that reads x itself."""
    made = {n.output: n for n in graph.nodes}
    replaced: dict[str, Node] = {}
    for node in graph.nodes:
        now = replace(node, inputs=node.inputs)
        found = _hard_sigmoid(now, made) or _hard_swish(now, made)
        if found:
            replaced[node.output] = made[node.output] = found
    nodes = [replaced.get(n.output, n) for n in graph.nodes]
    return _alive(replace(graph, nodes=tuple(nodes)))


def _alive(graph: Graph) -> Graph:
    """Without nodes that nobody reads any more."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed |= set(node.inputs)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))


def _hard_sigmoid(node: Node, made: dict[str, Node]) -> Node | None:
    if node.op != "scale" or abs(_number(node) - SIXTH) > CLOSE:
        return None
    x = _cut(node.inputs[0], made)
    return None if x is None else _act(node, "hard_sigmoid", x)


def _cut(tensor: str, made: dict[str, Node]) -> str | None:
    """x, when `tensor` is x + 3 cut to 0..6."""
    cut = made.get(tensor)
    if cut is None or cut.act != "relu6":
        return None
    if cut.op == "shift":  # the cut is joined to the addition
        return cut.inputs[0] if _number(cut) == 3 else None
    before = made.get(cut.inputs[0]) if cut.op == "act" else None
    shifted = before is not None and before.op == "shift" and before.act == "none"
    if before is None or not shifted or _number(before) != 3:
        return None
    return before.inputs[0]


def _hard_swish(node: Node, made: dict[str, Node]) -> Node | None:
    if node.op == "scale" and abs(_number(node) - SIXTH) <= CLOSE:
        product = made.get(node.inputs[0])
        if product is not None and product.op == "mul" and product.act == "none":
            for x, gate in (product.inputs, product.inputs[::-1]):
                if _cut(gate, made) == x:
                    return _act(node, "hard_swish", x)
    if node.op == "mul" and node.act == "none":
        for x, gate in (node.inputs, node.inputs[::-1]):
            sigmoid = made.get(gate)
            if sigmoid is not None and sigmoid.op == "act" and sigmoid.inputs == (x,):
                names = {"hard_sigmoid": "hard_swish", "sigmoid": "silu"}
                if sigmoid.act in names and sigmoid.value in (None, SIXTH):
                    return _act(node, names[sigmoid.act], x)
    return None


def _act(node: Node, act: str, x: str) -> Node:
    return Node(op="act", inputs=(x,), output=node.output, name=node.name, act=act)


def _number(node: Node) -> float:
    return node.value if isinstance(node.value, float) else float("nan")


# ------------------------------------------------------------------------ into the convolutions


def _into(graph: Graph, take: Callable[[Node, Node], Node | None]) -> Graph:
    """Join a node to the convolution (or sum) before it where nobody else reads that one."""
    made: dict[str, int] = {}
    nodes: list[Node | None] = []
    readers = {t: len(graph.consumers(t)) + (t in graph.outputs) for t in _tensors(graph)}
    for node in graph.nodes:
        place = made.get(node.inputs[0]) if node.inputs else None
        before = None if place is None else nodes[place]
        alone = before is not None and readers[before.output] == 1
        now = take(before, node) if before is not None and alone else None
        if now is None or place is None:
            made[node.output] = len(nodes)
            nodes.append(node)
        else:
            made[now.output], nodes[place] = place, now
    return replace(graph, nodes=tuple(n for n in nodes if n is not None))


def _tensors(graph: Graph) -> set[str]:
    return {t for n in graph.nodes for t in (*n.inputs, n.output)}


def _biases(graph: Graph) -> Graph:
    def take(before: Node, node: Node) -> Node | None:
        f = before.filter
        if node.op != "bias" or f is None or before.act != "none" or f.norm is not None:
            return None
        shift = np.asarray(node.value)
        if shift.shape != (len(f.weight),):
            return None
        bias = shift if f.bias is None else f.bias + shift
        return replace(before, output=node.output, filter=replace(f, bias=bias))

    return _into(graph, take)


def _norms(graph: Graph) -> Graph:
    def take(before: Node, node: Node) -> Node | None:
        f = before.filter
        if node.norm is None or f is None or before.act != "none" or f.norm is not None:
            return None
        if len(node.norm.scale) != len(f.weight):
            return None
        return replace(before, output=node.output, filter=replace(f, norm=node.norm))

    return _into(graph, take)


def _fused(graph: Graph) -> Graph:
    def take(before: Node, node: Node) -> Node | None:
        joinable = before.op in ("conv", "add") and before.act == "none"
        if node.op != "act" or not joinable:
            return None
        if node.value is not None and node.value != SIXTH:
            if before.filter is None:
                return None
            before = replace(before, filter=_steeper(before.filter, float(str(node.value)) * 6))
        return replace(before, output=node.output, act=node.act)

    return _into(graph, take)


def _steeper(f: Filter, factor: float) -> Filter:
    """The same filter times a factor: clip(a x + 1/2) is our hard-sigmoid of (6 a) x."""
    if f.norm is not None:
        norm = replace(f.norm, scale=f.norm.scale * factor, shift=f.norm.shift * factor)
        return replace(f, norm=norm)
    bias = None if f.bias is None else (f.bias * factor).astype(f.bias.dtype)
    return replace(f, weight=(f.weight * factor).astype(f.weight.dtype), bias=bias)
