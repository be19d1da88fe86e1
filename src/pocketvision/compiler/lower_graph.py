"""A graph in which every node is one stage: what no stage computes becomes several that do.

A transposed convolution of stride s is s x s plain ones, each of the taps that meet one pixel in
s x s, and their results side by side (arXiv:1609.05158 puts the same the other way round).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pocketvision.compiler import graph as g

MOST_PHASES = 16  # a convolution each up to here


class Phase(NamedTuple):
    """Where an image goes: its channels from `channel` on, from pixel (top, left) on."""

    x: str
    channel: int
    top: int
    left: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread(g.Node):
    """Images side by side: pixel (i, j) of a phase is at (top + i * step, left + j * step)."""

    phases: tuple[Phase, ...]
    step: tuple[int, int]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The images."""
        return tuple(dict.fromkeys(p.x for p in self.phases))


Shapes = dict[str, g.Shape]


def lowered(graph: g.Graph) -> g.Graph:
    """The same network of nodes that are one stage each."""
    shapes = dict(graph.shapes)
    nodes: list[g.Node] = []
    for node in graph.nodes:
        for one in _slopes_apart(node, shapes):
            for part in RULES.get(type(one), _itself)(one, shapes):
                nodes += _slopes_apart(part, shapes)
    return replace(graph, nodes=tuple(nodes), shapes=shapes)


def _itself(node: g.Node, shapes: Shapes) -> Iterable[g.Node]:
    return [node]


def _new(name: str, shapes: Shapes, shape: g.Shape) -> str:
    """A value's name that nothing has yet."""
    while name in shapes:
        name += "'"
    shapes[name] = shape
    return name


def _slopes_apart(node: Any, shapes: Shapes) -> list[g.Node]:
    """A slope a channel is a stage of its own; kernels take numbers that are alike everywhere."""
    act = getattr(node, "act", g.LINEAR)
    if act.kind != "prelu" or isinstance(node, g.Act):
        return [node]
    made = _new(f"{node.output}/linear", shapes, shapes[node.output])
    return [
        replace(node, output=made, act=g.LINEAR),
        g.Act(name=node.name, output=node.output, x=made, act=act),
    ]


def _conv(node: g.Conv, shapes: Shapes) -> Iterable[g.Node]:
    """Gates stay where scaling the weights of a 1x1 convolution is less work than the pixels."""
    h, w, _ = shapes[node.x]
    many = h * w > 2 * node.weight.shape[0]
    linear = node.in_act.kind == "none"
    if linear and (node.gate is None or (node.kernel == (1, 1) and many)):
        return [node]
    made = _new(f"{node.output}/before", shapes, shapes[node.x])
    conv = replace(node, x=made, gate=None, in_act=g.LINEAR)
    if node.gate is None:
        return [g.Act(name=node.name, output=made, x=node.x, act=node.in_act), conv]
    gated = g.Binary(
        name=node.name, output=made, kind="mul", x=node.x, y=node.gate, act=node.in_act
    )
    return [gated, conv]


# ----------------------------------------------------------------------- transposed convolutions


class Taps(NamedTuple):
    """Of the pixels `at`, `at + stride` ... of an axis: (tap, how far from the pixel it reads)."""

    at: int
    pixels: int
    taps: tuple[tuple[int, int], ...]


def taps(size: int, kernel: int, stride: int, dilation: int, pad: int) -> list[Taps]:
    """The phases of an axis of the output, `size` long."""
    found = []
    for at in range(min(stride, size)):
        meets = [(k, at + pad - k * dilation) for k in range(kernel)]
        met = tuple((k, there // stride) for k, there in meets if there % stride == 0)
        found.append(Taps(at, -(-(size - at) // stride), met))
    return found


def _conv_transpose(node: g.ConvTranspose, shapes: Shapes) -> Iterable[g.Node]:
    h, w, c = shapes[node.output]
    _, kh, kw, _ = node.weight.shape
    rows = taps(h, kh, node.stride[0], node.dilation[0], node.pads[0])
    columns = taps(w, kw, node.stride[1], node.dilation[1], node.pads[1])
    alike = all(len({_reach([t]) for t in axis}) == 1 for axis in (rows, columns))
    grid = [(y, x) for y in rows for x in columns]
    each = node.groups == c == shapes[node.x][2]
    together = not each and (alike or c < 16 or len(grid) > MOST_PHASES)
    build = _depthwise if each else _dense
    if len(grid) == 1:
        return [build(node, grid, node.output, shapes[node.x])]
    nodes: list[g.Node] = []
    phases: list[Phase] = []
    for part in [grid] if together else [[phase] for phase in grid]:
        size = (max(y.pixels for y, _ in part), max(x.pixels for _, x in part), c * len(part))
        made = _new(f"{node.output}/phase", shapes, size)
        nodes.append(build(node, part, made, shapes[node.x]))
        phases += [Phase(made, i * c, y.at, x.at) for i, (y, x) in enumerate(part)]
    step = (min(node.stride[0], h), min(node.stride[1], w))
    return [*nodes, Spread(name=node.name, output=node.output, phases=tuple(phases), step=step)]


Grid = list[tuple[Taps, Taps]]


def _reach(axis: Iterable[Taps]) -> tuple[int, int]:
    """The nearest and farthest pixel that some phases read."""
    found = [there for one in axis for _, there in one.taps] or [0]
    return min(found), max(found)


def _window(part: Grid, x: g.Shape) -> tuple[tuple[int, int], tuple[int, int], g.Pads]:
    """(first pixels, kernel, pads) of the convolution that computes some phases."""
    (top, bottom), (left, right) = (_reach([p[axis] for p in part]) for axis in (0, 1))
    n_h, n_w = (max(p[axis].pixels for p in part) for axis in (0, 1))
    pads = (-top, -left, n_h - x[0] + bottom, n_w - x[1] + right)
    return (top, left), (bottom - top + 1, right - left + 1), pads


def _dense(node: g.ConvTranspose, part: Grid, output: str, x: g.Shape) -> g.Node:
    """Some phases as one convolution, the channels of each behind those of the one before."""
    first, kernel, pads = _window(part, x)
    _, _, _, per_out = node.weight.shape
    c, per_in = per_out * node.groups, x[2] // node.groups
    weight = np.zeros((len(part), c, *kernel, x[2]), np.float32)
    for phase, (ys, xs) in zip(weight, part, strict=True):
        for ky, dy in ys.taps:
            for kx, dx in xs.taps:
                for i in range(node.groups):
                    read = slice(i * per_in, (i + 1) * per_in)
                    made = slice(i * per_out, (i + 1) * per_out)
                    w = node.weight[read, ky, kx]
                    phase[made, dy - first[0], dx - first[1], read] = w.T
    return g.Conv(
        name=node.name,
        output=output,
        x=node.x,
        weight=weight.reshape(-1, *kernel, x[2]),
        bias=np.tile(node.bias, len(part)),
        pads=pads,
        act=node.act,
    )


def _depthwise(node: g.ConvTranspose, part: Grid, output: str, x: g.Shape) -> g.Node:
    """A phase of a transposed convolution with a filter a channel."""
    first, kernel, pads = _window(part, x)
    ((ys, xs),) = part
    weight = np.zeros((*kernel, x[2]), np.float32)
    for ky, dy in ys.taps:
        for kx, dx in xs.taps:
            weight[dy - first[0], dx - first[1]] = node.weight[:, ky, kx, 0]
    return g.Depthwise(
        name=node.name,
        output=output,
        x=node.x,
        weight=weight,
        bias=node.bias,
        pads=pads,
        act=node.act,
    )


RULES: dict[type[g.Node], Callable[[Any, Shapes], Iterable[g.Node]]] = {
    g.Conv: _conv,
    g.ConvTranspose: _conv_transpose,
}
