"""The tables of the neighbours: channels and repeats worked out by hand or read in the papers."""

import pytest

from pocketvision.errors import SpecError
from pocketvision.spec import (
    Cell,
    Fire,
    FusedInverted,
    GhostBottleneck,
    HarmoniousBottleneck,
    InvertedResidual,
    Pooling,
    Residual,
    SeparableResidual,
    ShuffleUnit,
    SplitUnit,
    UniversalInverted,
)
from pocketvision.zoo import MODELS
from pocketvision.zoo.lookup import resolve


def outputs(spec, kind) -> list[int]:
    return [b.c_out for b in spec.blocks if isinstance(b, kind)]


# Repeats ceil(d * n), channels at width w to multiples of 8: arXiv:1905.11946 and its code.
EFFICIENTNETS = {
    "b0": ([1, 2, 2, 3, 3, 4, 1], [32, 16, 24, 40, 80, 112, 192, 320, 1280]),
    "b1": ([2, 3, 3, 4, 4, 5, 2], [32, 16, 24, 40, 80, 112, 192, 320, 1280]),
    "b2": ([2, 3, 3, 4, 4, 5, 2], [32, 16, 24, 48, 88, 120, 208, 352, 1408]),
    "b3": ([2, 3, 3, 5, 5, 6, 2], [40, 24, 32, 48, 96, 136, 232, 384, 1536]),
    "b4": ([2, 4, 4, 6, 6, 8, 2], [48, 24, 32, 56, 112, 160, 272, 448, 1792]),
    "b5": ([3, 5, 5, 7, 7, 9, 3], [48, 24, 40, 64, 128, 176, 304, 512, 2048]),
    "b6": ([3, 6, 6, 8, 8, 11, 3], [56, 32, 40, 72, 144, 200, 344, 576, 2304]),
    "b7": ([4, 7, 7, 10, 10, 13, 4], [64, 32, 48, 80, 160, 224, 384, 640, 2560]),
    # Lite: first and last stage, stem and last 1x1 as they are
    "lite1": ([1, 3, 3, 4, 4, 5, 1], [32, 16, 24, 40, 80, 112, 192, 320, 1280]),
    "lite4": ([1, 4, 4, 6, 6, 8, 1], [32, 24, 32, 56, 112, 160, 272, 448, 1280]),
}


@pytest.mark.parametrize("size", EFFICIENTNETS)
def test_efficientnet_sizes(size):
    repeats, channels = EFFICIENTNETS[size]
    spec = resolve(f"efficientnet_{size}")
    stages = [c for c, n in zip(channels[1:-1], repeats, strict=True) for _ in range(n)]
    assert spec.stem.c_out == channels[0]
    assert [b.c_out for b in spec.blocks] == [*stages, channels[-1]]


def test_efficientnet_gates_squeeze_a_quarter_of_the_input():
    b0 = [b for b in resolve("efficientnet_b0").blocks[1:-1] if isinstance(b, InvertedResidual)]
    assert all(b.gate.squeeze == b.c_in // 4 for b in b0)
    assert all(b.gate is None for b in resolve("efficientnet_lite0").blocks[:-1])


def test_torchvision_changes_its_epsilon_at_b5():
    epsilons = [resolve(f"torchvision/efficientnet_b{i}").numerics.bn_epsilon for i in (0, 4, 5, 7)]
    assert epsilons == [1e-5, 1e-5, 1e-3, 1e-3]


def test_squeezenet_pools_earlier_in_version_1_1():
    def places(name):
        return [i for i, b in enumerate(resolve(name).blocks) if isinstance(b, Pooling)]

    # 1.0: conv, pool, fire 2 3 4, pool, fire 5 6 7 8, pool, fire 9 (paper, table 1)
    assert places("squeezenet_1_0") == [0, 4, 9]
    assert places("squeezenet_1_1") == [0, 3, 6]
    widths = [128, 128, 256, 256, 384, 384, 512, 512]
    for name in ("squeezenet_1_0", "squeezenet_1_1"):
        assert outputs(resolve(name), Fire) == widths


@pytest.mark.parametrize(("groups", "first"), [(3, 240), (8, 384)])
@pytest.mark.parametrize("width", [0.5, 1.0, 1.5, 2.0])
def test_shufflenet_v1_stages(groups, first, width):
    units = resolve("shufflenet_v1", groups=groups, width=width).blocks[1:]
    assert all(isinstance(u, ShuffleUnit) for u in units)
    c = int(first * width)
    assert [u.c_out for u in units] == [c] * 4 + [2 * c] * 8 + [4 * c] * 4
    assert [u.stride for u in units] == [2, 1, 1, 1, 2, *[1] * 7, 2, 1, 1, 1]
    assert [u.reduce.groups for u in units] == [1] + [groups] * 15
    assert all(u.depthwise.c_out == u.c_out // 4 for u in units)


def test_shufflenet_v2_stages():
    spec = resolve("shufflenet_v2")
    assert outputs(spec, SplitUnit) == [116] * 4 + [232] * 8 + [464] * 4
    assert spec.head().c_in == 1024
    assert resolve("shufflenet_v2", width=2.0).head().c_in == 2048


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("shufflenet_v1", {"width": 0.75}, "exists at the widths 0.5, 1.0, 1.5, 2.0, got 0.75"),
        ("shufflenet_v1", {"groups": 4}, "groups must be 3 or 8, got 4"),
        ("shufflenet_v2", {"width": 0.75}, "exists at the widths 0.25, 0.33, 0.5, 1.0, 1.5"),
        ("hbonet", {"divisor": 0}, "divisor must be a whole number"),
        ("nasnet_mobile", {"width": 0}, "width must be a number"),
        ("darts_v2", {"numerics": "keras"}, "darts has no numerics 'keras'"),
        ("xception", {"resolution": 16}, "resolution must be"),
    ],
)
def test_bad_values(name, options, words):
    with pytest.raises(SpecError, match=words):
        resolve(name, **options)


def test_xception_flows():
    blocks = [b for b in resolve("xception").blocks if isinstance(b, SeparableResidual)]
    assert [b.c_out for b in blocks] == [128, 256, 728, *[728] * 8, 1024]
    assert [b.first_act for b in blocks[:2]] == ["none", "relu"]
    assert [b.shortcut is None for b in blocks] == [False] * 3 + [True] * 8 + [False]
    aligned = [b for b in resolve("xception41").blocks if isinstance(b, SeparableResidual)]
    assert all(b.pool is None and b.depthwise1.norm == "batch" for b in aligned)
    assert all(b.depthwise1.norm == "bare" for b in blocks)


def test_nasnet_ends_in_1056_features():
    spec = resolve("nasnet_mobile")
    assert spec.head().c_in == 1056  # "4 @ 1056"
    assert outputs(spec, Cell) == [44, 88, *[264] * 4, 352, *[528] * 4, 704, *[1056] * 4]
    reductions = [i for i, b in enumerate(spec.blocks[:-1]) if b.stride == 2]
    assert reductions == [0, 1, 6, 11]
    assert [i for i, b in enumerate(spec.blocks[:-1]) if b.reduce_older] == [1, 2, 7, 12]


@pytest.mark.parametrize("name", ["darts_v1", "darts_v2"])
def test_darts_cells(name):
    cells = [b for b in resolve(name).blocks if isinstance(b, Cell)]
    assert [c.channels for c in cells] == [48] * 4 + [96] * 5 + [192] * 5
    assert [i for i, c in enumerate(cells) if c.stride == 2] == [4, 9]
    assert [i for i, c in enumerate(cells) if c.reduce_older] == [0, 5, 10]
    assert all(len(c.nodes) == 4 and all(len(n) == 2 for n in c.nodes) for c in cells)


def test_hbonet_keeps_half_of_each_output():
    blocks = [b for b in resolve("hbonet").blocks if isinstance(b, HarmoniousBottleneck)]
    assert [b.c_out for b in blocks] == [40, *[72] * 3, *[96] * 4, *[192] * 4, 288]
    assert all(b.kept == b.c_out - b.c_out // 2 for b in blocks)
    assert [b.pool is not None for b in blocks].count(True) == 3


def test_hbonet_divisors_are_those_of_the_weights():
    def stem(**options):
        return resolve("hbonet", **options).stem.c_out

    # 32 * 0.25 = 8 either way; 20 * 0.25 = 5 gives 6 of two, 8 of eight
    assert stem(width=0.25) == stem(width=0.25, divisor=8) == 8
    assert resolve("hbonet", width=0.25).blocks[0].c_out == 6
    assert resolve("hbonet", width=0.25, divisor=8).blocks[0].c_out == 8


def test_ghost_modules_make_half_of_every_map():
    blocks = [b for b in resolve("ghostnet").blocks if isinstance(b, GhostBottleneck)]
    assert len(blocks) == 16
    assert all(b.primary1.c_out == b.cheap1.c_out for b in blocks)
    assert [b.stride for b in blocks] == [1, 2, 1, 2, 1, 2, *[1] * 5, 2, *[1] * 4]
    assert sum(b.gate is not None for b in blocks) == 7


def test_mobilenet_v4_uses_every_form_of_its_block():
    """Both depthwise, the inner one, the first one, none: ExtraDW, IB, ConvNeXt-like, FFN."""

    def forms(name):
        blocks = [b for b in resolve(name).blocks if isinstance(b, UniversalInverted)]
        return {(b.depthwise_first is not None, b.depthwise is not None) for b in blocks}

    both, inner, first, neither = (True, True), (False, True), (True, False), (False, False)
    assert forms("mobilenet_v4_conv_small") == {both, inner, first}
    assert forms("mobilenet_v4_conv_medium") == {both, first, neither}
    assert isinstance(resolve("mobilenet_v4_conv_medium").blocks[0], FusedInverted)
    assert resolve("mobilenet_v4_conv_small", width=0.5).stem.c_out == 32
    assert resolve("mobilenet_v4_conv_small", width=1.5).stem.c_out == 48


def test_resnets_have_the_stride_in_their_3x3():
    blocks = [b for b in resolve("resnet50").blocks if isinstance(b, Residual)]
    assert [b.c_out for b in blocks] == [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    assert [b.conv1.stride for b in blocks] == [1] * 16
    assert [b.conv2.stride for b in blocks].count(2) == 3
    assert outputs(resolve("resnet18"), Residual) == [64, 64, 128, 128, 256, 256, 512, 512]


@pytest.mark.parametrize("name", [n for n in MODELS if not n.startswith("shufflenet")])
def test_a_width_scales_the_first_and_last_layer_of_the_trunk(name):
    """Other widths than the published ones give whole networks (shufflenets have no others)."""
    narrow, wide = resolve(name, width=0.3), resolve(name, width=1.3)
    assert narrow.blocks[-2].c_out < wide.blocks[-2].c_out
