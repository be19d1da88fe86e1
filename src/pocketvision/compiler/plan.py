"""From a graph to a program: which stages run together in bands, where every tensor lies.

A value that is too large for the cache and that only the next operator reads is never kept whole:
its maker and its reader run in turn over bands of rows, so that it exists a few rows at a time
(MobileNetV2, arXiv:1801.04381, section 5.1, does so with channels). All other values lie in one
arena, sharing room where their lives do not overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision.compiler import graph as g
from pocketvision.compiler import lower_conv, lower_other
from pocketvision.compiler.program import BLOCK, Program, Stage, Step, Tensor, Weights
from pocketvision.compiler.targets import Target

WHOLE_BYTES = 256 * 1024  # a value up to this stays whole: the cache holds it beside its weights


@dataclass(frozen=True, kw_only=True)
class Options:
    """`fuse` False keeps every value whole, layer by layer, for comparison."""

    fuse: bool = True


def plan(graph: g.Graph, target: Target, options: Options | None = None) -> Program:
    """The program of a graph whose passes have been done."""
    made = _Planner(graph, target, options or Options())
    return made.program()


class _Planner:
    def __init__(self, graph: g.Graph, target: Target, options: Options) -> None:
        self.graph, self.target, self.options = graph, target, options
        self.users, self.maker = graph.users(), graph.maker()
        self.kept = {o.value for o in graph.outputs}
        self.weights = Weights()
        self.tensors = {name: self.tensor(name) for name in self.values()}
        self.sums: dict[str, Tensor] = {}
        if options.fuse:
            self.mark_bands()

    def values(self) -> list[str]:
        """Names of inputs and of all nodes' outputs."""
        return [*(i.name for i in self.graph.inputs), *(n.output for n in self.graph.nodes)]

    # -------------------------------------------------------------------------------- tensors

    def tensor(self, name: str) -> Tensor:
        """The image of a value, with the borders that its readers ask for."""
        h, w, c = self.graph.shapes[name]
        made = Tensor(name=name, h=h, w=w, c=c)
        users = self.users[name]
        if self.is_input(name) and c <= 4 and users and all(map(_is_stem, users)):
            made.pixel = 1
        for user in users:
            self.widen(made, user)
        return made

    def is_input(self, name: str) -> bool:
        """True for an input of the model."""
        return name not in self.maker

    def widen(self, t: Tensor, user: g.Node) -> None:
        """Give a tensor the zeros that one of its readers needs."""
        if not isinstance(user, g.Conv | g.Depthwise) or user.x != t.name:
            return
        h_out, w_out, _ = self.graph.shapes[user.output]
        (kh, kw), (top, left, _, _) = user.kernel, user.pads
        t.left = max(t.left, left)
        right = lower_conv.needed_right(t.w, w_out, kw, user.stride[1], user.dilation[1], left)
        t.right = max(t.right, right)
        below = lower_conv.needed_right(t.h, h_out, kh, user.stride[0], user.dilation[0], top)
        t.zeros = t.zeros or top > 0 or below > 0

    # --------------------------------------------------------------------------------- stages

    def stages(self) -> list[list[Stage]]:
        """Stages of every node, in order; a chain is a list of several."""
        made: list[list[Stage]] = [
            [lower_other.input_stage(i, n, self.tensors[i.name])]
            for n, i in enumerate(self.graph.inputs)
        ]
        for node in self.graph.nodes:
            self.prepare(node)
            for stage in self.lowered(node):
                if stage.inp is not None and stage.inp.local:
                    made[-1].append(stage)
                else:
                    made.append([stage])
        for n, o in enumerate(self.graph.outputs):
            made.append([lower_other.output_stage(o, n, self.tensors[o.value])])
        return made

    def prepare(self, node: g.Node) -> None:
        """A mean over space that follows a depthwise convolution is summed up on the way."""
        if isinstance(node, g.Depthwise):
            means = [u for u in self.users[node.output] if isinstance(u, g.GlobalMean)]
            if means:
                h, _, c = self.graph.shapes[node.output]
                self.sums[node.output] = Tensor(name=f"{node.output}/sum", h=h, w=1, c=c)

    def lowered(self, node: g.Node) -> list[Stage]:
        """The stages of a node."""
        find = self.tensors
        if isinstance(node, g.Conv):
            return self.conv(node)
        if isinstance(node, g.Depthwise):
            return [
                lower_conv.depthwise(
                    node,
                    find[node.x],
                    find[node.output],
                    self.weights,
                    self.target,
                    res=find[node.residual] if node.residual else None,
                    total=self.sums.get(node.output),
                )
            ]
        if isinstance(node, g.GlobalMean) and node.x in self.sums:
            h, w, _ = self.graph.shapes[node.x]
            return [lower_other.mean_of_sums(node, self.sums[node.x], find[node.output], h * w)]
        return lower_other.lower(node, find, self.weights)

    def conv(self, node: g.Conv) -> list[Stage]:
        """A convolution; with an activation between gate and weights, the gating comes before."""
        find = self.tensors
        x, gate, before = find[node.x], node.gate, []
        if gate is not None and node.in_act.kind != "none":
            scaled = Tensor(name=f"{node.output}/gated", h=x.h, w=x.w, c=x.c)
            alone = self.users[node.x] == [node] and node.x not in self.kept and x.plain
            out = x if alone else scaled
            before = [lower_other.gate(node, x, find[gate], out)]
            x, gate = out, None
        elif node.in_act.kind != "none":
            scaled = Tensor(name=f"{node.output}/before", h=x.h, w=x.w, c=x.c)
            before = [lower_other.activation(node.name, x, scaled, node.in_act)]
            x = scaled
        res = find[node.residual] if node.residual else None
        stage = lower_conv.conv(
            node,
            x,
            find[node.output],
            self.weights,
            self.target,
            res=res,
            gate=find[gate] if gate else None,
        )
        return [*before, stage]

    # --------------------------------------------------------------------------------- chains

    def mark_bands(self) -> None:
        """Find the values that only ever exist a few rows at a time."""
        made = [i.name for i in self.graph.inputs][-1:]
        chain = set(made)
        for node in self.graph.nodes:
            if made and self.banded(made[-1], node, chain):
                self.tensors[made[-1]].local = True
            else:
                chain = set()
            made.append(node.output)
            chain.add(node.output)

    def banded(self, value: str, node: g.Node, chain: set[str]) -> bool:
        """True where `value` may be made in bands just before `node` reads it, and gains by it."""
        if not isinstance(node, g.Conv | g.Depthwise) or node.x != value or value in self.kept:
            return False
        maker = self.maker.get(value)
        if maker is not None and not isinstance(maker, g.Conv | g.Depthwise):
            return False
        if self.users[value] != [node] or node.residual in chain:
            return False
        if isinstance(node, g.Conv) and (node.gate is not None or node.in_act.kind != "none"):
            return False
        return maker is None or 4 * self.tensors[value].floats > WHOLE_BYTES

    # -------------------------------------------------------------------------------- program

    def program(self) -> Program:
        """Steps over one arena."""
        steps = [self.step(chain) for chain in self.stages()]
        shared = _placed(steps, local=False)
        own = max((_stacked(step) for step in steps), default=0)
        tensors = tuple(
            {id(t): t for step in steps for s in step.stages for t in s.tensors}.values()
        )
        sizes = self.graph.shapes
        return Program(
            steps=tuple(steps),
            tensors=tensors,
            weights=self.weights.array(),
            shared=shared,
            own=own,
            panel=_panel_floats(steps),
            inputs=len(self.graph.inputs),
            outputs=len(self.graph.outputs),
            input_floats=tuple(int(np.prod(i.shape)) for i in self.graph.inputs),
            output_floats=tuple(int(np.prod(sizes[o.value])) for o in self.graph.outputs),
        )

    def step(self, chain: Sequence[Stage]) -> Step:
        """A chain with the height of its bands; one stage alone is done in units."""
        if len(chain) == 1:
            return Step(stages=tuple(chain))
        stages = tuple(chain)
        band = _band(stages, self.target.cache_bytes)
        for stage, rows in zip(stages, _rows_kept(stages, band)[:-1], strict=False):
            out = stage.out
            assert out is not None
            out.slots, out.zeros = rows, True
        return Step(stages=stages, band=band)


def _is_stem(user: g.Node) -> bool:
    return isinstance(user, g.Conv) and max(user.kernel) > 1 and user.gate is None


# --------------------------------------------------------------------------------------------- bands


def _rows_kept(stages: Sequence[Stage], band: int) -> list[int]:
    """Rows of each stage's output that must be there at once, for bands of `band` rows."""
    kept = [band]
    for stage in reversed(stages[1:]):
        rows = (kept[0] - 1) * stage.stride_h + (stage.kernel_h - 1) * stage.dilation_h + 1
        assert stage.inp is not None
        kept.insert(0, min(rows, stage.inp.h))
    return kept


def _band(stages: Sequence[Stage], cache_bytes: int) -> int:
    """The most rows whose bands fit in the cache; 1 at least."""
    out = stages[-1].out
    assert out is not None
    best = 1
    for band in range(1, out.h + 1):
        rows = _rows_kept(stages, band)
        size = sum(
            4 * s.out.blocks * s.out.row * n
            for s, n in zip(stages[:-1], rows[:-1], strict=False)
            if s.out is not None
        )
        if size > cache_bytes:
            break
        best = band
    bands = -(-out.h // best)
    return -(-out.h // bands)  # bands of like height


# --------------------------------------------------------------------------------------------- arena


def _placed(steps: Sequence[Step], *, local: bool) -> int:
    """Give every shared tensor an address; the floats that all take. Largest first, lowest gap."""
    lives: dict[int, tuple[Tensor, int, int]] = {}
    for number, step in enumerate(steps):
        for stage in step.stages:
            for t in stage.tensors:
                if t.local == local:
                    first = lives[id(t)][1] if id(t) in lives else number
                    lives[id(t)] = (t, first, number)
    placed: list[tuple[Tensor, int, int]] = []
    for t, first, last in sorted(lives.values(), key=lambda row: (-row[0].floats, row[1])):
        overlap = sorted(
            (o.at, o.at + o.floats) for o, a, b in placed if a <= last and first <= b
        )
        at = 0
        for lo, hi in overlap:
            if at + t.floats <= lo:
                break
            at = max(at, hi)
        t.at = at
        placed.append((t, first, last))
    return max((t.at + t.floats for t, _, _ in placed), default=0)


def _stacked(step: Step) -> int:
    """Give a chain's bands addresses in a thread's own part; the floats that they take."""
    at = 0
    for stage in step.stages:
        if stage.out is not None and stage.out.local:
            stage.out.at = at
            at += stage.out.floats
    return at


def _panel_floats(steps: Sequence[Step]) -> int:
    """Floats of the largest panel that is scaled by a gate."""
    sizes = [
        (1 + sum(seg.count for seg in p.segments)) * p.width
        for step in steps
        for s in step.stages
        if s.gate is not None
        for p in s.panels
    ]
    return -(-max(sizes, default=0) // BLOCK) * BLOCK
