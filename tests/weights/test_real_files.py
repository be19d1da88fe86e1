"""Real weight files, where POCKETVISION_WEIGHTS names the folder: the same answers as their own
runtimes. Figures over many images: recipes/bench_weights.py.
"""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.weights.exact import exact_network
from pocketvision.weights.importer import import_file

WEIGHTS = Path(os.environ.get("POCKETVISION_WEIGHTS", ""))
DATA = Path(os.environ.get("POCKETVISION_DATA", ""))
pytestmark = pytest.mark.skipif(
    "POCKETVISION_WEIGHTS" not in os.environ, reason="POCKETVISION_WEIGHTS is not set"
)
pytest.importorskip("h5py")
needs_photos = pytest.mark.skipif(
    "POCKETVISION_DATA" not in os.environ, reason="POCKETVISION_DATA is not set"
)


@pytest.fixture(scope="module")
def bench():
    """The recipe's own functions: images, runtimes, figures."""
    folder = Path(__file__).parents[2] / "recipes"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("bench_weights", folder / "bench_weights.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def photos(bench):
    pixels, labels = bench.images(DATA)
    return pixels[::6], labels[::6]  # every sixth, 50


def forward(made, x):
    with torch.no_grad():
        return made.bundle.network()(torch.from_numpy(x)).softmax(1).numpy()


def close_to(bench, made, name, theirs, size, *, bgr=False):
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, *size)).astype(np.float32)
    mine, other = forward(made, x), theirs(x[:, ::-1].copy() if bgr else x)
    assert mine.shape == other.shape
    assert np.abs(mine - other).max() < 1e-4, name


def test_person_or_not(bench):
    pytest.importorskip("ai_edge_litert.interpreter")
    file = WEIGHTS / bench.PERSON
    made = import_file(file)
    close_to(bench, made, file, lambda x: bench.litert(file, x.transpose(0, 2, 3, 1)), (96, 96))
    assert made.bundle.labels["label"].names == ("non_person", "person")
    assert made.found.facts["input"] == "RGB, 0..1"
    assert made.found.facts["activations"] == "relu"


def test_keras_file(bench):
    file = WEIGHTS / bench.KERAS
    made = import_file(file)
    theirs = bench.numpy_run(bench.plain_forward.of_h5(file))
    close_to(bench, made, file, theirs, (224, 224))
    assert made.found.model == "mobilenet_v1 width 0.25"
    assert made.found.facts["batch-norm"] == "27 kept, epsilon 0.001"


def test_tensorflow_js_trunk_and_its_head(bench):
    folder = WEIGHTS / bench.TFJS
    made = import_file(folder)
    layers = bench.plain_forward.of_tfjs(folder)
    close_to(bench, made, folder, bench.numpy_run(layers), (224, 224))
    x = np.random.default_rng(1).uniform(-1, 1, (1, 3, 224, 224)).astype(np.float32)
    inner = bench.plain_forward.run(*layers, x.transpose(0, 2, 3, 1))
    with torch.no_grad():
        last = made.bundle.network().trunk(torch.from_numpy(x)).numpy()
    assert np.abs(last.transpose(0, 2, 3, 1) - inner["out_relu"]).max() < 1e-4
    assert len(made.bundle.labels["label"].names) == 40


def test_text_direction(bench):
    file = WEIGHTS / bench.DIRECTION
    made = import_file(file)
    close_to(bench, made, file, bench.direction(file), (48, 192), bgr=True)
    assert made.bundle.spec.blocks[1].depthwise.strides == (2, 1)
    assert made.found.facts["gates"].startswith("hard-sigmoid of slope 0.2")


def test_text_detector_is_a_trunk():
    made = import_file(WEIGHTS / "onnx/ch_PP-OCRv2_det_infer.onnx")
    assert made.bundle.spec.heads == ()
    assert len(made.bundle.spec.blocks) == 15


@pytest.mark.parametrize(
    ("name", "model", "channels"),
    [
        ("coco_ssd_mobilenet_v1_1.0_quant_300", "mobilenet_v1 width 0.75", 768),
        ("deeplabv3_mnv2_pascal_quant", "mobilenet_v2 width 1.0, first 17 blocks", 320),
        ("deeplabv3_mnv2_dm05_pascal_quant",
         "mobilenet_v2 divisor 4 width 0.5, first 17 blocks", 160),
    ],
)  # fmt: skip
def test_detector_and_segmenters_are_trunks(bench, name, model, channels):
    made = import_file(WEIGHTS / f"tflite/{name}.tflite")
    assert made.found.model == model
    assert made.bundle.golden["output.trunk"].shape[1] == channels
    dilations = [getattr(b.depthwise, "dilation", 1) for b in made.bundle.spec.blocks[-3:]]
    assert dilations == ([2, 2, 2] if "deeplab" in name else [1, 1, 1])


@needs_photos
@pytest.mark.parametrize(
    ("name", "least"),
    [("mobilenet_v1_0.25_128_quant", 0.9), ("mobilenet_v1_0.5_160_quant", 0.92)],
)
def test_quantized_classifiers_agree_with_their_runtime(bench, photos, name, least):
    """On 50 photos, so with a margin of some images below the figures of all 300."""
    pytest.importorskip("ai_edge_litert.interpreter")
    figures = bench.quantized(WEIGHTS / f"tflite/{name}.tflite", *photos)
    assert figures["agreement"] >= least
    assert figures["agreement_quantized"] >= 0.95


def test_grids_of_mobilenet_v2():
    made = import_file(WEIGHTS / "tflite/mobilenet_v2_1.0_224_quant.tflite")
    edges = made.bundle.quantization["edges"]
    assert edges["input"] == {"scheme": "uint8", "scale": 0.0078125, "zero_point": 128}
    # ReLU6 as a grid: 255 steps up to 6.
    assert 255 * edges["blocks.4.expand"]["scale"] == pytest.approx(6, abs=1e-3)
    network = exact_network(made.bundle)
    x = made.bundle.golden["input"][:1]
    with torch.no_grad():
        y = network(x)
    scale = edges["heads.label.classifier"]["scale"]
    steps = (y / scale).numpy()
    assert np.abs(steps - steps.round()).max() < 1e-3  # every logit lies on its grid
    assert made.bundle.labels["label"].background == 0
