"""Grouped convolutions as depthwise ones, or as dense ones with blocks of zeros."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketvision.compiler.graph import Affine, Channels, Conv, Depthwise, Graph, Node
from pocketvision.compiler.passes.rewrite import fresh, is_plain, rebuilt

MAX_DENSE = 1 << 24  # numbers that a matrix with zero blocks may have


def groups(graph: Graph) -> Graph:
    """Depthwise for a channel a group; dense for a grouped 1x1; the rest stays."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Conv) and node.groups > 1:
            nodes += _regular(node, graph)
        else:
            nodes.append(node)
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=False))
    return rebuilt(graph, nodes) if changed else graph


def _regular(node: Conv, graph: Graph) -> list[Node]:
    c_in, c_out, of_one = graph.shapes[node.x][2], len(node.weight), node.weight.shape[3] == 1
    pure = node.gate is None and is_plain(node.in_act)
    if node.groups == c_in and of_one and pure:
        times = c_out // c_in
        if times == 1:
            return [_depthwise(node, node.x)]
        repeated = fresh(node.output, graph)
        index = np.repeat(np.arange(c_in), times)
        copies = Channels(name=node.name, output=repeated, x=node.x, index=index)
        return [copies, _depthwise(node, repeated)]
    if node.kernel == (1, 1) and c_out * c_in <= MAX_DENSE:
        return [replace(node, weight=node.dense(), groups=1)]
    return [node]


def _depthwise(node: Conv, x: str) -> Depthwise:
    return Depthwise(
        name=node.name, output=node.output, x=x, weight=node.weight[..., 0].transpose(1, 2, 0),
        bias=node.bias, stride=node.stride, pads=node.pads, dilation=node.dilation, act=node.act,
        residual=node.residual,
    )  # fmt: skip


def one_tap(graph: Graph) -> Graph:
    """A depthwise convolution of one tap is a number a channel."""
    nodes: list[Node] = [_one_tap(n) if isinstance(n, Depthwise) else n for n in graph.nodes]
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _one_tap(node: Depthwise) -> Node:
    plain = node.kernel == node.stride == (1, 1) and not any(node.pads)
    if not plain or node.residual is not None:
        return node
    return Affine(name=node.name, output=node.output, x=node.x, scale=node.weight[0, 0],
                  bias=node.bias, act=node.act)  # fmt: skip
