"""What the generated C is told: tensors with addresses, stages, steps. Plain records.

A stage computes one value; a step is one stage in shares for several threads, or a chain of stages
in bands of rows. All distances are in floats.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pocketvision.compiler.kernels.depthwise import Depthwise
from pocketvision.compiler.kernels.gemm import Gemm
from pocketvision.compiler.kernels.winograd import Winograd

BLOCK = 16  # channels side by side in memory


@dataclass(kw_only=True)
class Tensor:
    """An image in memory: blocks of 16 channels, each a plane of rows of pixels."""

    name: str
    h: int
    w: int
    c: int
    pixel: int = BLOCK
    left: int = 0  # columns of zeros
    right: int = 0
    zeros: bool = False  # a row of zeros behind the last slot
    slots: int = 0  # rows kept; all where 0
    local: bool = False  # a band of one thread
    at: int = 0

    @property
    def kept(self) -> int:
        """Rows kept."""
        return self.slots or self.h

    @property
    def blocks(self) -> int:
        """Planes."""
        return -(-self.c // BLOCK) if self.pixel == BLOCK else self.c

    @property
    def row(self) -> int:
        """Floats a row, borders included."""
        return (self.w + self.left + self.right) * self.pixel

    @property
    def plane(self) -> int:
        """Floats a block."""
        return (self.kept + self.zeros) * self.row

    @property
    def floats(self) -> int:
        """Floats in all, in whole vectors."""
        return -(-self.blocks * self.plane // BLOCK) * BLOCK

    @property
    def plain(self) -> bool:
        """True without borders: all pixels are then one run."""
        return not (self.left or self.right or self.local)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """`count` input numbers beside each other: in kernel row `row`, plane `block`, from `at` on."""

    row: int
    block: int
    at: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Output channels from `channel` on; its weights at `b`, its kernels for a run of pixels."""

    channel: int
    width: int
    b: int
    segments: tuple[Segment, ...]
    main: Gemm
    main_tiles: int
    last: Gemm | None
    last_tiles: int


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A block of a depthwise convolution: its weights at `w`; where its kernel lies."""

    w: int
    kernel: Depthwise
    pad_top: int
    x: int


@dataclass(frozen=True, order=True)
class Code:
    """A C file of ours with words of it replaced: what a stage's functions are made of."""

    file: str
    words: tuple[tuple[str, str], ...] = ()


@dataclass(kw_only=True)
class Stage:
    """One value's computation. `rows` and `unit` name C functions; the rest is their data."""

    unit: str
    code: Code | None = None  # None: the functions are always there
    out: Tensor | None
    units: int = 1
    rows: str | None = None  # None: cannot be computed in bands
    inp: Tensor | None = None
    res: Tensor | None = None
    gate: Tensor | None = None
    sum: Tensor | None = None
    source: Tensor | None = None  # what panels read, where that is not `inp`
    transform: Winograd | None = None
    kernel_h: int = 1
    stride_h: int = 1
    dilation_h: int = 1
    pad_top: int = 0
    x: int = 0
    step: int = 0
    panels: tuple[Panel, ...] = ()
    filters: tuple[Filter, ...] = ()
    first: int = 0  # of what is in neither list: number of an input or output
    whole: bool = False
    chunks: int = 1
    tiles: int = 0
    numbers: tuple[int, ...] = ()
    alpha: float = 0.0
    beta: float = 0.0
    macs: int = 0
    name: str = ""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that it reads and writes."""
        return tuple(
            t for t in (self.inp, self.res, self.gate, self.sum, self.out) if t is not None
        )


@dataclass(frozen=True, kw_only=True)
class Step:
    """Stages done together; `band` rows at a time, 0 where the one stage is done in units."""

    stages: tuple[Stage, ...]
    band: int = 0


@dataclass(kw_only=True)
class Weights:
    """All weights in one array; every piece begins at a whole vector of 16."""

    pieces: list[np.ndarray] = field(default_factory=list)
    floats: int = 0

    def add(self, values: np.ndarray) -> int:
        """Append; the offset of the first number comes back."""
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        flat = np.pad(flat, (0, -len(flat) % BLOCK))
        at = self.floats
        self.pieces.append(flat)
        self.floats += len(flat)
        return at

    def array(self) -> np.ndarray:
        """All as one array."""
        return np.concatenate([np.zeros(0, np.float32), *self.pieces])


@dataclass(frozen=True, kw_only=True)
class Program:
    """A network as steps over one arena."""

    steps: tuple[Step, ...]
    tensors: tuple[Tensor, ...]
    weights: np.ndarray
    shared: int  # floats of the arena that all threads share
    own: int  # floats of the arena that each thread has
    panel: int  # floats for one scaled panel, a thread
    inputs: int
    outputs: int
    input_floats: tuple[int, ...]
    output_floats: tuple[int, ...]

    def arena_bytes(self, threads: int = 1) -> int:
        """Bytes of memory a context needs beside the weights."""
        return 4 * (self.shared + threads * (self.own + self.panel))
