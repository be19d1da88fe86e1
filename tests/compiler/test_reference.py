"""The reference on numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketvision.compiler import reference
from pocketvision.compiler.graph import (
    Activation,
    Constant,
    Conv,
    ConvTranspose,
    Depthwise,
    Graph,
    Input,
    Output,
    Pool,
    Resize,
)
from pocketvision.compiler.shapes import shape_of, steps
from pocketvision.errors import UsageError

ROW = np.asarray([[[1.0], [2.0], [3.0], [4.0]]])  # 1 x 4, one channel


def made(node, x: np.ndarray = ROW, **values: np.ndarray) -> list[float]:
    values = {"x": x, **values}
    found = reference.evaluate(node, values)
    assert found.shape == shape_of(node, {k: v.shape for k, v in values.items()})
    return found.reshape(-1).tolist()


def conv(weight: list[float], **more) -> Conv:
    kernel = np.asarray(weight)[None, None, :, None]
    return Conv(name="n", output="y", x="x", weight=kernel, bias=np.asarray([0.5]), **more)


def test_convolution():
    assert made(conv([1, 10])) == [21.5, 32.5, 43.5]
    assert made(conv([1, 10], pads=(0, 1, 0, 0), stride=(1, 2))) == [10.5, 32.5]
    assert made(conv([1, 10], dilation=(1, 2))) == [31.5, 42.5]


def test_order_of_gate_activation_bias_and_residual():
    """act(conv(in_act(x * gate)) + bias + residual)."""
    node = conv([1], gate="g", in_act=Activation("clip", 0.0, 6.0), residual="r",
                act=Activation("clip", -math.inf, 7.0))  # fmt: skip
    gate = np.asarray([[[2.0]]])
    assert made(node, g=gate, r=-ROW) == [1.5, 2.5, 3.5, 2.5]


def test_residual_of_fewer_channels():
    two = Conv(name="n", output="y", x="x", weight=np.ones((2, 1, 1, 1)), bias=np.zeros(2),
               residual="r")  # fmt: skip
    assert made(two, r=ROW) == [2, 1, 4, 2, 6, 3, 8, 4]
    wide = np.ones((1, 4, 2))
    each = Depthwise(name="n", output="y", x="x", weight=np.ones((1, 1, 2)), bias=np.zeros(2),
                     residual="r")  # fmt: skip
    assert made(each, wide, r=ROW) == [2, 1, 3, 1, 4, 1, 5, 1]


def test_transposed_convolution():
    node = ConvTranspose(name="n", output="y", x="x", weight=np.asarray([1.0, 10, 100])[
        None, None, :, None], bias=np.zeros(1), stride=(1, 2), pads=(0, 1, 0, 0))  # fmt: skip
    assert made(node) == [10, 102, 20, 203, 30, 304, 40, 400]


def test_windows_over_the_border():
    more = {"name": "n", "output": "y", "x": "x", "kernel": (1, 3), "stride": (1, 2),
            "pads": (0, 1, 0, 1)}  # fmt: skip
    assert made(Pool(kind="max", **more)) == [2, 4]
    assert made(Pool(kind="max", **more), -ROW) == [-1, -2]
    assert made(Pool(kind="mean", **more)) == [1.5, 3]
    assert made(Pool(kind="mean", count_padding=True, **more)) == [1, 3]


def resized(kind: str, how: str, size: int, **more) -> list[float]:
    node = Resize(name="n", output="y", x="x", size=(1, size), scales=(1, size / 4), kind=kind,
                  coordinates=how, **more)  # fmt: skip
    return made(node)


def test_resize():
    assert resized("linear", "half_pixel", 2) == [1.5, 3.5]
    assert resized("linear", "asymmetric", 8) == [1, 1.5, 2, 2.5, 3, 3.5, 4, 4]
    assert resized("linear", "align_corners", 7) == [1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert resized("linear", "pytorch_half_pixel", 1) == [1]
    assert resized("linear", "half_pixel", 1) == [2.5]
    assert resized("nearest", "asymmetric", 8, rounding="floor") == [1, 1, 2, 2, 3, 3, 4, 4]
    assert resized("nearest", "half_pixel", 2, rounding="round_prefer_floor") == [1, 3]
    assert resized("nearest", "half_pixel", 2, rounding="round_prefer_ceil") == [2, 4]


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (Activation("hard_swish"), [0, -1 / 3, 0, 2 / 3, 7]),
        (Activation("hard_sigmoid", 0.2, 0.5), [0, 0.3, 0.5, 0.7, 1]),
        (Activation("leaky_relu", 0.5), [-2.5, -0.5, 0, 1, 7]),
        (Activation("prelu", slope=np.asarray([3.0])), [-15, -3, 0, 1, 7]),
        (Activation("clip", -2.0, 6.0), [-2, -1, 0, 1, 6]),
        (Activation("sigmoid"), [1 / (1 + math.e**5), 1 / (1 + math.e), 0.5,
                                 math.e / (1 + math.e), 1 / (1 + math.e**-7)]),
    ],
    ids=lambda v: v.kind if isinstance(v, Activation) else "",
)  # fmt: skip
def test_activations(act, wanted):
    got = reference.activated(act, np.asarray([[[-5.0]], [[-1.0]], [[0.0]], [[1.0]], [[7.0]]]))
    np.testing.assert_allclose(got.reshape(-1), wanted, rtol=1e-12)


def test_sigmoid_of_large_numbers_does_not_overflow():
    got = reference.activated(Activation("silu"), np.asarray([[[-1e4, 1e4]]]))
    assert got.reshape(-1).tolist() == [0, 1e4]


def test_layouts_and_batches():
    value = np.arange(6.0).reshape(1, 2, 3)
    g = Graph(
        inputs=(Input(name="a", shape=(1, 2, 3)), Input(name="b", shape=(1, 1, 2), layout="nc")),
        nodes=(Constant(name="k", output="k", value=value),),
        outputs=(
            Output(name="p", value="a", shape=(3, 1, 2)),
            Output(name="q", value="a", shape=(1, 2, 3), layout="nhwc"),
            Output(name="r", value="b", shape=(2,), layout="nc"),
            Output(name="s", value="k", shape=(6,), layout="nc"),
        ),
        shapes={"a": (1, 2, 3), "b": (1, 1, 2), "k": (1, 2, 3)},
    )
    a, b = np.arange(12.0).reshape(2, 3, 1, 2), np.arange(4.0).reshape(2, 2)
    got = reference.run(g, {"a": a, "b": b})
    np.testing.assert_array_equal(got["p"], a)
    np.testing.assert_array_equal(got["q"], a.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(got["r"], b)
    np.testing.assert_array_equal(got["s"], [np.arange(6)] * 2)
    with pytest.raises(UsageError, match="different batches"):
        reference.run(g, {"a": a, "b": b[:1]})
    with pytest.raises(UsageError, match="the inputs are"):
        reference.run(g, {"a": a})
    with pytest.raises(UsageError, match=r"input 'a' is \(3, 1, 2\) an image"):
        reference.run(g, {"a": a[:, :2], "b": b})


def test_steps():
    assert steps(7, 3, 2, 1, (1, 1)) == 4
    assert steps(7, 3, 1, 2, (0, 0)) == 3
    assert steps(2, 3, 1, 1, (0, 0)) == 0
