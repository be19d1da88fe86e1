"""Each operator in each opset that changed it, computed as ONNX Runtime computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pocketvision.compiler.graph import Channels, Conv, Flatten

RNG = np.random.default_rng(7)


def model(
    nodes: list[onnx.NodeProto], weights: dict[str, Any] | None = None, *, opset: int = 17,
    shape: tuple[int | str, ...] = (1, 6, 7, 5), outputs: tuple[str, ...] = ("y",),
) -> onnx.ModelProto:  # fmt: skip
    """A model with the input x."""
    arrays = [
        numpy_helper.from_array(np.asarray(v if hasattr(v, "dtype") else np.float32(v)), k)
        for k, v in (weights or {}).items()
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs], arrays,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    return made


def one(kind: str, *inputs: Any, opset: int = 17, shape: Any = (1, 6, 7, 5), **a: Any) -> Any:
    """A model of one operator; inputs behind x are arrays."""
    weights = {f"w{i}": v for i, v in enumerate(inputs) if v is not None}
    names = ["x", *("" if v is None else f"w{i}" for i, v in enumerate(inputs))]
    return model([helper.make_node(kind, names, ["y"], **a)], weights, opset=opset, shape=shape)


def ints(*numbers: int) -> np.ndarray:
    return np.asarray(numbers, np.int64)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


CASES: dict[str, Callable[[], onnx.ModelProto]] = {
    "conv asymmetric": lambda: one("Conv", floats(4, 6, 3, 2), floats(4), pads=[1, 0, 2, 1],
                                   strides=[2, 1]),
    "conv dilated": lambda: one("Conv", floats(4, 3, 2, 3), group=2, dilations=[3, 2]),
    "conv same upper": lambda: one("Conv", floats(4, 6, 4, 4), auto_pad="SAME_UPPER",
                                   strides=[2, 3]),
    "conv same lower": lambda: one("Conv", floats(4, 6, 4, 4), auto_pad="SAME_LOWER",
                                   strides=[2, 2]),
    "conv valid": lambda: one("Conv", floats(4, 6, 4, 4), auto_pad="VALID"),
    "conv multiplier": lambda: one("Conv", floats(18, 1, 3, 3), floats(18), group=6),
    "conv transpose": lambda: one("ConvTranspose", floats(6, 4, 3, 3), floats(4), strides=[2, 2],
                                  pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "conv transpose tail": lambda: one("ConvTranspose", floats(6, 4, 2, 2), strides=[3, 3],
                                       output_padding=[2, 1]),
    "conv transpose groups": lambda: one("ConvTranspose", floats(6, 2, 3, 2), group=3,
                                         dilations=[2, 1], pads=[0, 1, 2, 0]),
    "conv transpose shape": lambda: one("ConvTranspose", floats(6, 4, 3, 3), strides=[2, 2],
                                        output_shape=[14, 10]),
    "conv transpose same": lambda: one("ConvTranspose", floats(6, 4, 4, 4), strides=[2, 2],
                                       auto_pad="SAME_UPPER"),
    "gemm": lambda: one("Gemm", floats(6, 4), floats(4), shape=(1, 6), alpha=0.5, beta=2.0),
    "gemm turned": lambda: one("Gemm", floats(4, 6), floats(1, 4), shape=("N", 6), transB=1),
    "matmul": lambda: one("MatMul", floats(6, 4), shape=(1, 6)),
    "matmul of an image": lambda: one("MatMul", floats(5, 4)),
    "norm": lambda: one("BatchNormalization", floats(6), floats(6), floats(6),
                        np.abs(floats(6)) + 0.1, epsilon=1e-3),
    "norm of a vector": lambda: one("BatchNormalization", floats(6), floats(6), floats(6),
                                    np.abs(floats(6)) + 0.1, shape=(1, 6)),
    "clip 9": lambda: one("Clip", opset=9, min=-0.5, max=0.25),
    "clip 9 open": lambda: one("Clip", opset=9),
    "clip 13": lambda: one("Clip", None, np.float32(0.5)),
    "hard swish": lambda: one("HardSwish"),
    "hard sigmoid": lambda: one("HardSigmoid", alpha=0.3, beta=0.4),
    "prelu": lambda: one("PRelu", floats(6, 1, 1)),
    "prelu one": lambda: one("PRelu", floats(1)),
    "leaky": lambda: one("LeakyRelu", alpha=0.3),
    "tanh": lambda: one("Tanh"),
    "constant minus x": lambda: model([helper.make_node("Sub", ["k", "x"], ["y"])],
                                      {"k": floats(6, 1, 1)}),
    "constant over x": lambda: model(
        [helper.make_node("Exp", ["x"], ["e"]), helper.make_node("Div", ["k", "e"], ["y"])],
        {"k": floats(1, 6, 1, 1)}),
    "small minus large": lambda: model(
        [helper.make_node("GlobalAveragePool", ["x"], ["m"]),
         helper.make_node("Sub", ["m", "x"], ["y"])]),
    "large over small": lambda: model(
        [helper.make_node("GlobalAveragePool", ["x"], ["m"]),
         helper.make_node("Exp", ["m"], ["e"]), helper.make_node("Div", ["x", "e"], ["y"])]),
    "add a pixel": lambda: one("Add", floats(7, 5)),
    "add an image": lambda: one("Add", floats(1, 6, 7, 5)),
    "add a row": lambda: one("Mul", floats(1, 5)),
    "max with channels": lambda: one("Max", floats(6, 1, 1)),
    "cube": lambda: one("Pow", np.float32(3)),
    "sum of three": lambda: model([helper.make_node("Sum", ["x", "x", "k"], ["y"])],
                                  {"k": floats(1)}),
    "mean 11": lambda: one("ReduceMean", opset=11, axes=[-1, -2], keepdims=0),
    "mean 18": lambda: one("ReduceMean", ints(2, 3), opset=18),
    "mean of rows": lambda: one("ReduceMean", opset=13, axes=[2]),
    "mean of channels": lambda: one("ReduceMean", opset=13, axes=[1]),
    "max over space": lambda: one("ReduceMax", opset=13, axes=[2, 3]),
    "global max": lambda: one("GlobalMaxPool"),
    "mean pool": lambda: one("AveragePool", kernel_shape=[3, 2], pads=[1, 0, 2, 1],
                             strides=[2, 1]),
    "mean pool counted": lambda: one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                                     count_include_pad=1, strides=[2, 2]),
    "mean pool up": lambda: one("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "mean pool up counted": lambda: one("AveragePool", kernel_shape=[3, 3], strides=[2, 3],
                                        pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1,
                                        opset=19, shape=(1, 2, 8, 8)),
    "mean pool whole": lambda: one("AveragePool", kernel_shape=[7, 5]),
    "max pool up": lambda: one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
                               shape=(1, 6, 8, 8)),
    "max pool": lambda: one("MaxPool", kernel_shape=[2, 3], pads=[0, 1, 1, 2], strides=[1, 2]),
    "max pool same": lambda: one("MaxPool", kernel_shape=[2, 3], auto_pad="SAME_UPPER",
                                 strides=[2, 2]),
    "slice 9": lambda: one("Slice", opset=9, starts=[1, -3], ends=[4, 9999], axes=[1, 2]),
    "slice steps": lambda: one("Slice", ints(0, 1), ints(2**40, 2**40), ints(2, 3), ints(2, 3)),
    "slice backwards": lambda: one("Slice", ints(-1), ints(-(2**40)), ints(1), ints(-1)),
    "split equal": lambda: model(
        [helper.make_node("Split", ["x"], ["a", "y"], axis=1)]),
    "split 18": lambda: model(
        [helper.make_node("Split", ["x"], ["y", "b", "z"], axis=2, num_outputs=3)], opset=18,
        outputs=("y", "z")),
    "pad 9": lambda: one("Pad", opset=9, pads=[0, 0, 1, 2, 0, 0, 0, 3], value=0.5),
    "pad 11": lambda: one("Pad", ints(0, 1, 1, 2, 0, 2, 0, 3), np.float32(1.5), opset=11),
    "pad mirrored": lambda: one("Pad", ints(0, 0, 3, 2, 0, 0, 1, 4), mode="reflect"),
    "pad negative": lambda: one("Pad", ints(0, 0, -1, 2, 0, 0, -2, -1)),
    "pad axes": lambda: one("Pad", ints(1, 2, 0, 3), None, ints(3, 2), opset=18, mode="edge"),
    "upsample 9": lambda: one("Upsample", np.float32([1, 1, 2, 3]), opset=9),
    "upsample 9 linear": lambda: one("Upsample", np.float32([1, 1, 2, 2]), opset=9, mode="linear"),
    "resize 10": lambda: one("Resize", np.float32([1, 1, 0.5, 0.5]), opset=10),
    "resize 10 linear": lambda: one("Resize", np.float32([1, 1, 2, 1.5]), opset=10, mode="linear"),
    "resize 18 axes": lambda: one("Resize", None, np.float32([2.0, 1.5]), opset=18, axes=[2, 3],
                                  mode="linear"),
    "resize 19 symmetric": lambda: one(
        "Resize", None, np.float32([1, 1, 2.0, 2.0]), opset=19, mode="linear",
        coordinate_transformation_mode="half_pixel_symmetric"),
    "softmax 11": lambda: one("Softmax", opset=11, axis=1, shape=(1, 6, 2, 3)),
    "softmax 13": lambda: one("Softmax", axis=1),
    "log softmax": lambda: one("LogSoftmax", axis=1, shape=(1, 6)),
    "softmax last": lambda: model(
        [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]),
         helper.make_node("Softmax", ["t"], ["y"])]),
    "gather one": lambda: model([helper.make_node("Gather", ["x", "i"], ["y"], axis=1)],
                                {"i": np.asarray(2, np.int64)}),
    "dropout": lambda: one("Dropout", np.float32(0.5), opset=13),
    "cast": lambda: one("Cast", to=TensorProto.FLOAT),
    "sqrt": lambda: model([helper.make_node("Abs", ["x"], ["a"]),
                           helper.make_node("Sqrt", ["a"], ["y"])]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_operator_is_computed_alike(agrees, case):
    agrees(CASES[case](), tolerance=2e-5)


@pytest.mark.parametrize("how", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("size", [(9, 11), (14, 10), (3, 2), (1, 1)])
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_resize(agrees, how, mode, size, opset):
    none = np.zeros(0, np.float32)
    agrees(one("Resize", none, none, ints(1, 6, *size), opset=opset, mode=mode,
               coordinate_transformation_mode=how), tolerance=2e-5)  # fmt: skip


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("scale", [2.0, 0.6, 1.7])
def test_resize_nearest(agrees, rounding, scale):
    scales = np.float32([1, 1, scale, scale])
    agrees(one("Resize", None, scales, nearest_mode=rounding, opset=17))


def test_float16_and_double_weights_become_float32(tmp_path, agrees):
    for dtype in (np.float16, np.float64):
        cast = helper.make_node("Cast", ["k"], ["c"], to=TensorProto.FLOAT)
        add = helper.make_node("Mul", ["x", "c"], ["y"])
        graph = agrees(model([cast, add], {"k": RNG.standard_normal((6, 1, 1)).astype(dtype)}))
        assert {n.scale.dtype for n in graph.nodes} == {np.dtype(np.float32)}


def test_shapes_are_computed_from_the_input_shape(agrees):
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Slice", ["s", "two", "four", "zero"], ["hw"]),
        helper.make_node("Cast", ["hw"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "half"], ["g"]),
        helper.make_node("Ceil", ["g"], ["c"]),
        helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT64),
        helper.make_node("Slice", ["s", "zero", "two", "zero"], ["nc"]),
        helper.make_node("Concat", ["nc", "i"], ["sizes"], axis=0),
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest"),
    ]
    weights = {"two": ints(2), "four": ints(4), "zero": ints(0), "half": np.float32([0.5])}
    open_shape = model(nodes, weights, shape=("N", 6, "H", "W"))
    graph = agrees(open_shape, input_shapes={"x": (1, 6, 7, 5)})
    assert graph.outputs[0].shape == (6, 4, 3)


def test_range_constant_of_shape_and_expand(agrees):
    nodes = [
        helper.make_node("Range", ["a", "b", "c"], ["r"]),
        helper.make_node("ConstantOfShape", ["s"], ["one"],
                         value=numpy_helper.from_array(np.float32([2.5]))),
        helper.make_node("Mul", ["r", "one"], ["k"]),
        helper.make_node("Unsqueeze", ["k", "axes"], ["u"]),
        helper.make_node("Mul", ["x", "u"], ["z"]),
        helper.make_node("GlobalAveragePool", ["z"], ["m"]),
        helper.make_node("Expand", ["m", "wide"], ["y"]),
    ]  # fmt: skip
    weights = {"a": np.float32(0), "b": np.float32(6), "c": np.float32(1), "s": ints(6),
               "axes": ints(1, 2), "wide": ints(1, 6, 3, 4)}  # fmt: skip
    agrees(model(nodes, weights))


# -------------------------------------------------------------------------------------- layouts


def keras(*middle: onnx.NodeProto, last: str, channels: int, **weights: Any) -> onnx.ModelProto:
    """(n, h, w, 3), normalised, turned, convolved with TensorFlow's padding, turned back."""
    nodes = [
        helper.make_node("Mul", ["x", "s"], ["x1"]),
        helper.make_node("Sub", ["x1", "one"], ["x2"]),
        helper.make_node("Transpose", ["x2"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["back"], perm=[0, 2, 3, 1]),
        *middle,
    ]
    arrays = {"s": np.float32(1 / 127.5), "one": np.float32([1, 1, 1]), "w": floats(8, 3, 3, 3),
              "b": floats(8), **weights}  # fmt: skip
    made = model(nodes, arrays, shape=("N", 9, 11, 3), outputs=(last,))
    assert channels
    return made


def test_keras_head_over_nhwc(agrees):
    made = keras(
        helper.make_node("ReduceMean", ["back"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["m", "k"], ["d"]),
        helper.make_node("Add", ["d", "kb"], ["e"]),
        helper.make_node("Softmax", ["e"], ["y"]),
        last="y", channels=8, k=floats(8, 5), kb=floats(5),
    )  # fmt: skip
    graph = agrees(made)
    assert graph.inputs[0].layout == "nhwc"
    assert [type(n).__name__ for n in graph.nodes] == ["Affine", "Conv", "GlobalMean", "Conv",
                                                       "Softmax"]  # fmt: skip


def test_keras_excite_and_concat_over_nhwc(agrees):
    made = keras(
        helper.make_node("ReduceMean", ["back"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["m", "tall"], ["g"]),
        helper.make_node("Sigmoid", ["g"], ["h"]),
        helper.make_node("Mul", ["back", "h"], ["p"]),
        helper.make_node("Concat", ["p", "back"], ["q"], axis=3),
        helper.make_node("Pad", ["q", "pads"], ["z"]),
        helper.make_node("MatMul", ["z", "k"], ["y"]),
        last="y", channels=8, tall=ints(-1, 1, 1, 8), k=floats(16, 5),
        pads=ints(0, 1, 2, 0, 0, 0, 0, 0),
    )  # fmt: skip
    graph = agrees(made)
    assert graph.outputs[0].layout == "nhwc"
    assert graph.outputs[0].shape == (6, 8, 5)


@pytest.mark.parametrize("order", ["nchw", "nhwc"])
def test_flatten_before_a_matrix(agrees, order):
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1])]
    nodes = nodes if order == "nhwc" else [helper.make_node("Identity", ["x"], ["t"])]
    nodes += [helper.make_node("Flatten", ["t"], ["f"]),
              helper.make_node("Gemm", ["f", "w"], ["y"])]  # fmt: skip
    graph = agrees(model(nodes, {"w": floats(6 * 7 * 5, 4)}), tolerance=1e-4)
    flat = next(n for n in graph.nodes if isinstance(n, Flatten))
    assert flat.order == ("hwc" if order == "nhwc" else "chw")


def test_shuffle_before_a_pointwise_is_free(agrees):
    nodes = [
        helper.make_node("Reshape", ["x", "five"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["b", "four"], ["c"]),
        helper.make_node("Conv", ["c", "w"], ["y"]),
    ]
    weights = {"five": ints(0, 2, 3, 7, 5), "four": ints(0, -1, 7, 5), "w": floats(4, 6, 1, 1)}
    graph = agrees(model(nodes, weights))
    assert [type(n) for n in graph.nodes] == [Conv]


def test_shuffle_alone(agrees):
    nodes = [
        helper.make_node("Reshape", ["x", "five"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["b", "four"], ["y"]),
    ]
    weights = {"five": ints(0, 2, 3, 7, 5), "four": ints(1, 6, 7, 5)}
    graph = agrees(model(nodes, weights))
    (node,) = graph.nodes
    assert isinstance(node, Channels)
    assert node.index.tolist() == [0, 3, 1, 4, 2, 5]


def test_first_shufflenet_code_halves_the_batch_axis(agrees):
    """(n, c, h, w) -> (n * c / 2, 2, h * w) -> two tensors, as the first public code does."""
    nodes = [
        helper.make_node("Reshape", ["x", "a_shape"], ["a"]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0, 2]),
        helper.make_node("Reshape", ["b", "c_shape"], ["c"]),
        helper.make_node("Gather", ["c", "first"], ["y"], axis=0),
        helper.make_node("Gather", ["c", "second"], ["z"], axis=0),
    ]
    weights = {"a_shape": ints(3, 2, 35), "c_shape": ints(2, -1, 3, 7, 5),
               "first": np.asarray(0, np.int64), "second": np.asarray(1, np.int64)}  # fmt: skip
    agrees(model(nodes, weights, outputs=("y", "z")))


def test_heads_of_a_detector_behind_each_other(agrees):
    """(n, a * k, h, w) -> (n, h * w * a, k), two sizes, as SSD has it."""
    nodes = []
    for i, source in enumerate(("x", "p")):
        nodes += [
            helper.make_node("Conv", [source, "w"], [f"c{i}"]),
            helper.make_node("Transpose", [f"c{i}"], [f"t{i}"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"t{i}", "rows"], [f"r{i}"]),
        ]
    pool = helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2])
    nodes = [pool, *nodes, helper.make_node("Concat", ["r0", "r1"], ["y"], axis=1)]
    weights = {"w": floats(8, 6, 1, 1), "rows": ints(0, -1, 4)}
    graph = agrees(model(nodes, weights))
    assert graph.outputs[0].shape == (2 * 35 + 2 * 6, 4)


def test_two_inputs_and_a_vector(agrees, tmp_path):
    from pocketvision.compiler import reference
    from pocketvision.compiler.read_onnx import read_onnx
    from tests.compiler.conftest import distance, runtime

    made = model(
        [
            helper.make_node("Reshape", ["v", "s"], ["g"]),
            helper.make_node("Mul", ["x", "g"], ["y"]),
        ],
        {"s": ints(-1, 6, 1, 1)},
    )
    made.graph.input.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, ["N", 6]))
    path = tmp_path / "two.onnx"
    path.write_bytes(made.SerializeToString())
    graph = read_onnx(path)
    feeds = {"x": floats(1, 6, 7, 5), "v": floats(1, 6)}
    got = reference.run(graph, feeds)["y"]
    assert distance(got, runtime(path, feeds)["y"]) < 1e-6


def test_output_that_is_the_input(agrees):
    agrees(model([helper.make_node("Identity", ["x"], ["y"])]))


def test_constant_output(agrees):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Identity", ["k"], ["z"])]
    agrees(model(nodes, {"k": floats(1, 3, 2)}, outputs=("y", "z")))
