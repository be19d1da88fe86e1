"""TFLite files: their schema read field by field, constants in whole numbers made real.

    real = scale * (q - zero point), per tensor (uint8) or per output channel (int8)

Only what networks here need is read; every index is checked before it is followed.
Source: TensorFlow Lite's `schema.fbs` (version 3): tables, field numbers and operator codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pocketvision.errors import WeightsError
from pocketvision.weights.flatbuffer import Table

DTYPES = {
    0: "<f4", 1: "<f2", 2: "<i4", 3: "|u1", 4: "<i8", 6: "|b1", 7: "<i2", 9: "|i1", 10: "<f8",
    15: "<u4",
}  # fmt: skip
GRIDS = {3: (0, 255), 9: (-128, 127)}  # types of activations, with their lowest and highest
OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D",
    6: "DEQUANTIZE", 9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL",
    19: "RELU", 21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 25: "SOFTMAX", 32: "CUSTOM",
    34: "PAD", 40: "MEAN", 41: "SUB", 42: "DIV", 43: "SQUEEZE", 114: "QUANTIZE", 117: "HARD_SWISH",
}  # fmt: skip
MAX_RANK = 8


class Grid(NamedTuple):
    """Scales and zero points; one of each, or one a channel along `axis`."""

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file: a constant when it has data."""

    name: str
    shape: tuple[int, ...]
    type: int
    grid: Grid | None
    data: bytes

    @property
    def constant(self) -> bool:
        """True when the values stand in the file."""
        return len(self.data) > 0

    @property
    def raw(self) -> np.ndarray:
        """The stored values in the tensor's shape. Raises WeightsError when sizes disagree."""
        kind = DTYPES.get(self.type)
        if kind is None:
            raise WeightsError(f"tensor {self.name!r} has type {self.type}, which is not read")
        size = math.prod(self.shape) * np.dtype(kind).itemsize
        if size != len(self.data):
            raise WeightsError(
                f"tensor {self.name!r} {self.shape} needs {size} bytes but the file holds "
                f"{len(self.data)}: damaged"
            )
        return np.frombuffer(self.data, kind).reshape(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator: its name, tensor indices (-1: left out) and its options."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    def number(self, field: int, default: int = 0, kind: str = "i") -> int:
        """A scalar of the options."""
        return default if self.options is None else self.options.number(field, kind, default)


@dataclass(frozen=True)
class TFLiteFile:
    """The first subgraph of a file."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    size_bytes: int

    def real(self, index: int) -> np.ndarray:
        """A constant as float32. Raises WeightsError."""
        tensor = self.tensors[index]
        raw = tensor.raw
        self._spend(raw.size)
        if raw.dtype.kind == "f":
            return raw.astype(np.float32)
        if tensor.grid is None:
            raise WeightsError(f"tensor {tensor.name!r} is in whole numbers but has no scale")
        return dequantized(raw, tensor.grid, tensor.name)

    @cached_property
    def _spent(self) -> list[int]:
        return [0]

    def _spend(self, values: int) -> None:
        # A constant is used once or twice; a file whose tensors all name one buffer is hostile.
        self._spent[0] += values
        if self._spent[0] > 4 * self.size_bytes:
            raise WeightsError("the file uses the same bytes over and over: damaged or hostile")


def dequantized(raw: np.ndarray, grid: Grid, name: str) -> np.ndarray:
    """scale * (q - zero point) in float32, along the grid's axis where it has several.

    A vector (a bias) has one scale for all or one for each value, whatever axis the file names.
    """
    axis = 0 if raw.ndim == 1 else grid.axis
    count = len(grid.scale)
    if count > 1 and (not 0 <= axis < raw.ndim or raw.shape[axis] != count):
        raise WeightsError(f"tensor {name!r} {raw.shape} has {count} scales for axis {axis}")
    shape = [1] * raw.ndim
    if count > 1:
        shape[axis] = count
    scale, zero = grid.scale.reshape(shape), grid.zero_point.reshape(shape)
    real: np.ndarray = (scale * (raw.astype(np.float64) - zero)).astype(np.float32)
    return real


def read(data: bytes) -> TFLiteFile:
    """Parse a .tflite file. Raises WeightsError saying what is wrong with it."""
    model = Table.root(data, b"TFL3")
    subgraphs = model.tables(2)
    if not subgraphs:
        raise WeightsError("the file holds no network")
    graph, buffers = subgraphs[0], model.tables(4)
    names = [_operator_name(code) for code in model.tables(1)]
    tensors = tuple(_tensor(t, buffers) for t in graph.tables(0))
    count = len(tensors)
    operators = tuple(_operator(o, names, count) for o in graph.tables(3))
    return TFLiteFile(
        tensors=tensors,
        operators=operators,
        inputs=_indices(graph, 1, count),
        outputs=_indices(graph, 2, count),
        size_bytes=len(data),
    )


def _operator_name(code: Table) -> str:
    builtin = max(code.number(0, "b"), code.number(3, "i"))
    if builtin == 32:
        return code.text(1) or "CUSTOM"
    return OPERATORS.get(builtin, f"operator {builtin}")


def _operator(row: Table, names: list[str], count: int) -> Operator:
    index = row.number(0, "I")
    if index >= len(names):
        raise WeightsError(f"an operator has code {index} of {len(names)}: damaged")
    inputs, outputs = _indices(row, 1, count, least=-1), _indices(row, 2, count)
    return Operator(names[index], inputs, outputs, row.table(4))


def _indices(row: Table, field: int, count: int, *, least: int = 0) -> tuple[int, ...]:
    values = row.array(field, "<i4")
    if len(values) > 4096 or any(not least <= v < count for v in values):
        raise WeightsError(f"an operator names a tensor outside 0..{count - 1}: damaged")
    return tuple(int(v) for v in values)


def _tensor(row: Table, buffers: list[Table]) -> Tensor:
    shape = row.array(0, "<i4")
    if len(shape) > MAX_RANK or any(n < 0 for n in shape):
        raise WeightsError(f"a tensor has shape {list(shape[:9])}: damaged")
    buffer = row.number(2, "I")
    if buffer >= len(buffers):
        raise WeightsError(f"a tensor lies in buffer {buffer} of {len(buffers)}: damaged")
    data = buffers[buffer].array(0, "|u1")
    sizes = tuple(int(n) for n in shape)
    kind, grid = row.number(1, "b"), _grid(row.table(4))
    return Tensor(row.text(3), sizes, kind, grid, data.tobytes())


def _grid(row: Table | None) -> Grid | None:
    scale = None if row is None else row.array(2, "<f4").astype(np.float64)
    if row is None or scale is None or not len(scale):
        return None
    zero = row.array(3, "<i8").astype(np.float64)
    zero = zero if len(zero) else np.zeros(len(scale))
    if len(zero) != len(scale) or not np.isfinite(scale).all() or (scale <= 0).any():
        raise WeightsError("a tensor's scales and zero points do not fit each other: damaged")
    return Grid(scale, zero, row.number(6, "i"))
