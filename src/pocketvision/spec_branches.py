"""Blocks with branches: those of the networks that MobileNets are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.spec_layers import Activation, Conv, Gate, Pool
from pocketvision.spec_steps import (
    INPUT,
    Add,
    Branching,
    Concat,
    Enlarge,
    Shuffle,
    Slice,
    Step,
    chained,
    step,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire(Branching):
    """A narrow 1x1, then a 1x1 and a 3x3 side by side, joined.

    Source: SqueezeNet, arXiv:1602.07360, figure 1.
    """

    squeeze: Conv
    expand1: Conv
    expand3: Conv
    inputs: tuple[int, ...] = (-1,)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        return (
            step("squeeze", self.squeeze, INPUT),
            step("expand1", self.expand1, "squeeze"),
            step("expand3", self.expand3, "squeeze"),
            step("joined", Concat(), "expand1", "expand3"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShuffleUnit(Branching):
    """Grouped 1x1, depthwise, shuffle, grouped 1x1; the input is added, or pooled and joined.

    Source: ShuffleNetV1, arXiv:1707.01083, figure 2b and 2c, in the order of megvii's code (the
    shuffle after the depthwise). `shuffle` is the number of runs that the channels are cut into
    before they are dealt out. With `pool` the block halves the size.
    """

    reduce: Conv
    depthwise: Conv
    shuffle: int
    expand: Conv
    pool: Pool | None = None
    act: str = "relu"
    inputs: tuple[int, ...] = (-1,)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        main = chained((("reduce", self.reduce), ("depthwise", self.depthwise)))
        dealt = step("shuffled", Shuffle(self.shuffle), "depthwise")
        expand = step("expand", self.expand, "shuffled")
        if self.pool is None:
            return (*main, dealt, expand, step("sum", Add(self.act), "expand", INPUT))
        pool = step("pool", self.pool, INPUT)
        return (*main, dealt, expand, pool, step("joined", Concat(), "pool", "expand"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitUnit(Branching):
    """Half of the channels pass by, the other half go through 1x1, depthwise, 1x1; then a shuffle.

    Where the size halves, every channel goes both ways and the first has layers of its own.
    Source: ShuffleNetV2, arXiv:1807.11164, figure 3c and 3d.
    """

    aside_depthwise: Conv | None = None
    aside_project: Conv | None = None
    expand: Conv
    depthwise: Conv
    project: Conv
    inputs: tuple[int, ...] = (-1,)

    @property
    def c_in(self) -> int:
        """Channels in: twice what the layers take, or just that where the size halves."""
        return self.expand.c_in * (1 if self.aside_depthwise else 2)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        half, full = self.expand.c_in, 2 * self.expand.c_in
        rows = (("expand", self.expand), ("depthwise", self.depthwise), ("project", self.project))
        if self.aside_depthwise:
            aside = chained(
                (("aside_depthwise", self.aside_depthwise), ("aside_project", self.aside_project))
            )
            main = chained(rows)
        else:
            aside = [step("aside", Slice(0, half), INPUT)]
            main = [step("worked", Slice(half, full), INPUT), *chained(rows, start="worked")]
        joined = step("joined", Concat(), aside[-1].name, "project")
        return (*aside, *main, joined, step("shuffled", Shuffle(2), "joined"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparableResidual(Branching):
    """Two or three times (activation, depthwise, 1x1), then a pool or a stride; a shortcut around.

    Source: Xception, arXiv:1610.02357, figure 5; DeepLab's variant (arXiv:1802.02611, figure 4) has
    a stride in its last depthwise instead of the pool, and norms after the depthwise too.
    `first_act="none"` is the paper's first block, which follows an activation.
    """

    depthwise1: Conv
    pointwise1: Conv
    depthwise2: Conv
    pointwise2: Conv
    depthwise3: Conv | None = None
    pointwise3: Conv | None = None
    pool: Pool | None = None
    shortcut: Conv | None = None
    first_act: str = "relu"
    act: str = "relu"
    inputs: tuple[int, ...] = (-1,)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        first = self.first_act != "none"
        main = chained(
            (
                ("act1", Activation(channels=self.c_in, act=self.first_act) if first else None),
                ("depthwise1", self.depthwise1),
                ("pointwise1", self.pointwise1),
                ("act2", Activation(channels=self.depthwise2.c_in, act=self.act)),
                ("depthwise2", self.depthwise2),
                ("pointwise2", self.pointwise2),
                ("act3", self._third_act()),
                ("depthwise3", self.depthwise3),
                ("pointwise3", self.pointwise3),
                ("pool", self.pool),
            )
        )
        aside = chained((("shortcut", self.shortcut),))
        other = aside[-1].name if aside else INPUT
        return (*main, *aside, step("sum", Add(), main[-1].name, other))

    @property
    def c_in(self) -> int:
        """Channels in."""
        return self.depthwise1.c_in

    def _third_act(self) -> Activation | None:
        third = self.depthwise3
        return Activation(channels=third.c_in, act=self.act) if third else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual(Branching):
    """Two or three convolutions, the input added (through `shortcut` if it must change), then act.

    Source: ResNet, arXiv:1512.03385, figure 5; the stride of a bottleneck is in its 3x3, as in
    every current implementation.
    """

    conv1: Conv
    conv2: Conv
    conv3: Conv | None = None
    shortcut: Conv | None = None
    act: str = "relu"
    inputs: tuple[int, ...] = (-1,)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        main = chained((("conv1", self.conv1), ("conv2", self.conv2), ("conv3", self.conv3)))
        aside = chained((("shortcut", self.shortcut),))
        other = aside[-1].name if aside else INPUT
        return (*main, *aside, step("sum", Add(self.act), main[-1].name, other))


@dataclass(frozen=True, slots=True, kw_only=True)
class GhostBottleneck(Branching):
    """Two ghost modules with a depthwise and a gate between, and a shortcut.

    A ghost module makes some channels by a 1x1 (`primary`) and the rest from these by a cheap
    depthwise. Source: GhostNet, arXiv:1911.11907, figures 2 and 3.
    """

    primary1: Conv
    cheap1: Conv
    depthwise: Conv | None = None
    gate: Gate | None = None
    primary2: Conv
    cheap2: Conv
    aside_depthwise: Conv | None = None
    aside_project: Conv | None = None
    inputs: tuple[int, ...] = (-1,)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        inner = chained((("depthwise", self.depthwise), ("gate", self.gate)), start="ghost1")
        wide = inner[-1].name if inner else "ghost1"
        aside = chained(
            (("aside_depthwise", self.aside_depthwise), ("aside_project", self.aside_project))
        )
        other = aside[-1].name if aside else INPUT
        return (
            step("primary1", self.primary1, INPUT),
            step("cheap1", self.cheap1, "primary1"),
            step("ghost1", Concat(), "primary1", "cheap1"),
            *inner,
            step("primary2", self.primary2, wide),
            step("cheap2", self.cheap2, "primary2"),
            step("ghost2", Concat(), "primary2", "cheap2"),
            *aside,
            step("sum", Add(), "ghost2", other),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmoniousBottleneck(Branching):
    """An inverted residual at half the size, enlarged again, beside channels that pass by.

    Source: HBONet, arXiv:1908.03888, figure 2, and d-li14's code: the first channels of the input
    are added to the enlarged map and a depthwise (`spread`) follows; the last `kept` channels of
    the input pass by. With `pool` instead of `spread` the block halves the size: the kept channels
    are pooled and nothing is enlarged.
    """

    contract: Conv
    expand: Conv
    depthwise: Conv
    project: Conv
    spread: Conv | None = None
    pool: Pool | None = None
    kept: int
    inputs: tuple[int, ...] = (-1,)

    @property
    def c_in(self) -> int:
        """Channels in."""
        return self.contract.c_in

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operations in running order."""
        main = chained(
            (
                ("contract", self.contract),
                ("expand", self.expand),
                ("depthwise", self.depthwise),
                ("project", self.project),
            )
        )
        aside = chained((("pool", self.pool),), start="last")
        last = step("last", Slice(self.c_in - self.kept, self.c_in), INPUT)
        kept = aside[-1].name if aside else "last"
        if self.spread is None:
            return (*main, last, *aside, step("joined", Concat(), kept, "project"))
        return (
            *main,
            step("first", Slice(0, self.project.c_out), INPUT),
            step("enlarged", Enlarge(), "project", "first"),
            step("sum", Add(), "enlarged", "first"),
            step("spread", self.spread, "sum"),
            last,
            *aside,
            step("joined", Concat(), kept, "spread"),
        )
