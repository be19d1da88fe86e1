"""`pocketvision analyze`: where a network's cost lies, and MobileNetV1's formulas beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pocketvision.analysis import formulas
from pocketvision.analysis.distribution import distribution
from pocketvision.cli.options import Json, Model, ModelOptions, spec_of
from pocketvision.cli.out import Output
from pocketvision.cli.show import headline
from pocketvision.cost import cost

if TYPE_CHECKING:
    from pocketvision.analysis.winograd import Algorithm

DEFAULTS = ModelOptions()
FORMULAS = """\
MobileNetV1's cost formulas (arXiv:1704.04861), K kernel, M channels in, N out, F side of the map:
  standard convolution   K*K * M * N * F*F
  depthwise separable    K*K * M * F*F  +  M * N * F*F        ratio 1/N + 1/K^2
  width multiplier a     K*K * aM * F*F +  aM * aN * F*F      cost falls by about a^2
  resolution multiplier  F becomes rF                         MACs fall by r^2, parameters stay"""


def analyze(
    model: str,
    /,
    *,
    options: Model = DEFAULTS,
    classes: int | None = None,
    kernel: int = 3,
    m: int = 512,
    n: int = 512,
    side: int = 14,
    alpha: float = 0.75,
    rho: float = 0.714,
    json: Json = False,
) -> None:
    """Show where a network spends its MACs and parameters, and what separable layers save.

    Parameters
    ----------
    model: str
        A name from `pocketvision list`, an alias, or a bundle folder.
    classes: int
        Number of outputs.
    kernel: int
        Worked example: kernel (the paper's: 3).
    m: int
        Worked example: channels in (512).
    n: int
        Worked example: channels out (512).
    side: int
        Worked example: side of the output map (14).
    alpha: float
        Worked example: width multiplier (0.75).
    rho: float
        Worked example: resolution multiplier (0.714, that is 160 for 224).
    """
    out, spec = Output(json=json), spec_of(model, options, classes=classes)
    total = cost(spec)
    shares = distribution(total)
    shape = formulas.Shape(kernel=kernel, c_in=m, c_out=n, side=side)
    example = formulas.worked_example(shape, alpha=alpha, rho=rho)
    out.say(headline(spec, total))
    out.say("\nwhere it goes (parameters without batch-norm and biases):\n")
    out.table([asdict(s) for s in shares])
    ways = _ways(shape)
    _say_example(out, shape, example, ways)
    out.result(
        {
            "name": spec.name,
            "macs": total.macs,
            "params": total.params,
            "distribution": [asdict(s) for s in shares],
            "example": {"shape": asdict(shape), "rows": [asdict(r) for r in example]},
            "winograd": [asdict(way) for way in ways],
        }
    )
    out.next("pocketvision", "show", model, "--layers")


def _say_example(
    out: Output,
    shape: formulas.Shape,
    example: Sequence[formulas.Layer],
    ways: Sequence[Algorithm],
) -> None:
    """The formulas, one layer step by step, and the ways to compute its convolution."""
    out.say(f"\n{FORMULAS}")
    out.say(
        f"\none layer, K {shape.kernel}, M {shape.c_in}, N {shape.c_out}, F {shape.side}; each row "
        f"adds a step (separable over standard: {formulas.reduction(shape):.4f}):\n"
    )
    out.table([asdict(row) for row in example])
    if ways:
        out.say(
            "\nthe standard convolution of that layer, directly and by Winograd's tiles "
            "(arXiv:1509.09308; error of float32, of the largest output):\n"
        )
        out.table([{**asdict(way), "error": f"{way.error:.1e}"} for way in ways])


def _ways(shape: formulas.Shape) -> tuple[Algorithm, ...]:
    """Direct and Winograd convolution of a 3x3 layer; nothing for other kernels."""
    if shape.kernel != 3:
        return ()
    from pocketvision.analysis.winograd import compare

    return compare(shape.side, shape.side, c_in=shape.c_in, c_out=shape.c_out)
