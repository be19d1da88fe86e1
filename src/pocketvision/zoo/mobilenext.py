"""MobileNeXt: sandglass blocks, and the block variants that its paper compares.

Source: arXiv:2007.02269, as built by the authors' code (`mnext.py`), whose weights need three
960-wide blocks where the paper's table and most ports have two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pocketvision.errors import SpecError
from pocketvision.spec import (
    AnyBlock,
    Bottleneck,
    Conv,
    InvertedResidual,
    NarrowDepthwise,
    NetSpec,
    Sandglass,
)
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.mobilenet_v2 import mobilenet_v2
from pocketvision.zoo.rounding import make_divisible

ACT = "relu6"
STEM = 32


class Row(NamedTuple):
    """Reduction, output channels, repeats, stride of the first."""

    t: int
    c: int
    n: int
    s: int


ROWS = (
    #   t     c  n  s
    Row(2, 96, 1, 2),
    Row(6, 144, 1, 1),
    Row(6, 192, 3, 2),
    Row(6, 288, 3, 2),
    Row(6, 384, 4, 1),
    Row(6, 576, 4, 2),
    Row(6, 960, 3, 1),
    Row(6, 1280, 1, 1),
)


class Place(NamedTuple):
    """One block in absolute channels. `alone`: the only block of a stage at stride 1."""

    t: int
    c_in: int
    narrow: int
    c_out: int
    stride: int
    alone: bool

    @property
    def same(self) -> bool:
        """True where the input can be added to the output."""
        return self.stride == 1 and self.c_in == self.c_out


def mobilenext(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
    identity: float = 1.0,
    paper_table: bool = False,
) -> NetSpec:
    """MobileNeXt of any width: sandglass blocks.

    The last sandglass stays at 1280 for widths up to 1. `identity` is the share of the leading
    channels that the shortcut adds; the authors publish 1, 1/2, 1/3 and 1/4.
    `paper_table` takes the paper's two 960-wide blocks instead of the three that the weights have.
    There is no last 1x1: the linear output of the last sandglass is pooled. Raises SpecError.
    """
    if not 0.0 <= identity <= 1.0:
        raise SpecError(f"identity must be a share from 0 to 1, got {identity!r}")

    def block(place: Place) -> AnyBlock:
        return sandglass(place, identity=identity)

    rows = [r._replace(n=2) if paper_table and r.c == 960 else r for r in ROWS]
    return _network(
        "mobilenext",
        rows,
        block,
        width,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mobilenext_a(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MobileNeXt with block variant (a): a bottleneck with one depthwise inside.

    The paper (figure 3a) shows the order of the layers; activations follow the classic bottleneck.
    Raises SpecError.
    """
    return _network(
        "mobilenext_a",
        ROWS,
        bottleneck,
        width,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mobilenext_b(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """MobileNeXt with block variant (b): a bottleneck with two depthwise inside.

    Source: figure 3b and the authors' `i2rnet_low_id.py`, whose stride is in the last 1x1.
    Raises SpecError.
    """
    return _network(
        "mobilenext_b",
        ROWS,
        double_bottleneck,
        width,
        in_channels,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mobilenext_c(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """Block variant (c): MobileNetV2 with its depthwise at the narrow ends.

    The paper (figure 3c) shows the order of the layers; here only the wide tensor is activated, and
    the last depthwise carries the stride, as in the sandglass. Raises SpecError.
    """
    plain = mobilenet_v2(
        width=width,
        resolution=resolution,
        classes=classes,
        in_channels=in_channels,
        numerics=numerics,
        dropout=dropout,
    )
    moved = [narrowed(b) if isinstance(b, InvertedResidual) else b for b in plain.blocks]
    return replace(plain, name="mobilenext_c", blocks=tuple(moved))


def mobilenext_d(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
) -> NetSpec:
    """Block variant (d), the sandglass: MobileNeXt itself.

    Raises SpecError.
    """
    plain = mobilenext(
        width=width,
        resolution=resolution,
        classes=classes,
        in_channels=in_channels,
        numerics=numerics,
        dropout=dropout,
    )
    return replace(plain, name="mobilenext_d")


# ------------------------------------------------------------------------------------------- blocks


def sandglass(place: Place, *, identity: float = 1.0) -> Sandglass:
    """The authors' block: where the channels change, one depthwise or both are left out."""
    whole = place.t == 2 or place.alone or place.same
    shortcut = math.floor(place.c_out * identity + 1e-6) if place.same else 0
    last = whole or place.stride > 1
    return Sandglass(
        depthwise=depthwise(place.c_in, act=ACT) if whole else None,
        reduce=pointwise(place.c_in, place.narrow),
        expand=pointwise(place.narrow, place.c_out, act=ACT),
        depthwise2=depthwise(place.c_out, stride=place.stride) if last else None,
        shortcut=shortcut,
    )


def bottleneck(place: Place) -> Bottleneck:
    """Variant (a): the depthwise carries the stride, the expansion is linear."""
    return Bottleneck(
        reduce=pointwise(place.c_in, place.narrow, act=ACT),
        depthwise=depthwise(place.narrow, stride=place.stride, act=ACT),
        expand=pointwise(place.narrow, place.c_out),
        shortcut=place.c_out if place.same else 0,
    )


def double_bottleneck(place: Place) -> Bottleneck:
    """Variant (b): linear up to the second depthwise; the expansion carries the stride."""
    expand = Conv(c_in=place.narrow, c_out=place.c_out, stride=place.stride, act=ACT)
    return Bottleneck(
        reduce=pointwise(place.c_in, place.narrow),
        depthwise=depthwise(place.narrow),
        depthwise2=depthwise(place.narrow, act=ACT),
        expand=expand,
        shortcut=place.c_out if place.same else 0,
    )


def narrowed(block: InvertedResidual) -> NarrowDepthwise:
    """Variant (c) from one block of MobileNetV2."""
    wide = block.depthwise.c_out
    return NarrowDepthwise(
        depthwise=depthwise(block.c_in),
        expand=pointwise(block.c_in, wide, act=ACT),
        project=pointwise(wide, block.c_out),
        depthwise2=depthwise(block.c_out, stride=block.stride),
        shortcut=block.shortcut,
    )


def _network(
    name: str,
    rows: Sequence[Row],
    block: Callable[[Place], AnyBlock],
    width: float,
    in_channels: int,
    **options: Any,
) -> NetSpec:
    w = checked_width(width)
    # The authors switch to multiples of 4 for their smallest network only.
    divisor = 4 if w == 0.1 else 8
    first = stem(in_channels, make_divisible(STEM * w, divisor), act=ACT)
    blocks = [block(place) for place in _places(rows, first.c_out, w, divisor)]
    return assemble(name, "mobilenext", stem=first, blocks=blocks, **options)


def _places(rows: Sequence[Row], c_in: int, width: float, divisor: int) -> Iterator[Place]:
    for row in rows:
        last = row is rows[-1]
        c_out = make_divisible(row.c * (max(1.0, width) if last else width), divisor)
        for i in range(row.n):
            stride = row.s if i == 0 else 1
            narrow = _narrow(c_in, c_out, row.t)
            yield Place(row.t, c_in, narrow, c_out, stride, row.n == 1 and row.s == 1)
            c_in = c_out


def _narrow(c_in: int, c_out: int, t: int) -> int:
    """Channels of the bottleneck: never under a sixth of the output."""
    narrow = c_in // t
    return make_divisible(math.ceil(c_out / 6), 16) if narrow < c_out / 6 else narrow
