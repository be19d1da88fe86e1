"""Stages that read a few pixels around each one: pools, resizing, borders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketvision.compiler import graph as g
from pocketvision.compiler.lower_elementwise import blockwise
from pocketvision.compiler.program import Code, Stage, Tensor, Weights
from pocketvision.compiler.reference import nearest_places, source_places

POOLS = {  # (of two, of none, what is stored)
    "max": ("pv_max(a, b)", "-INFINITY", "a"),
    "mean": ("a + b", "0.0f", "a * scale"),
}
PADS = {"constant": 0, "reflect": 1, "edge": 2}


def pool(node: g.Pool, x: Tensor, out: Tensor) -> Stage:
    """The largest or the mean of windows."""
    kh, kw = node.kernel
    pair, start, result = POOLS[node.kind]
    name = f"{node.kind}_{kw}"
    words = (
        ("NAME", name),
        ("KERNEL_W", str(kw)),
        ("START", start),
        ("PAIR", pair),
        ("RESULT", result),
        ("KIND", node.kind),
    )
    return blockwise(
        node.name,
        Code("pooling.c", words),
        f"pv_pool_{name}",
        out,
        inp=x,
        kernel_h=kh,
        stride_h=node.stride[0],
        pad_top=node.pads[0],
        x=-node.pads[1],
        step=node.stride[1],
        alpha=1 / (kh * kw) if node.count_padding else 0.0,
    )


def resize(node: g.Resize, x: Tensor, out: Tensor, weights: Weights) -> Stage:
    """By tables of pixels and, where linear, of shares."""
    code = Code("resize.c")
    if node.kind == "nearest":
        places = [nearest_places(node, axis, size) for axis, size in ((0, x.h), (1, x.w))]
        table = tuple(int(n) for n in np.concatenate(places))
        return blockwise(node.name, code, "pv_nearest", out, inp=x, numbers=table)
    rows, down = _between(node, 0, x.h)
    columns, along = _between(node, 1, x.w)
    at = weights.add(np.concatenate([down, along]))
    return blockwise(
        node.name, code, "pv_linear", out, inp=x, numbers=(at, *_flat(rows), *_flat(columns))
    )


def _between(node: g.Resize, axis: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) pixels that each pixel of the result lies between; the second's share."""
    at = np.clip(source_places(node, axis, size), 0, size - 1)
    low = np.floor(at).astype(np.int64)
    return np.stack([low, np.minimum(low + 1, size - 1)], axis=1), at - low


def _flat(table: np.ndarray) -> Sequence[int]:
    return [int(n) for n in table.reshape(-1)]


def pad(node: g.Pad, x: Tensor, out: Tensor) -> Stage:
    """Rows and columns added at the borders."""
    top, left, _, _ = node.pads
    return blockwise(
        node.name,
        Code("pad.c"),
        "pv_pad",
        out,
        inp=x,
        numbers=(PADS[node.kind], top, left),
        alpha=node.value,
    )
