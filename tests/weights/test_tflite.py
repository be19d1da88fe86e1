"""TFLite files, written here field by field, beside TFLite's own runtime."""

import numpy as np
import pytest
import torch

from pocketvision.errors import WeightsError
from pocketvision.spec import InvertedResidual, Separable
from pocketvision.weights import read_tflite
from pocketvision.weights.exact import exact_network
from pocketvision.weights.found import Wishes
from pocketvision.weights.tflite_file import Grid, dequantized

from .tflite_writer import Writer, f32, small_float, small_quantized, whole

interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")


def original(data, x):
    """TFLite's own answers, dequantized."""
    run = interpreter.Interpreter(model_content=data, num_threads=1)
    run.allocate_tensors()
    source, target = run.get_input_details()[0], run.get_output_details()[0]
    found = []
    for image in x:
        run.set_tensor(source["index"], image[None])
        run.invoke()
        found.append(run.get_tensor(target["index"]).reshape(-1).copy())
    return np.stack(found), target["quantization"]


def read(data, **wishes):
    return read_tflite.read(data, Wishes(**wishes))


@pytest.mark.parametrize("options", [{}, {"swish": True}, {"padded": True}])
def test_float_file_equals_its_runtime(options):
    data = small_float(**options)
    made = read(data)
    x = np.random.default_rng(1).standard_normal((4, 16, 16, 3)).astype(np.float32)
    theirs, _ = original(data, x)
    with torch.no_grad():
        mine = made.bundle.network()(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).softmax(1)
    assert np.abs(mine.numpy() - theirs).max() < 1e-5
    spec = made.bundle.spec
    assert [type(b) for b in spec.blocks] == [Separable, InvertedResidual]
    assert spec.blocks[1].shortcut == 12
    # 16 is even, so that the two rules differ at stride 2.
    assert spec.numerics.padding == ("symmetric" if options.get("padded") else "same")
    assert spec.stem.act == ("hard_swish" if options.get("swish") else "relu6")
    assert (spec.blocks[0].gate is not None) == options.get("swish", False)


@pytest.mark.parametrize("signed", [False, True], ids=["uint8 per tensor", "int8 per channel"])
def test_quantized_file_equals_its_runtime_to_a_few_steps(signed):
    data = small_quantized(signed=signed)
    made = read(data)
    low = -128 if signed else 0
    kind = np.int8 if signed else np.uint8
    q = np.random.default_rng(2).integers(low, low + 256, (32, 16, 16, 3)).astype(kind)
    theirs, (scale, zero) = original(data, q)
    real = (q.astype(np.float32) - (low + 128)) / 128
    with torch.no_grad():
        y = exact_network(made.bundle)(torch.from_numpy(real.transpose(0, 3, 1, 2).copy())).numpy()
    steps = np.abs(np.round(y / scale) + zero - theirs)
    # The one difference: where the sum of two grids lies on a tie, the kernels' own multipliers,
    # which are cut, decide; a step there is two of the output.
    assert steps.max() <= 3
    assert (steps == 0).mean() > 0.8
    # A pixel p is stored as p in uint8 and p - 128 in int8: the contract must say the same.
    p = made.bundle.preprocess
    assert p.mean == pytest.approx((128 / 255,) * 3)
    assert p.std == pytest.approx((128 / 255,) * 3)


def test_record_of_a_quantized_file():
    record = read(small_quantized(signed=True)).bundle.quantization
    stem = record["tensors"]["stem.conv.weight"]
    assert (stem["scheme"], stem["axis"], len(stem["scale"])) == ("int8", 0, 8)
    assert record["tensors"]["stem.conv.bias"]["scheme"] == "int32"
    assert record["tensors"]["heads.label.classifier.weight"]["scheme"] == "int8"
    assert record["edges"]["blocks.0"] == {
        "scheme": "int8", "scale": pytest.approx(0.06), "zero_point": -28,
    }  # fmt: skip
    assert {"input", "stem", "blocks.0.depthwise", "heads.label.pool"} <= record["edges"].keys()
    assert read(small_float()).bundle.quantization is None


def test_dequantization_by_hand():
    q = np.array([[130, 127], [128, 0]], np.uint8)
    per_tensor = Grid(np.array([0.5]), np.array([128.0]), 0)
    assert dequantized(q, per_tensor, "w").tolist() == [[1.0, -0.5], [0.0, -64.0]]
    per_channel = Grid(np.array([0.5, 2.0]), np.array([0.0, 1.0]), 1)
    assert dequantized(q, per_channel, "w").tolist() == [[65.0, 252.0], [64.0, -2.0]]
    bias = np.array([10, -10], np.int32)  # whatever axis is written, a vector has one
    assert dequantized(bias, Grid(np.array([0.1]), np.array([0.0]), 3), "b").tolist() == [
        pytest.approx(1.0), pytest.approx(-1.0)]  # fmt: skip


def test_relu6_shows_as_a_grid_that_ends_at_six():
    """Some converters leave the activation out where the grid cuts alike."""
    rng = np.random.default_rng(0)
    w = Writer()
    image = w.tensor((1, 8, 8, 3), "uint8", scale=1 / 128, zero=128)
    six = {"dtype": "uint8", "scale": 6 / 255, "zero": 0}
    first = whole(w, rng, (4, 3, 3, 3), 1 / 128, False, 0)
    x = w.conv(image, *first, w.tensor((1, 4, 4, 4), **six), stride=2)
    deep = whole(w, rng, (1, 3, 3, 4), 6 / 255, False, 3)
    y = w.conv(x, *deep, w.tensor((1, 4, 4, 4), **six), deep=True)
    last = whole(w, rng, (4, 1, 1, 4), 6 / 255, False, 0)
    z = w.conv(y, *last, w.tensor((1, 4, 4, 4), "uint8", scale=0.1, zero=0))
    spec = read(w.bytes([image], [z]), resolution=(32, 32)).bundle.spec
    assert (spec.stem.act, spec.blocks[0].depthwise.act) == ("relu6", "relu6")
    assert spec.blocks[0].pointwise.act == "relu"  # cut at zero, but ends at 25.5
    assert spec.heads == ()


def test_a_graph_that_goes_on_is_a_trunk_and_the_rest_is_counted():
    rng = np.random.default_rng(0)
    w = Writer()
    image = w.tensor((1, 8, 8, 3))
    x = w.conv(image, f32(w, rng, 8, 3, 3, 3), f32(w, rng, 8), w.tensor((1, 4, 4, 8)), stride=2)
    y = w.conv(x, f32(w, rng, 1, 3, 3, 8), f32(w, rng, 8), w.tensor((1, 4, 4, 8)), deep=True)
    y = w.conv(y, f32(w, rng, 8, 1, 1, 8), f32(w, rng, 8), w.tensor((1, 4, 4, 8)))
    boxes = w.conv(y, f32(w, rng, 4, 1, 1, 8), f32(w, rng, 4), w.tensor((1, 4, 4, 4)))
    classes = w.conv(y, f32(w, rng, 9, 1, 1, 8), f32(w, rng, 9), w.tensor((1, 4, 4, 9)))
    made = read(w.bytes([image], [boxes, classes]), resolution=(32, 32))
    assert made.bundle.spec.heads == ()
    assert made.bundle.golden["output.trunk"].shape == (2, 8, 16, 16)
    assert made.found.left_out[0].startswith("2 operators after the trunk")


def test_what_is_no_known_network_is_named():
    rng = np.random.default_rng(0)
    w = Writer()
    image = w.tensor((1, 8, 8, 3))
    x = w.conv(image, f32(w, rng, 8, 3, 3, 3), f32(w, rng, 8), w.tensor((1, 4, 4, 8)), stride=2)
    y = w.conv(x, f32(w, rng, 8, 3, 3, 8), f32(w, rng, 8), w.tensor((1, 4, 4, 8)))
    with pytest.raises(
        WeightsError, match=r"no block of a known network .* operator 1 \(CONV_2D\)"
    ):
        read(w.bytes([image], [y]))


def test_labels_packed_behind_the_model(tmp_path):
    import io
    import zipfile

    data = small_float()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        z.writestr("labels.txt", "ant\nbee\ncat\ndog\nelk\n")
    made = read(data + packed.getvalue())
    assert made.bundle.labels["label"].names == ("ant", "bee", "cat", "dog", "elk")


def test_weights_in_half_precision():
    """Converters store float16 constants and a DEQUANTIZE behind each."""
    rng = np.random.default_rng(0)
    w = Writer()
    image = w.tensor((1, 32, 32, 3))

    def half(*shape):
        values = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float16)
        return w.add("DEQUANTIZE", [w.constant(values)], w.tensor(shape))

    x = w.conv(image, half(8, 3, 3, 3), half(8), w.tensor((1, 16, 16, 8)), stride=2, act=3)
    y = w.conv(x, half(1, 3, 3, 8), half(8), w.tensor((1, 16, 16, 8)), act=3, deep=True)
    y = w.conv(y, half(8, 1, 1, 8), half(8), w.tensor((1, 16, 16, 8)))
    y = w.add("ADD", [x, y], w.tensor((1, 16, 16, 8)))
    data = w.bytes([image], [y])
    made = read(data)
    images = rng.standard_normal((2, 32, 32, 3)).astype(np.float32)
    theirs, _ = original(data, images)
    with torch.no_grad():
        mine = made.bundle.network()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    assert made.bundle.spec.blocks[0].shortcut == 8
    assert np.abs(mine.transpose(0, 2, 3, 1).reshape(2, -1) - theirs).max() < 1e-4
