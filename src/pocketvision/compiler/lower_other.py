"""Everything but convolutions as stages: inputs and outputs, means, element-wise, layout."""

from __future__ import annotations

from collections.abc import Mapping

from pocketvision.compiler import graph as g
from pocketvision.compiler.kernels.activation import numbers
from pocketvision.compiler.program import Stage, Tensor, Weights
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
    return Stage(
        name=wanted.name,
        unit="pv_output_unit",
        units=inp.blocks,
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


def gate(node: g.Conv, x: Tensor, by: Tensor, out: Tensor) -> Stage:
    """act(x * gate), in place where `out` is x."""
    alpha, beta = numbers(node.in_act)
    return Stage(
        name=f"{node.name}/gate",
        unit=f"pv_gate_{node.in_act.kind}_unit",
        units=x.blocks,
        inp=x,
        gate=by,
        out=out,
        alpha=alpha,
        beta=beta,
    )


def activation(name: str, x: Tensor, out: Tensor, act: g.Activation) -> Stage:
    """act(x) as a stage of its own."""
    alpha, beta = numbers(act)
    return Stage(
        name=name,
        unit=f"pv_act_{act.kind}_unit",
        units=x.blocks,
        inp=x,
        out=out,
        alpha=alpha,
        beta=beta,
    )


def lower(node: g.Node, find: Mapping[str, Tensor], weights: Weights) -> list[Stage]:
    """The stages of a node of any other kind. Raises DataError naming one that cannot be."""
    if isinstance(node, g.GlobalMean):
        x, out = find[node.x], find[node.output]
        return [
            Stage(
                name=node.name,
                unit="pv_mean_image_unit",
                units=out.blocks,
                inp=x,
                out=out,
                alpha=1.0 / (x.h * x.w),
            )
        ]
    if isinstance(node, g.Act):
        return [activation(node.name, find[node.x], find[node.output], node.act)]
    raise DataError(f"{node.name}: {type(node).__name__} cannot be compiled yet")
