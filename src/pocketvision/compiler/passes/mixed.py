"""Convolutions of parts of an image, put behind each other again: one convolution with zeros.

Source of the shape: MixNet, arXiv:1907.09595, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketvision.compiler.graph import Channels, Concat, Conv, Depthwise, Graph, Node
from pocketvision.compiler.passes.groups import MAX_DENSE
from pocketvision.compiler.passes.rewrite import Uses, double, fresh, rebuilt, same_act, widened


def mixed(graph: Graph) -> Graph:
    """One Depthwise, or one dense Conv, for a Concat of such of parts of one image."""
    uses = Uses(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        made: Sequence[Node] = [node]
        if isinstance(node, Concat) and node.axis == 2 and len(set(node.parts)) > 1:
            parts = [uses.only(p, (Conv, Depthwise)) for p in node.parts]
            if all(isinstance(p, Depthwise) for p in parts):
                made = _one_depthwise(node, parts, uses, graph) or made
            elif all(isinstance(p, Conv) for p in parts):
                made = _one_conv(node, parts, uses) or made
        nodes += made
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=False))
    return rebuilt(graph, nodes) if changed else graph


def _source(value: str, uses: Uses) -> tuple[str, np.ndarray]:
    """The image that a value is part of, and which channels of it."""
    node = uses.maker.get(value)
    if isinstance(node, Channels):
        return node.x, node.index
    return value, np.arange(uses.shapes[value][2])


def _alike(parts: Sequence[Any]) -> bool:
    first = parts[0]
    return all(
        p.stride == first.stride and p.dilation == first.dilation and p.residual is None
        and same_act(p.act, first.act)
        for p in parts
    )  # fmt: skip


def _one_depthwise(
    node: Concat, parts: Sequence[Depthwise], uses: Uses, graph: Graph
) -> Sequence[Node] | None:
    found = [_source(p.x, uses) for p in parts]
    if len({x for x, _ in found}) > 1 or not _alike(parts):
        return None
    x, index = found[0][0], np.concatenate([i for _, i in found])
    d = parts[0].dilation
    if any(p.pads[k] % d[k % 2] for p in parts for k in (0, 1)):
        return None
    tops = [(p.pads[0] // d[0], p.pads[1] // d[1]) for p in parts]
    top, left = (max(t[i] for t in tops) for i in (0, 1))
    high = top + max(p.kernel[0] - t[0] for p, t in zip(parts, tops, strict=True))
    wide = left + max(p.kernel[1] - t[1] for p, t in zip(parts, tops, strict=True))
    weight = np.zeros((high, wide, len(index)), parts[0].weight.dtype)
    at = 0
    for p, (t, u) in zip(parts, tops, strict=True):
        rows, columns = (
            slice(top - t, top - t + p.kernel[0]),
            slice(left - u, left - u + p.kernel[1]),
        )
        weight[rows, columns, at : at + len(p.bias)] = p.weight
        at += len(p.bias)
    h, w, _ = uses.shapes[node.output]
    size = uses.shapes[x]
    ends = [
        max(0, (n - 1) * s + (k - 1) * e + 1 - full - before * e)
        for n, s, k, e, full, before in zip(
            (h, w), parts[0].stride, (high, wide), d, size, (top, left), strict=False
        )
    ]
    made: list[Node] = []
    if len(index) != size[2] or (index != np.arange(size[2])).any():
        chosen = fresh(node.output, graph)
        made.append(Channels(name=node.name, output=chosen, x=x, index=index))
        x = chosen
    made.append(
        Depthwise(
            name=node.name, output=node.output, x=x, weight=weight,
            bias=np.concatenate([p.bias for p in parts]), stride=parts[0].stride,
            pads=(top * d[0], left * d[1], ends[0], ends[1]), dilation=d, act=parts[0].act,
        )
    )  # fmt: skip
    return made


def _one_conv(node: Concat, parts: Sequence[Conv], uses: Uses) -> Sequence[Node] | None:
    """Dense 1x1 convolutions of parts of one image, or any of the same geometry of one image."""
    found = [_source(p.x, uses) for p in parts]
    first = parts[0]
    same = all(
        p.kernel == first.kernel and p.pads == first.pads and p.groups == 1 and p.gate is None
        and p.in_act.kind == "none"
        for p in parts
    )  # fmt: skip
    if len({x for x, _ in found}) > 1 or not same or not _alike(parts):
        return None
    x = found[0][0]
    size = uses.shapes[x][2]
    if all(p.x == first.x for p in parts):
        x, found, size = (
            first.x,
            [(first.x, np.arange(first.weight.shape[3]))] * len(parts),
            (first.weight.shape[3]),
        )
    elif first.kernel != (1, 1):
        return None
    c_out = sum(len(p.weight) for p in parts)
    if c_out * size * first.kernel[0] * first.kernel[1] > MAX_DENSE:
        return None
    rows = [
        widened(double(p.weight), index, size) for p, (_, index) in zip(parts, found, strict=True)
    ]
    return [
        Conv(
            name=node.name, output=node.output, x=x, weight=np.concatenate(rows),
            bias=np.concatenate([p.bias for p in parts]), stride=first.stride, pads=first.pads,
            dilation=first.dilation, act=first.act,
        )
    ]  # fmt: skip
