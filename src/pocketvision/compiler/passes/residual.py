"""A sum with what a convolution makes is added while the convolution writes."""

from __future__ import annotations

from dataclasses import replace

from pocketvision.compiler.graph import Binary, Channels, Concat, Conv, Depthwise, Graph, Node
from pocketvision.compiler.passes.rewrite import Uses, is_plain, rebuilt


def residual(graph: Graph) -> Graph:
    """Sums fused into the convolution that comes last and has no other reader."""
    uses, nodes = Uses(graph), {n.output: n for n in graph.nodes}
    for node in graph.nodes:
        if not isinstance(node, Binary) or node.kind != "add":
            continue
        pairs = [(node.x, node.y), (node.y, node.x)]
        for conv, other in sorted(pairs, key=lambda p: -uses.place.get(p[0], -1)):
            below = _free(nodes.get(conv), uses)
            if below is not None and graph.shapes[other] == graph.shapes[conv]:
                del nodes[conv]
                nodes[node.output] = replace(
                    below, name=node.name, output=node.output, residual=other, act=node.act
                )
                break
    if len(nodes) == len(graph.nodes):
        return graph
    return rebuilt(graph, [nodes[n.output] for n in graph.nodes if n.output in nodes])


def _free(node: Node | None, uses: Uses) -> Conv | Depthwise | None:
    """The node if it can take a residual."""
    if not isinstance(node, Conv | Depthwise) or not uses.alone(node.output):
        return None
    return node if is_plain(node.act) and node.residual is None else None


def partial_residual(graph: Graph) -> Graph:
    """concat(y[:k] + x, y[k:]) is y with a residual of k channels (ReXNet's shortcut)."""
    uses, nodes = Uses(graph), {n.output: n for n in graph.nodes}
    for node in graph.nodes:
        found = _partial(node, uses, graph, nodes) if isinstance(node, Concat) else None
        if found is None:
            continue
        below, other = found
        del nodes[below.output]
        nodes[node.output] = replace(below, name=node.name, output=node.output, residual=other)
    if len(nodes) == len(graph.nodes):
        return graph
    return rebuilt(graph, [nodes[n.output] for n in graph.nodes if n.output in nodes])


def _partial(
    node: Concat, uses: Uses, graph: Graph, nodes: dict[str, Node]
) -> tuple[Conv | Depthwise, str] | None:
    """(the convolution, what is added to its first channels)."""
    if node.axis != 2 or len(node.parts) != 2:
        return None
    total, rest = uses.only(node.parts[0], Binary), uses.only(node.parts[1], Channels)
    if total is None or rest is None or total.kind != "add" or not is_plain(total.act):
        return None
    whole = nodes.get(rest.x)
    if not isinstance(whole, Conv | Depthwise) or uses.count[rest.x] != 2:
        return None
    if not is_plain(whole.act) or whole.residual is not None:
        return None
    for part, other in ((total.x, total.y), (total.y, total.x)):
        first = uses.only(part, Channels)
        if first is None or first.x != rest.x or graph.shapes[other] != graph.shapes[part]:
            continue
        order = [*first.index, *rest.index]
        if order == list(range(graph.shapes[rest.x][2])):
            return whole, other
    return None
