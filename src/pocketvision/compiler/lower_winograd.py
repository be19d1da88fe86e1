"""3x3 convolutions by Winograd's minimal filtering: when it can be, when it pays, its stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import numpy as np

from pocketvision.analysis.winograd import transformed
from pocketvision.compiler import graph as g
from pocketvision.compiler import lower_conv
from pocketvision.compiler.kernels import winograd
from pocketvision.compiler.kernels.activation import numbers
from pocketvision.compiler.kernels.gemm import Gemm
from pocketvision.compiler.program import BLOCK, Code, Panel, Segment, Stage, Tensor, Weights
from pocketvision.compiler.targets import Target

ALGORITHMS = ("direct", "winograd2", "winograd4")
SCRATCH_BYTES = 400 * 1024  # of a unit's tiles; a second cache holds them
REUSED_BYTES = 1024 * 1024  # larger weights are read as seldom as can be


def is_possible(node: g.Node, shapes: Callable[[str], g.Shape]) -> TypeGuard[g.Conv]:
    """True for a dense 3x3 convolution of stride 1 over whole blocks."""
    return (
        isinstance(node, g.Conv)
        and node.kernel == (3, 3)
        and node.stride == node.dilation == (1, 1)
        and node.groups == 1
        and node.gate is None
        and node.in_act.kind == "none"
        and node.act.kind != "prelu"
        and node.weight.shape[3] >= BLOCK
        and (node.residual is None or shapes(node.residual) == shapes(node.output))
    )


def usual(node: g.Conv, shape: g.Shape) -> str:
    """The algorithm for an output of that shape where nothing was measured.

    Measured on AVX-512, direct / F(2x2) / F(4x4) in microseconds: 56 px 64 channels 1982 / 1002 /
    627, 28 px 128 channels 1971 / 954 / 634, 14 px 256 channels 1971 / 1040 / 880, 7 px 512
    channels 1978 / 2354 / 1819, 112 px 32 channels 2020 / 1119 / 744.
    """
    h, w, c = shape
    many = min(c, node.weight.shape[3]) >= BLOCK
    return "winograd4" if many and min(h, w) >= 6 else "direct"


def tile(algorithm: str) -> int:
    """m of F(m x m, 3 x 3); 0 for direct convolution."""
    return int(algorithm.removeprefix("winograd")) if algorithm != "direct" else 0


def right(m: int, w: int, w_out: int, left: int) -> int:
    """Columns beyond the last that whole tiles read."""
    return max(0, -(-w_out // m) * m + 2 - left - w)


def conv(
    node: g.Conv,
    inp: Tensor,
    out: Tensor,
    weights: Weights,
    target: Target,
    m: int,
    *,
    res: Tensor | None,
) -> Stage:
    """The stage of a convolution by F(m x m, 3 x 3)."""
    positions = (m + 2) ** 2
    across, down = -(-out.w // m), -(-out.h // m)
    rows = _rows(down, across, positions, inp.c + out.c, node.weight.size)
    run = rows * across
    u = Tensor(name=f"{node.output}/tiles", h=positions, w=run, c=inp.c, local=True)
    x = Tensor(name=f"{node.output}/sums", h=positions, w=run, c=out.c, local=True)
    panels, strides = _panels(transformed(node.weight, m), run, weights, target)
    bias = weights.add(np.pad(node.bias, (0, -len(node.bias) % BLOCK)))
    made = winograd.Winograd(m, node.act.kind, res is not None)
    alpha, beta = numbers(node.act)
    return Stage(
        name=node.name,
        unit=f"pv_winograd_{made.name}_unit",
        code=Code("winograd.c", (("WINO", made.name), ("TILE", str(m)))),
        transform=made,
        units=-(-down // rows),
        inp=inp,
        out=out,
        res=res,
        gate=u,
        sum=x,
        source=u,
        kernel_h=3,
        pad_top=node.pads[0],
        x=-node.pads[1] * BLOCK,
        panels=panels,
        numbers=(bias, across, rows, *strides),
        alpha=alpha,
        beta=beta,
        macs=node.weight.size * out.h * out.w,
    )


def _rows(down: int, across: int, positions: int, channels: int, taps: int) -> int:
    """Rows of tiles a unit: few enough for the cache, many enough for large weights."""
    each = 4 * positions * across * channels
    fit = max(1, SCRATCH_BYTES // each)
    large = 4 * positions * taps // 9 > REUSED_BYTES
    return min(down, max(fit, -(-down // 2)) if large else fit)


def _panels(
    matrices: np.ndarray, run: int, weights: Weights, target: Target
) -> tuple[tuple[Panel, ...], tuple[int, ...]]:
    """Panels of all positions, and the floats from one position of each to the next."""
    _, c_out, c_in = matrices.shape
    segments = tuple(
        Segment(row=0, block=b, at=0, count=min(BLOCK, c_in - b * BLOCK))
        for b in range(-(-c_in // BLOCK))
    )
    panels, strides, channel = [], [], 0
    for width in lower_conv.split(np.ones((c_out, c_in), bool), run, target):
        size = width.vectors * (target.lanes // 2 if width.half else target.lanes)
        part = matrices[:, channel : channel + size]
        part = np.pad(part, ((0, 0), (0, size - part.shape[1]), (0, 0)))
        packed = np.zeros((len(matrices), 1 + c_in, size), np.float32)  # a row of no biases first
        packed[:, 1:] = part.transpose(0, 2, 1)
        (main_tiles, main_rows), (last_tiles, last_rows) = lower_conv.tiled(width, run, target)
        kernels = [
            Gemm(n, width.vectors, width.half, BLOCK, "none", False) for n in (main_rows, last_rows)
        ]
        panels.append(
            Panel(
                channel=channel,
                width=size,
                b=weights.add(packed),
                segments=segments,
                main=kernels[0],
                main_tiles=main_tiles,
                last=kernels[1] if last_tiles else None,
                last_tiles=last_tiles,
            )
        )
        strides.append((1 + c_in) * size)
        channel += size
    return tuple(panels), tuple(strides)
