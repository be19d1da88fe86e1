import pytest
import torch
from torch import nn

from pocketvision.model import Network
from pocketvision.train.norms import bare_layers, measure_, with_norms
from tests.train.sources import bundle, folded_bundle, images

NETWORKS = ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mixnet_s", "ghostnet", "rexnet"]


def built(spec, weights):
    net = Network(spec)
    net.load_state_dict(dict(weights))
    return net


@torch.no_grad()
def answers(net, x):
    return net.eval().trunk(x)


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.parametrize("name", NETWORKS)
def test_eval_stays_and_training_agrees(name):
    source = folded_bundle(name, width=0.35)
    names = bare_layers(source.spec)
    x = images(16).double()
    before = answers(source.network().double(), x)
    spec, weights = with_norms(source.spec, source.weights, names)
    net = built(spec, weights).double()
    assert relative(answers(net, x), before) < 1e-6  # 1 - epsilon and epsilon in float32
    # Before measuring, training mode is another function: that is why it is measured.
    with torch.no_grad():
        assert relative(net.train().trunk(x), before) > 1e-2
    net = built(spec, weights).double()
    measure_(net, names, [x[:8], x[8:]])
    assert relative(answers(net, x), before) < 1e-6
    with torch.no_grad():
        assert relative(net.train().trunk(x), before) < 1e-6  # over the images that were measured


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small"])
def test_float32_stays_within_rounding(name):
    source = folded_bundle(name, width=0.35)
    names = bare_layers(source.spec)
    x = images(16)
    before = answers(source.network(), x)
    net = built(*with_norms(source.spec, source.weights, names))
    measure_(net, names, [x])
    assert relative(answers(net, x), before) < 1e-5
    with torch.no_grad():
        assert relative(net.train().trunk(x), before) < 1e-4


def test_the_norms_are_those_that_the_network_had():
    whole, folded = bundle(width=0.35), folded_bundle(width=0.35)
    spec, _ = with_norms(folded.spec, folded.weights, bare_layers(folded.spec))
    assert spec == whole.spec


def test_statistics_are_those_of_the_batches():
    source = folded_bundle(width=0.35)
    names = bare_layers(source.spec)
    net = built(*with_norms(source.spec, source.weights, names))
    x = images(16)
    measure_(net, names, [x[:4], x[4:]])
    y = net.stem.conv(x)
    torch.testing.assert_close(net.stem.norm.running_mean, y.mean((0, 2, 3)))
    torch.testing.assert_close(net.stem.norm.running_var, y.var((0, 2, 3), correction=0))
    assert net.training


def test_measuring_keeps_a_norm_that_was_trained():
    source = bundle(width=0.35)
    net = source.network()
    x = images(8)
    before = answers(net, x)
    names = [n.removesuffix(".norm") for n, m in net.named_modules() if n.endswith(".norm")]
    measure_(net, names, [x])
    assert relative(answers(net, x), before) < 1e-5


def test_a_dead_channel_does_no_harm():
    source = folded_bundle(width=0.35)
    weights = dict(source.weights)
    weights["stem.conv.weight"] = weights["stem.conv.weight"].clone()
    weights["stem.conv.weight"][0] = 0
    names = bare_layers(source.spec)
    net = built(*with_norms(source.spec, weights, names))
    x = images(8)
    before = answers(net, x)
    measure_(net, names, [x])
    assert relative(answers(net, x), before) < 1e-5
    assert all(
        torch.isfinite(m.weight).all() for m in net.modules() if isinstance(m, nn.BatchNorm2d)
    )


def test_networks_that_have_norms_or_never_had_any_are_left_alone():
    assert bare_layers(bundle(width=0.35).spec) == ()
    assert bare_layers(bundle("squeezenet_1_1").spec) == ()
    assert bare_layers(bundle("darts_v1").spec) == ()
    hidden = [n for n in bare_layers(folded_bundle("mobilenet_v3_small").spec) if "heads" in n]
    assert hidden == []
