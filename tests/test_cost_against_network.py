"""The arithmetic on the spec equals what the built network really does, layer by layer."""

import re

import pytest
import torch
from torch import nn

from pocketvision.cost import cost
from pocketvision.model import Network
from pocketvision.spec import Classifier, NetSpec, Single
from pocketvision.zoo import MODELS

from .test_model import nasnet_a_normal_cell
from .test_spec import conv


def traced(spec) -> tuple[dict[str, int], int]:
    """(MACs by name of convolution or linear, output elements) of one image, on meta tensors."""
    macs: dict[str, int] = {}
    elements = 0

    def hook(name):
        def count(module, _inputs, out):
            nonlocal elements
            macs[name] = out[0].numel() * module.weight[0].numel()
            elements += out[0].numel()

        return count

    with torch.device("meta"):
        net = Network(spec).eval()
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(hook(name))
        net(torch.empty(1, spec.in_channels, *spec.resolution))
    return macs, elements


def check(spec):
    total = cost(spec)
    macs, elements = traced(spec)
    with torch.device("meta"):
        params = {n: p.numel() for n, p in Network(spec).named_parameters()}
    assert total.macs == sum(macs.values())
    assert total.activations == elements
    assert total.params == sum(params.values())
    for address, (row_macs, row_params) in by_layer(total).items():
        inside = [n for n in macs if n == address or n.startswith(f"{address}.")]
        assert row_macs == sum(macs[n] for n in inside), address
        assert row_params == sum(v for n, v in params.items() if n.startswith(f"{address}."))


# The parts of a mixed convolution share one norm; an input or edge of a cell holds several layers.
TOGETHER = re.compile(r"(.*)\.parts\.\d+|(.*\.(?:older|newer|ops\.\d+\.\d+))\..*")


def by_layer(total) -> dict[str, tuple[int, int]]:
    """(MACs, parameters) by layer, or by what holds one norm for several."""
    found: dict[str, tuple[int, int]] = {}
    for row in total.rows:
        if row.macs:
            whole = TOGETHER.fullmatch(row.address)
            address = (whole[1] or whole[2]) if whole else row.address
            a, b = found.get(address, (0, 0))
            found[address] = a + row.macs, b + row.params
    return found


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("resolution", [224, (97, 130)])
def test_models(name, resolution):
    check(MODELS[name](resolution=resolution))


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small"])
@pytest.mark.parametrize("numerics", ["tf", "keras"])
def test_padding_rules(name, numerics):
    check(MODELS[name](resolution=(97, 130), numerics=numerics, classes=7, in_channels=1))


def test_nasnet_cell_and_low_rank():
    spec = NetSpec(
        name="cell",
        resolution=(32, 32),
        stem=conv(3, 8, kernel=3),
        blocks=(Single(conv=conv(8, 16, rank=4)), nasnet_a_normal_cell(8, 16, 4)),
        heads=(("label", Classifier(c_in=24, classes=2)),),
    )
    total = cost(spec)
    macs, elements = traced(spec)
    assert total.macs == sum(macs.values())
    assert total.activations == elements
    with torch.device("meta"):
        assert total.params == sum(p.numel() for p in Network(spec).parameters())
