"""From a spec to a network: the only door from descriptions to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.errors import UnknownName, closest
from pocketvision.nn.cell import CellGraph, FactorizedReduction, dilated, separable, squeeze
from pocketvision.nn.chain import Chain
from pocketvision.nn.conv import ConvNormAct, MixedConvNormAct, PaddedConv, activation
from pocketvision.nn.gate import SqueezeExcite
from pocketvision.nn.init import initialise_
from pocketvision.nn.pool import WindowPool
from pocketvision.nn.steps import Channels, Enlarged, Joined, Shuffled, Steps, Sum
from pocketvision.spec import (
    Activation,
    AnyBlock,
    AnyHead,
    Branching,
    Cell,
    Classifier,
    Conv,
    Edge,
    Gate,
    Layer,
    MapClassifier,
    MixedConv,
    NetSpec,
    Numerics,
    Pool,
)
from pocketvision.spec_steps import Add, Concat, Enlarge, Join, Shuffle, Slice


@dataclass(frozen=True, slots=True)
class Stage:
    """The last output at one stride: what detection and segmentation heads connect to.

    `block` is the index of the block that gives it (-1: the stem).
    """

    name: str
    block: int
    channels: int
    stride: int


def stages(spec: NetSpec) -> tuple[Stage, ...]:
    """The stages of a spec from fine to coarse, named stage1, stage2, ..."""
    rows = [(-1, spec.stem.c_out, spec.stem.stride)]
    for i, block in enumerate(spec.blocks):
        rows.append((i, block.c_out, rows[-1][2] * block.stride))
    last = [a for a, b in pairwise(rows) if a[2] != b[2]] + rows[-1:]
    return tuple(Stage(f"stage{k}", *row) for k, row in enumerate(last, start=1))


class Head(nn.Module):
    """Mean over space, hidden 1x1 layers, dropout, linear. (n, c, h, w) -> (n, classes)."""

    def __init__(self, spec: Classifier, numerics: Numerics) -> None:
        super().__init__()
        self.hidden = nn.Sequential(*(_conv(c, numerics) for c in spec.hidden))
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Linear(spec.features, spec.classes, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(self.dropout(self.embed(x)))

    def embed(self, x: Tensor) -> Tensor:
        """The vector that the linear layer reads, (n, features)."""
        return self.hidden(F.adaptive_avg_pool2d(x, 1)).flatten(1)


class MapHead(nn.Module):
    """Dropout, 1x1 to the classes, activation, mean over space. (n, c, h, w) -> (n, classes)."""

    def __init__(self, spec: MapClassifier) -> None:
        super().__init__()
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Conv2d(spec.c_in, spec.classes, 1)
        self.act = activation(spec.act)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        y = self.act(self.classifier(self.dropout(x)))
        return F.adaptive_avg_pool2d(y, 1).flatten(1)


class Network(nn.Module):
    """A built spec. One head: `forward` gives its tensor; several: a dict by head name.

    Parameter names are the spec's addresses (`blocks.13.expand.conv.weight`).
    """

    def __init__(self, spec: NetSpec, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.spec, self.stages = spec, stages(spec)
        self.stem = _conv(spec.stem, spec.numerics)
        deepest = max(len(spec.blocks) - 1, 1)
        # Deeper blocks are dropped more often, linearly: arXiv:1603.09382, section 3.
        rates = [drop_path * i / deepest for i in range(len(spec.blocks))]
        self.blocks = nn.ModuleList(
            _block(b, spec.numerics, rate) for b, rate in zip(spec.blocks, rates, strict=True)
        )
        self.heads = nn.ModuleDict({n: _head(h, spec.numerics) for n, h in spec.heads})

    def forward(self, x: Tensor) -> Any:
        """(n, c, h, w) images -> logits (n, classes), or a dict of them by head name; without heads
        the last map.
        """
        return self._answer(self.trunk(x))

    def staged(self, x: Tensor) -> tuple[Any, list[Tensor]]:
        """What `forward` gives, and the outputs of `stages`, of one pass and with gradients."""
        outs = self._outs(x)
        return self._answer(outs[-1]), [outs[s.block + 1] for s in self.stages]

    def trunk(self, x: Tensor) -> Tensor:
        """The last block's output, before any head."""
        return self._outs(x)[-1]

    def _outs(self, x: Tensor) -> list[Tensor]:
        """Outputs of the stem and of every block."""
        outs = [self.stem(x)]
        for block, spec in zip(self.blocks, self.spec.blocks, strict=True):
            outs.append(block(*(outs[max(len(outs) + k, 0)] for k in spec.inputs)))
        return outs

    def _answer(self, x: Tensor) -> Any:
        if not self.heads:
            return x
        outputs = {name: head(x) for name, head in self.heads.items()}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def features(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Outputs of stages ("stage4") or of layers by address ("blocks.13.expand"), by name.

        Raises UnknownName for a name that is neither.
        """
        found: dict[str, Tensor] = {}
        handles = [
            self._at(n).register_forward_hook(lambda _m, _i, out, n=n: found.__setitem__(n, out))
            for n in names
        ]
        try:
            self.trunk(x)
        finally:
            for handle in handles:
                handle.remove()
        return {name: found[name] for name in names}

    def _at(self, name: str) -> nn.Module:
        by_name = {s.name: "stem" if s.block < 0 else f"blocks.{s.block}" for s in self.stages}
        known = {n: m for n, m in self.named_modules() if n.startswith(("stem", "blocks."))}
        address = by_name.get(name, name)
        if address not in known:
            choices = [*by_name, *known]
            raise UnknownName(
                f"no stage or layer {name!r}{closest(name, choices)} (stages: {', '.join(by_name)})"
            )
        return known[address]


def build(spec: NetSpec, *, seed: int = 0, drop_path: float = 0.0) -> Network:
    """The network of `spec`, in train mode, with first values drawn from `seed`."""
    net = Network(spec, drop_path=drop_path)
    initialise_(net, seed)
    return net


# --------------------------------------------------------------------------------------------- kind


def _numbers(n: Numerics) -> dict[str, float]:
    return {"epsilon": n.bn_epsilon, "momentum": n.bn_momentum}


def _conv(c: Conv, n: Numerics) -> ConvNormAct:
    return ConvNormAct(
        c.c_in,
        c.c_out,
        kernel=c.kernel,
        stride=c.strides,
        groups=c.groups,
        dilation=c.dilation,
        norm=c.norm == "batch",
        bias=c.bias or c.norm == "none",
        act=c.act,
        rank=c.rank,
        rule=n.padding if c.padded else "none",
        **_numbers(n),
    )


def _mixed(m: MixedConv, n: Numerics) -> MixedConvNormAct:
    parts = [
        PaddedConv(
            p.c_in,
            p.c_out,
            kernel=p.kernel,
            stride=p.strides,
            groups=p.groups,
            dilation=p.dilation,
            bias=p.bias or m.norm == "none",
            rule=n.padding if p.padded else "none",
        )
        for p in m.parts
    ]
    return MixedConvNormAct(parts, norm=m.norm == "batch", act=m.act, **_numbers(n))


def _gate(g: Gate, n: Numerics) -> SqueezeExcite:
    norm = g.norm == "batch"
    return SqueezeExcite(g.channels, g.squeeze, act=g.act, gate=g.gate, norm=norm, **_numbers(n))


def _layer(layer: Layer, n: Numerics) -> nn.Module:
    match layer:
        case Conv():
            return _conv(layer, n)
        case MixedConv():
            return _mixed(layer, n)
        case Gate():
            return _gate(layer, n)
        case Activation():
            return activation(layer.act)
        case Pool():
            rule = n.padding if layer.padded else "ceil"
            return WindowPool(op=layer.op, kernel=layer.kernel, stride=layer.stride, rule=rule)


def _join(join: Join, drop_path: float) -> nn.Module:
    match join:
        case Add():
            return Sum(join.act, drop_path=drop_path)
        case Concat():
            return Joined()
        case Shuffle():
            return Shuffled(join.groups)
        case Slice():
            return Channels(join.start, join.stop)
        case Enlarge():
            return Enlarged()


def _block(block: AnyBlock, n: Numerics, drop_path: float) -> nn.Module:
    if isinstance(block, Cell):
        return _cell(block, n)
    if isinstance(block, Branching):
        return _branches(block, n, drop_path)
    layers = {name: _layer(layer, n) for name, layer in block.layers}
    return Chain(layers, shortcut=block.shortcut, c_out=block.c_out, drop_path=drop_path)


def _branches(block: Branching, n: Numerics, drop_path: float) -> Steps:
    made = []
    for s in block.steps:
        op = s.op
        module = _layer(op, n) if isinstance(op, Layer) else _join(op, drop_path)
        made.append((s.name, module, s.reads))
    return Steps(made)


def _head(head: AnyHead, n: Numerics) -> nn.Module:
    return MapHead(head) if isinstance(head, MapClassifier) else Head(head, n)


def _cell(c: Cell, n: Numerics) -> CellGraph:
    norm = partial(nn.BatchNorm2d, eps=n.bn_epsilon, momentum=n.bn_momentum)
    older: nn.Module = nn.Identity()
    if c.squeeze_older:
        bring = FactorizedReduction if c.reduce_older else squeeze
        older = bring(c.c_older, c.channels, norm=norm)
    edges = [[(e.source, _edge(e, c, norm, n.padding)) for e in row] for row in c.nodes]
    return CellGraph(older, squeeze(c.c_newer, c.channels, norm=norm), edges, c.concat)


def _edge(e: Edge, c: Cell, norm: Any, rule: str) -> nn.Module:
    if e.op == "skip":
        same = e.stride == 1
        return nn.Identity() if same else FactorizedReduction(c.channels, c.channels, norm=norm)
    kind, kernel = e.op.split("_")
    k = int(kernel)
    if kind in ("max", "avg"):
        op = "max" if kind == "max" else "mean"
        return WindowPool(op=op, kernel=k, stride=e.stride, rule=rule)
    make = separable if kind == "sep" else dilated
    return make(c.width(e.source), c.channels, k, stride=e.stride, norm=norm, rule=rule)
