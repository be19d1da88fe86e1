"""How each family turns a width into channels, against numbers worked by hand or printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.spec import Conv, InvertedResidual, MixedConv, Sandglass
from pocketvision.zoo import MODELS
from pocketvision.zoo.depth import deepened
from pocketvision.zoo.mixnet import split
from pocketvision.zoo.rounding import make_divisible


@pytest.mark.parametrize(
    ("value", "divisor", "rounded"),
    [
        (18, 8, 24),  # 16 would be under 90% of 18
        (11.2, 8, 16),
        (33.6, 8, 32),
        (4, 8, 8),
        (12, 8, 16),  # a tie goes up
        (1664.0, 8, 1664),
        (1.6, 4, 4),
        (214, 16, 208),
        (83.5, 8, 80),
        (84, 8, 88),
    ],
)
def test_make_divisible_by_hand(value, divisor, rounded):
    assert make_divisible(value, divisor) == rounded


@given(st.floats(0.1, 5000), st.sampled_from((1, 2, 4, 8, 16)))
def test_make_divisible_is_near_and_never_a_tenth_less(value, divisor):
    n = make_divisible(value, divisor)
    assert n % divisor == 0
    assert n >= 0.9 * value
    assert n == divisor or n <= value + divisor


@pytest.mark.parametrize(
    ("repeats", "depth", "up", "deeper"),
    [
        ([3], 1.2, True, (4,)),
        ([2], 1.4, True, (3,)),
        ([1, 1, 2], 1.2, True, (1, 2, 2)),
        ([1, 3], 1.2, False, (1, 4)),
        ([1, 3], 1.0, False, (1, 3)),
        ([1, 1], 0.5, True, (1, 1)),
    ],
)
def test_deepened(repeats, depth, up, deeper):
    assert deepened(repeats, depth, up=up) == deeper


def outputs(spec):
    return [b.c_out for b in spec.blocks]


def test_mobilenet_v1_scales_every_layer():
    assert outputs(MODELS["mobilenet_v1"](width=0.25))[::4] == [16, 64, 128, 256]
    spec = MODELS["mobilenet_v1"](width=0.75)
    assert (spec.stem.c_out, spec.head().c_in) == (24, 768)
    # int(32 * 0.3) = 9: cut, not rounded to a multiple of 8
    assert MODELS["mobilenet_v1"](width=0.3).stem.c_out == 9
    assert MODELS["mobilenet_v1"](width=0.1).stem.c_out == 8
    assert MODELS["mobilenet_v1"](width=0.1, numerics="keras").stem.c_out == 3


def test_mobilenet_v1_strides_end_at_one():
    strides = [b.stride for b in MODELS["mobilenet_v1"]().blocks]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]


@pytest.mark.parametrize(("width", "last"), [(0.35, 1280), (1.0, 1280), (1.3, 1664), (1.4, 1792)])
def test_mobilenet_v2_last_layer(width, last):
    spec = MODELS["mobilenet_v2"](width=width)
    assert spec.head().c_in == last
    assert len(spec.blocks) == 17 + 1


def test_mobilenet_v2_at_035():
    spec = MODELS["mobilenet_v2"](width=0.35)
    assert (spec.stem.c_out, spec.blocks[0].c_out) == (16, 8)


def v3_expanded(**options):
    blocks = MODELS["mobilenet_v3_large"](width=0.75, **options).blocks
    return [b.depthwise.c_out for b in blocks if isinstance(b, InvertedResidual)][:4]


def test_mobilenet_v3_width_rules_differ():
    """The authors expand the scaled input, torchvision scales the expanded width itself."""
    assert v3_expanded() == v3_expanded(numerics="keras") == [64, 72, 72, 96]
    assert v3_expanded(numerics="torchvision") == [48, 56, 56, 88]


@pytest.mark.parametrize(
    ("numerics", "width", "stem", "last", "hidden"),
    [
        ("torch", 0.5, 8, 480, 1280),
        ("timm", 0.5, 16, 480, 1280),
        ("torchvision", 0.5, 8, 480, 640),
        ("keras", 0.5, 16, 480, 1280),
        ("torch", 1.25, 24, 1200, 1280),
        ("torchvision", 1.25, 24, 1200, 1600),
        ("keras", 1.25, 16, 1200, 1600),
    ],
)
def test_mobilenet_v3_ends(numerics, width, stem, last, hidden):
    spec = MODELS["mobilenet_v3_large"](width=width, numerics=numerics)
    head = spec.head()
    assert (spec.stem.c_out, head.c_in, head.features) == (stem, last, hidden)


def test_mobilenet_v3_small_at_035_ends_in_192_or_200():
    small = MODELS["mobilenet_v3_small"]
    assert small(width=0.35).head().c_in == 200
    assert small(width=0.35, numerics="torchvision").head().c_in == 192


def test_minimalistic_is_plain():
    for model in ("mobilenet_v3_large", "mobilenet_v3_small"):
        spec = MODELS[model](minimalistic=True)
        convs = [layer for b in spec.blocks for _, layer in b.layers]
        assert all(isinstance(c, Conv) for c in convs)
        assert {c.kernel for c in convs} == {1, 3}
        acts = {c.act for c in convs} | {spec.stem.act, spec.head().hidden[0].act}
        assert acts == {"none", "relu"}


REXNET = {
    0.9: [16, 26, 36, 46, 56, 67, 77, 87, 97, 107, 117, 127, 138, 148, 158, 168],
    1.0: [16, 27, 38, 50, 61, 72, 84, 95, 106, 117, 128, 140, 151, 162, 174, 185],
    1.3: [21, 35, 50, 65, 79, 94, 109, 123, 138, 152, 167, 182, 196, 211, 226, 240],
    1.5: [24, 41, 58, 75, 92, 108, 125, 142, 159, 176, 193, 210, 226, 243, 260, 277],
    2.0: [32, 54, 77, 100, 122, 144, 167, 190, 212, 234, 257, 280, 302, 324, 347, 370],
    3.0: [48, 82, 116, 149, 183, 217, 250, 284, 318, 352, 386, 419, 453, 487, 520, 554],
}
LITE = {
    1.0: [16, 32, 40, 48, 64, 72, 80, 96, 104, 112, 128, 136, 144, 160, 168, 184],
    1.3: [24, 32, 48, 64, 80, 96, 104, 120, 136, 152, 160, 176, 192, 208, 224, 232],
    1.5: [24, 40, 56, 72, 88, 104, 120, 136, 152, 176, 192, 208, 224, 240, 256, 272],
    2.0: [32, 56, 80, 96, 120, 144, 160, 184, 208, 232, 248, 272, 296, 320, 336, 360],
}


@pytest.mark.parametrize("width", REXNET)
def test_rexnet_channels(width):
    spec = MODELS["rexnet"](width=width)
    assert outputs(spec) == [*REXNET[width], int(1280 * width)]
    assert spec.stem.c_out == (32 if width < 1 else round(32 * width))


@pytest.mark.parametrize("width", LITE)
def test_rexnet_lite_channels(width):
    spec = MODELS["rexnet_lite"](width=width)
    assert outputs(spec)[:-1] == LITE[width]
    assert spec.head().features == 1024


def test_rexnet_shortcut_covers_the_narrower_input():
    blocks = MODELS["rexnet"]().blocks
    assert [getattr(b, "shortcut", 0) for b in blocks[:7]] == [0, 0, 27, 0, 50, 0, 72]


def test_mobilenext_leaves_depthwise_out_where_channels_change():
    def has(block):
        return block.depthwise is not None, block.depthwise2 is not None

    blocks = MODELS["mobilenext"]().blocks
    assert all(isinstance(b, Sandglass) for b in blocks)
    assert [b.reduce.c_out for b in blocks] == [
        *(16, 32, 32, 32, 32, 48, 48, 48, 64, 64, 64, 64, 96, 96, 96, 96, 160, 160, 160, 208)
    ]
    both, last_only, neither = (True, True), (False, True), (False, False)
    assert [has(b) for b in blocks] == [
        *(both, both),
        *(last_only, both, both),
        *(last_only, both, both),
        *(neither, both, both, both),
        *(last_only, both, both, both),
        *(neither, both, both, both),
    ]
    assert [i for i, b in enumerate(blocks, start=1) if b.shortcut] == [
        *(4, 5, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19)
    ]


@pytest.mark.parametrize(("identity", "added"), [(1.0, 192), (0.5, 96), (1 / 3, 64), (0.25, 48)])
def test_mobilenext_identity_multiplier(identity, added):
    assert MODELS["mobilenext"](identity=identity).blocks[3].shortcut == added
    assert MODELS["mobilenext"](identity=0.0).blocks[3].shortcut == 0


@pytest.mark.parametrize(
    ("channels", "groups", "shares"),
    [(144, 3, [48, 48, 48]), (10, 3, [4, 3, 3]), (5, 4, [2, 1, 1, 1]), (7, 1, [7])],
)
def test_mixnet_split_gives_the_remainder_to_the_first(channels, groups, shares):
    assert split(channels, groups) == shares
    assert sum(shares) == channels


def test_mixnet_s_block_by_hand():
    """Block 14 of MixNet-S: five kernels over 720 channels, gate from half of its 120 inputs."""
    block = MODELS["mixnet_s"]().blocks[13]
    assert isinstance(block.depthwise, MixedConv)
    assert [(p.kernel, p.c_in) for p in block.depthwise.parts] == [
        (k, 144) for k in (3, 5, 7, 9, 11)
    ]
    assert (block.gate.squeeze, block.gate.gate, block.gate.act) == (60, "sigmoid", "silu")
    assert block.stride == 2


def test_building_l_leaves_m_alone():
    before = MODELS["mixnet_m"]()
    MODELS["mixnet_l"]()
    assert MODELS["mixnet_m"]() == before
    assert outputs(MODELS["mixnet_m"](width=1.3)) == outputs(MODELS["mixnet_l"]())
