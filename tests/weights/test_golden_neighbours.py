"""The networks that MobileNets are compared with, through each importer, equal their sources."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pocketvision.errors import WeightsError
from pocketvision.model import Network
from pocketvision.spec import Conv, Gate, NetSpec
from pocketvision.weights import cadene, darts, numbered, timm
from pocketvision.zoo.lookup import resolve

from .test_golden import check, facts, spec_of, state_of

ALL = facts("golden_neighbours.json.gz")
FACTS, TRUNKS = ALL["networks"], ALL["trunks"]
IMPORTERS = {"timm": timm, "cadene": cadene, "quark0": darts}


def importer(key: str):
    return IMPORTERS.get(key.split("-")[0], numbered)


@pytest.mark.parametrize("key", FACTS)
def test_equals_reference(key):
    check(key, FACTS[key], importer(key))


@pytest.mark.parametrize("key", FACTS)
def test_learnable_parameters(key):
    with torch.device("meta"):
        net = Network(spec_of(key))
    assert sum(p.numel() for p in net.parameters()) == FACTS[key]["params"]


def test_every_source_is_here():
    assert len(FACTS) == 35
    assert {key.split("__")[0] for key in FACTS} == {
        "cadene-pretrainedmodels", "d-li14-hbonet", "megvii-shufflenetv1", "quark0-darts",
        "timm-1.0.31", "torchvision-0.26.0",
    }  # fmt: skip


# ------------------------------------------------------------------------------ order and surprises


@pytest.mark.parametrize(
    "key",
    [
        "cadene-pretrainedmodels__nasnetamobile",
        "megvii-shufflenetv1__shufflenetv1_0.5x_g3",
        "quark0-darts__imagenet_darts_v2",
        "timm-1.0.31__ghostnet_100",
        "timm-1.0.31__mobilenetv4_conv_small",
        "timm-1.0.31__resnet18",
        "torchvision-0.26.0__shufflenet_v2_x0_5",
        "torchvision-0.26.0__squeezenet1_1",
    ],
)
def test_the_order_of_tensors_in_the_file_does_not_matter(key):
    """A safetensors file is sorted by name: what counts is the name, not the place."""
    names = [(n, shape) for n, shape, role in FACTS[key]["state_dict"] if role != "skip"]
    tensors = {n: torch.empty(shape, device="meta") for n, shape in names}
    spec = spec_of(key)
    ours = importer(key).to_ours(spec, tensors)
    again = importer(key).to_ours(spec, dict(sorted(tensors.items())))
    where = {id(t): n for n, t in tensors.items()}
    found = {n: where.get(id(t)) for n, t in again.items() if t.shape}
    assert found == {n: where.get(id(t)) for n, t in ours.items() if t.shape}


def test_the_training_head_of_darts_is_left_out():
    fact = FACTS["quark0-darts__imagenet_darts_v1"]
    tensors = {n: torch.empty(s, device="meta") for n, s, role in fact["state_dict"]
               if role != "skip"}  # fmt: skip
    spec = resolve("darts_v1")
    plain = darts.to_ours(spec, tensors)
    extra = {"auxiliary_head.features.2.weight": torch.empty(128, 192, 1, 1, device="meta")}
    assert darts.to_ours(spec, {**extra, **tensors}).keys() == plain.keys()


@pytest.mark.parametrize("module", [timm, numbered, cadene, darts])
@pytest.mark.parametrize(
    "name",
    ["cells.weight", "blocks.weight", "blocks.0.weight", "features.0.weight", "x.y.z.weight",
     "cell_x.conv.weight", "block1..weight", ".weight", "weight", "blocks.0.0.se.weight"],
)  # fmt: skip
def test_a_strange_name_is_an_error_that_says_so(module, name):
    with pytest.raises(WeightsError):
        module.to_ours(resolve("resnet18"), {name: torch.zeros(1), "layer1.0.bn1.bias": None})


# ------------------------------------------------------------------------------------------- trunks


def trunk_net(key: str, spec: NetSpec) -> Network:
    """A network whose stem and blocks are those of a torchvision detector or segmenter."""
    net = Network(spec).double().eval()
    weights = numbered.trunk_to_ours(spec, state_of(TRUNKS[key]))
    kept = {n for n in net.state_dict() if not n.startswith("heads.")}
    assert weights.keys() == kept
    net.load_state_dict(weights, strict=False)
    return net


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("torchvision-0.26.0__lraspp_mobilenet_v3_large", {}),
        ("torchvision-0.26.0__deeplabv3_mobilenet_v3_large", {}),
        ("torchvision-0.26.0__ssdlite320_mobilenet_v3_large", {"reduced_tail": True}),
    ],
)
def test_trunks_load_by_name(key, options):
    trunk_net(key, resolve("torchvision/mobilenet_v3_large", **options))


def dilated(spec: NetSpec) -> NetSpec:
    """The last stage at stride 1 and dilation 2, as torchvision's segmenters run it."""
    blocks = list(spec.blocks)
    for i in (12, 13, 14):
        filtered = replace(blocks[i].depthwise, stride=1, dilation=2)
        blocks[i] = replace(blocks[i], depthwise=filtered)
    return replace(spec, blocks=tuple(blocks))


def lraspp(net: Network, weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The head of LR-ASPP (arXiv:1905.02244, section 6.4), written out on the trunk's outputs."""
    found = net.features(x, ["blocks.3", "blocks.15"])
    low, high = found["blocks.3"], found["blocks.15"]

    def conv(name: str, t: torch.Tensor) -> torch.Tensor:
        name = f"classifier.{name}"
        return F.conv2d(t, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    stats = (weights[f"classifier.cbr.1.{leaf}"]
             for leaf in ("running_mean", "running_var", "weight", "bias"))  # fmt: skip
    y = F.batch_norm(conv("cbr.0", high), *stats, eps=1e-5).relu()
    y = y * conv("scale.1", high.mean((2, 3), keepdim=True)).sigmoid()
    y = F.interpolate(y, size=low.shape[-2:], mode="bilinear", align_corners=False)
    y = conv("low_classifier", low) + conv("high_classifier", y)
    return F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)


def test_a_trunk_under_its_head_gives_the_segmenters_output():
    key = "torchvision-0.26.0__lraspp_mobilenet_v3_large"
    fact = TRUNKS[key]
    net = trunk_net(key, dilated(resolve("torchvision/mobilenet_v3_large")))
    side = fact["resolution"]
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, side, side)))
    with torch.no_grad():
        y = lraspp(net, state_of(fact), x).numpy()
    assert list(y.shape) == fact["shape"]
    got = y.reshape(-1)[fact["indices"]]
    assert np.abs(got - np.array(fact["values"])).max() <= 1e-9 * fact["largest"]


def test_a_classifier_has_no_backbone_to_take():
    tensors = state_of(FACTS["torchvision-0.26.0__squeezenet1_1"])
    with pytest.raises(WeightsError, match=r"no tensor begins with 'backbone\.'.*plain importer"):
        numbered.trunk_to_ours(resolve("torchvision/mobilenet_v3_large"), tensors)


def test_a_trunk_of_another_width_says_what_does_not_fit():
    tensors = state_of(TRUNKS["torchvision-0.26.0__lraspp_mobilenet_v3_large"])
    with pytest.raises(WeightsError, match=r"stem\.conv\.weight \(8, 3, 3, 3\) does not fit"):
        numbered.trunk_to_ours(resolve("torchvision/mobilenet_v3_large", width=0.5), tensors)


def test_a_dilated_last_stage_keeps_its_weights():
    """What the helper of these tests changes is arithmetic alone."""
    spec = resolve("torchvision/mobilenet_v3_large")
    changed = dilated(spec)
    assert isinstance(changed.blocks[12].depthwise, Conv)
    assert isinstance(changed.blocks[12].gate, Gate)
    with torch.device("meta"):
        a, b = Network(spec).state_dict(), Network(changed).state_dict()
    assert {k: v.shape for k, v in a.items()} == {k: v.shape for k, v in b.items()}
