"""Operators with weights: convolutions, matrix products, batch-norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketvision.compiler import onnx_math
from pocketvision.compiler.graph import Conv, ConvTranspose, Pads
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_view import View, is_whole, letters, vector

MAX_STEP = 1 << 16  # of strides, dilations and pads


def conv(b: Builder, op: Operator) -> list[Tensor]:
    """Any group, stride, dilation and padding over two axes."""
    x = b.image(op, b.view(op))
    weight = _weight(b, op)
    kernel, stride, dilation, groups = _geometry(op, weight)
    c_in = b.shapes[x][2]
    if weight.shape[1] * groups != c_in or len(weight) % groups:
        refuse(op, f"weights {weight.shape} in {groups} groups do not fit {c_in} channels")
    pads = padding(op, b.shapes[x][:2], kernel, stride, dilation)
    value = b.add(
        op, Conv, x=x, weight=weight.transpose(0, 2, 3, 1), bias=_bias(b, op, 2, len(weight)),
        stride=stride, pads=pads, dilation=dilation, groups=groups,
    )  # fmt: skip
    return [b.nchw(value)]


def conv_transpose(b: Builder, op: Operator) -> list[Tensor]:
    """output_padding becomes zero rows of the kernel where the padding does not hold it."""
    x = b.image(op, b.view(op))
    weight = _weight(b, op)
    kernel, stride, dilation, groups = _geometry(op, weight)
    h, w, c_in = b.shapes[x]
    if len(weight) != c_in or c_in % groups:
        refuse(op, f"weights {weight.shape} in {groups} groups do not fit {c_in} channels")
    more = _pair(op, "output_padding", 0)
    full = [
        (n - 1) * s + (k - 1) * d + 1 + o
        for n, s, k, d, o in zip((h, w), stride, kernel, dilation, more, strict=True)
    ]
    top, left, bottom, right = _transposed_pads(op, (h, w), stride, full)
    bottom, right = bottom - more[0], right - more[1]
    extra = [-(min(0, p) // d) for p, d in zip((bottom, right), dilation, strict=True)]
    weight = np.pad(weight, ((0, 0), (0, 0), (0, extra[0]), (0, extra[1])))
    pads = (top, left, bottom + extra[0] * dilation[0], right + extra[1] * dilation[1])
    value = b.add(
        op, ConvTranspose, x=x, weight=weight.transpose(0, 2, 3, 1),
        bias=_bias(b, op, 2, weight.shape[1] * groups), stride=stride, pads=pads,
        dilation=dilation, groups=groups,
    )  # fmt: skip
    return [b.nchw(value)]


def _transposed_pads(
    op: Operator, size: tuple[int, int], stride: tuple[int, int], full: list[int]
) -> Pads:
    auto = op.attributes.get("auto_pad", "NOTSET")
    wanted = op.attributes.get("output_shape")
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, stride, strict=True)]
    if wanted is None:
        return _explicit_pads(op) if auto == "NOTSET" else (0, 0, 0, 0)
    surplus = [f - int(n) for f, n in zip(full, tuple(wanted)[-2:], strict=True)]
    if len(wanted) < 2 or min(surplus) < 0:
        refuse(op, f"output_shape {tuple(wanted)} is larger than {tuple(full)}")
    small = [n // 2 for n in surplus]
    if auto == "SAME_UPPER":
        return small[0], small[1], surplus[0] - small[0], surplus[1] - small[1]
    return surplus[0] - small[0], surplus[1] - small[1], small[0], small[1]


def gemm(b: Builder, op: Operator) -> list[Tensor]:
    """alpha * x @ weight + beta * bias over vectors."""
    weight = b.weights(op, 1, "weights").astype(np.float64) * float(op.attributes.get("alpha", 1.0))
    if op.attributes.get("transA", 0):
        refuse(op, "transA turns the input; transB is supported")
    if weight.ndim != 2:
        refuse(op, f"its weights have the shape {weight.shape}; a matrix is supported")
    weight = weight if op.attributes.get("transB", 0) else weight.T
    bias = np.zeros(len(weight))
    if op.input(2):
        given = b.weights(op, 2, "biases").astype(np.float64)
        bias = given * float(op.attributes.get("beta", 1.0))
    if bias.size not in (1, len(weight)) or (bias.ndim > 1 and bias.shape[0] != 1):
        refuse(op, f"a bias {bias.shape} does not fit {len(weight)} outputs")
    view = b.view(op)
    if len(view.dims) != 2:
        refuse(op, f"its input has the shape {view.dims}; (n, c) is supported")
    return [_linear(b, op, b.vector(op, view), weight, bias)]


def _linear(b: Builder, op: Operator, x: str, weight: np.ndarray, bias: np.ndarray) -> View:
    _fits(b, op, x, weight)
    value = b.add(
        op, Conv, x=x, weight=np.ascontiguousarray(weight[:, None, None, :], np.float32),
        bias=np.broadcast_to(bias.reshape(-1), (len(weight),)).astype(np.float32),
    )  # fmt: skip
    return vector(value, len(weight), b.batch)


def _fits(b: Builder, op: Operator, x: str, weight: np.ndarray) -> None:
    if weight.shape[1] != b.shapes[x][2]:
        refuse(op, f"weights {weight.shape} do not fit {b.shapes[x][2]} channels")


def matmul(b: Builder, op: Operator) -> list[Tensor]:
    """x @ matrix along the last axis, which must be the channels: a 1x1 convolution."""
    weight = b.weights(op, 1, "right side")
    if weight.ndim != 2:
        refuse(op, f"its right side has the shape {weight.shape}; a matrix is supported")
    view = b.view(op)
    if len(view.dims) < 2 or view.dims[-1] != weight.shape[0]:
        refuse(op, f"{view.dims} and {weight.shape} do not fit")
    if len(view.dims) == 2:
        return [_linear(b, op, b.vector(op, view), weight.T, np.zeros(weight.shape[1]))]
    view = b.tidied(op, view)
    c = b.shapes[view.value][2]
    if not is_whole(view.axes[-1], "c", c) or any("c" in letters(a) for a in view.axes[:-1]):
        refuse(op, "the last axis of its input is not the channels")
    value = b.add(
        op, Conv, x=view.value, weight=weight.T[:, None, None, :].astype(np.float32),
        bias=np.zeros(weight.shape[1], np.float32),
    )  # fmt: skip
    last = vector(value, weight.shape[1], b.batch).axes[1]
    return [View(value, (*view.axes[:-1], last))]


def batch_norm(b: Builder, op: Operator) -> list[Tensor]:
    """x * scale + bias a channel, statistics frozen."""
    names = ("scale", "bias", "mean", "variance")
    rows = [b.weights(op, i, name).astype(np.float64) for i, name in enumerate(names, 1)]
    view = b.view(op)
    if len(view.dims) < 2 or any(r.shape != (view.dims[1],) for r in rows):
        refuse(op, f"its numbers {[r.shape for r in rows]} do not fit its input {view.dims}")
    if op.attributes.get("training_mode", 0) or any(op.outputs[1:]):
        refuse(op, "it computes statistics; export the network in evaluation mode")
    gamma, beta, mean, variance = rows
    spread = variance + float(op.attributes.get("epsilon", 1e-5))
    if (spread <= 0).any():
        refuse(op, f"tensor {op.input(4)!r} holds a variance below zero")
    scale = gamma / np.sqrt(spread)
    tall = (-1, *(1,) * (len(view.dims) - 2))
    return [onnx_math.affine(b, op, view, scale.reshape(tall), (beta - mean * scale).reshape(tall))]


# ---------------------------------------------------------------------------------------- geometry


def _weight(b: Builder, op: Operator) -> np.ndarray:
    weight = b.weights(op, 1, "weights")
    if weight.ndim != 4 or 0 in weight.shape or weight.dtype.kind != "f":
        refuse(op, f"its weights are {weight.dtype} {weight.shape}; floats over two axes of space "
                   f"are supported")  # fmt: skip
    return weight.astype(np.float32)


def _bias(b: Builder, op: Operator, number: int, size: int) -> np.ndarray:
    if not op.input(number):
        return np.zeros(size, np.float32)
    bias = b.weights(op, number, "biases")
    if bias.shape != (size,):
        refuse(op, f"a bias {bias.shape} does not fit {size} channels")
    return bias.astype(np.float32)


def _geometry(
    op: Operator, weight: np.ndarray
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
    kernel = _pair(op, "kernel_shape", weight.shape[2:])
    if kernel != weight.shape[2:]:
        refuse(op, f"kernel_shape {kernel} is not that of its weights {weight.shape}")
    groups = int(op.attributes.get("group", 1))
    if groups < 1:
        refuse(op, f"it has {groups} groups")
    return kernel, _pair(op, "strides", 1), _pair(op, "dilations", 1), groups


def _pair(op: Operator, name: str, default: Any) -> tuple[int, int]:
    found = op.attributes.get(name)
    if found is None:
        found = default if isinstance(default, tuple) else (default, default)
    least = 0 if name == "output_padding" else 1
    whole = isinstance(found, tuple) and len(found) == 2
    if not whole or not all(isinstance(n, int) and least <= n <= MAX_STEP for n in found):
        refuse(op, f"{name} is {found}; two numbers, {least} to {MAX_STEP}, are supported")
    return found[0], found[1]


def pair(op: Operator, name: str, default: Any) -> tuple[int, int]:
    """An attribute of two numbers, for height and width."""
    return _pair(op, name, default)


def _explicit_pads(op: Operator) -> Pads:
    pads = op.attributes.get("pads", (0, 0, 0, 0))
    if (
        not isinstance(pads, tuple)
        or len(pads) != 4
        or not all(isinstance(p, int) and 0 <= p <= MAX_STEP for p in pads)
    ):
        refuse(op, f"pads is {pads}; four numbers, 0 to {MAX_STEP}, are supported")
    return pads[0], pads[1], pads[2], pads[3]


def padding(
    op: Operator,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Pads:
    """Top, left, bottom, right: as given, or by the rule that `auto_pad` names."""
    auto = op.attributes.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return _explicit_pads(op)
    if auto == "VALID":
        return 0, 0, 0, 0
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        refuse(op, f"auto_pad is {auto!r}; SAME_UPPER, SAME_LOWER, VALID and NOTSET are supported")
    before, behind = [], []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        behind.append(large if auto == "SAME_UPPER" else small)
    return before[0], before[1], behind[0], behind[1]
