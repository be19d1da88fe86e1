"""The shape of what each operator makes, and where resized pixels come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pocketvision.compiler.graph import (
    Act,
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
    Node,
    Pad,
    Pads,
    Pool,
    Resize,
    Shape,
    Softmax,
)

Shapes = Mapping[str, Shape]


def shape_of(node: Node, shapes: Shapes) -> Shape:
    """(h, w, c) of the node's output. Raises ValueError where its inputs do not fit together."""
    h, w, c = RULES[type(node)](node, shapes)
    if min(h, w, c) < 1:
        raise ValueError(f"its output would have the shape {h}x{w}x{c}")
    return h, w, c


def steps(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    """How many windows of `kernel` fit into `size` numbers with `pads` before and behind."""
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


def windows(
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: Pads,
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Height and width of what a sliding kernel makes."""
    top, left, bottom, right = pads
    return (
        steps(shape[0], kernel[0], stride[0], dilation[0], (top, bottom)),
        steps(shape[1], kernel[1], stride[1], dilation[1], (left, right)),
    )


def _conv(n: Conv, shapes: Shapes) -> Shape:
    x, c_out = shapes[n.x], len(n.weight)
    _need(n.weight.ndim == 4 and n.weight.shape[3] * n.groups == x[2], "weights", n.weight.shape, x)
    _need(c_out % n.groups == 0 and n.bias.shape == (c_out,), "bias", n.bias.shape, n.weight.shape)
    out = (*windows(x, n.kernel, n.stride, n.pads, n.dilation), c_out)
    if n.gate is not None:
        _need(shapes[n.gate] == (1, 1, x[2]), "gate", shapes[n.gate], x)
    _check_residual(n.residual, out, shapes)
    return out


def _depthwise(n: Depthwise, shapes: Shapes) -> Shape:
    x = shapes[n.x]
    _need(n.weight.ndim == 3 and n.weight.shape[2] == x[2], "weights", n.weight.shape, x)
    _need(n.bias.shape == (x[2],), "bias", n.bias.shape, x)
    out = (*windows(x, n.kernel, n.stride, n.pads, n.dilation), x[2])
    _check_residual(n.residual, out, shapes)
    return out


def _check_residual(residual: str | None, out: Shape, shapes: Shapes) -> None:
    if residual is not None:
        r = shapes[residual]
        _need(r[:2] == out[:2] and r[2] <= out[2], "residual", r, out)


def _conv_transpose(n: ConvTranspose, shapes: Shapes) -> Shape:
    h, w, c = shapes[n.x]
    top, left, bottom, right = n.pads
    c_in, kh, kw, per_group = n.weight.shape
    _need(c_in == c and c % n.groups == 0, "weights", n.weight.shape, (h, w, c))
    _need(n.bias.shape == (per_group * n.groups,), "bias", n.bias.shape, n.weight.shape)
    return (
        (h - 1) * n.stride[0] + (kh - 1) * n.dilation[0] + 1 - top - bottom,
        (w - 1) * n.stride[1] + (kw - 1) * n.dilation[1] + 1 - left - right,
        per_group * n.groups,
    )


def _pool(n: Pool, shapes: Shapes) -> Shape:
    x = shapes[n.x]
    return (*windows(x, n.kernel, n.stride, n.pads), x[2])


def _affine(n: Affine, shapes: Shapes) -> Shape:
    x = shapes[n.x]
    _need(n.scale.shape == n.bias.shape == (x[2],), "scale", n.scale.shape, x)
    return x


def _binary(n: Binary, shapes: Shapes) -> Shape:
    x, y = shapes[n.x], shapes[n.y]
    fits = y in (x, (1, 1, x[2]), (x[0], x[1], 1), (1, 1, 1))
    _need(fits, "second value", y, x)
    return x


def _concat(n: Concat, shapes: Shapes) -> Shape:
    parts = [shapes[p] for p in n.parts]
    first = list(parts[0])
    for p in parts[1:]:
        same = all(a == b for i, (a, b) in enumerate(zip(p, first, strict=True)) if i != n.axis)
        _need(same, "part", p, parts[0])
    first[n.axis] = sum(p[n.axis] for p in parts)
    return first[0], first[1], first[2]


def _channels(n: Channels, shapes: Shapes) -> Shape:
    h, w, c = shapes[n.x]
    inside = n.index.ndim == 1 and len(n.index) > 0 and 0 <= n.index.min() <= n.index.max() < c
    _need(bool(inside), "channels", n.index.shape, (h, w, c))
    return h, w, len(n.index)


def _crop(n: Crop, shapes: Shapes) -> Shape:
    h, w, c = shapes[n.x]
    bottom = n.top + (n.shape[0] - 1) * n.step[0]
    right = n.left + (n.shape[1] - 1) * n.step[1]
    inside = n.top >= 0 and n.left >= 0 and bottom < h and right < w and n.shape[2] == c
    _need(inside, "window", n.shape, (h, w, c))
    return n.shape


def _pad(n: Pad, shapes: Shapes) -> Shape:
    h, w, c = shapes[n.x]
    if n.kind == "reflect":
        fits = max(n.pads[0], n.pads[2]) < h and max(n.pads[1], n.pads[3]) < w
        _need(fits, "mirrored border", n.pads, (h, w, c))
    return h + n.pads[0] + n.pads[2], w + n.pads[1] + n.pads[3], c


def _flatten(n: Flatten, shapes: Shapes) -> Shape:
    h, w, c = shapes[n.x]
    return 1, 1, h * w * c


def _constant(n: Constant, shapes: Shapes) -> Shape:
    h, w, c = n.value.shape
    return h, w, c


def _same(n: Any, shapes: Shapes) -> Shape:
    return shapes[n.x]


def _need(fits: bool, what: str, got: tuple[int, ...], beside: tuple[int, ...]) -> None:
    if not fits:
        raise ValueError(f"its {what} {tuple(got)} does not fit {tuple(beside)}")


RULES: dict[type[Node], Callable[[Any, Shapes], Shape]] = {
    Conv: _conv,
    Depthwise: _depthwise,
    ConvTranspose: _conv_transpose,
    Pool: _pool,
    GlobalMean: lambda n, shapes: (1, 1, shapes[n.x][2]),
    Act: _same,
    Affine: _affine,
    Binary: _binary,
    Concat: _concat,
    Channels: _channels,
    Crop: _crop,
    Pad: _pad,
    Resize: lambda n, shapes: (*n.size, shapes[n.x][2]),
    Softmax: _same,
    Flatten: _flatten,
    Constant: _constant,
}


def source_places(n: Resize, axis: int, size: int, dtype: Any = np.float64) -> np.ndarray:
    """Where along an axis of `size` pixels each pixel of the result comes from, in pixels."""
    new, scale = n.size[axis], dtype(n.scales[axis])
    at = np.arange(new, dtype=dtype)
    if n.coordinates == "asymmetric":
        return at / scale
    if n.coordinates == "align_corners":
        return at * (size - 1) / (new - 1) if new > 1 else at * 0
    if n.coordinates == "pytorch_half_pixel" and new == 1:
        return at * 0
    return np.asarray((at + dtype(0.5)) / scale - dtype(0.5))


def nearest_places(n: Resize, axis: int, size: int) -> np.ndarray:
    """The pixel along an axis that each pixel of the result is a copy of."""
    # What is a half in runtimes must be a half here. Measured on ONNX Runtime, which steps through
    # float32 except where it divides whole places.
    half = n.coordinates in ("half_pixel", "pytorch_half_pixel")
    at = source_places(n, axis, size, np.float32 if half else np.float64).astype(np.float32)
    rounded = {
        "round_prefer_floor": lambda: np.ceil(at - np.float32(0.5)),
        "round_prefer_ceil": lambda: np.floor(at + np.float32(0.5)),
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
    }[n.rounding]()
    return np.clip(rounded, 0, size - 1).astype(np.int64)
