"""Borders that a node adds for another are added by that one itself."""

from __future__ import annotations

import math
from dataclasses import replace

from pocketvision.compiler.graph import Act, Conv, Depthwise, GlobalMean, Graph, Node, Pad, Pool
from pocketvision.compiler.passes.rewrite import Uses, is_plain, rebuilt

POSITIVE = ("relu", "sigmoid", "hard_sigmoid", "exp", "sqrt", "abs")


def border(graph: Graph) -> Graph:
    """Pad of zeros into the convolution or pool that reads it, where that is the same."""
    uses = Uses(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        pad = uses.only(node.inputs[0], Pad) if node.inputs else None
        nodes.append(node if pad is None else _joined(node, pad, uses))
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _joined(node: Node, pad: Pad, uses: Uses) -> Node:
    if pad.kind != "constant":
        return node
    if isinstance(node, Conv | Depthwise) and pad.value == 0:
        clean = isinstance(node, Depthwise) or (node.gate is None and is_plain(node.in_act))
        return replace(node, x=pad.x, pads=_sum(node, pad)) if clean else node
    if isinstance(node, Pool):
        pads = _sum(node, pad)
        if any(p >= k for p, k in zip(pads, node.kernel * 2, strict=True)):
            return node
        if node.kind == "mean" and pad.value == 0 and (node.count_padding or not any(node.pads)):
            return replace(node, x=pad.x, pads=pads, count_padding=True)
        if node.kind == "max" and _is_below(pad, uses):
            return replace(node, x=pad.x, pads=pads)
    return node


def _sum(node: Conv | Depthwise | Pool, pad: Pad) -> tuple[int, int, int, int]:
    a, b = node.pads, pad.pads
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _is_below(pad: Pad, uses: Uses) -> bool:
    """True where no number of the image is below the border."""
    if pad.value == -math.inf:
        return True
    made = uses.maker.get(pad.x)
    act = getattr(made, "act", None)
    if pad.value != 0 or act is None or not isinstance(made, Act | Conv | Depthwise):
        return False
    return act.kind in POSITIVE or (act.kind == "clip" and act.alpha >= 0)


def whole_mean(graph: Graph) -> Graph:
    """A mean over one window that is the image."""
    nodes: list[Node] = [_whole(n, graph) if isinstance(n, Pool) else n for n in graph.nodes]
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _whole(node: Pool, graph: Graph) -> Node:
    covers = node.kernel == graph.shapes[node.x][:2] and not any(node.pads)
    if node.kind != "mean" or not covers:
        return node
    return GlobalMean(name=node.name, output=node.output, x=node.x)
