"""MobileNetV3: searched inverted residuals with gates and hard-swish.

Source: arXiv:1905.02244, tables 1 (Large) and 2 (Small), in the later version and the authors' code
(TF-slim): the three 160-wide rows have stride 2, 1, 1 and expansion 672, 960, 960; Small has 1024
(the paper's tables print 1280) in its last hidden layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from pocketvision.spec import (
    Activation,
    Conv,
    Gate,
    InvertedResidual,
    LinearBottleneck,
    NetSpec,
    Separable,
    Single,
)
from pocketvision.zoo.convs import depthwise, pointwise, stem
from pocketvision.zoo.depth import deepened
from pocketvision.zoo.frame import Resolution, assemble, checked_depth, checked_width
from pocketvision.zoo.numerics import rules
from pocketvision.zoo.rounding import make_divisible

RE, HS = "relu", "hard_swish"
STEM = 16
LAST_RATIO = 6  # the last 1x1 is six times as wide as the last block (960, 576)


class Row(NamedTuple):
    """The paper's columns: kernel, expanded channels, output channels, gate, activation, stride."""

    k: int
    exp: int
    out: int
    se: bool
    nl: str
    s: int


LARGE = (
    #   k  exp  out  SE     NL  s
    Row(3, 16, 16, False, RE, 1),
    Row(3, 64, 24, False, RE, 2),
    Row(3, 72, 24, False, RE, 1),
    Row(5, 72, 40, True, RE, 2),
    Row(5, 120, 40, True, RE, 1),
    Row(5, 120, 40, True, RE, 1),
    Row(3, 240, 80, False, HS, 2),
    Row(3, 200, 80, False, HS, 1),
    Row(3, 184, 80, False, HS, 1),
    Row(3, 184, 80, False, HS, 1),
    Row(3, 480, 112, True, HS, 1),
    Row(3, 672, 112, True, HS, 1),
    Row(5, 672, 160, True, HS, 2),
    Row(5, 960, 160, True, HS, 1),
    Row(5, 960, 160, True, HS, 1),
)
SMALL = (
    #   k  exp  out  SE     NL  s
    Row(3, 16, 16, True, RE, 2),
    Row(3, 72, 24, False, RE, 2),
    Row(3, 88, 24, False, RE, 1),
    Row(5, 96, 40, True, HS, 2),
    Row(5, 240, 40, True, HS, 1),
    Row(5, 240, 40, True, HS, 1),
    Row(5, 120, 48, True, HS, 1),
    Row(5, 144, 48, True, HS, 1),
    Row(5, 288, 96, True, HS, 2),
    Row(5, 576, 96, True, HS, 1),
    Row(5, 576, 96, True, HS, 1),
)


HIDDEN_LARGE, HIDDEN_SMALL = 1280, 1024


def mobilenet_v3_large(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
    minimalistic: bool = False,
    reduced_tail: bool = False,
    depth: float = 1.0,
    gate_first: bool = False,
) -> NetSpec:
    """MobileNetV3-Large of any width.

    The hidden layer of the head stays at 1280, as published. `minimalistic`: every kernel 3x3, no
    gates, ReLU throughout. `reduced_tail` halves the last stage and what follows, for use as a
    backbone of detection and segmentation. `depth` multiplies the repeats (timm's
    `mobilenetv3_large_150d`). `gate_first` puts the gate before the depthwise's activation where
    the block expands (d-li14's port). Raises SpecError.
    """
    plan = _plan(LARGE, HIDDEN_LARGE, width, depth, numerics, minimalistic, reduced_tail)
    return _network(
        "mobilenet_v3_large",
        plan,
        in_channels,
        gate_first,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def mobilenet_v3_small(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.2,
    minimalistic: bool = False,
    reduced_tail: bool = False,
    depth: float = 1.0,
    gate_first: bool = False,
) -> NetSpec:
    """MobileNetV3-Small of any width; options as for Large.

    The hidden layer of the head stays at 1024, as in the authors' code and weights; the parameter
    figures that the paper prints for Small are those of a hidden layer of 1280. Raises SpecError.
    """
    plan = _plan(SMALL, HIDDEN_SMALL, width, depth, numerics, minimalistic, reduced_tail)
    return _network(
        "mobilenet_v3_small",
        plan,
        in_channels,
        gate_first,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


# ------------------------------------------------------------------------------------------- widths


class Plan(NamedTuple):
    """Absolute channels: stem, rows, the last 1x1 with its repeats, the head's hidden layer."""

    stem: int
    rows: list[Row]
    last: int
    last_repeats: int
    hidden: int
    act: str


def _plan(
    table: tuple[Row, ...],
    hidden: int,
    width: float,
    depth: float,
    numerics: str,
    minimalistic: bool,
    reduced_tail: bool,
) -> Plan:
    rule = rules("mobilenet_v3", numerics).width_rule
    w = checked_width(width)
    rows = [_minimal(r) for r in table] if minimalistic else list(table)
    if reduced_tail:
        rows, hidden = _reduced(rows), hidden // 2
    rows = _deepened(rows, checked_depth(depth))
    stem = STEM if rule == "keras" or (rule == "timm" and w < 0.75) else make_divisible(STEM * w)
    scaled = list(_scaled(rows, stem, w, rule))
    # The authors scale 960 (576) itself; torchvision and Keras take six times the scaled block.
    last_paper, last_scaled = LAST_RATIO * rows[-1].out * w, LAST_RATIO * scaled[-1].out
    return Plan(
        stem=stem,
        rows=scaled,
        last=last_scaled if rule in ("torchvision", "keras") else make_divisible(last_paper),
        last_repeats=deepened([1], depth)[0],
        hidden=_hidden(hidden, w, rule),
        act=RE if minimalistic else HS,
    )


def _hidden(channels: int, width: float, rule: str) -> int:
    """1280 (1024) at every width in the published weights; torchvision and Keras differ."""
    scales = rule == "torchvision" or (rule == "keras" and width > 1.0)
    return make_divisible(channels * width) if scales else channels


def _scaled(rows: list[Row], stem: int, width: float, rule: str) -> Iterator[Row]:
    """Rows in absolute channels. torchvision scales the expanded width, the others its ratio."""
    paper_in, c_in = STEM, stem
    for row in rows:
        wide = row.exp * width if rule == "torchvision" else c_in * row.exp / paper_in
        # A block without expansion stays without, whatever the rounding gives.
        exp = c_in if row.exp == paper_in else make_divisible(wide)
        out = make_divisible(row.out * width)
        yield row._replace(exp=exp, out=out)
        paper_in, c_in = row.out, out


# ----------------------------------------------------------------------------------------- variants


def _minimal(row: Row) -> Row:
    return row._replace(k=3, se=False, nl=RE)


def _reduced(rows: list[Row]) -> list[Row]:
    """The last stage at half its channels; its first row is expanded from the stage before."""
    last, halved = rows[-1].out, []
    for row in rows:
        if row.out == last:
            inside = row.exp == LAST_RATIO * last
            row = row._replace(out=last // 2, exp=row.exp // 2 if inside else row.exp)
        halved.append(row)
    return halved


def _deepened(rows: list[Row], depth: float) -> list[Row]:
    """Every stage (one output width) with its repeats multiplied, alike rows as one group."""
    ratios = [r.exp / c for r, c in zip(rows, [STEM, *(r.out for r in rows)], strict=False)]
    marked = list(zip(ratios, rows, strict=True))
    deeper: list[Row] = []
    for _, stage in groupby(marked, key=lambda m: m[1].out):
        groups = [list(g) for _, g in groupby(stage, key=lambda m: (m[0], m[1].k, m[1].nl))]
        for group, n in zip(groups, deepened([len(g) for g in groups], depth), strict=True):
            ratio, last = group[-1]
            again = last._replace(exp=round(ratio * last.out), s=1)
            kept = [row for _, row in group[:n]]
            deeper += kept + [again] * (n - len(kept))
    return deeper


# ------------------------------------------------------------------------------------------- blocks


AnyV3 = Separable | InvertedResidual | LinearBottleneck


def _network(name: str, plan: Plan, in_channels: int, gate_first: bool, **options: Any) -> NetSpec:
    first = stem(in_channels, plan.stem, act=plan.act)
    blocks: list[AnyV3 | Single] = []
    c_in = plan.stem
    for row in plan.rows:
        blocks.append(_block(c_in, row, gate_first))
        c_in = row.out
    for _ in range(plan.last_repeats):
        blocks.append(Single(conv=pointwise(c_in, plan.last, act=plan.act)))
        c_in = plan.last
    # After the pool there is nothing to normalise over: a bias instead.
    hidden = Conv(c_in=c_in, c_out=plan.hidden, norm="none", act=plan.act)
    return assemble(name, "mobilenet_v3", stem=first, blocks=blocks, hidden=(hidden,), **options)


def _block(c_in: int, row: Row, gate_first: bool) -> AnyV3:
    shortcut = c_in if row.s == 1 and c_in == row.out else 0
    gate = Gate(channels=row.exp, squeeze=make_divisible(row.exp / 4)) if row.se else None
    project = pointwise(row.exp, row.out)
    filtered = depthwise(row.exp, row.k, stride=row.s, act=row.nl)
    if row.exp == c_in:
        return Separable(depthwise=filtered, gate=gate, pointwise=project, shortcut=shortcut)
    expand = pointwise(c_in, row.exp, act=row.nl)
    if gate_first:
        return LinearBottleneck(
            expand=expand,
            depthwise=depthwise(row.exp, row.k, stride=row.s),
            gate=gate,
            activation=Activation(channels=row.exp, act=row.nl),
            project=project,
            shortcut=shortcut,
        )
    return InvertedResidual(
        expand=expand, depthwise=filtered, gate=gate, project=project, shortcut=shortcut
    )
