"""Nodes that change nothing go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pocketvision.compiler.graph import (
    Act,
    Affine,
    Channels,
    Concat,
    Crop,
    Flatten,
    GlobalMean,
    Graph,
    Node,
    Pad,
    Pool,
    Resize,
    Shape,
)
from pocketvision.compiler.passes.rewrite import is_plain, rebuilt


def identity(graph: Graph) -> Graph:
    """Without nodes whose result is their input."""
    renamed = {
        node.output: node.x  # type: ignore[attr-defined]
        for node in graph.nodes
        if (rule := IDLE.get(type(node))) is not None and rule(node, graph.shapes[node.inputs[0]])
    }
    renamed |= {
        n.output: n.parts[0] for n in graph.nodes if isinstance(n, Concat) and not n.parts[1:]
    }
    if not renamed:
        return graph
    return rebuilt(graph, (n for n in graph.nodes if n.output not in renamed), renamed)


IDLE: dict[type[Node], Callable[[Any, Shape], bool]] = {
    Act: lambda n, x: is_plain(n.act),
    Affine: lambda n, x: bool((n.scale == 1).all() and (n.bias == 0).all() and is_plain(n.act)),
    Channels: lambda n, x: len(n.index) == x[2] and bool((n.index == np.arange(x[2])).all()),
    Crop: lambda n, x: n.shape == x,
    Pad: lambda n, x: not any(n.pads),
    Resize: lambda n, x: n.size == x[:2] and n.scales == (1, 1),
    Pool: lambda n, x: n.kernel == n.stride == (1, 1) and not any(n.pads),
    GlobalMean: lambda n, x: x[:2] == (1, 1),
    Flatten: lambda n, x: x[:2] == (1, 1),
}
