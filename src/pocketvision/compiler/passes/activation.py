"""An activation is computed where its numbers are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pocketvision.compiler.graph import Act, Graph, Node
from pocketvision.compiler.passes.rewrite import Uses, rebuilt, takes_act


def activation(graph: Graph) -> Graph:
    """With activations inside the node before, where nothing else reads that."""
    uses, nodes = Uses(graph), {n.output: n for n in graph.nodes}
    for node in graph.nodes:
        if isinstance(node, Act) and uses.alone(node.x) and takes_act(nodes.get(node.x)):
            below: Any = nodes.pop(node.x)
            nodes[node.output] = replace(below, name=node.name, output=node.output, act=node.act)
    if len(nodes) == len(graph.nodes):
        return graph
    made: list[Node] = [nodes[n.output] for n in graph.nodes if n.output in nodes]
    return rebuilt(graph, made)
