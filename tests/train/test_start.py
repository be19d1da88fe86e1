from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.bundle import bundle_of
from pocketvision.errors import SpecError, UsageError
from pocketvision.labels import Labels
from pocketvision.model import Network
from pocketvision.preprocess import to_tensor
from pocketvision.spec import Classifier
from pocketvision.train.start import contract_for, last_layer, started, with_channels
from tests.train.sources import CONTRACT, bundle, images


@torch.no_grad()
def trunk_of(network, x):
    return network.eval().trunk(x)


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "mobilenet_v3_small", "squeezenet_1_1", "darts_v1"]
)
def test_the_trunk_answers_as_before_and_the_last_layer_is_new(name):
    source = bundle(
        name, **({} if name == "darts_v1" else {"width": 0.35} if "mob" in name else {})
    )
    start = started(source, ("x", "y", "z"))
    network = start.network(seed=3)
    x = images(2)
    assert torch.equal(trunk_of(network, x), trunk_of(source.network(), x))
    assert network.spec.head().classes == 3
    assert network.spec.head().hidden == source.spec.head().hidden
    for key, value in network.state_dict().items():
        if ".hidden." in key:
            assert torch.equal(value, source.weights[key])
    assert start.rows is None
    if isinstance(network.spec.head(), Classifier):
        assert not network(x).any()  # nothing is answered yet
    assert network.spec.numerics == source.spec.numerics
    assert start.preprocess == source.preprocess
    again = start.network(seed=3).state_dict()
    assert all(torch.equal(v, again[k]) for k, v in network.state_dict().items())


def test_rows_of_known_classes_are_kept_by_name():
    source = bundle(width=0.35, labels=("ant", "bee", "cat", "dog"))
    start = started(source, ("dog", "bee"))
    assert start.rows == (3, 1)
    x = images(3)
    with torch.no_grad():
        old, new = source.network()(x), start.network().eval()(x)
    torch.testing.assert_close(new, old[:, [3, 1]])
    assert started(source, ("dog", "eel")).rows is None  # all or nothing


def test_a_background_class_is_no_class():
    source = bundle(width=0.35)
    labels = Labels(names=("background", "ant", "bee", "cat"), background=0)
    source = replace(source, labels={"label": labels})
    assert started(source, ("background", "ant")).rows is None


def test_a_trunk_gets_a_head():
    whole = bundle(width=0.35)
    spec = replace(whole.spec, heads=())
    net = Network(spec)
    net.load_state_dict({k: v for k, v in whole.weights.items() if not k.startswith("heads.")})
    trunk = bundle_of(net.eval(), CONTRACT, {}, manifest={})
    start = started(trunk, ("a", "b"))
    head = start.spec.head()
    assert (start.spec.heads[0][0], head.c_in, head.classes) == ("label", 1280, 2)
    assert start.network()(images(2)).shape == (2, 2)


def test_two_heads_and_tiny_images_are_refused():
    source = bundle(width=0.35)
    two = replace(source.spec, heads=(*source.spec.heads, ("age", source.spec.head())))
    with pytest.raises(UsageError, match="one head, this one has label, age"):
        started(replace(source, spec=two), ("a", "b"))
    with pytest.raises(SpecError, match=r"--resolution 16x64 is too small.*at least 32"):
        started(source, ("a", "b"), resolution=(16, 64))
    assert started(source, ("a", "b"), resolution=(64, 96)).spec.resolution == (64, 96)
    with pytest.raises(UsageError, match=r"--in-channels must be 1 .* or 3 .*, got 4"):
        started(source, ("a", "b"), in_channels=4)


# ------------------------------------------------------------------------------------------- stem


def grey_and_colour(source, start, side=32):
    """The two networks' stems on one grey picture, (from colour, from grey)."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 1), np.uint8)
    colour = torch.from_numpy(to_tensor(np.repeat(pixels, 3, axis=3), source.preprocess))
    grey = torch.from_numpy(to_tensor(pixels, start.preprocess))
    with torch.no_grad():
        return source.network().stem(colour), start.network().eval().stem(grey)


def test_grey_answers_as_the_same_picture_in_colour():
    source = bundle(width=0.35)
    start = started(source, ("a", "b"), in_channels=1)
    assert start.preprocess.channels == start.spec.in_channels == 1
    colour, grey = grey_and_colour(source, start)
    torch.testing.assert_close(grey, colour, rtol=1e-5, atol=1e-5)


def test_grey_with_a_scale_for_each_channel_is_exact_inside():
    scales = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    source = bundle(width=0.35, contract=replace(CONTRACT, **scales))
    colour, grey = grey_and_colour(source, started(source, ("a", "b"), in_channels=1))
    torch.testing.assert_close(
        grey[:, :, 1:-1, 1:-1], colour[:, :, 1:-1, 1:-1], rtol=1e-5, atol=1e-5
    )
    assert (grey - colour).abs().max() > 1e-4  # the padding is another grey: as the docs say


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_kernels_come_in_turn_for_more_channels(channels):
    source = bundle(width=0.35)
    spec, weights = with_channels(source.spec, source.weights, channels)
    old, new = source.weights["stem.conv.weight"], weights["stem.conv.weight"]
    assert spec.in_channels == channels
    for c in range(channels):
        torch.testing.assert_close(new[:, c], old[:, c % 3] * 3 / channels)
    net = Network(spec)
    net.load_state_dict(weights)
    if channels == 6:  # a picture twice answers as the picture once
        x = images(2)
        with torch.no_grad():
            both = net.eval().stem(torch.cat([x, x], 1))
            torch.testing.assert_close(both, source.network().stem(x), rtol=1e-4, atol=1e-5)


def test_colour_from_grey():
    grey, change = contract_for(CONTRACT, 1)
    assert (grey.mean, grey.std) == ((0.5,), (0.5,))
    assert change.scale == (1.0,) * 3
    back, none = contract_for(grey, 3)
    assert (back.channels, back.mean, none) == (3, (0.5,) * 3, None)


def test_last_layer_is_the_one_that_answers():
    assert last_layer(bundle("mobilenet_v3_small", width=0.35).network()).out_features == 4
