import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvision.cost import cost
from pocketvision.errors import SpecError
from pocketvision.model import Network
from pocketvision.spec import (
    KINDS,
    Activation,
    Cell,
    Classifier,
    Conv,
    Edge,
    Gate,
    InvertedResidual,
    LinearBottleneck,
    MixedConv,
    NetSpec,
    Sandglass,
    Separable,
    Single,
    layers,
)
from pocketvision.spec_json import block_from_row, dumps, loads


def conv(c_in, c_out, **more):
    return Conv(c_in=c_in, c_out=c_out, **more)


def depthwise(c, **more):
    return conv(c, c, kernel=3, groups=c, **more)


def inverted(c_in, c_mid, c_out, *, stride=1, **more):
    return InvertedResidual(
        expand=conv(c_in, c_mid, act="relu6"),
        depthwise=depthwise(c_mid, stride=stride, act="relu6"),
        project=conv(c_mid, c_out),
        **more,
    )


def net(*blocks, c_out, **more):
    return NetSpec(
        name="t",
        resolution=(32, 32),
        stem=conv(3, 8, kernel=3, stride=2),
        blocks=blocks,
        heads=(("label", Classifier(c_in=c_out, classes=10)),),
        **more,
    )


def test_every_kind_survives_the_disk():
    cell = Cell(
        c_older=8,
        c_newer=16,
        channels=4,
        nodes=((Edge(source=0, op="sep_5", stride=2), Edge(source=1, op="max_3", stride=2)),),
        concat=(0, 2),
    )
    mixed = MixedConv(parts=(conv(8, 6, norm="none"), conv(8, 10, norm="none")), act="silu")
    spec = net(
        Single(conv=conv(8, 8)),
        Separable(depthwise=depthwise(8), gate=Gate(channels=8, squeeze=2), pointwise=conv(8, 16)),
        InvertedResidual(expand=mixed, depthwise=depthwise(16), project=conv(16, 16), shortcut=16),
        Sandglass(depthwise=None, reduce=conv(16, 4), expand=conv(4, 16), depthwise2=None),
        LinearBottleneck(
            expand=None,
            depthwise=depthwise(16),
            activation=Activation(channels=16, act="relu6"),
            project=conv(16, 20),
            shortcut=16,
        ),
        Single(conv=conv(20, 8, rank=3)),
        c_out=8,
    )
    assert loads(dumps(spec)) == spec
    row = json.loads(dumps(net(Single(conv=conv(8, 16)), cell, c_out=8)))["blocks"][1]
    assert block_from_row(row) == cell


widths = st.integers(1, 64)


@given(st.lists(st.tuples(widths, widths, st.sampled_from([1, 2])), max_size=6))
@settings(max_examples=50, deadline=None)
def test_any_chain_survives_the_disk(rows):
    blocks, width = [], 8
    for mid, out, stride in rows:
        blocks.append(inverted(width, mid, out, stride=stride))
        width = out
    spec = net(*blocks, c_out=width)
    assert loads(dumps(spec)) == spec
    addresses = [a for a, _ in layers(spec)]
    assert len(addresses) == len(set(addresses)) == 1 + 3 * len(rows)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: conv(0, 8), "Conv.c_in must be an integer >= 1, got 0"),
        (lambda: conv(3, 8, act="hardswish"), "did you mean 'hard_swish'?"),
        (lambda: conv(8, 12, groups=3), "groups must divide"),
        (lambda: conv(8, 8, kernel=3, rank=2), "rank factors only a plain 1x1"),
        (lambda: inverted(8, 16, 8, stride=2, shortcut=8), "needs stride 1"),
        (
            lambda: InvertedResidual(
                expand=conv(8, 16), depthwise=depthwise(24), project=conv(24, 8)
            ),
            "depthwise takes 24 channels but expand gives 16",
        ),
        (lambda: net(inverted(16, 8, 8), c_out=8), "blocks.0 takes [16] channels"),
        (lambda: net(c_out=16), "heads.label takes 16 channels, got 8"),
        (lambda: Edge(source=0, op="sep_4"), "Edge.op must be one of"),
        (lambda: net(inverted(8, 8, 8, inputs=(-2,)), c_out=8), "reads before the stem"),
    ],
)
def test_what_cannot_exist_says_why(make, words):
    with pytest.raises(SpecError) as e:
        make()
    assert words in str(e.value)


def changed(**more):
    return json.dumps({**json.loads(dumps(net(c_out=8))), **more})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "must be an object"),
        (changed(format=2), "format is 2; this version reads 1"),
        (changed(blokcs=[]), "no field 'blokcs'; did you mean 'blocks'?"),
        (changed(blocks=[{"kind": "inverted_residal"}]), "did you mean 'inverted_residual'?"),
        (changed(resolution=[32]), "[height, width]"),
        (changed(stem={"c_in": "3", "c_out": 8}), "Conv.c_in must be an integer"),
        (changed(heads={}), "heads must be a list"),
    ],
)
def test_damaged_json_says_what(text, words):
    with pytest.raises(SpecError) as e:
        loads(text)
    assert words in str(e.value)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_json_is_an_error_or_a_spec(data):
    text = dumps(net(inverted(8, 16, 8, shortcut=8), c_out=8))
    at = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(st.sampled_from(["", "0", "-", "null", '"', "{", "9" * 30, "[]", "true"]))
    try:
        spec = loads(text[:at] + piece + text[at + 1 :])
    except SpecError:
        return
    assert loads(dumps(spec)) == spec


def test_kinds_are_tagged_by_their_names():
    snake = {"".join(w.title() for w in tag.split("_")): tag for tag in KINDS}
    assert {cls.__name__ for cls in KINDS.values()} == snake.keys()


def test_without_heads_it_is_a_trunk():
    trunk = replace(net(c_out=8), heads=())
    assert loads(dumps(trunk)) == trunk
    assert cost(trunk).params == cost(net(c_out=8)).params - (8 + 1) * 10
    x = torch.zeros(1, 3, 32, 32)
    assert Network(trunk).eval()(x).shape == (1, 8, 16, 16)


def test_a_stride_of_its_own_along_the_width():
    conv = Conv(c_in=3, c_out=8, kernel=3, stride=2, stride_w=1)
    tall = replace(net(c_out=8), stem=conv)
    assert loads(dumps(tall)) == tall
    y = Network(tall).eval().features(torch.zeros(1, 3, 32, 32), ["stem"])["stem"]
    assert y.shape == (1, 8, 16, 32)
    assert cost(tall).rows[0].out == (8, 16, 32)
    with pytest.raises(SpecError, match="shortcut=8 needs stride 1"):
        Separable(
            depthwise=Conv(c_in=8, c_out=8, kernel=3, groups=8, stride_w=2),
            pointwise=Conv(c_in=8, c_out=8),
            shortcut=8,
        )
