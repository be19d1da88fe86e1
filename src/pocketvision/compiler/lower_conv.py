"""Convolutions as stages: weights packed in panels or filters, with the kernels that fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from pocketvision.compiler import graph as g
from pocketvision.compiler.kernels.activation import numbers
from pocketvision.compiler.kernels.depthwise import Depthwise
from pocketvision.compiler.kernels.gemm import Gemm
from pocketvision.compiler.program import BLOCK, Filter, Panel, Segment, Stage, Tensor, Weights
from pocketvision.compiler.targets import LONG, Target

PER_STEP = 0.1  # what a step of a kernel costs beside its multiply-adds, in such
PER_PANEL = 20.0  # and a panel
LATENCY = 4.0  # and what it takes at least: each sum waits for the one before
SHORT = 4  # segments up to this length are written out, without a loop
SHARES = 12  # about so many units a stage is split in, for several threads


@dataclass(frozen=True)
class Width:
    """A panel of `vectors` vectors, half ones or whole."""

    vectors: int
    half: bool


def needed_right(w: int, w_out: int, kernel: int, stride: int, dilation: int, left: int) -> int:
    """Columns beyond the last that a convolution reads."""
    return max(0, (w_out - 1) * stride + (kernel - 1) * dilation - left - (w - 1))


# ------------------------------------------------------------------------------------------ panels


def split(matrix: np.ndarray, run: int, target: Target) -> list[Width]:
    """Panel widths for the rows of a matrix (outputs, numbers), over a run of so many pixels.

    The cheapest sum: a panel costs the numbers that any of its rows uses, so that the blocks of a
    grouped convolution are not mixed without need.
    """
    small = target.lanes // 2 if target.half_tiles else target.lanes
    total, per_block = -(-len(matrix) // small), BLOCK // small
    used = np.stack([matrix[i * small : (i + 1) * small].any(axis=0) for i in range(total)])
    widths = [(Width(v, False), v * target.lanes // small) for v in target.tiles]
    widths += [(Width(v, True), v) for v in target.half_tiles]

    def fits(parts: int, at: int) -> bool:
        """A panel begins with a block or stays in one, and ends with the last block at most."""
        if at % per_block and at % per_block + parts > per_block:
            return False
        return parts <= total - at or -(-(at + parts) // per_block) == -(-total // per_block)

    @cache
    def best(at: int) -> tuple[float, tuple[Width, ...]]:
        if at >= total:
            return 0.0, ()
        found = []
        for width, parts in widths:
            if fits(parts, at):
                numbers = int(np.count_nonzero(used[at : at + parts].any(axis=0)))
                cost, rest = best(at + parts)
                cost += numbers * _cost(width, numbers, run, target) + PER_PANEL
                found.append((cost, (width, *rest)))
        return min(found, key=lambda pair: pair[0])

    for at in reversed(range(total)):  # from the end on, so that none calls itself deeply
        best(at)
    return list(best(0)[1])


def _cost(width: Width, numbers: int, run: int, target: Target) -> float:
    """Time of a panel for one input number, over a run, in whole multiply-adds."""
    lanes = 0.5 if width.half else 1.0
    table = target.half_efficiency if width.half else target.efficiency
    if numbers > LONG and not width.half:
        table = target.long_efficiency or table
    cost = 0.0
    for tiles, rows in tiled(width, run, target):
        work = rows * width.vectors * lanes / table[width.vectors]
        cost += tiles * (max(work, LATENCY) + PER_STEP)
    return cost


def tiled(width: Width, run: int, target: Target) -> list[tuple[int, int]]:
    """(tiles, pixels) twice: a run in as few tiles as can be, of sizes that differ by 1 at most."""
    most = (target.half_tiles if width.half else target.tiles)[width.vectors]
    tiles = -(-run // most)
    rows = -(-run // tiles)
    main = run - tiles * (rows - 1)
    return [(main, rows), (tiles - main, rows - 1)]


# ------------------------------------------------------------------------------------------- dense


def conv(
    node: g.Conv, inp: Tensor, out: Tensor, weights: Weights, target: Target, **also: Tensor | None
) -> Stage:
    """The stage of a convolution. `also`: its residual and gate, where there are such."""
    res, gate = also.get("res"), also.get("gate")
    kh, kw = node.kernel
    step = inp.pixel * node.stride[1]
    plain = kh == kw == 1 and node.stride == (1, 1) and node.pads == (0, 0, 0, 0)
    whole = plain and all(t is None or t.plain for t in (inp, out, res))
    run = out.h * out.w if whole else out.w
    matrix = node.dense()
    flat = matrix.reshape(len(matrix), -1)
    panels, channel = [], 0
    added = 0 if res is None else min(out.c, res.blocks * BLOCK)  # a residual may be narrower
    for end, also_res in ((added, res), (out.c, None)):
        for width in split(flat[channel:end], run, target) if channel < end else ():
            panels.append(
                _panel(node, matrix, width, channel, run, step, inp, weights, target, also_res)
            )
            channel += panels[-1].width
    alpha, beta = numbers(node.act)
    chunks = max(1, min(-(-SHARES // len(panels)), run // 24 if whole else out.h))
    if gate is not None:
        chunks = min(chunks, 2)  # every share scales the panel's weights anew
    return Stage(
        name=node.name,
        rows="pv_conv_rows",
        unit="pv_conv_unit",
        units=len(panels) * chunks,
        inp=inp,
        out=out,
        res=res,
        gate=gate,
        kernel_h=kh,
        stride_h=node.stride[0],
        dilation_h=node.dilation[0],
        pad_top=node.pads[0],
        x=-node.pads[1] * inp.pixel,
        step=step,
        panels=tuple(panels),
        whole=whole,
        chunks=chunks,
        alpha=alpha,
        beta=beta,
        macs=_used(matrix) * out.h * out.w,
    )


def _used(matrix: np.ndarray) -> int:
    """Weights (c_out, kh, kw, c_in) that are no part of a zero block: of each output and tap, from
    the first input that it uses to the last. Trained weights may be zero in between.
    """
    used = matrix.reshape(-1, matrix.shape[-1]) != 0
    first, last = used.argmax(axis=1), used.shape[1] - used[:, ::-1].argmax(axis=1)
    return int((last - first)[used.any(axis=1)].sum())


def _taps(weight: np.ndarray) -> int:
    """Taps (kh, kw, c) of all channels, each kernel without its borders of zeros."""
    kh, kw, _ = weight.shape
    count, left = 0, weight.any(axis=(0, 1))
    for cut in range((min(kh, kw) + 1) // 2):
        here = left & _ring(weight, cut).any(axis=(0, 1))
        count += int(here.sum()) * (kh - 2 * cut) * (kw - 2 * cut)
        left &= ~here
    return count


def _panel(
    node: g.Conv,
    matrix: np.ndarray,
    width: Width,
    channel: int,
    run: int,
    step: int,
    inp: Tensor,
    weights: Weights,
    target: Target,
    res: Tensor | None,
) -> Panel:
    lanes = target.lanes // 2 if width.half else target.lanes
    size = width.vectors * lanes
    part = _rows_of(matrix, channel, size)
    segments, rows = _segments(node, part, inp)
    bias = _rows_of(node.bias[:, None], channel, size)[:, 0]
    b = weights.add(np.concatenate([bias[None], *rows], axis=0))
    counts = {s.count for s in segments}
    short = counts.pop() if len(counts) == 1 and max(counts) <= SHORT else 0
    kernels = [
        Gemm(n, width.vectors, width.half, step, node.act.kind, res is not None, short)
        for _, n in tiled(width, run, target)
    ]
    (main_tiles, _), (last_tiles, _) = tiled(width, run, target)
    return Panel(
        channel=channel,
        width=size,
        b=b,
        segments=tuple(segments),
        main=kernels[0],
        main_tiles=main_tiles,
        last=kernels[1] if last_tiles else None,
        last_tiles=last_tiles,
    )


def _rows_of(matrix: np.ndarray, channel: int, size: int) -> np.ndarray:
    """Rows channel .. channel + size, zeros beyond the last."""
    part = matrix[channel : channel + size]
    return np.pad(part, ((0, size - len(part)),) + ((0, 0),) * (matrix.ndim - 1))


def _segments(
    node: g.Conv, part: np.ndarray, inp: Tensor
) -> tuple[list[Segment], list[np.ndarray]]:
    """Runs of input numbers with their weights (numbers, channels); zeros at the ends left out."""
    segments, rows = [], []
    for row, block, at, w in _runs(node, part, inp):
        used = np.flatnonzero(w.any(axis=1))
        if len(used):
            lo, hi = int(used[0]), int(used[-1]) + 1
            segments.append(Segment(row=row, block=block, at=at + lo, count=hi - lo))
            rows.append(w[lo:hi])
    return segments, rows


def _runs(node: g.Conv, part: np.ndarray, inp: Tensor) -> list[tuple[int, int, int, np.ndarray]]:
    """(kernel row, plane, offset, weights) of runs of input numbers beside each other."""
    kh, kw = node.kernel
    dx = node.dilation[1]
    found = []
    for y in range(kh):
        if inp.pixel == 1:  # a plane a channel: the taps of a kernel row lie beside each other
            for c in range(inp.c):
                taps = (
                    [(range(kw), 0)] if dx == 1 else [(range(x, x + 1), x * dx) for x in range(kw)]
                )
                found += [(y, c, at, part[:, y, list(xs), c].T) for xs, at in taps]
            continue
        for x in range(kw):
            for block in range(inp.blocks):
                channels = slice(block * BLOCK, min((block + 1) * BLOCK, inp.c))
                found.append((y, block, x * dx * BLOCK, part[:, y, x, channels].T))
    return found


# --------------------------------------------------------------------------------------- depthwise


def depthwise(
    node: g.Depthwise,
    inp: Tensor,
    out: Tensor,
    weights: Weights,
    target: Target,
    *,
    res: Tensor | None = None,
    total: Tensor | None = None,
) -> Stage:
    """The stage of a depthwise convolution; `total` takes the sum of each output row."""
    tiles, width, last = _tiles(out.w, target.depthwise_tile)
    filters = []
    for block in range(out.blocks):
        top, left, w = _cropped(node, block)
        kernel = Depthwise(
            kernel_h=w.shape[0],
            kernel_w=w.shape[1],
            stride_h=node.stride[0],
            stride=node.stride[1],
            dilation=node.dilation[1],
            width=width,
            last=last,
            act=node.act.kind,
            residual=res is not None and block < res.blocks,
            total=total is not None,
        )
        bias = _block(node.bias, block)
        at = weights.add(np.concatenate([w.reshape(-1, BLOCK), bias[None]], axis=0))
        filters.append(
            Filter(
                w=at,
                kernel=kernel,
                pad_top=node.pads[0] - top * node.dilation[0],
                x=(left * node.dilation[1] - node.pads[1]) * BLOCK,
            )
        )
    alpha, beta = numbers(node.act)
    chunks = max(1, min(-(-SHARES // len(filters)), out.h))
    return Stage(
        name=node.name,
        rows="pv_dw_rows",
        unit="pv_dw_unit",
        units=len(filters) * chunks,
        inp=inp,
        out=out,
        res=res,
        sum=total,
        kernel_h=node.kernel[0],
        stride_h=node.stride[0],
        dilation_h=node.dilation[0],
        pad_top=node.pads[0],
        filters=tuple(filters),
        chunks=chunks,
        tiles=tiles,
        alpha=alpha,
        beta=beta,
        macs=_taps(node.weight) * out.h * out.w,
    )


def _tiles(w: int, most: int) -> tuple[int, int, int]:
    """(tiles, width, last): a row in `tiles` tiles of `width`, and one of `last` where not 0."""
    n = -(-w // most)
    width = -(-w // n)
    tiles, last = divmod(w, width)
    return tiles, width, last


def _block(values: np.ndarray, block: int) -> np.ndarray:
    """16 channels of the last axis, zeros beyond the last."""
    part = values[..., block * BLOCK : (block + 1) * BLOCK]
    return np.pad(part, ((0, 0),) * (values.ndim - 1) + ((0, BLOCK - part.shape[-1]),))


def _cropped(node: g.Depthwise, block: int) -> tuple[int, int, np.ndarray]:
    """(rows cut, columns cut, kernel) of a block: borders of zeros on all sides alike are cut."""
    w = _block(node.weight, block)
    cut = 0
    most = (min(w.shape[:2]) - 1) // 2
    while cut < most and not _ring(w, cut).any():
        cut += 1
    kh, kw = w.shape[:2]
    return cut, cut, w[cut : kh - cut, cut : kw - cut]


def _ring(w: np.ndarray, cut: int) -> np.ndarray:
    """The taps at distance `cut` from the border."""
    kh, kw = w.shape[:2]
    inner = w[cut : kh - cut, cut : kw - cut].copy()
    inner[1:-1, 1:-1] = 0
    return inner
