"""HBONet: inverted residuals at half the size, beside channels that pass by.

Source: arXiv:1908.03888, table 1, in the form of the authors' code (d-li14/HBONet), whose weights
use multiples of 2 at the widths 0.25 and 0.5 and of 4 at 0.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pocketvision.spec import (
    HarmoniousBottleneck,
    InvertedResidual,
    NetSpec,
    Pool,
    Separable,
    Single,
)
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_divisor, checked_width
from pocketvision.zoo.inverted import inverted
from pocketvision.zoo.rounding import make_divisible

ACT = "relu6"
STEM, LAST = 32, 1600
DIVISORS = {0.1: 4, 0.25: 2, 0.5: 2}
DIVISOR = 8


class Row(NamedTuple):
    """Expansion (0: a linear 1x1 alone), output channels, repeats, stride of the first, harmonious
    or a plain inverted residual.
    """

    t: int
    c: int
    n: int
    s: int
    harmonious: bool


ROWS = (
    #   t    c  n  s  harmonious
    Row(1, 20, 1, 1, False),
    Row(2, 36, 1, 1, True),
    Row(2, 72, 3, 2, True),
    Row(2, 96, 4, 2, True),
    Row(2, 192, 4, 2, True),
    Row(2, 288, 1, 1, True),
    Row(0, 144, 1, 1, False),
    Row(6, 200, 2, 2, False),
    Row(6, 400, 1, 1, False),
)

AnyRow = Separable | InvertedResidual | HarmoniousBottleneck | Single


def hbonet(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
    divisor: int | None = None,
) -> NetSpec:
    """HBONet of any width, the main model (contracting by two).

    The last 1x1 stays at 1600 for widths up to 1. `divisor` is what channels are multiples of,
    by default that of the authors' weights at this width. Raises SpecError.
    """
    w = checked_width(width)
    divisor = DIVISORS.get(w, DIVISOR) if divisor is None else checked_divisor(divisor)
    first = stem(in_channels, make_divisible(STEM * w, divisor), act=ACT)
    blocks: list[AnyRow] = []
    c_in = first.c_out
    for row in _unrolled():
        blocks.append(_block(c_in, make_divisible(row.c * w, divisor), row))
        c_in = blocks[-1].c_out
    last = make_divisible(LAST * max(1.0, w), divisor)
    blocks.append(Single(conv=pointwise(c_in, last, act=ACT)))
    return assemble(
        "hbonet",
        "hbonet",
        stem=first,
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def _unrolled() -> Iterator[Row]:
    for row in ROWS:
        yield row
        yield from [row._replace(s=1)] * (row.n - 1)


def _block(c_in: int, c_out: int, row: Row) -> AnyRow:
    if row.harmonious:
        return _harmonious(c_in, c_out, row)
    if not row.t:
        return Single(conv=pointwise(c_in, c_out))
    return inverted(c_in, c_out, expansion=row.t, kernel=3, stride=row.s, act=ACT)


def _harmonious(c_in: int, c_out: int, row: Row) -> HarmoniousBottleneck:
    """Half of the output comes from the layers, the other half is the end of the input."""
    made, kept = c_out // 2, min(c_in, c_out - c_out // 2)
    wide = c_in * row.t
    # Not padded: at an odd size the last window hangs over, as the strided depthwise's does.
    pool = Pool(channels=kept, kernel=2, op="mean", padded=False) if row.s == 2 else None
    return HarmoniousBottleneck(
        contract=depthwise(c_in, 5, stride=2),
        expand=pointwise(c_in, wide, act=ACT),
        depthwise=depthwise(wide, act=ACT),
        project=pointwise(wide, made),
        spread=None if pool else depthwise(made, 5),
        pool=pool,
        kept=kept,
    )
