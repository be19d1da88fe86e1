"""What all passes share: who reads a value, and a graph made again from changed nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pocketvision.compiler.graph import (
    Activation,
    Affine,
    Binary,
    Concat,
    Conv,
    ConvTranspose,
    Depthwise,
    Graph,
    Node,
    Shape,
)
from pocketvision.compiler.shapes import shape_of


class Uses:
    """Nodes by what they make, and how often each value is read; an output of the model counts."""

    def __init__(self, graph: Graph) -> None:
        self.shapes = graph.shapes
        self.maker: dict[str, Node] = graph.maker()
        self.count = Counter(v for node in graph.nodes for v in node.inputs)
        self.count.update(o.value for o in graph.outputs)
        self.place = {node.output: i for i, node in enumerate(graph.nodes)}
        self._users: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for v in node.inputs:
                self._users.setdefault(v, []).append(node)

    def alone(self, value: str) -> bool:
        """True where the value is read once, and by a node."""
        return self.count[value] == 1 and len(self._users.get(value, ())) == 1

    def user(self, value: str) -> Node | None:
        """The only reader of a value."""
        return self._users[value][0] if self.alone(value) else None

    def readers(self, value: str) -> list[Node]:
        """All nodes that read a value."""
        return self._users.get(value, [])

    def only(self, value: str, kind: type[Any] | tuple[type[Any], ...]) -> Any:
        """The node of that kind that makes a value which is read once; else None."""
        node = self.maker.get(value)
        return node if isinstance(node, kind) and self.alone(value) else None


def rebuilt(graph: Graph, nodes: Iterable[Node], renamed: Mapping[str, str] | None = None) -> Graph:
    """The graph of these nodes, in order, without those that nothing needs.

    `renamed` names values that stand for others; shapes are computed again.
    """
    names = renamed or {}
    changed = [_renamed(node, names) for node in nodes] if names else list(nodes)
    outputs = tuple(replace(o, value=_final(o.value, names)) for o in graph.outputs)
    needed = {o.value for o in outputs}
    kept: list[Node] = []
    for node in reversed(changed):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    shapes: dict[str, Shape] = {i.name: i.shape for i in graph.inputs}
    for node in reversed(kept):
        shapes[node.output] = shape_of(node, shapes)
    return Graph(inputs=graph.inputs, nodes=tuple(kept[::-1]), outputs=outputs, shapes=shapes)


def _final(value: str, names: Mapping[str, str]) -> str:
    while value in names:
        value = names[value]
    return value


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    if not any(v in names for v in node.inputs):
        return node
    if isinstance(node, Concat):
        return replace(node, parts=tuple(_final(p, names) for p in node.parts))
    fields = [f for f in ("x", "y", "gate", "residual") if getattr(node, f, None) is not None]
    changed: dict[str, Any] = {f: _final(getattr(node, f), names) for f in fields}
    return replace(node, **changed)


def fresh(base: str, graph: Graph) -> str:
    """A name for a new value beside `base`."""
    n = 1
    while (name := f"{base}.{n}") in graph.shapes:
        n += 1
    return name


def is_plain(act: Activation) -> bool:
    """True for no activation at all."""
    return act.kind == "none"


def takes_act(node: Node | None) -> bool:
    """True for a node that can have an activation behind it and has none."""
    kinds = (Conv, Depthwise, ConvTranspose, Affine, Binary)
    return isinstance(node, kinds) and is_plain(node.act)


def uniform(numbers: np.ndarray) -> float | None:
    """The number that all are, or None."""
    first = float(numbers.reshape(-1)[0])
    return first if (numbers == first).all() else None


def picked(act: Activation, index: np.ndarray | slice) -> Activation:
    """The activation of some channels."""
    return act if act.slope is None else replace(act, slope=act.slope[index])


def same_act(a: Activation, b: Activation) -> bool:
    """True where two activations do the same, slopes aside: with slopes they are never the same."""
    return a == b and a.slope is None and b.slope is None


def widened(weight: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """The last axis laid out at `index` of `size` places; zero elsewhere, sums where double."""
    wide = np.zeros((*weight.shape[:-1], size), weight.dtype)
    np.add.at(wide.reshape(-1, size).T, index, weight.reshape(-1, weight.shape[-1]).T)
    return wide


def double(numbers: np.ndarray) -> np.ndarray:
    """Weights as float64: products of several are rounded once, at the end."""
    return numbers.astype(np.float64)
