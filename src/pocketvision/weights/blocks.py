"""Blocks of ours found in a graph: an architecture read off a file's own operators.

From the image the stem, then block after block as long as one of the patterns fits, then a
classifier if the rest is one. Where the graph goes on otherwise (detection, segmentation), what was
found is a trunk and the rest is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from pocketvision.errors import WeightsError
from pocketvision.spec import (
    Classifier,
    InvertedResidual,
    Pool,
    Pooling,
    Separable,
    Single,
)
from pocketvision.weights.graph import Graph, Node
from pocketvision.weights.parts import Filtered, FoundGate, Reading, conv_of, filter_of

HEAD = "label"
GATES = ("sigmoid", "hard_sigmoid")


def read(graph: Graph) -> Reading:
    """The stem, blocks and head of a graph. Raises WeightsError where there is not even a stem."""
    return _Walk(graph).run()


class _Walk:
    """A position in the graph, and what was found up to there."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for tensor in dict.fromkeys(node.inputs):
                self.readers.setdefault(tensor, []).append(node)
        self.taken: set[str] = set()

    def run(self) -> Reading:
        stem = self._stem()
        self.found = found = Reading(stem=conv_of(stem))
        found.edges["input"] = stem.inputs[0]
        at = self._take("stem", stem)
        for i in count():
            after = self._block(f"blocks.{i}", at)
            if after is None:
                break
            at = after
        self._head(at)
        rest = [n for n in self.graph.nodes if n.output not in self.taken]
        found.used, found.unused = len(self.taken), [n.name or n.op for n in rest]
        return found

    def _stem(self) -> Node:
        firsts = [n for t in self.graph.inputs for n in self.readers.get(t, [])]
        if len(firsts) == 1 and firsts[0].filter is not None and firsts[0].op == "conv":
            return firsts[0]
        what = firsts[0].name or firsts[0].op if firsts else "nothing"
        raise WeightsError(
            f"the image goes into {what}; networks that start with one convolution are read"
        )

    def _take(self, address: str, *nodes: Node) -> str:
        """Nodes that make up the layer `address`; the last one's output is the layer's."""
        for node in nodes:
            self.taken.add(node.output)
            if node.filter is not None:
                self.found.filters[address] = node.filter
        self.found.edges[address] = nodes[-1].output
        return nodes[-1].output

    def _only(self, tensor: str) -> Node | None:
        """The one reader of a tensor that nobody else reads."""
        readers = self.readers.get(tensor, [])
        return readers[0] if len(readers) == 1 and tensor not in self.graph.outputs else None

    # ------------------------------------------------------------------------------------ blocks

    def _block(self, address: str, at: str) -> str | None:
        """One more block that reads `at`; gives its output, or None when no pattern fits."""
        pooled = self._only(at)
        if pooled is not None and pooled.op == "max_pool":
            return self._pooling(address, pooled)
        for node in self.readers.get(at, []):
            f = node.filter
            if node.op != "conv" or f is None:
                continue
            if f.depthwise:
                rest = self._filtered(node)
                if rest is not None:
                    return self._separable(address, at, rest)
            elif f.pointwise:
                deep = self._only(node.output)
                if deep is not None and deep.filter is not None and deep.filter.depthwise:
                    rest = self._filtered(deep)
                    if rest is not None:
                        return self._inverted(address, at, node, rest)
                elif self._pooled(node.output):
                    self.found.blocks.append(Single(conv=conv_of(node)))
                    self.found.edges[address] = self._take(f"{address}.conv", node)
                    return node.output
        return None

    def _pooling(self, address: str, node: Node) -> str | None:
        kernel, stride = node.value if isinstance(node.value, tuple) else (0, 0)
        if not 1 <= stride <= 8 or not 1 <= kernel <= 8:
            return None
        self.found.blocks.append(
            Pooling(pool=Pool(channels=self.channels, kernel=kernel, stride=stride, padded=False))
        )
        return self._take(address, node)

    @property
    def channels(self) -> int:
        """Channels of what was found last."""
        return self.found.blocks[-1].c_out if self.found.blocks else self.found.stem.c_out

    def _separable(self, address: str, at: str, rest: Filtered) -> str:
        shortcut, out = self._filter_tail(address, at, rest, "pointwise")
        self.found.blocks.append(
            Separable(
                depthwise=conv_of(rest.depthwise),
                gate=rest.gate_spec,
                pointwise=conv_of(rest.project),
                shortcut=shortcut,
            )
        )
        return out

    def _inverted(self, address: str, at: str, expand: Node, rest: Filtered) -> str:
        self._take(f"{address}.expand", expand)
        shortcut, out = self._filter_tail(address, at, rest, "project")
        self.found.blocks.append(
            InvertedResidual(
                expand=conv_of(expand),
                depthwise=conv_of(rest.depthwise),
                gate=rest.gate_spec,
                project=conv_of(rest.project),
                shortcut=shortcut,
            )
        )
        return out

    def _filter_tail(self, address: str, at: str, rest: Filtered, last: str) -> tuple[int, str]:
        """Take depthwise, gate and projection; (channels of the shortcut, the block's output)."""
        self._take(f"{address}.depthwise", rest.depthwise)
        if rest.gate is not None:
            g = rest.gate
            self.taken.add(g.pool.output)
            self.found.edges[f"{address}.gate.pool"] = g.pool.output
            self._take(f"{address}.gate.reduce", g.reduce)
            self._take(f"{address}.gate.expand", g.expand)
            self._take(f"{address}.gate", g.product)
        out = self._take(f"{address}.{last}", rest.project)
        added = self._sum(at, out)
        if added is not None:
            out = self._take(address, added)
        self.found.edges[address] = out
        return (0 if added is None else len(filter_of(rest.project).weight)), out

    def _sum(self, at: str, out: str) -> Node | None:
        added = self._only(out)
        if added is None or added.op != "add" or added.act != "none":
            return None
        return added if set(added.inputs) == {at, out} else None

    def _filtered(self, deep: Node) -> Filtered | None:
        """What follows a depthwise: perhaps a gate, then a projection."""
        gate = self._gate(deep.output)
        at = deep.output if gate is None else gate.product.output
        project = self._only(at)
        if project is None or project.filter is None or not project.filter.pointwise:
            return None
        return Filtered(deep, gate, project)

    def _gate(self, at: str) -> FoundGate | None:
        readers = self.readers.get(at, [])
        pool = next((n for n in readers if n.op == "mean"), None)
        product = next((n for n in readers if n.op == "mul" and n.act == "none"), None)
        if pool is None or product is None or len(readers) != 2:
            return None
        chain = list(self._path(pool.output))
        convs = [n for n in chain if n.op == "conv"]
        if len(convs) < 2 or not all(filter_of(n).pointwise for n in convs[:2]):
            return None
        reduce, expand = convs[:2]
        if set(product.inputs) != {at, expand.output} or expand.act not in GATES:
            return None
        return FoundGate(pool, reduce, expand, product)

    def _path(self, tensor: str) -> Iterator[Node]:
        """Nodes one after the other as long as each has a single reader."""
        node = self._only(tensor)
        while node is not None:
            yield node
            node = self._only(node.output)

    # -------------------------------------------------------------------------------------- head

    def _pooled(self, tensor: str) -> bool:
        """True when a tensor goes into the mean over space, and nowhere else."""
        node = self._only(tensor)
        if node is not None and node.op == "max_pool":
            node = self._only(node.output)
        return node is not None and node.op == "mean"

    def _head(self, at: str) -> None:
        """A classifier, if the rest of the graph is one: mean, linear layers, perhaps softmax."""
        pool = self._only(at)
        if pool is None or pool.op != "mean":
            return
        chain = [n for n in self._path(pool.output) if n.op != "reshape"]
        convs = [n for n in chain if n.op == "conv"]
        ending = [n.op for n in chain[len(convs) :]]
        plain = chain[: len(convs)] == convs and ending in ([], ["softmax"])
        fits = all(filter_of(n).pointwise for n in convs)
        if not convs or not plain or not fits or convs[-1].act != "none":
            return
        self._classifier(pool, convs)
        tail = list(self._path(pool.output))
        self.taken |= {n.output for n in tail}
        if ending:
            self.found.softmax = chain[-1].output

    def _classifier(self, pool: Node, convs: list[Node]) -> None:
        self.taken.add(pool.output)
        self.found.edges[f"heads.{HEAD}.pool"] = pool.output
        for i, node in enumerate(convs[:-1]):
            self._take(f"heads.{HEAD}.hidden.{i}", node)
        self._take(f"heads.{HEAD}.classifier", convs[-1])
        weight = filter_of(convs[-1]).weight
        hidden = tuple(conv_of(n) for n in convs[:-1])
        c_in = hidden[0].c_in if hidden else weight.shape[1]
        head = Classifier(c_in=c_in, classes=len(weight), hidden=hidden)
        self.found.heads.append((HEAD, head))
