"""Numbers a channel (batch-norm, input normalisation) go into the convolution before or behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketvision.compiler.graph import Affine, Conv, ConvTranspose, Depthwise, Graph, Node
from pocketvision.compiler.passes.rewrite import Uses, double, is_plain, rebuilt

Filter = Conv | Depthwise | ConvTranspose


def affine_after(graph: Graph) -> Graph:
    """Affine(conv(x)) is a conv: weights and biases times scale, plus bias."""
    uses, nodes = Uses(graph), {n.output: n for n in graph.nodes}
    for node in graph.nodes:
        if not isinstance(node, Affine):
            continue
        below = nodes.get(node.x)
        if not isinstance(below, Filter | Affine) or not uses.alone(node.x):
            continue
        if is_plain(below.act) and getattr(below, "residual", None) is None:
            nodes[node.output] = _scaled(below, node)
            del nodes[node.x]
    return graph if len(nodes) == len(graph.nodes) else rebuilt(graph, _ordered(graph, nodes))


def _ordered(graph: Graph, nodes: dict[str, Node]) -> list[Node]:
    return [nodes[n.output] for n in graph.nodes if n.output in nodes]


def _scaled(below: Filter | Affine, node: Affine) -> Node:
    s, t = double(node.scale), double(node.bias)
    changed = {"name": node.name, "output": node.output, "act": node.act}
    bias = double(below.bias) * s + t
    if isinstance(below, Affine):
        return replace(below, scale=double(below.scale) * s, bias=bias, **changed)  # type: ignore[arg-type]
    weight = double(below.weight)
    if isinstance(below, Conv):
        weight = weight * s[:, None, None, None]
    elif isinstance(below, Depthwise):
        weight = weight * s
    else:  # output channels of group g are the last axis of its rows
        rows = np.repeat(s.reshape(below.groups, -1), len(weight) // below.groups, axis=0)
        weight = weight * rows[:, None, None, :]
    return replace(below, weight=weight, bias=bias, **changed)  # type: ignore[arg-type]


def affine_before(graph: Graph) -> Graph:
    """conv(Affine(x)) is a conv where no border of zeros lies between, or the bias is zero."""
    uses, nodes = Uses(graph), {n.output: n for n in graph.nodes}
    for node in graph.nodes:
        if not isinstance(node, Conv | Depthwise):
            continue
        before = nodes.get(node.x)
        if not isinstance(before, Affine) or not uses.alone(node.x) or not is_plain(before.act):
            continue
        current = nodes[node.output]
        assert isinstance(current, Conv | Depthwise)
        if before.bias.any() and any(current.pads):
            continue
        if isinstance(current, Conv) and (current.gate or not is_plain(current.in_act)):
            continue
        nodes[node.output] = _absorbed(current, before)
        del nodes[node.x]
    return graph if len(nodes) == len(graph.nodes) else rebuilt(graph, _ordered(graph, nodes))


def _absorbed(node: Conv | Depthwise, before: Affine) -> Node:
    s, t, weight = double(before.scale), double(before.bias), double(node.weight)
    if isinstance(node, Depthwise):
        bias = node.bias + weight.sum(axis=(0, 1)) * t
        return replace(node, x=before.x, weight=weight * s, bias=bias)
    per_group = len(weight) // node.groups
    scale, shift = (np.repeat(r.reshape(node.groups, -1), per_group, axis=0) for r in (s, t))
    bias = node.bias + (weight.sum(axis=(1, 2)) * shift).sum(axis=1)
    return replace(node, x=before.x, weight=weight * scale[:, None, None, :], bias=bias)
