"""From a graph to a program: which stages run together in bands, where every tensor lies.

A value that is too large for the cache and that only the next operator reads is never kept whole:
its maker and its reader run in turn over bands of rows, so that it exists a few rows at a time
(MobileNetV2, arXiv:1801.04381, section 5.1, does so with channels). All other values lie in one
arena, sharing room where their lives do not overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pocketvision.compiler import graph as g
from pocketvision.compiler import lower_conv, lower_other, lower_winograd
from pocketvision.compiler.lower_graph import lowered
from pocketvision.compiler.program import BLOCK, Program, Stage, Step, Tensor, Weights
from pocketvision.compiler.targets import Target

LEAST_BAND = 4  # lower bands make rows above and below an image's part again and again
SLACK = 64  # floats behind all tensors: a whole tile, or a vector of half use, may read there
BAND_COST = 0.05  # of a byte in bands, against one of a value that stays whole
# A low image is shared by channels, not by rows, of which every thread would make too many twice.
LOW, LOW_BYTES = 14, 640 * 1024
WHOLE_BYTES = 256 * 1024  # a value up to this stays whole: the cache holds it beside its weights


@dataclass(frozen=True, kw_only=True)
class Options:
    """`fuse` False keeps every value whole, layer by layer, for comparison.

    `algorithms` chooses among direct, winograd2 and winograd4; the usual one where it is silent.
    Without `winograd` all convolutions are direct.
    """

    fuse: bool = True
    winograd: bool = True
    algorithms: Mapping[str, str] = field(default_factory=dict)  # of convolutions, by output


def plan(graph: g.Graph, target: Target, options: Options | None = None) -> Program:
    """The program of a graph whose passes have been done."""
    made = _Planner(lowered(graph), target, options or Options())
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
        stem = users and all(_is_stem(u, name) for u in users) and name not in self.kept
        if self.is_input(name) and c <= 4 and stem:
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
        m = self.tile(user)
        if m:
            t.right = max(t.right, lower_winograd.right(m, t.w, w_out, left))
            t.zeros = True
        right = lower_conv.needed_right(t.w, w_out, kw, user.stride[1], user.dilation[1], left)
        t.right = max(t.right, right)
        below = lower_conv.needed_right(t.h, h_out, kh, user.stride[0], user.dilation[0], top)
        t.zeros = t.zeros or top > 0 or below > 0

    def tile(self, node: g.Node) -> int:
        """m where a convolution is done by F(m x m, 3 x 3), 0 where directly."""
        if not self.options.winograd or not lower_winograd.is_possible(node, self.shape):
            return 0
        usual = lower_winograd.usual(node, self.shape(node.output))
        return lower_winograd.tile(self.options.algorithms.get(node.output, usual))

    def shape(self, name: str) -> g.Shape:
        """Height, width and channels of a value."""
        return self.graph.shapes[name]

    # --------------------------------------------------------------------------------- stages

    def stages(self) -> list[list[Stage]]:
        """Stages of every node, in order; a chain is a list of several."""
        made = [self.lowered(n) for n in self.graph.nodes if isinstance(n, g.Constant)]
        made += [
            [lower_other.input_stage(i, n, self.tensors[i.name])]
            for n, i in enumerate(self.graph.inputs)
        ]
        for node in self.graph.nodes:
            if isinstance(node, g.Constant):
                continue  # made first, not to part a chain
            self.prepare(node)
            before = len(made) - 1 if self.tensors[node.inputs[0]].local else len(made)
            made[before:before] = self.cleared(node)
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

    def cleared(self, node: g.Node) -> list[list[Stage]]:
        """A residual of fewer channels is added in whole blocks: what lies beyond must be zero."""
        name = getattr(node, "residual", None)
        if name is None:
            return []
        t = self.tensors[name]
        if t.c == self.tensors[node.output].c or t.c % BLOCK == 0:
            return []
        return [[lower_other.clear(f"{node.name}/residual", t)]]

    def lowered(self, node: g.Node) -> list[Stage]:
        """The stages of a node."""
        find = self.tensors
        if isinstance(node, g.Conv):
            return [self.conv(node)]
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

    def conv(self, node: g.Conv) -> Stage:
        """A convolution."""
        find = self.tensors
        res = find[node.residual] if node.residual else None
        common = (node, find[node.x], find[node.output], self.weights, self.target)
        if m := self.tile(node):
            return lower_winograd.conv(*common, m, res=res)
        return lower_conv.conv(*common, res=res, gate=find[node.gate] if node.gate else None)

    # --------------------------------------------------------------------------------- chains

    def mark_bands(self) -> None:
        """Find the values that only ever exist a few rows at a time."""
        links = [_Link(self.tensors[i.name]) for i in self.graph.inputs][-1:]
        for node in self.graph.nodes:
            if isinstance(node, g.Constant):
                continue
            link = None if self.tile(node) else _link(node, self.tensors[node.output])
            if links and link and self.follows(links, node):
                links.append(link)
            else:
                _cut(links, self.target.cache_bytes)
                links = [link] if link else []
        _cut(links, self.target.cache_bytes)

    def follows(self, links: Sequence[_Link], node: g.Node) -> bool:
        """True where `node` alone reads the last value of a chain, and no other value of it."""
        last, made = links[-1].out.name, {one.out.name for one in links}
        alone = self.users[last] == [node] and last not in self.kept
        return alone and node.inputs[0] == last and not made & set(node.inputs[1:])

    # -------------------------------------------------------------------------------- program

    def program(self) -> Program:
        """Steps over one arena."""
        steps = [self.step(chain) for chain in self.stages()]
        shared = _placed(steps) + SLACK
        own = max((_stacked(step) for step in steps), default=0) + SLACK
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
        links = [
            _Link(s.out, s.kernel_h, s.stride_h, s.dilation_h) for s in chain if s.out is not None
        ]
        band = _band(links, self.target.cache_bytes)
        for link, rows in zip(links[:-1], _rows_kept(links, band), strict=False):
            link.out.slots, link.out.zeros = rows, True
        return Step(stages=tuple(chain), band=band)


def _is_stem(user: g.Node, name: str) -> bool:
    """True where a convolution reads a value for its taps, and for nothing else."""
    return (
        isinstance(user, g.Conv)
        and max(user.kernel) > 1
        and user.gate is None
        and name != user.residual
    )


# ------------------------------------------------------------------------------------------- bands


@dataclass(frozen=True)
class _Link:
    """A member of a chain: its value, and how many rows of the one before it reads."""

    out: Tensor
    kernel_h: int = 1
    stride_h: int = 1
    dilation_h: int = 1


def _link(node: g.Node, out: Tensor) -> _Link | None:
    """The node as a member of a chain; None where it cannot be computed in bands."""
    if isinstance(node, g.Act | g.Affine | g.Binary):
        return _Link(out)
    if isinstance(node, g.Pool):
        return _Link(out, node.kernel[0], node.stride[0])
    if not isinstance(node, g.Conv | g.Depthwise):
        return None
    if isinstance(node, g.Conv) and node.gate is not None:
        return None
    return _Link(out, node.kernel[0], node.stride[0], node.dilation[0])


def _cut(links: Sequence[_Link], cache_bytes: int) -> None:
    """Mark the values of a chain that are made in bands: its cheapest cut in pieces.

    A value that stays whole costs what of it the cache does not hold; one in bands costs little,
    for the rows that are made twice where threads meet. A piece may not need too low bands.
    """
    best: list[tuple[float, int]] = [(0.0, 0)]  # up to each link: cost, where its piece begins
    for end in range(1, len(links) + 1):
        found = []
        for begin in range(end):
            piece = links[begin:end]
            least = min(LEAST_BAND, piece[-1].out.h)
            if len(piece) > 1 and _band(piece, cache_bytes) < least:
                continue
            banded = sum(BAND_COST * 4 * one.out.floats for one in piece[:-1])
            found.append((best[begin][0] + banded + _spilled(piece[-1].out), begin))
        best.append(min(found))
    end = len(links)
    while end > 0:
        begin = best[end][1]
        for one in links[begin : end - 1]:
            one.out.local = True
        end = begin


def _spilled(t: Tensor) -> int:
    """Bytes of a value, kept whole, that the cache does not hold."""
    return max(0, 4 * t.floats - (LOW_BYTES if t.h <= LOW else WHOLE_BYTES))


def _rows_kept(links: Sequence[_Link], band: int) -> list[int]:
    """Rows of each value that must be there at once, for bands of `band` rows of the last."""
    kept = [band]
    for i in range(len(links) - 1, 0, -1):
        reader, value = links[i], links[i - 1].out
        rows = (kept[0] - 1) * reader.stride_h + (reader.kernel_h - 1) * reader.dilation_h + 1
        kept.insert(0, min(rows, value.h))
    return kept


def _band(links: Sequence[_Link], cache_bytes: int) -> int:
    """The most rows whose bands fit in the cache; 1 at least."""
    h, best = links[-1].out.h, 1
    for band in range(1, h + 1):
        rows = _rows_kept(links, band)
        values = [link.out for link in links[:-1]]
        size = sum(4 * t.blocks * t.row * n for t, n in zip(values, rows, strict=False))
        if size > cache_bytes:
            break
        best = band
    return -(-h // -(-h // best))  # bands of like height


# ------------------------------------------------------------------------------------------- arena


def _placed(steps: Sequence[Step]) -> int:
    """Give every shared tensor an address; the floats that all take. Largest first, lowest gap."""
    lives: dict[int, tuple[Tensor, int, int]] = {}
    for number, step in enumerate(steps):
        for stage in step.stages:
            for t in stage.tensors:
                if not t.local:
                    first = lives[id(t)][1] if id(t) in lives else number
                    lives[id(t)] = (t, first, number)
    placed: list[tuple[Tensor, int, int]] = []
    for t, first, last in sorted(lives.values(), key=lambda row: (-row[0].floats, row[1])):
        overlap = sorted((o.at, o.at + o.floats) for o, a, b in placed if a <= last and first <= b)
        at = 0
        for lo, hi in overlap:
            if at + t.floats <= lo:
                break
            at = max(at, hi)
        t.at = at
        placed.append((t, first, last))
    return max((t.at + t.floats for t, _, _ in placed), default=0)


def _stacked(step: Step) -> int:
    """Give a step's local tensors addresses in a thread's own part; the floats that they take."""
    at, seen = 0, set()
    for stage in step.stages:
        for t in stage.tensors:
            if t.local and id(t) not in seen:
                seen.add(id(t))
                t.at = at
                at += t.floats
    return at


def _panel_floats(steps: Sequence[Step]) -> int:
    """Floats of the largest panel that is scaled by a gate."""
    sizes = [
        (1 + sum(seg.count for seg in p.segments)) * p.width
        for step in steps
        for s in step.stages
        if s.gate is not None and s.source is None
        for p in s.panels
    ]
    return -(-max(sizes, default=0) // BLOCK) * BLOCK
