"""Everything but convolutions as stages: inputs and outputs, means; a rule for every other node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pocketvision.compiler import graph as g
from pocketvision.compiler import lower_elementwise as elementwise
from pocketvision.compiler import lower_layout as layout
from pocketvision.compiler import lower_window as window
from pocketvision.compiler.lower_elementwise import SHARES
from pocketvision.compiler.lower_graph import Spread
from pocketvision.compiler.lower_layout import Find
from pocketvision.compiler.program import Code, Stage, Tensor, Weights
from pocketvision.errors import DataError

INPUT_UNITS = 8


def input_stage(given: g.Input, number: int, out: Tensor) -> Stage:
    """The caller's image into our layout."""
    return Stage(
        name=given.name,
        rows="pv_input_rows",
        unit="pv_input_unit",
        units=min(INPUT_UNITS, out.h),
        out=out,
        first=number,
        whole=given.layout != "nchw",
    )


def output_stage(wanted: g.Output, number: int, inp: Tensor) -> Stage:
    """A value into the file's order."""
    chunks = max(1, min(-(-SHARES // inp.blocks), inp.h))
    return Stage(
        name=wanted.name,
        unit="pv_output_unit",
        units=inp.blocks * chunks,
        chunks=chunks,
        inp=inp,
        out=None,
        first=number,
        whole=wanted.layout != "nchw",
    )


def clear(name: str, t: Tensor) -> Stage:
    """Zeros in the last block beyond the last channel."""
    return Stage(name=name, unit="pv_clear_unit", units=1, inp=t, out=t)


def mean_of_sums(node: g.GlobalMean, sums: Tensor, out: Tensor, pixels: int) -> Stage:
    """The mean over space from sums of rows."""
    return Stage(
        name=node.name,
        unit="pv_mean_unit",
        units=out.blocks,
        inp=sums,
        out=out,
        alpha=1.0 / pixels,
    )


def mean(node: g.GlobalMean, x: Tensor, out: Tensor) -> Stage:
    """The mean over space."""
    return Stage(
        name=node.name,
        unit="pv_mean_image_unit",
        units=out.blocks,
        inp=x,
        out=out,
        alpha=1.0 / (x.h * x.w),
    )


def softmax(node: g.Softmax, x: Tensor, out: Tensor) -> Stage:
    """Over the channels of every pixel."""
    return Stage(
        name=node.name,
        code=Code("softmax.c"),
        unit="pv_softmax_unit",
        units=min(SHARES, out.h),
        inp=x,
        out=out,
        whole=node.log,
    )


def lower(node: g.Node, find: Find, weights: Weights) -> list[Stage]:
    """The stages of a node of any other kind. Raises DataError naming one that cannot be."""
    if type(node) not in RULES:
        raise DataError(f"{node.name}: {type(node).__name__} cannot be compiled")
    return RULES[type(node)](node, find, weights)


Rule = Callable[[Any, Find, Weights], list[Stage]]
RULES: dict[type[g.Node], Rule] = {
    g.Act: lambda n, f, w: [elementwise.act(n, f[n.x], f[n.output], w)],
    g.Affine: lambda n, f, w: [elementwise.affine(n, f[n.x], f[n.output], w)],
    g.Binary: lambda n, f, w: [elementwise.binary(n, f[n.x], f[n.y], f[n.output])],
    g.GlobalMean: lambda n, f, w: [mean(n, f[n.x], f[n.output])],
    g.Softmax: lambda n, f, w: [softmax(n, f[n.x], f[n.output])],
    g.Pool: lambda n, f, w: [window.pool(n, f[n.x], f[n.output])],
    g.Resize: lambda n, f, w: [window.resize(n, f[n.x], f[n.output], w)],
    g.Pad: lambda n, f, w: [window.pad(n, f[n.x], f[n.output])],
    g.Concat: lambda n, f, w: layout.concat(n, f),
    g.Channels: lambda n, f, w: layout.channels(n, f),
    g.Crop: lambda n, f, w: layout.crop(n, f),
    Spread: lambda n, f, w: layout.spread(n, f),
    g.Flatten: lambda n, f, w: layout.flatten(n, f),
    g.Constant: lambda n, f, w: [layout.constant(n, f[n.output], w)],
}
