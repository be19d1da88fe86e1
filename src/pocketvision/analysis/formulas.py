"""MobileNetV1's cost formulas: standard against depthwise-separable, and its two multipliers.

K is the kernel, M the channels in, N the channels out, F the side of the (square) output map.
Source: arXiv:1704.04861, equations 2 to 7.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.errors import UsageError


@dataclass(frozen=True, slots=True)
class Layer:
    """Costs of one layer: multiply-accumulates and weights (no bias, no batch-norm)."""

    name: str
    macs: int
    params: int


@dataclass(frozen=True, slots=True)
class Shape:
    """One layer's sizes: kernel, channels in, channels out, side of the output map."""

    kernel: int = 3
    c_in: int = 512
    c_out: int = 512
    side: int = 14

    def __post_init__(self) -> None:
        for name in ("kernel", "c_in", "c_out", "side"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} must be a whole number >= 1, got {value!r}")

    def thinner(self, alpha: float) -> Shape:
        """Both channel counts times the width multiplier. Raises UsageError."""
        _share("alpha", alpha)
        c_in, c_out = max(1, int(self.c_in * alpha)), max(1, int(self.c_out * alpha))
        return Shape(self.kernel, c_in, c_out, self.side)

    def smaller(self, rho: float) -> Shape:
        """The map's side times the resolution multiplier, to the nearest pixel. Raises UsageError.

        The paper's rho = 0.714 stands for 10/14, that is an image of 160 instead of 224.
        """
        _share("rho", rho)
        return Shape(self.kernel, self.c_in, self.c_out, max(1, round(self.side * rho)))


PAPER = Shape()


def standard(shape: Shape) -> Layer:
    """A standard convolution: MACs K^2 M N F^2, weights K^2 M N (equation 2)."""
    weights = shape.kernel**2 * shape.c_in * shape.c_out
    return Layer("convolution", weights * shape.side**2, weights)


def depthwise(shape: Shape) -> Layer:
    """A depthwise convolution: MACs K^2 M F^2, weights K^2 M (equation 4)."""
    weights = shape.kernel**2 * shape.c_in
    return Layer("depthwise", weights * shape.side**2, weights)


def pointwise(shape: Shape) -> Layer:
    """A 1x1 convolution: MACs M N F^2, weights M N."""
    weights = shape.c_in * shape.c_out
    return Layer("pointwise", weights * shape.side**2, weights)


def separable(shape: Shape) -> Layer:
    """Depthwise and pointwise together (equation 5)."""
    a, b = depthwise(shape), pointwise(shape)
    return Layer("depthwise separable", a.macs + b.macs, a.params + b.params)


def reduction(shape: Shape) -> float:
    """Separable over standard, in MACs and in weights alike: 1/N + 1/K^2."""
    return 1 / shape.c_out + 1 / shape.kernel**2


def worked_example(
    shape: Shape = PAPER,
    *,
    alpha: float = 0.75,
    rho: float = 0.714,
) -> tuple[Layer, ...]:
    """The paper's table 3: four rows, each a further step from the standard convolution.

    With the defaults (K 3, M = N = 512, F 14) these are the paper's own rows. Raises UsageError.
    """
    thin = shape.thinner(alpha)
    steps = (
        ("convolution", standard(shape)),
        ("depthwise separable", separable(shape)),
        (f"alpha = {alpha:g}", separable(thin)),
        (f"rho = {rho:g}", separable(thin.smaller(rho))),
    )
    return tuple(Layer(name, layer.macs, layer.params) for name, layer in steps)


def inverted_residual_macs(
    height: int, width: int, *, c_in: int, c_out: int, t: int, kernel: int = 3
) -> int:
    """MACs of a MobileNetV2 block at stride 1: h w d' t (d' + k^2 + d'').

    Source: arXiv:1801.04381, section 3.3. The batch-norms and activations are not counted.
    """
    return height * width * c_in * t * (c_in + kernel**2 + c_out)


def _share(name: str, value: float) -> None:
    if not 0.0 < value <= 1.0:
        raise UsageError(f"{name} must be above 0 and at most 1, got {value!r}")
