"""Stages on every number alone: activations, scales and biases, arithmetic of two values."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketvision.compiler import graph as g
from pocketvision.compiler.kernels.activation import numbers
from pocketvision.compiler.program import BLOCK, Code, Stage, Tensor, Weights

SHARES = 12  # about so many units a stage is split in, for several threads
RESULTS = {
    "add": "a + b",
    "sub": "a - b",
    "mul": "a * b",
    "div": "a / b",
    "max": "pv_max(a, b)",
    "min": "pv_min(a, b)",
}
EVERY, ONE = "pv_load(q + v)", "pv_all(q[0])"
MODES = {  # how y is repeated: (block, row, step from pixel to pixel, value)
    "same": ("block", "y", "16", EVERY),
    "channel": ("block", "0", "0", EVERY),
    "pixel": ("0", "y", "16", ONE),
    "one": ("0", "0", "0", ONE),
}


def blockwise(name: str, code: Code, function: str, out: Tensor, **fields: Any) -> Stage:
    """A stage that makes rows of one block at a time; see share.c."""
    chunks = max(1, min(-(-SHARES // out.blocks), out.h))
    return Stage(
        name=name,
        code=code,
        rows=f"{function}_rows",
        unit=f"{function}_unit",
        units=out.blocks * chunks,
        chunks=chunks,
        out=out,
        **fields,
    )


def in_blocks(values: np.ndarray) -> np.ndarray:
    """(..., c) -> (blocks, ..., 16), zeros beyond the last."""
    blocks = -(-values.shape[-1] // BLOCK)
    wide = ((0, 0),) * (values.ndim - 1) + ((0, blocks * BLOCK - values.shape[-1]),)
    split = np.pad(values, wide).reshape(*values.shape[:-1], blocks, BLOCK)
    return np.moveaxis(split, -2, 0)


def act(node: g.Act, x: Tensor, out: Tensor, weights: Weights) -> Stage:
    """act(x)."""
    kind = node.act.kind
    if kind == "prelu":
        assert node.act.slope is not None
        at = weights.add(in_blocks(node.act.slope))
        return blockwise(node.name, Code("prelu.c"), "pv_prelu", out, inp=x, numbers=(at,))
    alpha, beta = numbers(node.act)
    return blockwise(
        node.name,
        Code("act.c", (("ACT", kind),)),
        f"pv_act_{kind}",
        out,
        inp=x,
        alpha=alpha,
        beta=beta,
    )


def affine(node: g.Affine, x: Tensor, out: Tensor, weights: Weights) -> Stage:
    """act(x * scale + bias)."""
    alpha, beta = numbers(node.act)
    at = weights.add(in_blocks(np.stack([node.scale, node.bias])))
    return blockwise(
        node.name,
        Code("affine.c", (("ACT", node.act.kind),)),
        f"pv_affine_{node.act.kind}",
        out,
        inp=x,
        numbers=(at,),
        alpha=alpha,
        beta=beta,
    )


def binary(node: g.Binary, x: Tensor, y: Tensor, out: Tensor) -> Stage:
    """act(x op y)."""
    alpha, beta = numbers(node.act)
    mode = _mode(x, y)
    block, row, step, value = MODES[mode]
    words = (
        ("OP", node.kind),
        ("MODE", mode),
        ("ACT", node.act.kind),
        ("Y_BLOCK", block),
        ("Y_ROW", row),
        ("Y_STEP", step),
        ("Y_VALUE", value),
        ("RESULT", RESULTS[node.kind]),
    )
    return blockwise(
        node.name,
        Code("binary.c", words),
        f"pv_{node.kind}_{mode}_{node.act.kind}",
        out,
        inp=x,
        res=y,
        alpha=alpha,
        beta=beta,
    )


def _mode(x: Tensor, y: Tensor) -> str:
    """How y is repeated to the shape of x."""
    if (y.h, y.w, y.c) == (x.h, x.w, x.c):
        return "same"
    if (y.h, y.w) == (1, 1):
        return "one" if y.c == 1 else "channel"
    return "pixel"
