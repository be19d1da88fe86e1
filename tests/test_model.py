import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pocketvision.errors import UnknownName
from pocketvision.model import build, stages
from pocketvision.nn.chain import drop_path
from pocketvision.nn.conv import PaddedConv, pads
from pocketvision.spec import Cell, Classifier, Conv, Edge, NetSpec, Numerics, Separable, Single

from .test_spec import conv, depthwise, inverted, net


def test_same_padding_by_hand():
    # (size, kernel, stride) -> (before, after), TensorFlow's rule worked out on paper.
    table = {
        (224, 3, 2): (0, 1),
        (224, 5, 2): (1, 2),
        (224, 7, 2): (2, 3),
        (224, 11, 2): (4, 5),
        (225, 3, 2): (1, 1),
        (14, 3, 1): (1, 1),
        (7, 9, 1): (4, 4),
        (2, 3, 2): (0, 1),
    }
    for (size, kernel, stride), expected in table.items():
        assert pads(size, kernel, stride, 1, "same") == expected
    assert pads(225, 3, 2, 1, "bottom_right") == (0, 1)
    assert pads(224, 3, 2, 1, "symmetric") == (1, 1)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (5, 6)])
def test_same_padded_convolution_against_the_definition(size):
    layer = PaddedConv(2, 3, kernel=5, stride=2, groups=1, dilation=1, bias=False, rule="same")
    layer.double()
    x = torch.randn(1, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = layer(x)
    before = [pads(s, 5, 2, 1, "same")[0] for s in size]
    assert y.shape[-2:] == tuple(math.ceil(s / 2) for s in size)
    for i, j in np.ndindex(*y.shape[-2:]):
        total = torch.zeros(3, dtype=torch.float64)
        for a, b in np.ndindex(5, 5):
            r, c = 2 * i + a - before[0], 2 * j + b - before[1]
            if 0 <= r < size[0] and 0 <= c < size[1]:
                total += layer.weight[:, :, a, b] @ x[0, :, r, c]
        torch.testing.assert_close(y[0, :, i, j], total)


def test_shortcut_over_some_channels():
    spec = net(inverted(8, 16, 12, shortcut=5), c_out=12)
    model = build(spec).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        stem = model.stem(x)
        bare = stem
        for layer in model.blocks[0].children():
            bare = layer(bare)
        full = model.blocks[0](stem)
    torch.testing.assert_close(full[:, :5], bare[:, :5] + stem[:, :5])
    torch.testing.assert_close(full[:, 5:], bare[:, 5:])


def test_stages_are_the_last_output_at_each_stride():
    spec = net(
        inverted(8, 16, 12, stride=2),
        inverted(12, 24, 12),
        inverted(12, 24, 20, stride=2),
        c_out=20,
    )
    rows = [(s.name, s.block, s.channels, s.stride) for s in stages(spec)]
    assert rows == [("stage1", -1, 8, 2), ("stage2", 1, 12, 4), ("stage3", 2, 20, 8)]


def test_features_by_stage_and_address():
    spec = net(inverted(8, 16, 12, stride=2), inverted(12, 24, 12, shortcut=12), c_out=12)
    model = build(spec).eval()
    x = torch.randn(1, 3, 32, 32)
    found = model.features(x, ["stage2", "blocks.1.expand", "stem"])
    torch.testing.assert_close(found["stage2"], model.trunk(x))
    assert found["blocks.1.expand"].shape == (1, 24, 8, 8)
    torch.testing.assert_close(found["stem"], model.stem(x))
    with pytest.raises(UnknownName, match=r"did you mean 'blocks\.1\.expand'"):
        model.features(x, ["blocks.1.expnd"])


def test_initialisation_follows_its_rule_and_seed():
    spec = net(Separable(depthwise=depthwise(8), pointwise=conv(8, 512)), c_out=512)
    a, b, c = build(spec, seed=3), build(spec, seed=3), build(spec, seed=4)
    wide = a.blocks[0].pointwise.conv.weight
    assert float(wide.detach().std()) == pytest.approx(math.sqrt(2 / 512), rel=0.03)
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name])
    assert not torch.equal(wide, c.blocks[0].pointwise.conv.weight)


def test_drop_path_keeps_the_mean_and_drops_whole_samples():
    torch.manual_seed(0)
    y = drop_path(torch.ones(20_000, 2, 1, 1), 0.3)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float(y.mean()) == pytest.approx(1.0, abs=0.02)
    assert torch.equal(y[:, 0], y[:, 1])


def test_several_heads_give_a_dict_by_name():
    heads = (("kind", Classifier(c_in=8, classes=3)), ("age", Classifier(c_in=8, classes=5)))
    spec = NetSpec(
        name="two", resolution=(16, 16), stem=conv(3, 8, kernel=3), blocks=(), heads=heads
    )
    out = build(spec)(torch.randn(2, 3, 16, 16))
    assert {k: tuple(v.shape) for k, v in out.items()} == {"kind": (2, 3), "age": (2, 5)}


def test_any_number_of_channels_in():
    spec = NetSpec(
        name="grey",
        resolution=(16, 16),
        stem=conv(1, 8, kernel=3),
        blocks=(Single(conv=conv(8, 8)),),
        heads=(("label", Classifier(c_in=8, classes=2)),),
    )
    assert build(spec)(torch.randn(3, 1, 16, 16)).shape == (3, 2)


def test_low_rank_is_two_products():
    spec = net(Single(conv=conv(8, 6, rank=2)), c_out=6)
    layer = build(spec).eval().blocks[0].conv
    weight = layer.conv.weight[:, :, 0, 0] @ layer.factor.weight[:, :, 0, 0]
    assert torch.linalg.matrix_rank(weight) == 2
    x = torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(
            layer(x), layer.norm(F.conv2d(x, weight[:, :, None, None])), atol=1e-5, rtol=1e-4
        )


def nasnet_a_normal_cell(c_older: int, c_newer: int, channels: int, **more) -> Cell:
    """NASNet-A's normal cell: arXiv:1707.07012, figure 4 (left); node 0 older, 1 newer."""
    pair = lambda a, op_a, b, op_b: (Edge(source=a, op=op_a), Edge(source=b, op=op_b))  # noqa: E731
    nodes = (
        pair(1, "sep_3", 1, "skip"),
        pair(0, "sep_3", 1, "sep_5"),
        pair(1, "avg_3", 0, "skip"),
        pair(0, "avg_3", 0, "avg_3"),
        pair(0, "sep_5", 0, "sep_3"),
    )
    return Cell(
        c_older=c_older, c_newer=c_newer, channels=channels, nodes=nodes,
        concat=(0, 2, 3, 4, 5, 6), **more,
    )  # fmt: skip


def test_one_nasnet_cell():
    cell = nasnet_a_normal_cell(8, 16, 4)
    spec = NetSpec(
        name="cell",
        resolution=(32, 32),
        stem=conv(3, 8, kernel=3),
        blocks=(Single(conv=conv(8, 16)), cell),
        heads=(("label", Classifier(c_in=24, classes=2)),),
    )
    model = build(spec).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert model.trunk(x).shape == (1, 24, 32, 32)
        block = model.blocks[1]
        older, newer = block.older(model.stem(x)), block.newer(model.blocks[0](model.stem(x)))
        third = F.avg_pool2d(newer, 3, 1, 1, count_include_pad=False) + older
        torch.testing.assert_close(
            block(model.stem(x), model.blocks[0](model.stem(x)))[:, 12:16], third
        )


def test_reduction_cell_halves_both_inputs():
    nodes = ((Edge(source=0, op="sep_5", stride=2), Edge(source=1, op="max_3", stride=2)),)
    cell = Cell(c_older=8, c_newer=12, channels=4, nodes=nodes, concat=(2,), reduce_older=True)
    spec = NetSpec(
        name="cell",
        resolution=(32, 32),
        stem=conv(3, 8, kernel=3),
        blocks=(Single(conv=conv(8, 12, kernel=3, stride=2)), cell),
        heads=(("label", Classifier(c_in=4, classes=2)),),
        numerics=Numerics(padding="same"),
    )
    assert build(spec).trunk(torch.randn(1, 3, 32, 32)).shape == (1, 4, 8, 8)


def test_numerics_reach_every_norm():
    numerics = Numerics(name="tf", padding="same", bn_epsilon=1e-3, bn_momentum=0.01)
    model = build(net(inverted(8, 16, 8), c_out=8, numerics=numerics))
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 4
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}


def test_conv_without_norm_has_a_bias():
    model = build(net(Single(conv=Conv(c_in=8, c_out=4, norm="none", act="relu")), c_out=4))
    assert model.blocks[0].conv.conv.bias is not None
