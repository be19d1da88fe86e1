"""Grouped convolutions as depthwise ones, or as dense ones with blocks of zeros."""

from __future__ import annotations

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
        return [_dense(node, c_in)]
    return [node]


def _depthwise(node: Conv, x: str) -> Depthwise:
    return Depthwise(
        name=node.name, output=node.output, x=x, weight=node.weight[..., 0].transpose(1, 2, 0),
        bias=node.bias, stride=node.stride, pads=node.pads, dilation=node.dilation, act=node.act,
        residual=node.residual,
    )  # fmt: skip


def _dense(node: Conv, c_in: int) -> Conv:
    c_out, per_in = len(node.weight), node.weight.shape[3]
    per_out = c_out // node.groups
    weight = np.zeros((c_out, 1, 1, c_in), node.weight.dtype)
    for g in range(node.groups):
        rows = slice(g * per_out, (g + 1) * per_out)
        weight[rows, ..., g * per_in : (g + 1) * per_in] = node.weight[rows]
    return Conv(
        name=node.name, output=node.output, x=node.x, weight=weight, bias=node.bias,
        stride=node.stride, pads=node.pads, dilation=node.dilation, act=node.act,
        in_act=node.in_act, gate=node.gate, residual=node.residual,
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
