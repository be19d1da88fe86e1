"""Operators of constants, computed while reading: shapes, mostly.

Every result is measured before it is made, and all results together are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pocketvision.compiler.onnx_build import refuse
from pocketvision.compiler.onnx_file import Operator

MAX_RESULT = 1 << 24
TYPES: dict[int, Any] = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64,
    9: np.bool_, 10: np.float32, 11: np.float64, 12: np.uint32, 13: np.uint64, 16: np.float32,
}  # fmt: skip
Arrays = Sequence[np.ndarray]
Rule = Callable[[Operator, Arrays], Any]


def fold(op: Operator, inputs: Arrays) -> list[np.ndarray]:
    """What an operator makes of constants. Raises DataError."""
    try:
        with np.errstate(all="ignore"):
            made = RULES[op.kind](op, inputs)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError) as e:
        refuse(op, f"it cannot be computed from its constants: {' '.join(str(e).split())[:100]}")
    return [np.asarray(m) for m in (made if isinstance(made, list | tuple) else [made])]


def is_foldable(op: Operator) -> bool:
    """True where a rule for constants is known."""
    return op.kind in RULES


def _measured(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that is not too large to be made."""
    if len(shape) > 8 or any(n < 0 for n in shape) or math.prod(shape) > MAX_RESULT:
        raise ValueError(f"a shape of {[int(n) for n in shape][:8]}")
    return tuple(int(n) for n in shape)


def _whole(x: np.ndarray) -> list[int]:
    if x.dtype.kind not in "iu" or x.size > MAX_RESULT:
        raise ValueError(f"{x.dtype} numbers where whole ones are needed")
    return [int(n) for n in x.reshape(-1)]


def _each(function: Callable[..., Any]) -> Rule:
    def rule(op: Operator, xs: Arrays) -> np.ndarray:
        _measured(np.broadcast_shapes(*(x.shape for x in xs)))
        made = np.asarray(function(*xs))
        if made.dtype.kind == "f" and xs[0].dtype.kind == "f":
            made = made.astype(xs[0].dtype, copy=False)
        return made

    return rule


def _chain(function: Callable[..., Any]) -> Rule:
    def rule(op: Operator, xs: Arrays) -> np.ndarray:
        made = xs[0]
        for x in xs[1:]:
            made = _each(function)(op, (made, x))
        return made

    return rule


def _divided(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.dtype.kind in "iu":
        if not np.all(y):
            raise ValueError("a division by zero")
        return np.asarray(np.trunc(x / y)).astype(x.dtype) if x.dtype.kind == "i" else x // y
    return np.asarray(x / y)


def _remainder(op: Operator, xs: Arrays) -> np.ndarray:
    x, y = xs
    if x.dtype.kind in "iu" and not np.all(y):
        raise ValueError("a division by zero")
    _measured(np.broadcast_shapes(x.shape, y.shape))
    return np.asarray(np.fmod(x, y) if op.attributes.get("fmod", 0) else np.mod(x, y))


def _constant(op: Operator, xs: Arrays) -> np.ndarray:
    for name, made in op.attributes.items():
        if name == "value" and isinstance(made, np.ndarray):
            return made
        if name in ("value_float", "value_floats"):
            return np.asarray(made, np.float32)
        if name in ("value_int", "value_ints"):
            return np.asarray(made, np.int64)
    raise ValueError("a tensor or numbers are supported")


def _filled(op: Operator, xs: Arrays) -> np.ndarray:
    value = op.attributes.get("value")
    value = np.zeros(1, np.float32) if value is None else value
    return np.full(_measured(_whole(xs[0])), value.reshape(-1)[0], value.dtype)


def _range(op: Operator, xs: Arrays) -> np.ndarray:
    start, limit, delta = (x.reshape(()).item() for x in xs)
    if not delta:
        raise ValueError("steps of 0")
    count = max(0, math.ceil((limit - start) / delta))
    _measured([count])
    return (start + np.arange(count) * delta).astype(xs[0].dtype)


def _axes(op: Operator, xs: Arrays, number: int = 1) -> list[int] | None:
    given = op.attributes.get("axes")
    if given is not None:
        return [int(a) for a in given]
    return _whole(xs[number]) if len(xs) > number else None


def _squeezed(op: Operator, xs: Arrays) -> np.ndarray:
    axes = _axes(op, xs)
    return np.squeeze(xs[0], None if axes is None else tuple(axes))


def _unsqueezed(op: Operator, xs: Arrays) -> np.ndarray:
    axes = _axes(op, xs) or []
    if xs[0].ndim + len(axes) > 16:
        raise ValueError(f"{xs[0].ndim + len(axes)} axes")
    return np.expand_dims(xs[0], tuple(axes))


def _reshaped(op: Operator, xs: Arrays) -> np.ndarray:
    shape = _whole(xs[1])
    if not op.attributes.get("allowzero", 0):
        shape = [xs[0].shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return xs[0].reshape(shape)


def _flattened(op: Operator, xs: Arrays) -> np.ndarray:
    axis = int(op.attributes.get("axis", 1))
    return xs[0].reshape(math.prod(xs[0].shape[:axis]), -1)


def _sliced(op: Operator, xs: Arrays) -> np.ndarray:
    a = op.attributes
    starts = list(a["starts"]) if "starts" in a else _whole(xs[1])
    ends = list(a["ends"]) if "ends" in a else _whole(xs[2])
    given = a.get("axes", None if len(xs) < 4 else _whole(xs[3]))
    axes = list(range(len(starts))) if given is None else list(given)
    steps = _whole(xs[4]) if len(xs) > 4 else [1] * len(starts)
    made = xs[0]
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at = [slice(None)] * made.ndim
        at[axis] = slice(start, None if step < 0 and end < -(1 << 30) else end, step)
        made = made[tuple(at)]
    return made


def _split(op: Operator, xs: Arrays) -> list[np.ndarray]:
    axis, count = int(op.attributes.get("axis", 0)), len(op.outputs)
    sizes = op.attributes.get("split") or (_whole(xs[1]) if len(xs) > 1 else None)
    if sizes is None:
        each = -(-xs[0].shape[axis] // count)
        sizes = [each] * count
    if len(sizes) != count:
        raise ValueError(f"{len(sizes)} parts for {count} outputs")
    return np.split(xs[0], np.cumsum(sizes)[:-1].tolist(), axis=axis)


def _gathered(op: Operator, xs: Arrays) -> np.ndarray:
    axis = int(op.attributes.get("axis", 0))
    _measured([xs[1].size, xs[0].size // max(1, xs[0].shape[axis])])
    return np.take(xs[0], xs[1], axis=axis)


def _joined(op: Operator, xs: Arrays) -> np.ndarray:
    _measured([sum(x.size for x in xs)])
    return np.concatenate(xs, axis=int(op.attributes.get("axis", 1)))


def _expanded(op: Operator, xs: Arrays) -> np.ndarray:
    shape = np.broadcast_shapes(xs[0].shape, _measured(_whole(xs[1])))
    return np.broadcast_to(xs[0], _measured(shape))


def _tiled(op: Operator, xs: Arrays) -> np.ndarray:
    times = _whole(xs[1])
    _measured([n * t for n, t in zip(xs[0].shape, times, strict=True)])
    return np.tile(xs[0], times)


def _where(op: Operator, xs: Arrays) -> np.ndarray:
    _measured(np.broadcast_shapes(*(x.shape for x in xs)))
    return np.where(*xs)


def _reduced(function: Callable[..., Any]) -> Rule:
    def rule(op: Operator, xs: Arrays) -> np.ndarray:
        axes = _axes(op, xs)
        if not axes:
            if axes == [] and op.attributes.get("noop_with_empty_axes", 0):
                return xs[0]
            axes = list(range(xs[0].ndim))
        kept = bool(op.attributes.get("keepdims", 1))
        return np.asarray(function(xs[0], axis=tuple(axes), keepdims=kept)).astype(xs[0].dtype)

    return rule


def _cast(op: Operator, xs: Arrays) -> np.ndarray:
    kind = TYPES.get(int(op.attributes.get("to", 1)))
    if kind is None:
        raise ValueError(f"type {op.attributes.get('to')}")
    return xs[0].astype(kind)


def _clipped(op: Operator, xs: Arrays) -> np.ndarray:
    low = xs[1] if len(xs) > 1 else op.attributes.get("min", -np.inf)
    high = xs[2] if len(xs) > 2 else op.attributes.get("max", np.inf)
    return np.minimum(np.maximum(xs[0], low), high).astype(xs[0].dtype)


def _product(op: Operator, xs: Arrays) -> np.ndarray:
    x, y = xs
    if x.ndim != 2 or y.ndim != 2 or x.size * y.shape[1] > MAX_RESULT << 4:
        raise ValueError(f"a product of {x.shape} and {y.shape}")
    _measured((x.shape[0], y.shape[1]))
    return np.asarray(x @ y)


RULES: dict[str, Rule] = {
    "Constant": _constant, "ConstantOfShape": _filled, "Range": _range, "Identity": _each(np.array),
    "Dropout": lambda op, xs: xs[0], "Cast": _cast,
    "Shape": lambda op, xs: shape_numbers(op, xs[0].shape),
    "Size": lambda op, xs: np.asarray(xs[0].size, np.int64),
    "Add": _each(np.add), "Sub": _each(np.subtract), "Mul": _each(np.multiply),
    "Div": _each(_divided), "Pow": _each(lambda x, y: np.power(x, y).astype(x.dtype)),
    "Mod": _remainder, "Neg": _each(np.negative), "Abs": _each(np.abs), "Sqrt": _each(np.sqrt),
    "Exp": _each(np.exp), "Log": _each(np.log), "Floor": _each(np.floor), "Ceil": _each(np.ceil),
    "Round": _each(np.round), "Sign": _each(np.sign), "Reciprocal": _each(np.reciprocal),
    "Max": _chain(np.maximum), "Min": _chain(np.minimum), "Sum": _chain(np.add),
    "Equal": _each(np.equal), "Less": _each(np.less), "Greater": _each(np.greater),
    "LessOrEqual": _each(np.less_equal), "GreaterOrEqual": _each(np.greater_equal),
    "And": _each(np.logical_and), "Or": _each(np.logical_or), "Not": _each(np.logical_not),
    "Where": _where, "Relu": _each(lambda x: np.maximum(x, 0)), "Clip": _clipped,
    "Sigmoid": _each(lambda x: 1 / (1 + np.exp(-x))), "Tanh": _each(np.tanh),
    "Squeeze": _squeezed, "Unsqueeze": _unsqueezed, "Reshape": _reshaped, "Flatten": _flattened,
    "Transpose": lambda op, xs: np.transpose(xs[0], op.attributes.get("perm")),
    "Slice": _sliced, "Split": _split, "Gather": _gathered, "Concat": _joined,
    "Expand": _expanded, "Tile": _tiled, "MatMul": _product,
    "ReduceSum": _reduced(np.sum), "ReduceProd": _reduced(np.prod), "ReduceMean": _reduced(np.mean),
    "ReduceMax": _reduced(np.max), "ReduceMin": _reduced(np.min),
}  # fmt: skip


def shape_numbers(op: Operator, dims: Sequence[int]) -> np.ndarray:
    """What Shape says of a tensor; since opset 15 it may be asked for part of it."""
    start, end = op.attributes.get("start", 0), op.attributes.get("end")
    return np.asarray(dims[start:end], np.int64)
