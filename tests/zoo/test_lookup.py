"""Names, options and their errors."""

import pytest

from pocketvision import spec_json
from pocketvision.errors import SpecError, UnknownName, UsageError
from pocketvision.spec import DoubleDepthwise, InvertedResidual, LinearBottleneck
from pocketvision.zoo import MODELS
from pocketvision.zoo.aliases import ALIASES, LIBRARIES
from pocketvision.zoo.lookup import options_of, resolve, target
from pocketvision.zoo.numerics import NUMERICS
from pocketvision.zoo.papers import PAPERS, family, paper

# Sides that the papers use where it is not 224.
SIDES = {
    **dict(zip([f"efficientnet_b{i}" for i in range(1, 8)], (240, 260, 300, 380, 456, 528, 600),
               strict=True)),
    **dict(zip([f"efficientnet_lite{i}" for i in range(1, 5)], (240, 260, 280, 300), strict=True)),
    "xception": 299,
    "xception41": 299,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_model_by_its_name(name):
    assert MODELS[name].__name__ == name
    spec = resolve(name)
    assert spec.name == name
    side = SIDES.get(name, 224)
    assert spec.resolution == (side, side)
    assert spec.numerics.name == "torch"
    assert (spec.numerics.padding, spec.numerics.bn_epsilon) == ("symmetric", 1e-5)
    assert family(name) in PAPERS
    assert paper(name).startswith("arXiv:")
    assert MODELS[name].__doc__


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_the_common_options(name):
    spec = resolve(name, width=0.5, resolution=(96, 64), classes=7, in_channels=1, dropout=0.0)
    assert (spec.in_channels, spec.resolution, spec.head().classes) == (1, (96, 64), 7)
    assert spec_json.loads(spec_json.dumps(spec)) == spec


@pytest.mark.parametrize("name", [a for a in ALIASES if a not in MODELS])
def test_every_alias(name):
    model, fixed = target(name)
    assert resolve(name).name == model
    assert fixed.keys() <= options_of(model).keys()
    assert fixed["numerics"] in NUMERICS[family(model)]


def test_a_name_of_both_is_the_same_network():
    both = [name for name in ALIASES if name in MODELS]
    sizes = [
        *(f"efficientnet_b{i}" for i in range(8)),
        *(f"efficientnet_lite{i}" for i in range(5)),
    ]
    others = ["xception41", "resnet18", "resnet50", "mnasnet_small"]
    assert set(both) == {"mixnet_s", "mixnet_m", "mixnet_l", "mixnet_xl", *sizes, *others}
    for name in both:
        ours, theirs = resolve(name), resolve(f"timm/{name}")
        assert (ours.blocks, ours.heads) == (theirs.blocks, theirs.heads)


def test_libraries_imply_their_numerics():
    assert resolve("torchvision/mobilenet_v3_large").numerics.bn_epsilon == 1e-3
    assert resolve("torchvision/mobilenet_v3_large").numerics.padding == "symmetric"
    assert resolve("torchvision/mobilenet_v2").numerics.bn_epsilon == 1e-5
    assert resolve("keras/MobileNet").numerics.padding == "bottom_right"
    assert resolve("MobileNetV2").numerics.padding == "same"
    assert resolve("tf_mobilenetv3_small_100").numerics.padding == "same"
    assert resolve("timm/mobilenetv2_100").numerics.padding == "symmetric"


def test_every_library_name_behind_its_library():
    for library, table in LIBRARIES.items():
        for name in table:
            assert f"{library}/{name}" in ALIASES


def test_an_alias_of_an_open_width_takes_it():
    spec = resolve("torchvision/mobilenet_v3_large", width=0.75)
    assert spec.head().features == 960


def test_d_li14_gates_before_the_activation():
    blocks = resolve("d-li14/mobilenetv3_small").blocks
    assert isinstance(blocks[1], LinearBottleneck)
    assert isinstance(resolve("mobilenet_v3_small").blocks[1], InvertedResidual)


def test_unknown_name_suggests():
    with pytest.raises(UnknownName, match=r"no model called 'mobilnet_v2'; did you mean 'mobile"):
        resolve("mobilnet_v2")
    both = "did you mean 'mobilenet_v3_large' or 'mobilenet_v3_small'"
    with pytest.raises(UnknownName, match=both):
        resolve("mobilenet_v3")
    with pytest.raises(UnknownName, match="did you mean 'mobilenetv3_large_100'"):
        resolve("mobilenetv3_large_10")


def test_unknown_option_suggests():
    with pytest.raises(UnknownName, match="mobilenet_v2 has no option 'widht'; did you mean 'widt"):
        resolve("mobilenet_v2", widht=1.0)
    with pytest.raises(UnknownName, match=r"no option 'minimalistic' .*options: width, resolution"):
        resolve("mobilenet_v1", minimalistic=True)


def test_an_alias_keeps_what_it_fixes():
    assert resolve("mobilenetv2_050", width=0.5).blocks[0].c_out == 8
    assert resolve("mobilenetv2_050", resolution=96, classes=3).head().classes == 3
    with pytest.raises(UsageError, match=r"mobilenetv2_050 means width=0.5.*itself: mobilenet_v2"):
        resolve("mobilenetv2_050", width=0.75)


@pytest.mark.parametrize("width", [0, -1.0, 0.01, 99, "wide", None, float("nan"), True])
def test_bad_width(width):
    with pytest.raises(SpecError, match=r"width must be a number from 0.05 to 8.0, got"):
        resolve("mobilenet_v2", width=width)


@pytest.mark.parametrize(
    "resolution", [31, 0, -224, 9000, (224,), (224, 16), (1, 2, 3), 224.0, "224", None, True]
)
def test_bad_resolution(resolution):
    with pytest.raises(SpecError, match=r"resolution must be .* from 32 to 8192.*got"):
        resolve("mobilenet_v2", resolution=resolution)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mobilenet_v2", {"classes": 0}, "Classifier.classes must be an integer >= 1"),
        ("mobilenet_v2", {"in_channels": 0}, "c_in must be an integer >= 1"),
        ("mobilenet_v2", {"dropout": 1.0}, "dropout must be in"),
        ("mobilenet_v2", {"depth": 0}, "depth must be a number"),
        ("mobilenext", {"identity": 1.5}, "identity must be a share from 0 to 1"),
        ("mobilenet_v2", {"numerics": "torchvison"}, "did you mean 'torchvision'"),
        ("mobilenext", {"numerics": "keras"}, "mobilenext has no numerics 'keras' .*torch, tf"),
        ("mobilenet_v2", {"divisor": 0}, "divisor must be"),
        ("rexnet", {"divisor": 0}, "divisor must be"),
    ],
)
def test_bad_values(name, options, words):
    with pytest.raises(SpecError, match=words):
        resolve(name, **options)


@pytest.mark.parametrize("name", NUMERICS)
def test_torch_and_tf_are_everywhere(name):
    assert {"torch", "tf"} <= NUMERICS[name].keys()


def test_extra_depthwise_stands_behind_the_first():
    spec = resolve("mobilenet_v2_extra_depthwise")
    doubled = [b for b in spec.blocks if isinstance(b, DoubleDepthwise)]
    assert len(doubled) == 16
    assert all(b.depthwise2.stride == 1 for b in doubled)
    assert [b.stride for b in spec.blocks] == [b.stride for b in resolve("mobilenet_v2").blocks]


def test_block_variants_by_layers():
    def names(model):
        return [name for name, _ in resolve(model).blocks[3].layers]

    assert names("mobilenext_a") == ["reduce", "depthwise", "expand"]
    assert names("mobilenext_b") == ["reduce", "depthwise", "depthwise2", "expand"]
    assert names("mobilenext_c") == ["depthwise", "expand", "project", "depthwise2"]
    assert names("mobilenext_d") == ["depthwise", "reduce", "expand", "depthwise2"]
    assert resolve("mobilenext_d").blocks == resolve("mobilenext").blocks
