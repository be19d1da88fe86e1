"""The graph computed with numpy in float64: what every other way of running it must agree with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pocketvision.compiler.graph import (
    Act,
    Activation,
    Affine,
    Binary,
    Channels,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Crop,
    Depthwise,
    Flatten,
    GlobalMean,
    Graph,
    Input,
    Node,
    Output,
    Pad,
    Pads,
    Pool,
    Resize,
    Softmax,
)
from pocketvision.compiler.shapes import nearest_places, source_places, windows
from pocketvision.errors import UsageError

Values = Mapping[str, np.ndarray]


def run(
    graph: Graph, inputs: Mapping[str, np.ndarray], dtype: Any = np.float64
) -> dict[str, np.ndarray]:
    """{input: array} -> {output: array}, in the file's own layouts, a batch in front."""
    if set(inputs) != {i.name for i in graph.inputs}:
        raise UsageError(f"the inputs are {[i.name for i in graph.inputs]}, got {sorted(inputs)}")
    batches = {len(x) for x in inputs.values()}
    if len(batches) > 1:
        raise UsageError(f"the inputs have different batches: {sorted(batches)}")
    rows = []
    for n in range(next(iter(batches), 1)):
        values = {i.name: image_of(i, inputs[i.name][n]).astype(dtype) for i in graph.inputs}
        for node in graph.nodes:
            values[node.output] = evaluate(node, values, dtype)
        rows.append({o.name: tensor_of(o, values[o.value]) for o in graph.outputs})
    return {o.name: np.stack([row[o.name] for row in rows]) for o in graph.outputs}


def image_of(declared: Input, x: np.ndarray) -> np.ndarray:
    """One image of an input, from the file's layout to (h, w, c)."""
    h, w, c = declared.shape
    wanted = {"nchw": (c, h, w), "nhwc": (h, w, c), "nc": (c,)}[declared.layout]
    if x.shape != wanted:
        raise UsageError(f"input {declared.name!r} is {wanted} an image, got {x.shape}")
    return x.transpose(1, 2, 0) if declared.layout == "nchw" else x.reshape(h, w, c)


def tensor_of(declared: Output, value: np.ndarray) -> np.ndarray:
    """One image of an output, from (h, w, c) to the file's shape."""
    flat = value.transpose(2, 0, 1) if declared.layout == "nchw" else value
    return flat.reshape(declared.shape)


def evaluate(node: Node, values: Values, dtype: Any = np.float64) -> np.ndarray:
    """What one node makes of the values it reads."""
    return np.asarray(RULES[type(node)](node, values, dtype), dtype)


# -------------------------------------------------------------------------------------- activations


def activated(act: Activation, x: np.ndarray) -> np.ndarray:
    """The activation of every number; the last axis is the channels."""
    return np.asarray(FUNCTIONS[act.kind](x, act))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


FUNCTIONS: dict[str, Callable[[np.ndarray, Activation], np.ndarray]] = {
    "none": lambda x, a: x,
    "relu": lambda x, a: np.maximum(x, 0),
    "clip": lambda x, a: np.clip(x, a.alpha, a.beta),
    "hard_swish": lambda x, a: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid": lambda x, a: np.clip(a.alpha * x + a.beta, 0, 1),
    "sigmoid": lambda x, a: _sigmoid(x),
    "silu": lambda x, a: x * _sigmoid(x),
    "leaky_relu": lambda x, a: np.where(x < 0, a.alpha * x, x),
    "prelu": lambda x, a: np.where(x < 0, np.asarray(a.slope, x.dtype) * x, x),
    "tanh": lambda x, a: np.tanh(x),
    "exp": lambda x, a: np.exp(x),
    "sqrt": lambda x, a: np.sqrt(x),
    "abs": lambda x, a: np.abs(x),
    "neg": lambda x, a: -x,
}


# ------------------------------------------------------------------------------------- convolutions


def _bordered(x: np.ndarray, pads: Pads, value: float = 0.0) -> np.ndarray:
    top, left, bottom, right = pads
    if not any(pads):
        return x
    return np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=value)


def _taps(
    x: np.ndarray,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    out: tuple[int, int],
) -> list[tuple[int, int, np.ndarray]]:
    """For each place of the kernel, the (padded) numbers that it meets in all windows."""
    found = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + (out[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(left, left + (out[1] - 1) * stride[1] + 1, stride[1])
            found.append((i, j, x[rows, columns]))
    return found


def _conv(n: Conv, values: Values, dtype: Any) -> np.ndarray:
    x = values[n.x]
    if n.gate is not None:
        x = x * values[n.gate]
    x = activated(n.in_act, x)
    out = windows(x.shape, n.kernel, n.stride, n.pads, n.dilation)
    weight = n.weight.astype(dtype)
    c_in, c_out = weight.shape[3], len(weight) // n.groups
    made = np.empty((*out, len(weight)), dtype)
    made[:] = n.bias
    for i, j, part in _taps(_bordered(x, n.pads), n.kernel, n.stride, n.dilation, out):
        for g in range(n.groups):
            rows = slice(g * c_out, (g + 1) * c_out)
            made[..., rows] += part[..., g * c_in : (g + 1) * c_in] @ weight[rows, i, j].T
    return activated(n.act, _with_residual(made, n.residual, values))


def _with_residual(made: np.ndarray, residual: str | None, values: Values) -> np.ndarray:
    if residual is not None:
        made[..., : values[residual].shape[2]] += values[residual]
    return made


def _depthwise(n: Depthwise, values: Values, dtype: Any) -> np.ndarray:
    x = values[n.x]
    out = windows(x.shape, n.kernel, n.stride, n.pads, n.dilation)
    made = np.empty((*out, x.shape[2]), dtype)
    made[:] = n.bias
    weight = n.weight.astype(dtype)
    for i, j, part in _taps(_bordered(x, n.pads), n.kernel, n.stride, n.dilation, out):
        made += part * weight[i, j]
    return activated(n.act, _with_residual(made, n.residual, values))


def _conv_transpose(n: ConvTranspose, values: Values, dtype: Any) -> np.ndarray:
    x = values[n.x]
    h, w, c = x.shape
    kh, kw = n.weight.shape[1:3]
    per_in, per_out = c // n.groups, n.weight.shape[3]
    full = (
        (h - 1) * n.stride[0] + (kh - 1) * n.dilation[0] + 1,
        (w - 1) * n.stride[1] + (kw - 1) * n.dilation[1] + 1,
    )
    made = np.zeros((*full, per_out * n.groups), dtype)
    weight = n.weight.astype(dtype)
    for i, j, part in _taps(made, (kh, kw), n.stride, n.dilation, (h, w)):
        for g in range(n.groups):
            read = slice(g * per_in, (g + 1) * per_in)
            part[..., g * per_out : (g + 1) * per_out] += x[..., read] @ weight[read, i, j]
    top, left, bottom, right = n.pads
    made = made[top : full[0] - bottom, left : full[1] - right]
    return activated(n.act, made + n.bias)


# ------------------------------------------------------------------------------------------ windows


def _pool(n: Pool, values: Values, dtype: Any) -> np.ndarray:
    x = values[n.x]
    out = windows(x.shape, n.kernel, n.stride, n.pads)
    one = (1, 1)
    if n.kind == "max":
        padded = _bordered(x, n.pads, -math.inf)
        taps = _taps(padded, n.kernel, n.stride, one, out)
        made = taps[0][2].copy()
        for _, _, part in taps[1:]:
            np.maximum(made, part, out=made)
        return made
    total = sum(part for _, _, part in _taps(_bordered(x, n.pads), n.kernel, n.stride, one, out))
    if n.count_padding:
        return np.asarray(total / (n.kernel[0] * n.kernel[1]))
    inside = _bordered(np.ones((*x.shape[:2], 1)), n.pads)
    count = sum(part for _, _, part in _taps(inside, n.kernel, n.stride, one, out))
    return np.asarray(total / count)


def _pad(n: Pad, values: Values, dtype: Any) -> np.ndarray:
    top, left, bottom, right = n.pads
    sides = ((top, bottom), (left, right), (0, 0))
    if n.kind == "constant":
        return np.pad(values[n.x], sides, constant_values=n.value)
    return np.pad(values[n.x], sides, mode=n.kind)


def _crop(n: Crop, values: Values, dtype: Any) -> np.ndarray:
    h, w, _ = n.shape
    return values[n.x][n.top :: n.step[0], n.left :: n.step[1]][:h, :w]


# ------------------------------------------------------------------------------------------- resize


def _resize(n: Resize, values: Values, dtype: Any) -> np.ndarray:
    made = values[n.x]
    for axis in (0, 1):
        size = made.shape[axis]
        if n.kind == "nearest":
            made = np.take(made, nearest_places(n, axis, size), axis=axis)
            continue
        at = np.clip(source_places(n, axis, size), 0, size - 1)
        low = np.floor(at).astype(np.int64)
        part = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        first = np.take(made, low, axis=axis)
        second = np.take(made, np.minimum(low + 1, size - 1), axis=axis)
        made = first * (1 - part) + second * part
    return made


# ---------------------------------------------------------------------------------------- the rest


def _binary(n: Binary, values: Values, dtype: Any) -> np.ndarray:
    x, y = values[n.x], values[n.y]
    with np.errstate(divide="ignore", invalid="ignore"):
        return activated(n.act, OPERATIONS[n.kind](x, y))


OPERATIONS: dict[str, Callable[..., np.ndarray]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "max": np.maximum, "min": np.minimum,
}  # fmt: skip


def _softmax(n: Softmax, values: Values, dtype: Any) -> np.ndarray:
    x = values[n.x]
    shifted = x - x.max(axis=2, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    return np.asarray(log if n.log else np.exp(log))


def _flatten(n: Flatten, values: Values, dtype: Any) -> np.ndarray:
    x = values[n.x]
    return (x.transpose(2, 0, 1) if n.order == "chw" else x).reshape(1, 1, -1)


def _affine(n: Affine, values: Values, dtype: Any) -> np.ndarray:
    return activated(n.act, values[n.x] * n.scale.astype(dtype) + n.bias.astype(dtype))


RULES: dict[type[Node], Callable[[Any, Values, Any], np.ndarray]] = {
    Conv: _conv,
    Depthwise: _depthwise,
    ConvTranspose: _conv_transpose,
    Pool: _pool,
    GlobalMean: lambda n, v, d: v[n.x].mean(axis=(0, 1), keepdims=True),
    Act: lambda n, v, d: activated(n.act, v[n.x]),
    Affine: _affine,
    Binary: _binary,
    Concat: lambda n, v, d: np.concatenate([v[p] for p in n.parts], axis=n.axis),
    Channels: lambda n, v, d: v[n.x][..., n.index],
    Crop: _crop,
    Pad: _pad,
    Resize: _resize,
    Softmax: _softmax,
    Flatten: _flatten,
    Constant: lambda n, v, d: n.value,
}
