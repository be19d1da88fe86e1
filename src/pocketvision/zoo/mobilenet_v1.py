"""MobileNetV1: depthwise-separable blocks. Source: arXiv:1704.04861, table 1.

The table prints stride 2 for the last depthwise (7x7x1024); its output size and the authors' code
say 1. The paper writes ReLU, the authors' code (TF-slim) uses ReLU6, and so do the weights.
"""

from __future__ import annotations

from typing import NamedTuple

from pocketvision.spec import NetSpec, Separable, Single
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.numerics import rules


class Row(NamedTuple):
    """One depthwise-separable block: output channels, stride of the depthwise."""

    c: int
    s: int


STEM = 32
ROWS = (
    #     c  s
    Row(64, 1),
    Row(128, 2),
    Row(128, 1),
    Row(256, 2),
    Row(256, 1),
    Row(512, 2),
    Row(512, 1),
    Row(512, 1),
    Row(512, 1),
    Row(512, 1),
    Row(512, 1),
    Row(1024, 2),
    Row(1024, 1),
)


def mobilenet_v1(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.001,
    head_conv: bool = False,
) -> NetSpec:
    """MobileNetV1 of any width (alpha) and resolution.

    Alpha scales every layer, the last too. `head_conv` adds a 1x1 as wide as the last block before
    the pool (timm's `mobilenetv1_100h`). Raises SpecError.
    """
    # The authors cut to whole channels with a floor of 8; Keras has no floor.
    floor = 1 if rules("mobilenet_v1", numerics).width_rule == "keras" else 8
    alpha = checked_width(width)
    scaled = [max(floor, int(row.c * alpha)) for row in ROWS]
    first = stem(in_channels, max(floor, int(STEM * alpha)), act="relu6")
    sources = [first.c_out, *scaled]
    blocks: list[Separable | Single] = [
        Separable(
            depthwise=depthwise(c_in, stride=row.s, act="relu6"),
            pointwise=pointwise(c_in, c_out, act="relu6"),
        )
        for row, c_in, c_out in zip(ROWS, sources, scaled, strict=False)
    ]
    if head_conv:
        blocks.append(Single(conv=pointwise(scaled[-1], scaled[-1], act="relu6")))
    return assemble(
        "mobilenet_v1",
        "mobilenet_v1",
        stem=first,
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )
