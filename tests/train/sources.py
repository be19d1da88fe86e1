"""Trained-looking bundles to start from; shared by the tests of starting from weights."""

from dataclasses import replace

import torch

from pocketvision.bundle import bundle_of
from pocketvision.export.folded import folded
from pocketvision.labels import Labels
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess
from pocketvision.spec import Conv, Gate, MixedConv
from tests.train.tiny import SIZE
from tests.weights.files import network

CONTRACT = Preprocess(size=(32, 32), crop_fraction=0.875, mean=(0.5,) * 3, std=(0.5,) * 3)


def bundle(name="mobilenet_v2", *, classes=4, labels=None, contract=CONTRACT, **options):
    """A bundle of a zoo network with 32 px input and random weights; labels c0, c1, ..."""
    net = network(name, resolution=32, classes=classes, **options)
    names = labels or tuple(f"c{i}" for i in range(classes))
    return bundle_of(net, contract, {"label": Labels(names=names)}, manifest={})


def without_norms(spec):
    """The spec as a file for inference has it: norms of stem and blocks folded away."""

    def plain(layer):
        return replace(layer, norm="none") if isinstance(layer, Conv | Gate | MixedConv) else layer

    def block(b):
        return replace(b, **{n: plain(getattr(b, n)) for n, _ in b.layers if hasattr(b, n)})

    return replace(spec, stem=plain(spec.stem), blocks=tuple(map(block, spec.blocks)))


def folded_bundle(name="mobilenet_v2", **options):
    """The same with batch-norm folded into biases, which the spec says."""
    whole = bundle(name, **options)
    state = {k: v for k, v in folded(whole.network()).state_dict().items() if ".norm." not in k}
    spec = without_norms(whole.spec)
    net = Network(spec)
    net.load_state_dict(state)
    return bundle_of(net.eval(), whole.preprocess, whole.labels, manifest={})


def images(n=6, side=32, channels=3, seed=0):
    """float32 (n, c, side, side), blocks of noise."""
    draw = torch.Generator().manual_seed(seed)
    small = torch.randn((n, channels, side // 4, side // 4), generator=draw)
    return small.repeat_interleave(4, 2).repeat_interleave(4, 3)


__all__ = ["CONTRACT", "SIZE", "bundle", "folded_bundle", "images", "without_norms"]
