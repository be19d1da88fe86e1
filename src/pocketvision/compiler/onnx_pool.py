"""Operators over windows and over the whole of space."""

from __future__ import annotations

import numpy as np

from pocketvision.compiler.graph import Conv, GlobalMean, Pad, Pads, Pool
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse
from pocketvision.compiler.onnx_conv import padding, pair
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_view import View, digits, letters, sign
from pocketvision.compiler.shapes import steps


def max_pool(b: Builder, op: Operator) -> list[Tensor]:
    """Largest of windows; without dilation, without indices."""
    if any(op.outputs[1:]):
        refuse(op, "its indices are used; its values alone are supported")
    x, kernel, stride, pads = _geometry(b, op)
    below = _reaching(op, b.shapes[x][:2], kernel, stride, pads)
    value = b.add(op, Pool, kind="max", x=x, kernel=kernel, stride=stride, pads=below)
    return [b.nchw(value)]


def mean_pool(b: Builder, op: Operator) -> list[Tensor]:
    """Mean of windows. Rows that only ceil_mode adds are never counted, padding where asked."""
    x, kernel, stride, pads = _geometry(b, op)
    counted = bool(op.attributes.get("count_include_pad", 0)) and any(pads)
    below = _reaching(op, b.shapes[x][:2], kernel, stride, pads)
    if counted and below != pads:
        x = b.add(op, Pad, x=x, pads=pads)
        below = (0, 0, below[2] - pads[2], below[3] - pads[3])
        below = (0, 0, max(0, below[2]), max(0, below[3]))
        counted = False
    value = b.add(
        op, Pool, kind="mean", x=x, kernel=kernel, stride=stride, pads=below, count_padding=counted
    )
    return [b.nchw(value)]


def _geometry(b: Builder, op: Operator) -> tuple[str, tuple[int, int], tuple[int, int], Pads]:
    if pair(op, "dilations", 1) != (1, 1):
        refuse(op, f"dilations is {op.attributes['dilations']}; windows without it are supported")
    if "kernel_shape" not in op.attributes:
        refuse(op, "it has no kernel_shape")
    x = b.image(op, b.view(op))
    kernel, stride = pair(op, "kernel_shape", 1), pair(op, "strides", 1)
    pads = padding(op, b.shapes[x][:2], kernel, stride)
    if any(p >= k for p, k in zip(pads, kernel * 2, strict=True)):
        refuse(op, f"pads {pads} are as large as its windows {kernel}")
    return x, kernel, stride, pads


def _reaching(
    op: Operator,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: Pads,
) -> Pads:
    """The padding with which whole windows give as many rows as ceil_mode asks for."""
    if not op.attributes.get("ceil_mode", 0) or op.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        return pads
    ends = []
    for n, k, s, before, behind in zip(size, kernel, stride, pads[:2], pads[2:], strict=True):
        count = -((k - n - before - behind) // s) + 1
        if (count - 1) * s >= n + before:  # a window that would lie in the padding alone
            count -= 1
        if count != steps(n, k, s, 1, (before, behind)):
            behind = (count - 1) * s + k - n - before
        ends.append(behind)
    return pads[0], pads[1], ends[0], ends[1]


def global_mean(b: Builder, op: Operator) -> list[Tensor]:
    """(n, c, h, w) -> (n, c, 1, 1)."""
    return [b.nchw(b.add(op, GlobalMean, x=b.image(op, b.view(op))))]


def global_max(b: Builder, op: Operator) -> list[Tensor]:
    """(n, c, h, w) -> (n, c, 1, 1)."""
    x = b.image(op, b.view(op))
    size = b.shapes[x][:2]
    return [b.nchw(b.add(op, Pool, kind="max", x=x, kernel=size, stride=size))]


def reduced(b: Builder, op: Operator) -> list[Tensor]:
    """ReduceMean and ReduceMax over space, or one axis of it; ReduceMean over channels."""
    view = b.view(op)
    rank = len(view.dims)
    axes = b.numbers(op, "axes", 1)
    if axes is None or (not axes and not op.attributes.get("noop_with_empty_axes", 0)):
        axes = list(range(rank))
    if any(not -rank <= a < rank for a in axes):
        refuse(op, f"axes {axes} of an input {view.dims}")
    over = sorted({a % rank for a in axes})
    kept = bool(op.attributes.get("keepdims", 1))
    gone = {x for a in over for x in letters(view.axes[a])}
    if gone:
        view = b.tidied(op, view)
        gone = {x for a in over for x in letters(view.axes[a])}
    rest = {x for i, a in enumerate(view.axes) if i not in over for x in letters(a)}
    if "n" in gone or rest & gone:
        refuse(op, f"it runs over axes {over} of {view.dims}; over space is supported")
    value = _over(b, op, view.value, gone)
    left = [digits(sign(a), 1) if i in over else a for i, a in enumerate(view.axes)]
    shown = left if kept else [a for i, a in enumerate(left) if i not in over]
    return [View(value, tuple(shown))]


def _over(b: Builder, op: Operator, x: str, gone: set[str]) -> str:
    h, w, c = b.shapes[x]
    mean = op.kind == "ReduceMean"
    if "c" in gone:
        if not mean:
            refuse(op, "it runs over the channels; over space is supported")
        weight = np.full((1, 1, 1, c), 1 / c, np.float64)
        x = b.add(op, Conv, x=x, weight=weight, bias=np.zeros(1))
    size = (h if "h" in gone else 1, w if "w" in gone else 1)
    if size == (1, 1):
        return x
    if mean and size == (h, w):
        return b.add(op, GlobalMean, x=x)
    return b.add(op, Pool, kind="mean" if mean else "max", x=x, kernel=size, stride=size)


HANDLERS = {
    "MaxPool": max_pool, "AveragePool": mean_pool, "GlobalAveragePool": global_mean,
    "GlobalMaxPool": global_max, "ReduceMean": reduced, "ReduceMax": reduced,
}  # fmt: skip
