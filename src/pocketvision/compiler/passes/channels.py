"""Orders of channels: joined, moved towards the convolution that can have them for nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketvision.compiler.graph import (
    Act,
    Affine,
    Channels,
    Concat,
    Conv,
    Depthwise,
    Graph,
    Node,
)
from pocketvision.compiler.passes.rewrite import (
    Uses,
    double,
    fresh,
    is_plain,
    picked,
    rebuilt,
    widened,
)

WORTH = 0.75  # of the channels must be read before a matrix is widened to read them all


def channels_joined(graph: Graph) -> Graph:
    """Channels of Channels, and a Concat of Channels of one image, as one Channels."""
    maker = dict(Uses(graph).maker)
    nodes: list[Node] = []
    for node in graph.nodes:
        made = node
        if isinstance(node, Channels):
            made = _through(node, maker, graph)
        elif isinstance(node, Concat) and node.axis == 2:
            made = _one_source(node, maker) or _opened(node, maker, graph)
        maker[node.output] = made
        nodes.append(made)
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _through(node: Channels, maker: dict[str, Node], graph: Graph) -> Node:
    below = maker.get(node.x)
    if isinstance(below, Channels):
        return replace(node, x=below.x, index=below.index[node.index])
    if isinstance(below, Concat) and below.axis == 2:
        at = 0
        for part in below.parts:
            size = graph.shapes[part][2]
            if at <= node.index.min() and node.index.max() < at + size:
                return replace(node, x=part, index=node.index - at)
            at += size
    return node


def _one_source(node: Concat, maker: dict[str, Node]) -> Node | None:
    parts = [maker.get(p) for p in node.parts]
    if len(parts) < 2 or not all(isinstance(p, Channels) for p in parts):
        return None
    found = [p for p in parts if isinstance(p, Channels)]
    if len({p.x for p in found}) > 1:
        return None
    index = np.concatenate([p.index for p in found])
    return Channels(name=node.name, output=node.output, x=found[0].x, index=index)


def _opened(node: Concat, maker: dict[str, Node], graph: Graph) -> Node:
    """The parts of parts."""
    parts: list[str] = []
    for p in node.parts:
        below = maker.get(p)
        inner = isinstance(below, Concat) and below.axis == 2
        parts += below.parts if inner and isinstance(below, Concat) else [p]
    return node if len(parts) == len(node.parts) else replace(node, parts=tuple(parts))


def channels_up(graph: Graph) -> Graph:
    """Channels of what a convolution makes: its rows in that order, and only those.

    Past a node that keeps channels apart the order moves up, towards a convolution.
    """
    uses, nodes = Uses(graph), {n.output: n for n in graph.nodes}
    ahead: dict[str, Node] = {}
    for node in graph.nodes:
        if not isinstance(node, Channels) or not uses.alone(node.x):
            continue
        below = nodes.get(node.x)
        if below is None or not below.inputs or len(node.index) > graph.shapes[node.x][2]:
            continue
        order = replace(node, x=below.inputs[0], output=fresh(node.output, graph))
        made = _rows(below, node, order.output)
        if made is not None:
            nodes[node.output] = made
            if not isinstance(below, Conv):
                ahead[node.output] = order
            del nodes[node.x]
    if len(nodes) == len(graph.nodes):
        return graph
    kept: list[Node] = []
    for node in graph.nodes:
        if node.output in nodes:
            kept += [n for n in (ahead.get(node.output), nodes[node.output]) if n is not None]
    return rebuilt(graph, kept)


def _rows(below: Node, node: Channels, ordered: str) -> Node | None:
    """The node with its channels in the order of `node`; `ordered` is what it reads then."""
    i, name, output = node.index, node.name, node.output
    if isinstance(below, Conv) and below.groups == 1 and below.residual is None:
        return replace(
            below, name=name, output=output, weight=below.weight[i], bias=below.bias[i],
            act=picked(below.act, i),
        )  # fmt: skip
    if isinstance(below, Depthwise) and below.residual is None:
        return replace(
            below, name=name, output=output, x=ordered, weight=below.weight[..., i],
            bias=below.bias[i], act=picked(below.act, i),
        )  # fmt: skip
    if isinstance(below, Affine):
        return replace(
            below, name=name, output=output, x=ordered, scale=below.scale[i], bias=below.bias[i],
            act=picked(below.act, i),
        )  # fmt: skip
    if isinstance(below, Act):
        return replace(below, name=name, output=output, x=ordered, act=picked(below.act, i))
    return None


def channels_down(graph: Graph) -> Graph:
    """A dense convolution of reordered channels: its columns in the order before."""
    maker = Uses(graph).maker
    nodes: list[Node] = []
    for node in graph.nodes:
        below = maker.get(node.x) if isinstance(node, Conv) else None
        if isinstance(node, Conv) and isinstance(below, Channels):
            nodes.append(_columns(node, below, graph.shapes[below.x][2]))
        else:
            nodes.append(node)
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _columns(node: Conv, below: Channels, size: int) -> Conv:
    index = below.index
    plain = node.groups == 1 and node.gate is None and is_plain(node.in_act)
    run = (np.diff(index) == 1).all()
    if not plain or run or len(np.unique(index)) < WORTH * size:
        return node
    return replace(node, x=below.x, weight=widened(double(node.weight), index, size))
