"""Squeeze-excite: the product with the gate is made while the next 1x1 convolution reads.

Source of the shape: arXiv:1709.01507; with an activation behind the product, arXiv:2007.00992.
"""

from __future__ import annotations

from dataclasses import replace

from pocketvision.compiler.graph import Binary, Conv, Graph, Node
from pocketvision.compiler.passes.rewrite import Uses, is_plain, rebuilt


def gate(graph: Graph) -> Graph:
    """x * gate, read by one plain 1x1 convolution only, becomes part of that."""
    uses = Uses(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(_gated(node, uses, graph) if isinstance(node, Conv) else node)
    changed = any(a is not b for a, b in zip(nodes, graph.nodes, strict=True))
    return rebuilt(graph, nodes) if changed else graph


def _gated(node: Conv, uses: Uses, graph: Graph) -> Conv:
    product = uses.only(node.x, Binary)
    plain = node.kernel == node.stride == (1, 1) and not any(node.pads) and node.groups == 1
    if product is None or product.kind != "mul" or not plain:
        return node
    if node.gate is not None or not is_plain(node.in_act):
        return node
    channels = (1, 1, graph.shapes[product.x][2])
    if graph.shapes[product.y] != channels:
        return node
    return replace(node, x=product.x, gate=product.y, in_act=product.act)
