"""Plans and kernels: bands, shares, panels and addresses change nothing but time and memory."""

import numpy as np
import pytest

from pocketvision.compiler import graph as g
from pocketvision.compiler import lower_conv, reference, stagetimes
from pocketvision.compiler.kernels.depthwise import Depthwise
from pocketvision.compiler.peak import Peak
from pocketvision.compiler.plan import Options, plan
from pocketvision.compiler.program import Program, Tensor
from pocketvision.compiler.targets import TARGETS

from .native import CC, RUNNABLE, Loaded, here, worst

needs_compiler = pytest.mark.skipif(CC is None, reason="no C compiler is installed")
RNG = np.random.default_rng(0)
RELU6 = g.Activation("clip", 0.0, 6.0)
TARGET = TARGETS["x86-64-v4"]


class Builder:
    """A graph layer by layer."""

    def __init__(self, h: int, w: int, c: int = 3) -> None:
        self.nodes: list[g.Node] = []
        self.shapes: dict[str, g.Shape] = {"x": (h, w, c)}
        self.last = "x"

    def conv(self, c: int, k: int = 1, s: int = 1, **also) -> str:
        """A convolution of the last value."""
        h, w, c_in = self.shapes[self.last]
        pad, scale = k // 2, np.sqrt(2 / (k * k * c_in))
        weight = (RNG.standard_normal((c, k, k, c_in)) * scale).astype(np.float32)
        bias = RNG.standard_normal(c).astype(np.float32) * 0.1
        node = g.Conv(
            name=f"conv{len(self.nodes)}",
            output=f"v{len(self.nodes)}",
            x=self.last,
            weight=weight,
            bias=bias,
            stride=(s, s),
            pads=(pad,) * 4,
            **also,
        )
        return self.add(node, ((h + 2 * pad - k) // s + 1, (w + 2 * pad - k) // s + 1, c))

    def depthwise(self, k: int = 3, s: int = 1, weight: np.ndarray | None = None, **also) -> str:
        """A depthwise convolution of the last value."""
        h, w, c = self.shapes[self.last]
        pad = k // 2
        made = RNG.standard_normal((k, k, c)).astype(np.float32) / k
        node = g.Depthwise(
            name=f"dw{len(self.nodes)}",
            output=f"v{len(self.nodes)}",
            x=self.last,
            weight=made if weight is None else weight,
            bias=RNG.standard_normal(c).astype(np.float32) * 0.1,
            stride=(s, s),
            pads=(pad,) * 4,
            **also,
        )
        return self.add(node, ((h + 2 * pad - k) // s + 1, (w + 2 * pad - k) // s + 1, c))

    def mean(self) -> str:
        """The mean over space of the last value."""
        node = g.GlobalMean(name="mean", output=f"v{len(self.nodes)}", x=self.last)
        return self.add(node, (1, 1, self.shapes[self.last][2]))

    def add(self, node: g.Node, shape: g.Shape) -> str:
        """Any node."""
        self.nodes.append(node)
        self.shapes[node.output], self.last = shape, node.output
        return node.output

    def graph(self, *more: str) -> g.Graph:
        """The graph whose outputs are the last value and `more`."""
        values = (self.last, *more)
        outputs = tuple(
            g.Output(name=v, value=v, shape=(self.shapes[v][2], *self.shapes[v][:2]))
            for v in values
        )
        given = (g.Input(name="x", shape=self.shapes["x"]),)
        return g.Graph(
            inputs=given, nodes=tuple(self.nodes), outputs=outputs, shapes=dict(self.shapes)
        )


def mobile(h: int, w: int) -> g.Graph:
    """A stem, inverted residuals with and without squeeze-excite, a head: odd channel counts."""
    b = Builder(h, w)
    b.conv(20, 3, 2, act=RELU6)
    b.depthwise(act=RELU6)
    x = b.conv(12)
    b.conv(72, act=RELU6)
    b.depthwise(act=g.Activation("hard_swish"))
    x = b.conv(12, residual=x)
    b.conv(75, act=g.Activation("silu"))
    wide = b.depthwise(5, 2, act=g.Activation("relu"))
    b.mean()
    b.conv(9, act=g.Activation("relu"))
    gate = b.conv(75, act=g.Activation("hard_sigmoid", 1 / 6, 0.5))
    b.last = wide
    narrow = b.conv(33, gate=gate)
    b.conv(99, act=RELU6)
    b.depthwise()
    b.conv(45, residual=narrow)  # a residual of fewer channels
    b.mean()
    b.conv(10)
    return b.graph()


def answers(graph: g.Graph, x: np.ndarray) -> list[np.ndarray]:
    """What the float64 reference gives."""
    return [y[0] for y in reference.run(graph, {"x": x[None]}).values()]


@needs_compiler
@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize(("h", "w"), [(225, 161), (32, 40), (7, 9)])
def test_bands_and_threads_change_nothing(name: str, h: int, w: int) -> None:
    """Bands of rows, whole values, one, two and three threads: the same to the last bit."""
    graph = mobile(h, w)
    x = RNG.standard_normal((3, h, w)).astype(np.float32)
    wanted = answers(graph, x)[0]
    found = []
    for fuse in (True, False):
        net = Loaded(graph, TARGETS[name], Options(fuse=fuse))
        for threads in (1, 2, 3):
            net.start(threads)
            found += [net(x)[0], net(x)[0]]
    assert worst(found[0], wanted) < 1e-5
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@needs_compiler
@pytest.mark.parametrize("algorithm", ["direct", "winograd2", "winograd4"])
@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("size", [(7, 9, 16, 16), (5, 5, 20, 33), (13, 11, 40, 24)])
def test_every_way_of_a_3x3_convolution(algorithm: str, name: str, size: tuple) -> None:
    h, w, c_in, c_out = size
    b = Builder(h, w)
    b.conv(c_in, act=g.Activation("relu"))
    shape = b.shapes[b.last]
    b.add(g.Act(name="a", output="a", x=b.last, act=g.Activation("tanh")), shape)
    one = b.conv(c_out)
    b.last = "a"
    y = b.conv(c_out, 3, residual=one, act=g.Activation("silu"))
    net = Loaded(b.graph(), TARGETS[name], Options(algorithms={y: algorithm}), threads=2)
    x = RNG.standard_normal((3, h, w)).astype(np.float32)
    assert worst(net(x)[0], answers(b.graph(), x)[0]) < 1e-5


@needs_compiler
def test_mixed_kernels_and_grouped_products_by_their_zeros() -> None:
    """One depthwise of three kernel sizes, one 1x1 of two groups: zero borders, zero blocks."""
    b = Builder(15, 17)
    b.conv(52, act=RELU6)
    mixed = np.zeros((7, 7, 52), np.float32)
    for lo, hi, k in ((0, 18, 3), (18, 36, 5), (36, 52, 7)):
        cut = (7 - k) // 2
        mixed[cut : 7 - cut, cut : 7 - cut, lo:hi] = RNG.standard_normal((k, k, hi - lo)) / k
    b.depthwise(7, weight=mixed)
    grouped = np.zeros((20, 1, 1, 52), np.float32)
    grouped[:10, ..., :26] = RNG.standard_normal((10, 1, 1, 26))
    grouped[10:, ..., 26:] = RNG.standard_normal((10, 1, 1, 26))
    node = g.Conv(
        name="grouped", output="g", x=b.last, weight=grouped, bias=np.zeros(20, np.float32)
    )
    b.add(node, (15, 17, 20))
    net, x = Loaded(b.graph(), here()), RNG.standard_normal((3, 15, 17)).astype(np.float32)
    assert worst(net(x)[0], answers(b.graph(), x)[0]) < 1e-5
    stages = {s.name: s for step in net.program.steps for s in step.stages}
    kernels = [f.kernel.kernel_h for f in stages["dw1"].filters]
    assert kernels == [3, 5, 7, 7], "a block takes the largest kernel of its channels"
    assert stages["grouped"].macs == 2 * 10 * 26 * 15 * 17, "zero blocks cost nothing"


def stages(program: Program) -> list:
    """All stages of a program."""
    return [s for step in program.steps for s in step.stages]


def test_a_wide_value_is_never_whole() -> None:
    """MobileNetV2's second block at 112 px: 96 channels would take 4.8 MB."""
    b = Builder(112, 112, 16)
    b.conv(96, act=RELU6)
    b.depthwise(3, 2, act=RELU6)
    b.conv(24)
    program = plan(b.graph(), TARGET)
    chain = max(program.steps, key=lambda step: len(step.stages))
    assert [s.name for s in chain.stages] == ["conv0", "dw1", "conv2"]
    wide = chain.stages[0].out
    assert wide.local
    assert wide.slots < 20
    assert 4 * program.own < 1024 * 1024
    whole = plan(b.graph(), TARGET, Options(fuse=False))
    assert program.arena_bytes() < 0.35 * whole.arena_bytes()


def test_no_two_living_tensors_share_memory() -> None:
    program = plan(mobile(64, 64), TARGET)
    lives: dict[int, tuple[Tensor, int, int]] = {}
    for number, step in enumerate(program.steps):
        for t in (t for s in step.stages for t in s.tensors if not t.local):
            first = lives[id(t)][1] if id(t) in lives else number
            lives[id(t)] = (t, first, number)
    rows = list(lives.values())
    for i, (a, a0, a1) in enumerate(rows):
        assert a.at + a.floats <= program.shared
        for b, b0, b1 in rows[i + 1 :]:
            together = a0 <= b1 and b0 <= a1
            apart = a.at + a.floats <= b.at or b.at + b.floats <= a.at
            assert apart or not together, (a.name, b.name)


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.parametrize("channels", [1, 3, 8, 15, 16, 17, 24, 40, 47, 96, 100, 1000])
@pytest.mark.parametrize("run", [1, 7, 49, 112])
def test_panels_cover_all_channels_and_never_cross_a_block(
    name: str, channels: int, run: int
) -> None:
    target = TARGETS[name]
    at = 0
    for width in lower_conv.split(np.ones((channels, 5), bool), run, target):
        size = width.vectors * (target.lanes // 2 if width.half else target.lanes)
        assert at % 16 == 0 or at % 16 + size <= 16
        tiles = lower_conv.tiled(width, run, target)
        assert sum(n * rows for n, rows in tiles) == run
        at += size
    assert channels <= at <= -(-channels // 16) * 16


def test_groups_are_not_mixed_in_a_panel_where_they_need_not_be() -> None:
    matrix = np.zeros((64, 64), bool)
    matrix[:32, :32] = matrix[32:, 32:] = True
    widths = lower_conv.split(matrix, 196, TARGET)
    edges = np.cumsum([w.vectors * (8 if w.half else 16) for w in widths])
    assert 32 in edges


@needs_compiler
def test_stage_times_know_every_stage_and_add_up() -> None:
    program = plan(mobile(64, 64), here())
    rows = stagetimes.stage_times(program, here(), rounds=3)
    assert len(rows) == len(stages(program))
    assert all(row.seconds >= 0 for row in rows)
    assert sum(row.macs for row in rows) == sum(s.macs for s in stages(program))
    assert {"convolution", "pointwise", "depthwise"} <= {row.kind for row in rows}


@needs_compiler
def test_the_fastest_way_is_asked_only_where_there_is_a_choice() -> None:
    assert stagetimes.fastest(mobile(32, 32), here()) == {}
    b = Builder(20, 20)
    b.conv(32)
    y = b.conv(32, 3)
    assert stagetimes.fastest(b.graph(), here()).keys() == {y}


@needs_compiler
def test_the_peak_is_that_of_a_real_processor() -> None:
    assert 0.5 < Peak(TARGETS["c99"]).gflops(rounds=20_000) < 1000


def test_kernel_names_tell_kernels_apart() -> None:
    one = Depthwise(3, 3, 1, 1, 1, 7, 0, "relu", residual=False, total=False)
    two = Depthwise(3, 3, 2, 1, 1, 7, 0, "relu", residual=False, total=False)
    assert one.name != two.name
