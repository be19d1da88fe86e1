"""Files that cannot be read: one line that names what, and nothing but that; damaged ones too."""

from __future__ import annotations

import re
import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pocketvision.compiler import onnx_file, onnx_wire
from pocketvision.compiler.passes import simplify
from pocketvision.compiler.read_onnx import read_onnx
from pocketvision.errors import DataError, PocketvisionError, UsageError
from tests.compiler.random_graphs import random_model
from tests.compiler.test_read_operators import floats, ints, model, one


def fails(tmp_path, made: onnx.ModelProto, kind: type = DataError, **options: Any) -> str:
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(kind) as caught:
        read_onnx(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 900
    return text


def node(kind: str, *inputs: str, **a: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs) or ["x"], ["y"], name="the_node", **a)


CASES = {
    "unknown operator": (
        lambda: model([node("Softplus")]), "Softplus 'the_node': this operator is not supported"),
    "similar operator": (
        lambda: model([node("GlobalLpPool")]), "did you mean 'GlobalMaxPool'?"),
    "quantized": (
        lambda: model([node("QuantizeLinear", "x", "k", "z")],
                      {"k": np.float32(1), "z": np.asarray(0, np.uint8)}),
        "QuantizeLinear 'the_node'"),
    "weights computed": (
        lambda: model([node("Conv", "x", "x")]), "its weights are computed ('x')"),
    "one axis of space": (
        lambda: model([node("Conv", "x", "k")], {"k": floats(4, 6, 3)}), "over two axes of space"),
    "channels": (
        lambda: model([node("Conv", "x", "k")], {"k": floats(4, 5, 3, 3)}),
        "do not fit 6 channels"),
    "kernel too large": (
        lambda: model([node("Conv", "x", "k")], {"k": floats(4, 6, 9, 9)}), "shape -1x-3x4"),
    "no groups": (
        lambda: model([node("Conv", "x", "k", group=0)], {"k": floats(4, 6, 1, 1)}), "0 groups"),
    "auto_pad": (
        lambda: model([node("Conv", "x", "k", auto_pad="SAME")], {"k": floats(4, 6, 1, 1)}),
        "SAME_UPPER"),
    "stride": (
        lambda: model([node("Conv", "x", "k", strides=[0, 1])], {"k": floats(4, 6, 1, 1)}),
        "strides is (0, 1)"),
    "huge padding": (
        lambda: model([node("Conv", "x", "k", pads=[65000] * 4)], {"k": floats(4, 6, 1, 1)}),
        "its output would have the shape"),
    "negative padding": (
        lambda: model([node("Conv", "x", "k", pads=[-1] * 4)], {"k": floats(4, 6, 1, 1)}),
        "pads is (-1, -1, -1, -1)"),
    "dilated pool": (
        lambda: model([node("MaxPool", kernel_shape=[2, 2], dilations=[2, 2])]), "dilations"),
    "cubic": (
        lambda: one("Resize", None, np.float32([1, 1, 2, 2]), mode="cubic"),
        "nearest and linear are supported"),
    "crop and resize": (
        lambda: one("Resize", None, np.float32([1, 1, 2, 2]),
                    coordinate_transformation_mode="tf_crop_and_resize"), "half_pixel"),
    "resized channels": (
        lambda: one("Resize", None, np.float32([1, 2, 1, 1])), "rows and columns are supported"),
    "huge resize": (
        lambda: one("Resize", None, np.float32([1, 1, 1e5, 1e5])), "output would have the shape"),
    "endless resize": (
        lambda: one("Resize", None, np.float32([1, 1, np.inf, 1])), "asks for inf"),
    "turned space": (
        lambda: model([helper.make_node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]),
                       node("Conv", "t", "k")], {"k": floats(4, 6, 1, 1)}), "is mixed"),
    "mixed batch": (
        lambda: model([helper.make_node("Reshape", ["x", "s"], ["t"]),
                       node("Conv", "t", "k")], {"k": floats(4, 3, 1, 1), "s": ints(2, 3, 7, 5)}),
        "axis 0 of its input (2, 3, 7, 5) is not the batch"),
    "reshape that does not fit": (
        lambda: one("Reshape", ints(1, 4, 3)), "does not hold the numbers of [1, 6, 7, 5]"),
    "softmax over space": (lambda: one("Softmax", axis=2), "over the channels is supported"),
    "power": (lambda: one("Pow", np.float32(2.5)), "-1, 0.5, 1, 2 and 3"),
    "divided by zero": (lambda: one("Div", np.float32(0)), "divides by zero"),
    "whole numbers": (lambda: one("Cast", to=TensorProto.INT32), "floats are supported"),
    "split": (
        lambda: model([helper.make_node("Split", ["x", "s"], ["y", "z"], axis=1)],
                      {"s": ints(2, 3)}), "do not make up axis 1"),
    "dropout's mask": (
        lambda: model([helper.make_node("Dropout", ["x"], ["y", "m"])], outputs=("y", "m")),
        "its second output is used"),
    "training": (
        lambda: model([node("BatchNormalization", "x", "k", "k", "k", "k", training_mode=1)],
                      {"k": np.abs(floats(6))}), "evaluation mode"),
    "NaN": (
        lambda: model([node("Conv", "x", "kernel")],
                      {"kernel": np.full((4, 6, 1, 1), np.nan, np.float32)}),
        "tensor 'kernel' holds NaN"),
    "infinite bias": (
        lambda: model([node("Add", "x", "shift")], {"shift": np.float32([np.inf])}),
        "tensor 'shift' holds NaN or infinite"),
    "circle": (
        lambda: model([helper.make_node("Add", ["x", "b"], ["a"]),
                       helper.make_node("Relu", ["a"], ["b"]), node("Relu", "b")]),
        "the graph goes in a circle"),
    "undefined input": (
        lambda: model([node("Add", "x", "nobody")]), "reads 'nobody', which no operator makes"),
    "made twice": (
        lambda: model([node("Relu"), node("Relu")]), "makes 'y' a second time"),
    "output of nobody": (
        lambda: model([node("Relu")], outputs=("z",)), "output 'z' is made by no operator"),
    "foreign domain": (
        lambda: model([node("Relu", domain="ai.onnx.ml")]), "of the domain 'ai.onnx.ml'"),
    "opset 8": (lambda: model([node("Relu")], opset=8), "opset 8; opsets 9 to 21 are read"),
    "opset 22": (lambda: model([node("Relu")], opset=22), "opset 22"),
    "three axes": (lambda: model([node("Relu")], shape=(1, 3, 5)), "has 3 axes"),
    "huge constants": (
        lambda: model([helper.make_node("ConstantOfShape", ["s"], ["c"]), node("Add", "x", "c")],
                      {"s": ints(1 << 20, 1 << 20)}), "cannot be computed from its constants"),
    "endless range": (
        lambda: model([helper.make_node("Range", ["a", "b", "c"], ["r"]), node("Add", "x", "r")],
                      {"a": np.float32(0), "b": np.float32(1e30), "c": np.float32(1)}),
        "cannot be computed"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_supported_is_named(tmp_path, case):
    make, words = CASES[case]
    assert words in fails(tmp_path, make())


def test_constants_that_double_and_double_stop(tmp_path):
    nodes = [helper.make_node("Concat", [f"k{i}"] * 2, [f"k{i + 1}"], axis=0) for i in range(60)]
    made = model([*nodes, node("Add", "x", "k60")], {"k0": floats(1 << 10)})
    start = time.perf_counter()
    assert "cannot be computed" in fails(tmp_path, made)
    assert time.perf_counter() - start < 5


# ------------------------------------------------------------------------------------- shapes


def test_open_shape_names_the_flag(tmp_path):
    made = one("Relu", shape=("N", 3, "H", "W"))
    text = fails(tmp_path, made, UsageError)
    assert "--input-shape x=1,3,48,192" in text
    made = one("Relu", shape=("N", 3, 32, "W"))
    assert "--input-shape x=1,3,32,192" in fails(tmp_path, made, UsageError)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 4, 8, 8), "does not fit"),
        ((1, 3, 8), "does not fit"),
        ((1, 3, 0, 8), "cannot have the shape"),
        ((1, 3, -8, 8), "cannot have the shape"),
        ((1, 3, 1 << 20, 1 << 20), "cannot have the shape"),
    ],
)
def test_wrong_shape(tmp_path, shape, words):
    made = one("Relu", shape=("N", 3, "H", "W"))
    assert words in fails(tmp_path, made, UsageError, input_shapes={"x": shape})


def test_shape_of_no_input(tmp_path):
    text = fails(tmp_path, one("Relu"), UsageError, input_shapes={"xx": (1, 6, 7, 5)})
    assert "no input called 'xx'; did you mean 'x'?" in text


def test_a_shape_makes_no_use_of_a_negative_size(tmp_path, agrees):
    made = one("Relu", shape=("N", 3, "H", "W"))
    for d in made.graph.input[0].type.tensor_type.shape.dim[2:]:
        d.dim_value = -1  # as Paddle writes what is open
    assert "--input-shape" in fails(tmp_path, made, UsageError)
    agrees(one("Relu", shape=("N", 3, "H", "W")), input_shapes={"x": (1, 3, 4, 6)})


# ------------------------------------------------------------------------------- external data


def external(tmp_path, location: str, *, length: int | None = None, offset: int = 0) -> Any:
    made = model([node("Mul", "x", "k")], {"k": floats(6, 1, 1)})
    (tensor,) = made.graph.initializer
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    rows = {"location": location, "offset": str(offset)}
    rows |= {} if length is None else {"length": str(length)}
    for key, value in rows.items():
        tensor.external_data.add(key=key, value=value)
    return made, data


def test_external_data_beside_the_model(tmp_path):
    made, data = external(tmp_path, "weights/all.bin", offset=4, length=24)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "all.bin").write_bytes(b"abcd" + data)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    graph = read_onnx(path)
    assert graph.nodes[0].scale.astype(np.float32).tobytes() == data


def test_external_data_missing(tmp_path):
    made, _ = external(tmp_path, "weights.bin")
    assert "'weights.bin', which is missing: copy it beside" in fails(tmp_path, made)


@pytest.mark.parametrize("location", ["../outside.bin", "/etc/passwd", "", ".", "a/../../b", "\0"])
def test_external_data_outside_the_folder(tmp_path, location):
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(24))
    made, _ = external(folder, location)
    text = fails(folder, made)
    assert "outside the model's folder" in text or "no name" in text


def test_external_data_through_a_link(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(24))
    (folder / "weights.bin").symlink_to(tmp_path / "outside.bin")
    assert "outside the model's folder" in fails(folder, external(folder, "weights.bin")[0])


@pytest.mark.parametrize(("offset", "length"), [(0, 4000), (23, 24), (-1, 24), (10**18, 1)])
def test_external_data_out_of_range(tmp_path, offset, length):
    (tmp_path / "weights.bin").write_bytes(bytes(24))
    made, _ = external(tmp_path, "weights.bin", offset=offset, length=length)
    assert "copy it again" in fails(tmp_path, made)


def test_external_data_that_is_too_short_for_its_shape(tmp_path):
    (tmp_path / "weights.bin").write_bytes(bytes(8))
    assert "'k' is damaged" in fails(tmp_path, external(tmp_path, "weights.bin")[0])


# ------------------------------------------------------------------------------------- damage


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read_onnx(tmp_path / "nothing.onnx")
    with pytest.raises(DataError, match="it is not a file"):
        read_onnx(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00" * 40, b"PK\x03\x04" + bytes(50)])
def test_no_onnx(tmp_path, data):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"not a whole \.onnx file|not an \.onnx file"):
        read_onnx(path)


def test_claimed_shapes_are_not_believed(tmp_path):
    made = model([node("Mul", "x", "k")], {"k": floats(6, 1, 1)})
    for dims in ([1 << 40], [-1], [1 << 20, 1 << 20], [7, 1, 1], [2] * 40):
        made.graph.initializer[0].dims[:] = dims
        assert re.search(r"claims the shape|'k' is damaged", fails(tmp_path, made))


def test_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 10)
    assert "MiB are read" in fails(tmp_path, one("Relu", shape=(1, 3, 32, 32), opset=13))


def test_bomb_of_empty_messages(tmp_path):
    """Two bytes a node: a megabyte would unfold to a hundred."""
    count = onnx_wire.MAX_FIELDS + 10
    body = b"\x0a\x00" * count
    size, row = len(body), []
    while size:
        row.append(size & 0x7F | (0x80 if size > 0x7F else 0))
        size >>= 7
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x3a" + bytes(row) + body)
    start = time.perf_counter()
    with pytest.raises(DataError, match="fields"):
        read_onnx(path)
    assert time.perf_counter() - start < 20


def test_nested_without_end(tmp_path):
    """A graph in an attribute in a node in a graph, a hundred times."""

    def field(number: int, inner: bytes) -> bytes:
        size, row = len(inner), []
        while True:
            row.append(size & 0x7F | (0x80 if size > 0x7F else 0))
            size >>= 7
            if not size:
                return bytes([number << 3 | 2, *row]) + inner

    data = b""
    for _ in range(100):
        data = field(1, field(5, field(6, data)))
    path = tmp_path / "model.onnx"
    path.write_bytes(field(7, data))
    with pytest.raises(DataError, match="nested"):
        read_onnx(path)


def test_too_many_operators(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MAX_NODES", 2)
    made = model([helper.make_node("Relu", [a], [b]) for a, b in ("xa", "ab", "by")])
    assert "3 operators; up to 2" in fails(tmp_path, made)


def damaged(data: bytes, seed: int) -> bytes:
    """Cut short, bits turned, bytes written over, pieces moved."""
    rng = np.random.default_rng(seed)
    raw = bytearray(data)
    kind = seed % 4
    if kind == 0:
        return bytes(raw[: rng.integers(1, len(raw))])
    if kind == 1:
        for at in rng.integers(0, len(raw), rng.integers(1, 6)):
            raw[at] ^= 1 << int(rng.integers(8))
        return bytes(raw)
    at, n = int(rng.integers(len(raw))), int(rng.integers(1, 12))
    if kind == 2:
        raw[at : at + n] = rng.bytes(n)
        return bytes(raw)
    to = int(rng.integers(len(raw)))
    raw[to:to] = raw[at : at + 20 * n]
    return bytes(raw)


@pytest.mark.parametrize("part", range(4))
def test_damaged_files_give_one_line_or_a_graph(tmp_path, part):
    path = tmp_path / "model.onnx"
    outcomes, lines = {"read": 0, "refused": 0}, set()
    start = time.perf_counter()
    for seed in range(part, 1200, 4):
        made = random_model(np.random.default_rng(seed % 37))
        path.write_bytes(damaged(made.SerializeToString(), seed))
        try:
            simplify(read_onnx(path))
            outcomes["read"] += 1
        except PocketvisionError as e:
            outcomes["refused"] += 1
            lines.add(len(str(e).splitlines()))
    assert outcomes["refused"] > 10
    assert lines == {1}
    assert time.perf_counter() - start < 60


def test_messages_are_of_one_line_whatever_the_file_calls_things(tmp_path):
    made = model([helper.make_node("Relu", ["x"], ["y"], name="a\nb\x1b[31m")])
    made.graph.node[0].op_type = "Re\nlu"
    text = fails(tmp_path, made)
    assert re.search(r"[\n\x1b]", text) is None


def test_float_tensor_of_every_storage(agrees):
    """float_data instead of raw bytes, as older writers have it."""
    made = model([node("Mul", "x", "k")])
    tensor = helper.make_tensor("k", TensorProto.FLOAT, [6, 1, 1], floats(6).tolist())
    made.graph.initializer.append(tensor)
    half = numpy_helper.from_array(floats(6, 1, 1).astype(np.float16), "h")
    assert half.raw_data
    agrees(made)
