"""A Crop of a Crop is one."""

from __future__ import annotations

from dataclasses import replace

from pocketvision.compiler.graph import Crop, Graph, Node
from pocketvision.compiler.passes.rewrite import rebuilt


def crops(graph: Graph) -> Graph:
    """With crops of crops joined."""
    maker: dict[str, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        below = maker.get(node.x) if isinstance(node, Crop) else None
        made = _joined(node, below) if isinstance(node, Crop) and isinstance(below, Crop) else node
        maker[node.output] = made
        nodes.append(made)
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _joined(node: Crop, below: Crop) -> Crop:
    step_h, step_w = below.step
    return replace(
        node,
        x=below.x,
        top=below.top + node.top * step_h,
        left=below.left + node.left * step_w,
        step=(node.step[0] * step_h, node.step[1] * step_w),
    )
