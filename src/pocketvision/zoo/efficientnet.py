"""EfficientNet B0 to B7, and Lite0 to Lite4: one table at fourteen widths, depths and resolutions.

Source: arXiv:1905.11946, table 1, and the scaling coefficients of the authors' code (tensorflow/tpu
`efficientnet_builder.py`, `lite/efficientnet_lite_builder.py`). Lite leaves the gates out, uses
ReLU6, and keeps stem, last 1x1 and the repeats of the first and last stage as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pocketvision.spec import InvertedResidual, NetSpec, Separable, Single
from pocketvision.zoo.convs import pointwise, stem
from pocketvision.zoo.depth import deepened
from pocketvision.zoo.frame import Resolution, assemble, checked_depth, checked_width
from pocketvision.zoo.inverted import inverted
from pocketvision.zoo.rounding import make_divisible

STEM, LAST = 32, 1280
GATE_RATIO = 0.25


class Row(NamedTuple):
    """Expansion, kernel, output channels, repeats, stride of the first."""

    t: int
    k: int
    c: int
    n: int
    s: int


ROWS = (
    #   t  k    c  n  s
    Row(1, 3, 16, 1, 1),
    Row(6, 3, 24, 2, 2),
    Row(6, 5, 40, 2, 2),
    Row(6, 3, 80, 3, 2),
    Row(6, 5, 112, 3, 1),
    Row(6, 5, 192, 4, 2),
    Row(6, 3, 320, 1, 1),
)


class Scale(NamedTuple):
    """What makes one size of the family out of the table."""

    name: str
    title: str
    width: float
    depth: float
    resolution: int
    dropout: float
    lite: bool
    rules: str  # the family whose numerics hold: torchvision's epsilon changes at B5


def _sized(scale: Scale) -> Callable[..., NetSpec]:
    """The function of one size; it takes what every model of the zoo takes, and `depth`."""

    def network(
        *,
        width: float = 1.0,
        resolution: Resolution = scale.resolution,
        classes: int = 1000,
        in_channels: int = 3,
        numerics: str = "torch",
        dropout: float = scale.dropout,
        depth: float = 1.0,
    ) -> NetSpec:
        w, d = scale.width * checked_width(width), scale.depth * checked_depth(depth)
        act = "relu6" if scale.lite else "silu"
        first = stem(in_channels, STEM if scale.lite else make_divisible(STEM * w), act=act)
        blocks = _blocks(first.c_out, w, d, act, scale.lite)
        last = LAST if scale.lite else make_divisible(LAST * w)
        return assemble(
            scale.name,
            scale.rules,
            stem=first,
            blocks=[*blocks, Single(conv=pointwise(blocks[-1].c_out, last, act=act))],
            resolution=resolution,
            classes=classes,
            dropout=dropout,
            numerics=numerics,
        )

    network.__name__ = network.__qualname__ = scale.name
    network.__doc__ = (
        f"{scale.title}: the table at width {scale.width} and depth {scale.depth}.\n\n"
        "`width` and `depth` multiply these once more. Raises SpecError."
    )
    return network


def _blocks(
    c_in: int, width: float, depth: float, act: str, lite: bool
) -> list[Separable | InvertedResidual]:
    blocks = []
    gate_ratio = 0.0 if lite else GATE_RATIO
    for row in _unrolled(depth, lite):
        c_out = make_divisible(row.c * width)
        blocks.append(
            inverted(c_in, c_out, expansion=row.t, kernel=row.k, stride=row.s, act=act,
                     gate_ratio=gate_ratio)
        )  # fmt: skip
        c_in = c_out
    return blocks


def _unrolled(depth: float, lite: bool) -> Iterator[Row]:
    ends = (ROWS[0], ROWS[-1]) if lite else ()
    for row in ROWS:
        (n,) = (row.n,) if row in ends else deepened([row.n], depth)
        yield row
        yield from [row._replace(s=1)] * (n - 1)


FAMILY, LARGE = "efficientnet", "efficientnet_large"
B, LITE = "EfficientNet-B", "EfficientNet-Lite"

#                                name            title  width depth  side  drop  lite   rules
efficientnet_b0 = _sized(Scale("efficientnet_b0", f"{B}0", 1.0, 1.0, 224, 0.2, False, FAMILY))
efficientnet_b1 = _sized(Scale("efficientnet_b1", f"{B}1", 1.0, 1.1, 240, 0.2, False, FAMILY))
efficientnet_b2 = _sized(Scale("efficientnet_b2", f"{B}2", 1.1, 1.2, 260, 0.3, False, FAMILY))
efficientnet_b3 = _sized(Scale("efficientnet_b3", f"{B}3", 1.2, 1.4, 300, 0.3, False, FAMILY))
efficientnet_b4 = _sized(Scale("efficientnet_b4", f"{B}4", 1.4, 1.8, 380, 0.4, False, FAMILY))
efficientnet_b5 = _sized(Scale("efficientnet_b5", f"{B}5", 1.6, 2.2, 456, 0.4, False, LARGE))
efficientnet_b6 = _sized(Scale("efficientnet_b6", f"{B}6", 1.8, 2.6, 528, 0.5, False, LARGE))
efficientnet_b7 = _sized(Scale("efficientnet_b7", f"{B}7", 2.0, 3.1, 600, 0.5, False, LARGE))

efficientnet_lite0 = _sized(
    Scale("efficientnet_lite0", f"{LITE}0", 1.0, 1.0, 224, 0.2, True, FAMILY)
)
efficientnet_lite1 = _sized(
    Scale("efficientnet_lite1", f"{LITE}1", 1.0, 1.1, 240, 0.2, True, FAMILY)
)
efficientnet_lite2 = _sized(
    Scale("efficientnet_lite2", f"{LITE}2", 1.1, 1.2, 260, 0.3, True, FAMILY)
)
efficientnet_lite3 = _sized(
    Scale("efficientnet_lite3", f"{LITE}3", 1.2, 1.4, 280, 0.3, True, FAMILY)
)
efficientnet_lite4 = _sized(
    Scale("efficientnet_lite4", f"{LITE}4", 1.4, 1.8, 300, 0.3, True, FAMILY)
)
