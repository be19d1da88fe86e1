"""Costs of small networks, worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.cost import cost
from pocketvision.cost_walk import operation_of, out_size
from pocketvision.errors import SpecError
from pocketvision.spec import (
    Cell,
    Classifier,
    Conv,
    Edge,
    Gate,
    InvertedResidual,
    MixedConv,
    NetSpec,
    Numerics,
    Separable,
    Single,
)


def net(*blocks, stem, side=8, hidden=(), classes=10, padding="symmetric"):
    c = hidden[0].c_in if hidden else (blocks[-1].c_out if blocks else stem.c_out)
    head = Classifier(c_in=c, classes=classes, hidden=hidden)
    numerics = Numerics(padding=padding)
    return NetSpec(
        name="hand",
        resolution=(side, side),
        stem=stem,
        blocks=blocks,
        heads=(("label", head),),
        numerics=numerics,
    )


STEM = Conv(c_in=3, c_out=4, kernel=3, stride=2, act="relu")


def residual(shortcut, gate=None):
    return InvertedResidual(
        expand=Conv(c_in=4, c_out=8, act="relu"),
        depthwise=Conv(c_in=8, c_out=8, kernel=3, groups=8, act="relu"),
        gate=gate,
        project=Conv(c_in=8, c_out=4),
        shortcut=shortcut,
    )


# ------------------------------------------------------------------------------------- totals, rows


def test_inverted_residual_row_by_row():
    total = cost(net(residual(4), stem=STEM))
    got = {
        r.address: (r.operation, r.out, r.params, r.params_without_bn, r.macs) for r in total.rows
    }
    assert got == {
        # 3*3*3*4 weights, 4 scales and 4 shifts, on 4x4 pixels
        "stem": ("dense", (4, 4, 4), 116, 108, 108 * 16),
        "blocks.0.expand": ("1x1", (8, 4, 4), 48, 32, 32 * 16),
        "blocks.0.depthwise": ("depthwise", (8, 4, 4), 88, 72, 72 * 16),
        "blocks.0.project": ("1x1", (4, 4, 4), 40, 32, 32 * 16),
        "heads.label.pool": ("pool", (4, 1, 1), 0, 0, 0),
        "heads.label.classifier": ("fully_connected", (10, 1, 1), 50, 50, 40),
    }
    assert total.params == 116 + 48 + 88 + 40 + 50
    assert total.macs == (108 + 32 + 72 + 32) * 16 + 40
    assert total.activations == (4 + 8 + 8 + 4) * 16 + 10
    assert total.weights_bytes == 4 * total.params
    assert total.by_operation("macs")["1x1"] == 64 * 16


def test_gate_has_biases_and_no_norm():
    gate = Gate(channels=8, squeeze=2)
    rows = {r.address: r for r in cost(net(residual(4, gate), stem=STEM)).rows}
    assert rows["blocks.0.gate.reduce"].params == 8 * 2 + 2
    assert rows["blocks.0.gate.expand"].params == 2 * 8 + 8
    assert rows["blocks.0.gate.reduce"].macs == rows["blocks.0.gate.expand"].macs == 16
    assert rows["blocks.0.gate.expand"].out == (8, 1, 1)


def test_gate_with_norm_keeps_its_bias():
    gate = Gate(channels=8, squeeze=2, norm="batch", gate="sigmoid")
    rows = {r.address: r for r in cost(net(residual(4, gate), stem=STEM)).rows}
    assert rows["blocks.0.gate.reduce"].params == 8 * 2 + 2 + 2 * 2
    assert rows["blocks.0.gate.reduce"].params_without_bn == 8 * 2 + 2


def test_mixed_convolution_counts_each_part():
    parts = tuple(Conv(c_in=2, c_out=2, kernel=k, groups=2, norm="none") for k in (3, 5))
    block = Separable(depthwise=MixedConv(parts=parts), pointwise=Conv(c_in=4, c_out=4))
    rows = {r.address: r for r in cost(net(block, stem=STEM)).rows}
    assert rows["blocks.0.depthwise.parts.0"].macs == 9 * 2 * 16
    assert rows["blocks.0.depthwise.parts.1"].macs == 25 * 2 * 16
    # The one norm over the joined channels is shared out over the parts.
    assert rows["blocks.0.depthwise.parts.0"].params == 18 + 4
    assert rows["blocks.0.depthwise.parts.1"].params_without_bn == 50


def test_low_rank_is_two_thin_layers():
    block = Single(conv=Conv(c_in=4, c_out=16, rank=2, act="relu"))
    rows = {r.address: r for r in cost(net(block, stem=STEM)).rows}
    assert rows["blocks.0.conv.factor"].params == 4 * 2
    assert rows["blocks.0.conv"].params == 2 * 16 + 2 * 16
    assert rows["blocks.0.conv.factor"].macs + rows["blocks.0.conv"].macs == (8 + 32) * 16


def test_hidden_layer_runs_on_one_pixel():
    hidden = (Conv(c_in=4, c_out=6, norm="none", act="hard_swish"),)
    rows = {r.address: r for r in cost(net(stem=STEM, hidden=hidden)).rows}
    assert rows["heads.label.hidden.0"].macs == 24
    assert rows["heads.label.hidden.0"].params == 24 + 6
    assert rows["heads.label.classifier"].params == 6 * 10 + 10


@pytest.mark.parametrize(
    ("conv", "name"),
    [
        (Conv(c_in=8, c_out=8), "1x1"),
        (Conv(c_in=8, c_out=8, kernel=3, groups=8), "depthwise"),
        (Conv(c_in=8, c_out=8, groups=2), "grouped"),
        (Conv(c_in=8, c_out=16, kernel=3, groups=8), "grouped"),
        (Conv(c_in=8, c_out=8, kernel=3), "dense"),
    ],
)
def test_operation_of(conv, name):
    assert operation_of(conv) == name


# -------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "padding", "out"),
    [
        (224, 3, 2, 1, "symmetric", 112),
        (225, 3, 2, 1, "symmetric", 113),
        (224, 5, 2, 1, "same", 112),
        (225, 3, 2, 1, "same", 113),
        # Keras' MobileNetV1 adds one pixel at the end whatever the parity: (225 + 1 - 3) // 2 + 1
        (224, 3, 2, 1, "bottom_right", 112),
        (225, 3, 2, 1, "bottom_right", 112),
        (7, 3, 1, 1, "bottom_right", 7),
        (14, 3, 1, 2, "symmetric", 14),
        (14, 5, 2, 2, "symmetric", 7),
        (9, 1, 2, 1, "symmetric", 5),
        (9, 1, 2, 1, "same", 5),
        (1, 3, 2, 1, "symmetric", 1),
    ],
)
def test_out_size(size, kernel, stride, dilation, padding, out):
    got = out_size(size, kernel=kernel, stride=stride, dilation=dilation, padding=padding)
    assert got == out


@given(
    st.integers(1, 400),
    st.sampled_from((1, 3, 5, 7, 9, 11)),
    st.sampled_from((1, 2)),
    st.integers(1, 3),
)
def test_same_and_symmetric_give_one_size(size, kernel, stride, dilation):
    """They place the pixels differently, never their number: ceil(size / stride)."""
    sizes = {
        out_size(size, kernel=kernel, stride=stride, dilation=dilation, padding=p)
        for p in ("same", "symmetric")
    }
    assert sizes == {-(-size // stride)}


def test_a_map_that_vanishes_is_an_error():
    tiny = net(stem=STEM, side=1, padding="bottom_right")
    with pytest.raises(SpecError, match=r"stem: a 1x1 map is too small .* larger resolution"):
        cost(tiny)


# ------------------------------------------------------------------------------------------- memory


def test_peak_with_and_without_shortcut():
    """Image 3*8*8 = 192, stem out 4*4*4 = 64, expanded 8*4*4 = 128 numbers of 4 bytes."""
    plain, added = (cost(net(residual(s), stem=STEM)) for s in (0, 4))
    # stem: image + its output; depthwise without shortcut: 128 + 128
    assert (plain.peak_bytes, plain.peak_address) == (4 * 256, "stem")
    # depthwise with the block's input kept: 64 + 128 + 128
    assert (added.peak_bytes, added.peak_address) == (4 * 320, "blocks.0.depthwise")


def test_gate_scales_in_place():
    """Beside the map it needs only its vectors: pooled 8 + reduced 2, then reduced 2 + gate 8."""
    with_gate = cost(net(residual(4, Gate(channels=8, squeeze=2)), stem=STEM))
    assert with_gate.peak_bytes == cost(net(residual(4), stem=STEM)).peak_bytes


def test_low_rank_needs_less_at_its_waist():
    """In 64, waist 1*16 = 16, out 16*16 = 256: the input is gone when the output is made."""
    wide = Conv(c_in=4, c_out=16)
    thin = Conv(c_in=4, c_out=16, rank=1)
    assert cost(net(Single(conv=wide), stem=STEM)).peak_bytes == 4 * (64 + 256)
    assert cost(net(Single(conv=thin), stem=STEM)).peak_bytes == 4 * (16 + 256)


def test_an_output_that_a_later_block_reads_stays():
    """Stem 64, wide 16*16 = 256, narrow 64; the third block reads the second one or the stem."""
    wide, narrow = Single(conv=Conv(c_in=4, c_out=16)), Single(conv=Conv(c_in=16, c_out=4))
    near, far = (Single(conv=Conv(c_in=4, c_out=4), inputs=(k,)) for k in (-1, -3))
    assert cost(net(wide, narrow, near, stem=STEM)).peak_bytes == 4 * (64 + 256)
    assert cost(net(wide, narrow, far, stem=STEM)).peak_bytes == 4 * (64 + 256 + 64)


# --------------------------------------------------------------------------------------------- cell


def nasnet_a_normal(c_in, channels):
    """NASNet-A's normal cell (arXiv:1707.07012, figure 4): node 0 is the older input."""
    nodes = (
        (Edge(source=1, op="sep_3"), Edge(source=1, op="skip")),
        (Edge(source=0, op="sep_3"), Edge(source=1, op="sep_5")),
        (Edge(source=1, op="avg_3"), Edge(source=0, op="skip")),
        (Edge(source=0, op="avg_3"), Edge(source=0, op="avg_3")),
        (Edge(source=0, op="sep_5"), Edge(source=0, op="sep_3")),
    )
    concat = (0, 2, 3, 4, 5, 6)
    return Cell(c_older=c_in, c_newer=c_in, channels=channels, nodes=nodes, concat=concat)


def test_nasnet_a_normal_cell_by_hand():
    stem = Conv(c_in=3, c_out=24, kernel=3, stride=2)
    cell = nasnet_a_normal(24, 8)
    total = cost(net(cell, stem=stem))
    rows = [r for r in total.rows if r.address.startswith("blocks.0")]
    squeeze = 24 * 8 + 2 * 8
    sep3 = 2 * (9 * 8 + 8 * 8 + 2 * 8)
    sep5 = 2 * (25 * 8 + 8 * 8 + 2 * 8)
    assert sum(r.params for r in rows) == 2 * squeeze + 3 * sep3 + 2 * sep5 == 2448
    macs = 2 * 24 * 8 + 3 * 2 * (9 * 8 + 64) + 2 * 2 * (25 * 8 + 64)
    assert sum(r.macs for r in rows) == 16 * macs == 36_096
    assert cell.c_out == 48
    assert [r.operation for r in rows].count("pool") == 3


def test_reduction_cell_by_hand():
    """At 4x4 with 6 channels: sep_5 at stride 2, a factorized reduction, max pooling, dil_3."""
    nodes = (
        (Edge(source=0, op="sep_5", stride=2), Edge(source=1, op="max_3", stride=2)),
        (Edge(source=1, op="skip", stride=2), Edge(source=2, op="dil_3")),
    )
    cell = Cell(c_older=4, c_newer=4, channels=6, nodes=nodes, concat=(2, 3), inputs=(-1, -1))
    rows = [r for r in cost(net(cell, stem=STEM)).rows if r.address.startswith("blocks.0")]
    assert [(r.address, r.out, r.params, r.macs) for r in rows] == [
        ("blocks.0.older.1", (6, 4, 4), 24 + 12, 24 * 16),
        ("blocks.0.newer.1", (6, 4, 4), 24 + 12, 24 * 16),
        ("blocks.0.ops.0.0.1", (6, 2, 2), 150, 150 * 4),
        ("blocks.0.ops.0.0.2", (6, 2, 2), 36 + 12, 36 * 4),
        ("blocks.0.ops.0.0.5", (6, 2, 2), 150, 150 * 4),
        ("blocks.0.ops.0.0.6", (6, 2, 2), 36 + 12, 36 * 4),
        ("blocks.0.ops.0.1", (6, 2, 2), 0, 0),
        ("blocks.0.ops.1.0.even", (3, 2, 2), 18 + 6, 18 * 4),
        ("blocks.0.ops.1.0.odd", (3, 2, 2), 18 + 6, 18 * 4),
        ("blocks.0.ops.1.1.1", (6, 2, 2), 54, 54 * 4),
        ("blocks.0.ops.1.1.2", (6, 2, 2), 36 + 12, 36 * 4),
    ]


def test_peak_inside_a_cell_by_hand():
    """Stem out 4*16 = 64 is both inputs: squeezing the older one needs it, a relu of it (64) and
    the result (2*16 = 32).
    """
    nodes = ((Edge(source=0, op="skip"), Edge(source=1, op="sep_3")),)
    cell = Cell(c_older=4, c_newer=4, channels=2, nodes=nodes, concat=(2,), inputs=(-1, -1))
    stem = Conv(c_in=1, c_out=4, kernel=3)
    total = cost(net(cell, stem=stem, side=4))
    assert (total.peak_bytes, total.peak_address) == (4 * 160, "blocks.0.older.1")


def test_cell_whose_edges_do_not_meet():
    nodes = ((Edge(source=0, op="skip"), Edge(source=1, op="sep_3", stride=2)),)
    cell = Cell(c_older=4, c_newer=4, channels=2, nodes=nodes, concat=(2,), inputs=(-1, -1))
    with pytest.raises(SpecError, match=r"2x2 but joins .* 4x4: check the strides"):
        cost(net(cell, stem=STEM))
