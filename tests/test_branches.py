"""Blocks with branches: what fits, what they compute and cost, by hand or by definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.cost import cost
from pocketvision.errors import SpecError
from pocketvision.model import build
from pocketvision.nn.pool import WindowPool
from pocketvision.nn.steps import Enlarged, Shuffled, Sum
from pocketvision.spec import (
    Activation,
    Branching,
    Cell,
    Classifier,
    Conv,
    Edge,
    Fire,
    HarmoniousBottleneck,
    MapClassifier,
    NetSpec,
    Pool,
    Pooling,
    PreActivated,
    Residual,
    ShuffleUnit,
    Single,
    SplitUnit,
)
from pocketvision.spec_json import block_from_row
from pocketvision.zoo import MODELS

from .test_spec import conv, depthwise


def net(*blocks, c_stem=4, side=8, head=None, classes=3, stem=None) -> NetSpec:
    """A stem that halves a grey image of 8x8, then the blocks."""
    stem = stem or conv(1, c_stem, kernel=3, stride=2)
    c = blocks[-1].c_out if blocks else stem.c_out
    return NetSpec(
        name="hand",
        resolution=(side, side),
        stem=stem,
        blocks=blocks,
        heads=(("label", head or Classifier(c_in=c, classes=classes)),),
    )


def fire(**more):
    parts = {"squeeze": conv(4, 2), "expand1": conv(2, 4), "expand3": conv(2, 4, kernel=3)}
    return Fire(**{**parts, **more})


def split(**more):
    parts = {"expand": conv(2, 2), "depthwise": depthwise(2), "project": conv(2, 2)}
    return SplitUnit(**{**parts, **more})


def residual(**more):
    return Residual(**{"conv1": conv(4, 4, kernel=3), "conv2": conv(4, 4, kernel=3), **more})


# ------------------------------------------------------------------------------------ what fits


def test_widths_and_strides_follow_from_the_steps():
    assert (fire().c_in, fire().c_out, fire().stride) == (4, 8, 1)
    assert (split().c_in, split().c_out) == (4, 4)
    halving = residual(conv1=conv(4, 4, kernel=3, stride=2), shortcut=conv(4, 4, stride=2))
    assert halving.stride == 2
    names = [name for name, _ in halving.layers]
    assert names == ["conv1", "conv2", "shortcut"]


def harmonious(**more):
    parts = {
        "contract": depthwise(4, stride=2),
        "expand": conv(4, 8),
        "depthwise": depthwise(8),
        "project": conv(8, 2),
        "spread": depthwise(2),
        "kept": 2,
    }
    return HarmoniousBottleneck(**{**parts, **more})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fire(expand1=conv(3, 4)), r"Fire.expand1 does not fit squeeze \(2 channels\)"),
        (lambda: residual(conv2=conv(4, 6)), r"Residual.sum does not fit conv2 \(6 channels\), x"),
        (
            lambda: residual(conv1=conv(4, 4, kernel=3, stride=2)),
            r"Residual.sum joins maps of other sizes: conv2 \(stride 2\), x \(stride 1\)",
        ),
        (
            lambda: ShuffleUnit(reduce=conv(4, 6), depthwise=depthwise(6), shuffle=4,
                                expand=conv(6, 4)),
            r"ShuffleUnit.shuffled does not fit depthwise \(6 channels\): Shuffle\(groups=4\)",
        ),
        (lambda: harmonious(kept=5), r"HarmoniousBottleneck.last does not fit x \(4 channels\)"),
        (lambda: harmonious(project=conv(8, 6), spread=depthwise(6)), r"first does not fit x"),
        (lambda: fire(inputs=(-1, -2)), "Fire takes one input"),
        (lambda: Pool(channels=4, kernel=3, op="median"), "Pool.op must be one of max, mean"),
        (lambda: Pool(channels=4, kernel=0), "Pool.kernel must be an integer >= 1"),
        (lambda: Pool(channels=4, kernel=1), "Pool.kernel=1 is below its stride 2"),
        (lambda: MapClassifier(c_in=4, classes=2, act="sofmax"), "MapClassifier.act"),
        (lambda: MapClassifier(c_in=4, classes=2, dropout=1.0), "MapClassifier.dropout must be"),
        (
            lambda: net(Single(conv=Conv(c_in=4, c_out=4, kernel=3, padded=False)), side=4),
            None,
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_why(make, words):
    if words is None:  # it fits until a size is known: then the cost says what is too small
        with pytest.raises(SpecError, match=r"2x2 map is too small for kernel 3.*'none' padding"):
            cost(make())
        return
    with pytest.raises(SpecError, match=words):
        make()


def test_a_raw_older_input_takes_only_filters():
    def cell(op="sep_3", concat=(2,), **more):
        nodes = ((Edge(source=0, op=op), Edge(source=1, op="skip")),)
        return Cell(c_older=8, c_newer=8, channels=4, nodes=nodes, concat=concat,
                    squeeze_older=False, **more)  # fmt: skip

    assert cell().width(0) == 8
    assert cell().width(1) == 4
    for wrong in ({"op": "max_3"}, {"op": "skip"}, {"concat": (0, 2)}):
        with pytest.raises(SpecError, match="only sep and dil edges can read it"):
            cell(**wrong)
    with pytest.raises(SpecError, match="reduce_older needs squeeze_older"):
        cell(reduce_older=True)


def test_an_unknown_field_of_a_pool_is_named():
    row = {"kind": "pooling", "pool": {"channels": 4, "kernell": 3, "op": "max"}}
    with pytest.raises(SpecError, match=r"block.pool has no field 'kernell'; did you mean 'kerne"):
        block_from_row(row)


@pytest.mark.parametrize("kind", [[], {}, None, 3])
def test_a_kind_that_is_no_word_is_an_error(kind):
    with pytest.raises(SpecError, match=r"block.kind .* is unknown"):
        block_from_row({"kind": kind})


def test_no_step_hides_a_name_of_the_module():
    taken = set(dir(nn.Module()))
    for make in MODELS.values():
        blocks = [b for b in make().blocks if isinstance(b, Branching)]
        assert not {s.name for b in blocks for s in b.steps} & taken


# -------------------------------------------------------------------------------- what they compute


def numbered(channels: int) -> torch.Tensor:
    return torch.arange(channels, dtype=torch.float64).reshape(1, channels, 1, 1)


@pytest.mark.parametrize(
    ("groups", "order"), [(2, [0, 3, 1, 4, 2, 5]), (3, [0, 2, 4, 1, 3, 5]), (1, [*range(6)])]
)
def test_shuffle_deals_the_runs_out_in_turn(groups, order):
    assert Shuffled(groups)(numbered(6)).flatten().tolist() == order


def test_half_of_the_channels_pass_a_split_unit():
    model = build(net(split())).eval()
    with torch.no_grad():
        x = model.stem(torch.randn(2, 1, 8, 8))
        y = model.blocks[0](x)
        worked = x[:, 2:]
        for name in ("expand", "depthwise", "project"):
            worked = getattr(model.blocks[0], name)(worked)
    torch.testing.assert_close(y[:, 0::2], x[:, :2])
    torch.testing.assert_close(y[:, 1::2], worked)


def test_a_residual_of_nothing_is_its_activated_input():
    model = build(net(residual())).eval()
    with torch.no_grad():
        model.blocks[0].conv2.norm.weight.zero_()
        x = torch.randn(2, 4, 5, 5)
        torch.testing.assert_close(model.blocks[0](x), x.relu())


def test_enlarged_by_the_nearest_pixel():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert Enlarged()(x, torch.empty(1, 5, 4, 4))[0, 0].tolist() == [
        [1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4],
    ]  # fmt: skip
    assert Enlarged()(x, torch.empty(1, 5, 3, 3))[0, 0].tolist() == [
        [1, 1, 2],
        [1, 1, 2],
        [3, 3, 4],
    ]


def test_the_harmonious_sum_and_its_neighbours_by_hand():
    model = build(net(harmonious())).eval()
    block = model.blocks[0]
    x = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        small = block.project(block.depthwise(block.expand(block.contract(x))))
        large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        want = torch.cat([x[:, 2:], block.spread(x[:, :2] + large)], dim=1)
        torch.testing.assert_close(block(x), want)


def windows(size: int, kernel: int, stride: int, rule: str) -> list[range]:
    """The pixels that each window covers along one side, real or not, by the rule's definition."""
    if rule == "ceil":
        count = 1 + max(0, -(-(size - kernel) // stride))
        before = 0
    elif rule == "same":
        count = -(-size // stride)
        before = max((count - 1) * stride + kernel - size, 0) // 2
    else:
        before = kernel // 2 if kernel % 2 else (kernel - 1) // 2
        count = (size + 2 * before - kernel) // stride + 1
    return [range(i * stride - before, i * stride - before + kernel) for i in range(count)]


@pytest.mark.parametrize("op", ["max", "mean", "mean_zeros"])
@pytest.mark.parametrize("rule", ["symmetric", "same", "ceil"])
@pytest.mark.parametrize("size", [(8, 7), (6, 9)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (2, 2), (3, 1)])
def test_pool_against_the_definition(op, rule, size, kernel, stride):
    x = np.random.RandomState(1).standard_normal((2, 3, *size))
    got = WindowPool(op=op, kernel=kernel, stride=stride, rule=rule)(torch.from_numpy(x)).numpy()
    rows, columns = (windows(n, kernel, stride, rule) for n in size)
    assert got.shape[-2:] == (len(rows), len(columns))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            real = [x[:, :, a, b] for a in r for b in c if 0 <= a < size[0] and 0 <= b < size[1]]
            whole = len(real) if op == "mean" or rule == "ceil" else kernel * kernel
            want = np.max(real, axis=0) if op == "max" else np.sum(real, axis=0) / whole
            np.testing.assert_allclose(got[:, :, i, j], want, atol=1e-12)


def test_an_unpadded_layer_leaves_the_edges_alone():
    layer = Conv(c_in=1, c_out=2, kernel=3, stride=2, norm="bare", padded=False)
    model = build(net(stem=layer))
    x = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        want = nn.functional.conv2d(x, model.stem.conv.weight, stride=2)
        torch.testing.assert_close(model.stem(x), want)
    assert list(model.stem.state_dict()) == ["conv.weight"]


def test_the_map_head_is_the_mean_of_activated_scores():
    head = MapClassifier(c_in=4, classes=3, dropout=0.5)
    model = build(net(head=head)).eval()
    with torch.no_grad():
        x = model.trunk(torch.randn(2, 1, 8, 8))
        last = model.heads["label"].classifier
        scores = (
            torch.einsum("kc,nchw->nkhw", last.weight[:, :, 0, 0], x) + last.bias[:, None, None]
        )
        torch.testing.assert_close(model.heads["label"](x), scores.relu().mean((2, 3)))


def test_an_activation_before_its_convolution_or_alone():
    blocks = (
        PreActivated(activation=Activation(channels=4, act="relu"), conv=conv(4, 4)),
        PreActivated(activation=Activation(channels=4, act="relu")),
    )
    model = build(net(*blocks)).eval()
    x = torch.randn(2, 4, 3, 3)
    with torch.no_grad():
        torch.testing.assert_close(model.blocks[0](x), model.blocks[0].conv(x.relu()))
        torch.testing.assert_close(model.blocks[1](x), x.relu())


def test_a_sum_drops_whole_samples_of_its_first_operand_in_training():
    add = Sum(drop_path=0.25)
    a, b = torch.ones(4000, 1, 1, 1), torch.full((4000, 1, 1, 1), 2.0)
    torch.manual_seed(0)
    y = add(a, b).flatten()
    assert sorted(set(y.tolist())) == pytest.approx([2.0, 2 + 1 / 0.75])
    assert float(y.mean()) == pytest.approx(3.0, abs=0.05)
    assert float(add.eval()(a, b).sum()) == 12_000
    spec = net(residual(), residual())
    rates = [b.get_submodule("sum").drop_path for b in build(spec, drop_path=0.3).blocks]
    assert rates == [0.0, 0.3]


# ----------------------------------------------------------------------------------- what they cost


def rows(spec: NetSpec) -> dict[str, tuple]:
    return {r.address: (r.operation, r.out, r.params, r.macs) for r in cost(spec).rows}


def test_fire_row_by_row():
    got = rows(net(fire()))
    assert got["blocks.0.squeeze"] == ("1x1", (2, 4, 4), 4 * 2 + 4, 8 * 16)
    assert got["blocks.0.expand1"] == ("1x1", (4, 4, 4), 2 * 4 + 8, 8 * 16)
    assert got["blocks.0.expand3"] == ("dense", (4, 4, 4), 9 * 2 * 4 + 8, 72 * 16)
    assert got["heads.label.classifier"][2:] == (8 * 3 + 3, 24)


def test_bare_and_folded_layers_differ_by_what_they_carry():
    def params(**more):
        return rows(net(Single(conv=conv(4, 4, **more))))["blocks.0.conv"][2]

    assert (params(norm="bare"), params(norm="none"), params()) == (16, 20, 24)


def test_map_head_counts_each_pixel():
    got = rows(net(head=MapClassifier(c_in=4, classes=3)))
    assert got["heads.label.classifier"] == ("1x1", (3, 4, 4), 4 * 3 + 3, 12 * 16)
    assert got["heads.label.pool"] == ("pool", (3, 1, 1), 0, 0)
    assert cost(net(head=Classifier(c_in=4, classes=3, bias=False))).params == 9 * 4 + 8 + 12


def test_pools_have_no_parameters():
    got = rows(net(Pooling(pool=Pool(channels=4, kernel=3))))
    assert got["blocks.0.pool"] == ("pool", (4, 2, 2), 0, 0)
    hanging = Pooling(pool=Pool(channels=4, kernel=3, padded=False))
    assert rows(net(hanging))["blocks.0.pool"][1] == (4, 2, 2)  # 0..2 and 2..4, one past the end


# Elements at once: image 64 + stem 64 while the stem runs, and per block (its maps are 4x4):
@pytest.mark.parametrize(
    ("block", "elements", "address"),
    [
        (fire(), 64 + 64 + 128, "blocks.0.joined"),  # both expansions and the joined map
        (split(), 64 + 32 + 64, "blocks.0.joined"),  # the halves of the input are views of it
        (residual(), 64 + 64 + 64, "blocks.0.conv2"),  # the sum takes conv2's place
        # spread's output and the joined map; what passes by is a view of the input
        (harmonious(), 64 + 32 + 64, "blocks.0.joined"),
    ],
)
def test_peak_memory_by_hand(block, elements, address):
    total = cost(net(block))
    assert (total.peak_bytes, total.peak_address) == (4 * elements, address)


def test_a_block_whose_input_is_read_again_keeps_it():
    cell = Cell(
        c_older=4,
        c_newer=8,
        channels=2,
        nodes=((Edge(source=0, op="skip"), Edge(source=1, op="skip")),),
        concat=(2,),
    )
    kept = cost(net(fire(), cell))
    assert kept.peak_bytes == 4 * (64 + 64 + 64 + 128)  # the stem's map stays for the cell
    assert kept.peak_address == "blocks.0.joined"


def test_an_edit_is_a_new_value():
    wider = replace(fire(), expand3=conv(2, 6, kernel=3))
    assert (wider.c_out, fire().c_out) == (10, 8)


# ----------------------------------------------------------------------------------- how they train


TRAINED = {
    "squeezenet_1_1": 0.2, "shufflenet_v1": 0.5, "shufflenet_v2": 0.25, "ghostnet": 0.2,
    "hbonet": 0.2, "resnet18": 0.125, "xception": 0.1, "nasnet_mobile": 0.2, "darts_v2": 0.2,
    "mobilenet_v4_conv_medium": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_a_gradient_reaches_every_parameter(name):
    """Also where activations work in place: none overwrites what the way back needs."""
    torch.manual_seed(0)
    model = build(MODELS[name](width=TRAINED[name], resolution=64, classes=3, dropout=0.0))
    model(torch.randn(4, 3, 64, 64)).square().sum().backward()
    lacking = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert lacking == []
