"""Numbers a channel and activations move past a Concat, to where they can be folded."""

from __future__ import annotations

from dataclasses import replace

from pocketvision.compiler.graph import (
    Act,
    Affine,
    Concat,
    Conv,
    ConvTranspose,
    Depthwise,
    Graph,
    Node,
)
from pocketvision.compiler.passes.rewrite import Uses, fresh, picked, rebuilt, takes_act


def through(graph: Graph) -> Graph:
    """f(concat(a, b)) as concat(f(a), f(b)) where every part can take it in."""
    uses = Uses(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        below = uses.only(node.x, Concat) if isinstance(node, Act | Affine) else None
        if below is None or below.axis != 2 or not _all_take(node, below, uses):
            nodes.append(node)
        else:
            nodes += _in_parts(node, below, graph)
    return rebuilt(graph, nodes) if len(nodes) != len(graph.nodes) else graph


def _all_take(node: Node, below: Concat, uses: Uses) -> bool:
    return all(_takes(node, uses.only(p, Node)) for p in below.parts)


def _takes(node: Node, part: Node | None) -> bool:
    if not takes_act(part):
        return False
    folds = isinstance(part, Conv | Depthwise | ConvTranspose | Affine)
    return isinstance(node, Act) or (folds and getattr(part, "residual", None) is None)


def _in_parts(node: Node, below: Concat, graph: Graph) -> list[Node]:
    made: list[Node] = []
    at = 0
    for p in below.parts:
        size = graph.shapes[p][2]
        rows, at = slice(at, at + size), at + size
        name = fresh(p, graph)
        if isinstance(node, Affine):
            made.append(
                replace(
                    node, output=name, x=p, scale=node.scale[rows], bias=node.bias[rows],
                    act=picked(node.act, rows),
                )
            )  # fmt: skip
        elif isinstance(node, Act):
            made.append(replace(node, output=name, x=p, act=picked(node.act, rows)))
    parts = tuple(n.output for n in made)
    return [*made, replace(below, name=node.name, output=node.output, parts=parts)]
