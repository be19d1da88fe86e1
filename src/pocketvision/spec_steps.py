"""The steps of a block that branches: layers and joins by name, each reading earlier ones.

A block with branches lists its `Step`s once, in running order; its widths and stride, the built
module, the cost rows and the addresses all follow from that list. "x" is the block's input, and the
last step is its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pocketvision.errors import SpecError
from pocketvision.spec_blocks import check_one_input
from pocketvision.spec_layers import Layer

INPUT = "x"


class Add(NamedTuple):
    """The sum of two equal maps, then an activation."""

    act: str = "none"


class Concat(NamedTuple):
    """Maps of one size joined along the channels."""


class Shuffle(NamedTuple):
    """Channels cut into `groups` runs and dealt out in turn: the first of each, the second, ...

    Source: ShuffleNet, arXiv:1707.01083, figure 1.
    """

    groups: int


class Slice(NamedTuple):
    """Channels `start` up to `stop`; no copy."""

    start: int
    stop: int


class Enlarge(NamedTuple):
    """The first map at the size of the second, by the nearest pixel."""


Join = Add | Concat | Shuffle | Slice | Enlarge


class Step(NamedTuple):
    """One operation of a block: its name (and that of its result), and what it reads."""

    name: str
    op: Layer | Join
    reads: tuple[str, ...]


def step(name: str, op: Layer | Join, *reads: str) -> Step:
    """A step in one short line."""
    return Step(name, op, reads)


def chained(rows: Sequence[tuple[str, Layer | None]], *, start: str = INPUT) -> list[Step]:
    """Layers one after the other from tensor `start`; those that are None are left out."""
    steps: list[Step] = []
    for name, layer in rows:
        if layer is not None:
            steps.append(Step(name, layer, (steps[-1].name if steps else start,)))
    return steps


class Branching:
    """Shared by the kinds with branches: what follows from the steps alone."""

    __slots__: tuple[str, ...] = ()
    inputs: tuple[int, ...]

    def __post_init__(self) -> None:
        check_one_input(self)
        widths(self)
        _strides(self)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        raise NotImplementedError

    @property
    def layers(self) -> tuple[tuple[str, Layer], ...]:
        """(name, layer) of the steps that are layers, in the order they run."""
        return tuple((s.name, s.op) for s in self.steps if isinstance(s.op, Layer))

    @property
    def c_in(self) -> int:
        """Channels in: what the first layer that reads the input takes."""
        first = (s.op for s in self.steps if s.reads == (INPUT,))
        return next(op.c_in for op in first if isinstance(op, Layer))

    @property
    def c_out(self) -> int:
        """Channels out."""
        return list(widths(self).values())[-1]

    @property
    def stride(self) -> int:
        """How much smaller the output is than the input."""
        return _strides(self)


def widths(block: Any) -> dict[str, int]:
    """Channels of each step's result, "x" first. Raises SpecError where a step does not fit."""
    found = {INPUT: block.c_in}
    for s in block.steps:
        width = _width(s.op, [found[name] for name in s.reads])
        if width < 1:
            got = ", ".join(f"{name} ({found[name]} channels)" for name in s.reads)
            raise SpecError(f"{type(block).__name__}.{s.name} does not fit {got}: {s.op}")
        found[s.name] = width
    return found


def _width(op: Layer | Join, got: list[int]) -> int:
    """Channels out of an operation that reads maps of `got` channels, or 0 if it cannot."""
    match op:
        case Add():
            return got[0] if len(set(got)) == 1 else 0
        case Concat():
            return sum(got)
        case Shuffle():
            return got[0] if got[0] % op.groups == 0 else 0
        case Slice():
            return op.stop - op.start if op.start >= 0 and op.stop <= got[0] else 0
        case Enlarge():
            return got[0]
    return op.c_out if op.c_in == got[0] else 0


def _strides(block: Any) -> int:
    """Stride of the last step. Raises SpecError where maps of different sizes meet."""
    strides = {INPUT: 1}
    stride = 1
    for s in block.steps:
        got = [strides[name] for name in s.reads]
        if isinstance(s.op, Enlarge):
            got = got[1:]
        if len(set(got)) != 1:
            names = ", ".join(f"{name} (stride {strides[name]})" for name in s.reads)
            raise SpecError(f"{type(block).__name__}.{s.name} joins maps of other sizes: {names}")
        stride = got[0] * getattr(s.op, "stride", 1)
        strides[s.name] = stride
    return stride
