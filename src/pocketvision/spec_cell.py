"""The searched cell of NASNet and DARTS: a small graph over two earlier outputs."""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.errors import SpecError
from pocketvision.spec_layers import check, one_of, positive

CELL_OPS = ("skip", "max_3", "avg_3", "sep_3", "sep_5", "sep_7", "dil_3", "dil_5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One operation inside a cell: reads node `source`, works at `stride`, adds into its node."""

    source: int
    op: str
    stride: int = 1

    def __post_init__(self) -> None:
        one_of(self, "op", self.op, CELL_OPS)
        check(self.source >= 0, f"Edge.source must be >= 0, got {self.source}")
        check(self.stride in (1, 2), f"Edge.stride must be 1 or 2, got {self.stride}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A small graph over two earlier outputs, as NASNet and DARTS build their networks.

    Nodes 0 and 1 are the two inputs, each brought to `channels` by relu, 1x1 and norm (`squeeze`),
    the older one by a factorized reduction where it is twice as large (`reduce_older`), or left as
    it is (`squeeze_older=False`: NASNet's first cell, whose filters read the image's stem). Node 2,
    3, ... is the sum of its edges; the output joins the nodes named by `concat`.
    Source: NASNet, arXiv:1707.07012, section 3.3 and appendix A; DARTS, arXiv:1806.09055, section
    2.1.
    """

    c_older: int
    c_newer: int
    channels: int
    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]
    reduce_older: bool = False
    squeeze_older: bool = True
    inputs: tuple[int, ...] = (-2, -1)

    def __post_init__(self) -> None:
        positive(self, c_older=self.c_older, c_newer=self.c_newer, channels=self.channels)
        check(len(self.inputs) == 2, f"Cell takes two inputs, got {self.inputs}")
        check(all(i < 0 for i in self.inputs), "Cell.inputs must be negative (how far back)")
        for n, edges in enumerate(self.nodes, start=2):
            late = [e.source for e in edges if e.source >= n]
            check(not late, f"Cell node {n} reads node {late}, which comes no earlier")
            check(bool(edges), f"Cell node {n} has no edge")
        top = 2 + len(self.nodes)
        check(bool(self.concat), "Cell.concat names no node")
        check(all(0 <= i < top for i in self.concat), f"Cell.concat must lie in 0..{top - 1}")
        self._check_older()

    def _check_older(self) -> None:
        """What an older input that is not squeezed can be used for."""
        if self.squeeze_older:
            return
        check(not self.reduce_older, "Cell.reduce_older needs squeeze_older")
        plain = ("skip", "max_3", "avg_3")
        bare = any(e.source == 0 and e.op in plain for edges in self.nodes for e in edges)
        if self.c_older != self.channels and (bare or 0 in self.concat):
            raise SpecError(
                f"Cell node 0 has {self.c_older} channels, not {self.channels}, when it is not "
                "squeezed: only sep and dil edges can read it"
            )

    def width(self, node: int) -> int:
        """Channels of a node."""
        return self.c_older if node == 0 and not self.squeeze_older else self.channels

    @property
    def c_in(self) -> int:
        """Channels of the newer input."""
        return self.c_newer

    @property
    def c_out(self) -> int:
        """Channels of the joined output."""
        return self.channels * len(self.concat)

    @property
    def stride(self) -> int:
        """2 for a reduction cell, else 1."""
        return max(e.stride for edges in self.nodes for e in edges)
