"""Each pass changes what it says and nothing that is computed."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from pocketvision.compiler import reference
from pocketvision.compiler.graph import (
    Act,
    Activation,
    Affine,
    Binary,
    Channels,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Crop,
    Depthwise,
    Flatten,
    GlobalMean,
    Graph,
    Input,
    Node,
    Output,
    Pad,
    Pool,
    Resize,
)
from pocketvision.compiler.passes import PASSES, simplify
from pocketvision.compiler.passes.activation import activation
from pocketvision.compiler.passes.affine import affine_after, affine_before
from pocketvision.compiler.passes.border import border, whole_mean
from pocketvision.compiler.passes.channels import channels_down, channels_joined, channels_up
from pocketvision.compiler.passes.constants import constants, doubled
from pocketvision.compiler.passes.crops import crops
from pocketvision.compiler.passes.gate import gate
from pocketvision.compiler.passes.groups import groups, one_tap
from pocketvision.compiler.passes.identity import identity
from pocketvision.compiler.passes.mixed import mixed
from pocketvision.compiler.passes.residual import partial_residual, residual
from pocketvision.compiler.passes.rewrite import rebuilt
from pocketvision.compiler.passes.spelled import spelled
from pocketvision.compiler.passes.through import through
from pocketvision.compiler.read_onnx import read_onnx
from tests.compiler.conftest import noise, worst
from tests.compiler.random_graphs import random_model

RNG = np.random.default_rng(11)
SHAPE = (7, 5, 6)
RELU = Activation("relu")


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def graph(
    *nodes: Node, out: tuple[str, ...] = ("y",), shape: tuple[int, int, int] = SHAPE
) -> Graph:
    """From the image x to these outputs; the nodes' names are what they make."""
    bare = Graph(
        inputs=(Input(name="x", shape=shape),), nodes=tuple(nodes),
        outputs=tuple(Output(name=o, value=o, shape=()) for o in out),
        shapes={n: (1, 1, 1) for n in ("x", *(n.output for n in nodes))},
    )  # fmt: skip
    whole = rebuilt(bare, nodes)
    outputs = []
    for o in whole.outputs:
        h, w, c = whole.shapes[o.value]
        outputs.append(Output(name=o.name, value=o.value, shape=(c, h, w)))
    return Graph(inputs=whole.inputs, nodes=whole.nodes, outputs=tuple(outputs),
                 shapes=whole.shapes)  # fmt: skip


def conv(output: str, x: str, c_in: int = 6, c_out: int = 4, k: int = 1, **more) -> Conv:
    g = more.get("groups", 1)
    fields = {"pads": (k // 2,) * 4, **more}
    return Conv(name=output, output=output, x=x, weight=numbers(c_out, k, k, c_in // g),
                bias=numbers(c_out), **fields)  # fmt: skip


def depthwise(output: str, x: str, c: int = 6, k: int = 3, **more) -> Depthwise:
    fields = {"pads": (k // 2,) * 4, **more}
    return Depthwise(name=output, output=output, x=x, weight=numbers(k, k, c), bias=numbers(c),
                     **fields)  # fmt: skip


def affine(output: str, x: str, c: int = 6, **more) -> Affine:
    return Affine(name=output, output=output, x=x, scale=numbers(c), bias=numbers(c), **more)


def uniform(output: str, x: str, scale: float, bias: float, c: int = 6) -> Affine:
    return Affine(name=output, output=output, x=x, scale=np.full(c, scale), bias=np.full(c, bias))


def act(output: str, x: str, kind: str, alpha: float = 0.0, beta: float = 0.0) -> Act:
    return Act(name=output, output=output, x=x, act=Activation(kind, alpha, beta))


def binary(output: str, kind: str, x: str, y: str, **more) -> Binary:
    return Binary(name=output, output=output, kind=kind, x=x, y=y, **more)


def concat(output: str, *parts: str, axis: int = 2) -> Concat:
    return Concat(name=output, output=output, parts=parts, axis=axis)


def channels(output: str, x: str, *index: int) -> Channels:
    return Channels(name=output, output=output, x=x, index=np.asarray(index))


def pool(output: str, x: str, kind: str = "mean", k: int = 3, **more) -> Pool:
    return Pool(name=output, output=output, x=x, kind=kind, kernel=(k, k), stride=(2, 2), **more)


def mean(output: str, x: str) -> GlobalMean:
    return GlobalMean(name=output, output=output, x=x)


def kinds(g: Graph) -> list[str]:
    return [type(n).__name__ for n in g.nodes]


def changed(rewrite, before: Graph) -> Graph:
    """The graph after a pass that did something and kept what is computed, in float64."""
    after = rewrite(before)
    assert after is not before
    same(before, after)
    return after


def same(before: Graph, after: Graph, tolerance: float = 1e-12) -> None:
    feeds = noise(before)
    assert worst(after, feeds, reference.run(before, feeds)) < tolerance


def left(rewrite, before: Graph) -> None:
    assert rewrite(before) is before


# ---------------------------------------------------------------------------------- nothing left


@pytest.mark.parametrize(
    "node",
    [
        act("i", "x", "none"),
        uniform("i", "x", 1, 0),
        channels("i", "x", *range(6)),
        Crop(name="i", output="i", x="x", top=0, left=0, shape=SHAPE),
        Pad(name="i", output="i", x="x", pads=(0, 0, 0, 0)),
        Pool(name="i", output="i", x="x", kind="max", kernel=(1, 1), stride=(1, 1)),
        Resize(name="i", output="i", x="x", size=(7, 5), scales=(1, 1), kind="linear",
               coordinates="half_pixel"),
        concat("i", "x"),
    ],
    ids=lambda n: type(n).__name__,
)  # fmt: skip
def test_nodes_that_change_nothing_go(node):
    assert kinds(changed(identity, graph(node, conv("y", "i")))) == ["Conv"]
    assert changed(identity, graph(node, out=("i",))).outputs[0].value == "x"


def test_mean_and_flatten_of_one_pixel_go():
    flat = Flatten(name="f", output="f", x="x")
    g = graph(mean("m", "x"), mean("n", "m"), flat, conv("y", "n"))
    assert kinds(changed(identity, g)) == ["GlobalMean", "Conv"]


def test_what_does_something_stays():
    left(identity, graph(channels("y", "x", 1, 0, 2, 3, 4, 5)))
    left(identity, graph(affine("y", "x", act=RELU)))


def test_constants_are_computed():
    k = Constant(name="k", output="k", value=numbers(7, 5, 6))
    g = graph(k, act("a", "k", "relu"), binary("y", "add", "x", "a"))
    after = changed(constants, g)
    assert kinds(after) == ["Constant", "Binary"]


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div"])
def test_arithmetic_with_a_number_a_channel(kind):
    k = Constant(name="k", output="k", value=numbers(1, 1, 6))
    assert kinds(changed(constants, graph(k, binary("y", kind, "x", "k")))) == ["Affine"]


def test_image_minus_from_constant():
    k = Constant(name="k", output="k", value=np.broadcast_to(numbers(1, 1, 6), (7, 5, 6)))
    assert kinds(changed(constants, graph(k, binary("y", "sub", "k", "x")))) == ["Affine"]
    left(constants, graph(k, binary("y", "div", "k", "x")))


def test_twice_and_nothing():
    assert changed(doubled, graph(binary("y", "add", "x", "x"))).nodes[0].scale[0] == 2
    assert changed(doubled, graph(binary("y", "sub", "x", "x"))).nodes[0].scale[0] == 0


# -------------------------------------------------------------------------------------- spellings


def six(output: str, x: str) -> Act:
    return act(output, x, "clip", 0.0, 6.0)


SPELLINGS = {
    "silu": (act("s", "x", "sigmoid"), binary("y", "mul", "x", "s")),
    "hard_swish": (act("s", "x", "hard_sigmoid", 1 / 6, 0.5), binary("y", "mul", "s", "x")),
    "hard_swish divided first": (
        uniform("a", "x", 1, 3), six("b", "a"), uniform("c", "b", 1 / 6, 0),
        binary("y", "mul", "x", "c"),
    ),
    "hard_swish divided last": (
        uniform("a", "x", 1, 3), six("b", "a"), binary("c", "mul", "x", "b"),
        uniform("y", "c", 1 / 6, 0),
    ),
    "hard_sigmoid": (uniform("a", "x", 1, 3), six("b", "a"), uniform("y", "b", 1 / 6, 0)),
    "hard_sigmoid scaled": (
        uniform("a", "x", 0.7, 2), act("b", "a", "clip", 0.0, 4.0), uniform("y", "b", 0.25, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_activation_that_is_spelled_out(name):
    (node,) = changed(spelled, graph(*SPELLINGS[name])).nodes
    assert isinstance(node, Act)
    assert node.act.kind == name.split()[0]


def test_what_only_looks_like_it():
    left(spelled, graph(act("s", "x", "sigmoid"), act("t", "x", "tanh"),
                        binary("y", "mul", "t", "s")))  # fmt: skip
    left(spelled, graph(uniform("a", "x", 1, 2), six("b", "a"), binary("c", "mul", "x", "b"),
                        uniform("y", "c", 1 / 6, 0)))  # fmt: skip


def test_clips_are_one():
    g = graph(act("a", "x", "relu"), act("y", "a", "clip", -1.0, 6.0))
    (node,) = changed(spelled, g).nodes
    assert (node.act.alpha, node.act.beta) == (0, 6)
    (node,) = changed(spelled, graph(act("y", "x", "clip", 0.0, math.inf))).nodes
    assert node.act == RELU


# ------------------------------------------------------------------------------------------ affine


def transposed(output: str, x: str, **more) -> ConvTranspose:
    return ConvTranspose(name=output, output=output, x=x, weight=numbers(6, 3, 3, 2),
                         bias=numbers(2 * more.get("groups", 1)), **more)  # fmt: skip


@pytest.mark.parametrize(
    "below",
    [conv("a", "x", 6, 6, 3), conv("a", "x", 6, 6, 3, groups=3), depthwise("a", "x"),
     transposed("a", "x", groups=3), affine("a", "x")],
    ids=["Conv", "groups", "Depthwise", "ConvTranspose", "Affine"],
)  # fmt: skip
def test_affine_goes_into_what_is_before(below):
    after = changed(affine_after, graph(below, affine("y", "a", act=RELU)))
    (node,) = after.nodes
    assert (type(node), node.act) == (type(below), RELU)


def test_affine_stays_behind_what_others_read_too():
    left(affine_after, graph(conv("a", "x", 6, 6), affine("y", "a"), out=("y", "a")))
    left(affine_after, graph(conv("a", "x", 6, 6), affine("b", "a"), binary("y", "add", "a", "b")))
    left(affine_after, graph(conv("a", "x", 6, 6, act=RELU), affine("y", "a")))
    left(affine_after, graph(conv("a", "x", 6, 6, residual="x"), affine("y", "a")))


@pytest.mark.parametrize(
    "behind",
    [conv("y", "a", k=1), conv("y", "a", k=3, pads=(0,) * 4), conv("y", "a", 6, 4, 3, groups=2,
     pads=(0,) * 4), depthwise("y", "a", pads=(0,) * 4)],
    ids=["1x1", "3x3", "groups", "Depthwise"],
)  # fmt: skip
def test_affine_goes_into_what_is_behind(behind):
    assert len(changed(affine_before, graph(affine("a", "x"), behind)).nodes) == 1


def test_shift_stays_before_a_border_and_a_scale_does_not():
    left(affine_before, graph(affine("a", "x"), conv("y", "a", k=3)))
    scale = Affine(name="a", output="a", x="x", scale=numbers(6), bias=np.zeros(6))
    assert len(changed(affine_before, graph(scale, conv("y", "a", k=3))).nodes) == 1


def test_affine_and_activation_move_past_a_concat():
    parts = conv("a", "x"), depthwise("b", "x"), concat("c", "a", "b")
    after = changed(through, graph(*parts, affine("y", "c", 10, act=RELU)))
    assert kinds(after) == ["Conv", "Depthwise", "Affine", "Affine", "Concat"]
    same(after, simplify(after), 1e-5)
    assert kinds(simplify(after)) == ["Conv", "Depthwise", "Concat"]
    left(through, graph(*parts, affine("y", "c", 10), out=("y", "a")))


# ------------------------------------------------------------------------- fused into convolutions


def test_activation_is_fused():
    after = changed(activation, graph(conv("a", "x"), act("y", "a", "silu")))
    assert after.nodes[0].act.kind == "silu"
    left(activation, graph(conv("a", "x"), act("y", "a", "silu"), out=("y", "a")))
    left(activation, graph(conv("a", "x", act=RELU), act("y", "a", "silu")))
    left(activation, graph(pool("a", "x"), act("y", "a", "silu")))


def test_sum_goes_into_the_convolution_that_comes_last():
    g = graph(conv("a", "x", 6, 6), depthwise("b", "x"), binary("y", "add", "a", "b", act=RELU))
    after = changed(residual, g)
    assert kinds(after) == ["Conv", "Depthwise"]
    assert (after.nodes[1].residual, after.nodes[1].act) == ("a", RELU)


def test_sum_goes_into_the_other_where_the_last_cannot():
    g = graph(conv("a", "x", 6, 6), pool("b", "x", k=3, pads=(1,) * 4),
              Resize(name="c", output="c", x="b", size=(7, 5), scales=(2, 2), kind="nearest",
                     coordinates="asymmetric"), binary("y", "add", "a", "c"))  # fmt: skip
    after = changed(residual, g)
    assert kinds(after) == ["Pool", "Resize", "Conv"]
    left(residual, graph(conv("a", "x", 6, 6, act=RELU), binary("y", "add", "a", "x")))
    left(residual, graph(conv("a", "x", 6, 6), binary("y", "add", "a", "x"), out=("a", "y")))


def test_activation_behind_a_sum():
    g = graph(conv("a", "x", 6, 6), binary("b", "add", "x", "a"), act("y", "b", "relu"))
    (node,) = simplify(g).nodes
    assert (node.residual, node.act) == ("x", RELU)


def test_sum_with_the_first_channels():
    g = graph(conv("a", "x", 6, 9), channels("b", "a", *range(6)), channels("c", "a", 6, 7, 8),
              binary("d", "add", "x", "b"), concat("y", "d", "c"))  # fmt: skip
    (node,) = changed(partial_residual, g).nodes
    assert node.residual == "x"
    odd = graph(conv("a", "x", 6, 9), channels("b", "a", *range(6)), channels("c", "a", 8, 7, 6),
                binary("d", "add", "x", "b"), concat("y", "d", "c"))  # fmt: skip
    left(partial_residual, odd)


def excited(*behind: Node, out: tuple[str, ...] = ("y",)) -> Graph:
    return graph(mean("m", "x"), conv("e", "m", 6, 6, act=Activation("sigmoid")),
                 binary("p", "mul", "x", "e", act=Activation("clip", 0.0, 6.0)), *behind,
                 out=out)  # fmt: skip


def test_gate_is_fused_with_the_activation_behind_it():
    after = changed(gate, excited(conv("y", "p")))
    assert after.nodes[-1].gate == "e"
    assert after.nodes[-1].in_act == Activation("clip", 0.0, 6.0)


def test_gate_stays_before_anything_else():
    left(gate, excited(conv("y", "p", k=3)))
    left(gate, excited(conv("y", "p", stride=(2, 2))))
    left(gate, excited(conv("y", "p", groups=2)))
    left(gate, excited(conv("y", "p"), conv("z", "p"), out=("y", "z")))
    left(gate, excited(conv("y", "p"), out=("y", "p")))


# ------------------------------------------------------------------------------------------ groups


def test_a_channel_a_group_is_depthwise():
    after = changed(groups, graph(conv("y", "x", 6, 6, 3, groups=6, stride=(2, 1), act=RELU)))
    assert kinds(after) == ["Depthwise"]
    after = changed(groups, graph(conv("y", "x", 6, 12, 3, groups=6)))
    assert kinds(after) == ["Channels", "Depthwise"]
    assert after.nodes[0].index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_grouped_pointwise_is_dense_with_zeros():
    after = changed(groups, graph(conv("y", "x", 6, 4, 1, groups=2)))
    weight = after.nodes[0].weight[:, 0, 0]
    assert not weight[:2, 3:].any()
    assert not weight[2:, :3].any()
    left(groups, graph(conv("y", "x", 6, 4, 3, groups=2)))


def test_one_tap_is_a_number_a_channel():
    after = changed(one_tap, graph(depthwise("y", "x", k=1, act=RELU)))
    assert kinds(after) == ["Affine"]
    left(one_tap, graph(depthwise("y", "x", k=1, stride=(2, 2))))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pads", ["symmetric", "odd"])
def test_mixed_kernels_are_one_kernel(stride, pads):
    more = [(k // 2, k // 2, k // 2, k // 2) for k in (3, 5, 7)]
    if pads == "odd":  # TensorFlow's, larger at the end
        more = [(k // 2 - 1, k // 2, k // 2 + 1, k // 2) for k in (3, 5, 7)]
    parts = [channels(f"s{i}", "x", 2 * i, 2 * i + 1) for i in range(3)]
    convs = [depthwise(f"d{i}", f"s{i}", 2, k, stride=(stride, stride), pads=more[i])
             for i, k in enumerate((3, 5, 7))]  # fmt: skip
    after = changed(mixed, graph(*parts, *convs, concat("y", "d0", "d1", "d2")))
    (node,) = after.nodes
    assert node.kernel == (7, 7)
    assert np.count_nonzero(node.weight) == 2 * (9 + 25 + 49)


def test_mixed_of_other_channels_keeps_their_order():
    parts = channels("s", "x", 5, 0), channels("t", "x", 2)
    g = graph(*parts, depthwise("a", "s", 2), depthwise("b", "t", 1, 5), concat("y", "a", "b"))
    after = changed(mixed, g)
    assert kinds(after) == ["Channels", "Depthwise"]


def test_pointwise_of_parts_is_one_pointwise():
    parts = channels("s", "x", 0, 1, 2), channels("t", "x", 3, 4, 5)
    g = graph(*parts, conv("a", "s", 3, 2), conv("b", "t", 3, 5), concat("y", "a", "b"))
    (node,) = changed(mixed, g).nodes
    assert np.count_nonzero(node.weight) == 3 * 2 + 3 * 5


def test_convolutions_of_one_image_are_one():
    g = graph(conv("a", "x", 6, 2, 3), conv("b", "x", 6, 5, 3), concat("y", "a", "b"))
    assert len(changed(mixed, g).nodes) == 1


def test_parts_that_differ_stay():
    two = conv("a", "x", 6, 2, 3), concat("y", "a", "b")
    left(mixed, graph(two[0], conv("b", "x", 6, 5, 1), two[1]))
    left(mixed, graph(two[0], conv("b", "x", 6, 5, 3, act=RELU), two[1]))
    left(mixed, graph(two[0], conv("b", "x", 6, 5, 3), two[1], out=("y", "a")))
    left(mixed, graph(conv("a", "x", 6, 2, 3), concat("y", "a", "a")))


# ---------------------------------------------------------------------------------- over the image


def border_of(*pads: int, **more) -> Pad:
    return Pad(name="p", output="p", x="x", pads=pads, **more)


@pytest.mark.parametrize(
    "behind",
    [conv("y", "p", k=3), depthwise("y", "p"), pool("y", "p"),
     pool("y", "p", pads=(1, 0, 1, 0), count_padding=True)],
    ids=["Conv", "Depthwise", "Pool", "counted"],
)  # fmt: skip
def test_zeros_around_go_into_what_reads_them(behind):
    assert len(changed(border, graph(border_of(1, 0, 1, 1), behind)).nodes) == 1


def test_zeros_around_a_maximum_only_where_nothing_is_below_them():
    largest = pool("y", "p", "max")
    left(border, graph(border_of(0, 0, 1, 1), largest))
    g = graph(conv("a", "x", act=RELU),
              Pad(name="p", output="p", x="a", pads=(0, 0, 1, 1)), largest)  # fmt: skip
    assert kinds(changed(border, g)) == ["Conv", "Pool"]
    assert len(changed(border, graph(border_of(0, 0, 1, 1, value=-math.inf), largest)).nodes) == 1


def test_other_borders_stay():
    left(border, graph(border_of(1, 1, 1, 1, kind="edge"), conv("y", "p", k=3)))
    left(border, graph(border_of(1, 1, 1, 1, value=1.0), conv("y", "p", k=3)))
    left(border, graph(border_of(1, 1, 1, 1), pool("y", "p", pads=(1, 1, 1, 1))))
    left(border, graph(border_of(3, 0, 0, 0), pool("y", "p")))


def test_mean_of_the_whole_image():
    whole = Pool(name="y", output="y", x="x", kind="mean", kernel=(7, 5), stride=(7, 5))
    assert kinds(changed(whole_mean, graph(whole))) == ["GlobalMean"]
    left(whole_mean, graph(pool("y", "x")))


def test_crops_are_one():
    one = Crop(name="a", output="a", x="x", top=1, left=1, shape=(3, 2, 6), step=(2, 2))
    two = Crop(name="y", output="y", x="a", top=1, left=0, shape=(1, 1, 6), step=(2, 1))
    (node,) = changed(crops, graph(one, two)).nodes
    assert (node.top, node.left, node.step) == (3, 1, (4, 2))


# ---------------------------------------------------------------------------------------- channels


def test_channels_are_one():
    g = graph(channels("a", "x", 5, 4, 3), channels("y", "a", 2, 0))
    (node,) = changed(channels_joined, g).nodes
    assert node.index.tolist() == [3, 5]


def test_concat_of_channels_of_one_image():
    g = graph(channels("a", "x", 5, 4), channels("b", "x", 0), concat("y", "a", "b"))
    assert kinds(changed(channels_joined, g)) == ["Channels"]


def test_channels_of_a_part():
    g = graph(conv("a", "x"), conv("b", "x"), concat("c", "a", "b"), channels("y", "c", 5, 4))
    after = changed(channels_joined, g)
    assert kinds(after) == ["Conv", "Channels"]
    assert after.nodes[1].index.tolist() == [1, 0]


def test_concat_of_concats():
    g = graph(concat("a", "x", "x"), conv("b", "x"), concat("y", "b", "a"))
    assert changed(channels_joined, g).nodes[-1].parts == ("b", "x", "x")


def test_order_goes_into_the_rows_before():
    prelu = Activation("prelu", slope=numbers(4))
    after = changed(channels_up, graph(conv("a", "x", act=prelu), channels("y", "a", 2, 0)))
    assert kinds(after) == ["Conv"]
    assert len(after.nodes[0].weight) == 2
    left(channels_up, graph(conv("a", "x"), channels("y", "a", 2, 0), out=("y", "a")))
    left(channels_up, graph(conv("a", "x", 6, 6, residual="x"), channels("y", "a", 2, 0)))


def test_order_moves_up_past_what_keeps_channels_apart():
    g = graph(conv("a", "x", 6, 6), depthwise("b", "a"), act("c", "b", "relu"), affine("d", "c"),
              channels("y", "d", 3, 1, 2, 0))  # fmt: skip
    simple = simplify(g)
    same(g, simple, 1e-5)
    assert kinds(simple) == ["Conv", "Depthwise", "Affine"]


def test_order_goes_into_the_columns_behind():
    g = graph(channels("a", "x", 5, 3, 1, 0, 2, 4), conv("y", "a", k=3))
    assert kinds(changed(channels_down, g)) == ["Conv"]
    g = graph(channels("a", "x", *range(6), 0, 0, 5), conv("y", "a", 9))
    assert kinds(changed(channels_down, g)) == ["Conv"]


def test_few_channels_and_runs_of_them_stay():
    left(channels_down, graph(channels("a", "x", 5, 0), conv("y", "a", 2)))
    left(channels_down, graph(channels("a", "x", 1, 2, 3, 4, 5), conv("y", "a", 5)))


# --------------------------------------------------------------------------------------- together


def read(tmp_path, seed: int) -> Graph:
    path = tmp_path / "model.onnx"
    path.write_bytes(random_model(np.random.default_rng(seed)).SerializeToString())
    return read_onnx(path)


def test_every_pass_is_exact_on_random_networks(tmp_path):
    """In float64; 1/6 and the like, which files hold in float32, are read as they are meant."""
    hits: Counter[str] = Counter()
    for seed in range(300):
        before = read(tmp_path, seed)
        feeds = noise(before, seed)
        want, tolerance = reference.run(before, feeds), 1e-9
        for rewrite in PASSES:
            after = rewrite(before)
            if after is not before:
                hits[rewrite.__name__] += 1
                tolerance = 1e-6 if rewrite is spelled else tolerance
                assert worst(after, feeds, want) < tolerance, (seed, rewrite.__name__)
            before = after
    assert {p.__name__ for p in PASSES} - set(hits) <= {"crops", "constants", "through"}


def test_simple_graphs_stay_as_they_are(tmp_path):
    for seed in range(100):
        once = simplify(read(tmp_path, seed))
        twice = simplify(once)
        assert kinds(once) == kinds(twice), seed
        assert len(once.nodes) <= len(read(tmp_path, seed).nodes) + 2


def test_dead_nodes_go_and_outputs_stay():
    g = graph(conv("a", "x"), conv("b", "x"), act("y", "a", "relu"), out=("y", "x"))
    simple = simplify(g)
    assert kinds(simple) == ["Conv"]
    assert [o.name for o in simple.outputs] == ["y", "x"]
