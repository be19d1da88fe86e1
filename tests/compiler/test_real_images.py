"""A trained network, compiled, on 300 photos: the same answers as in ONNX Runtime."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from pocketvision import bundle as bundles
from pocketvision.compiler import runtime
from pocketvision.decode import decode
from pocketvision.export import artifact
from pocketvision.export import compile as compiling
from pocketvision.export.open import open_model
from pocketvision.preprocess import to_tensor, to_uint8
from pocketvision.weights.importer import import_file

from .native import CC

SHARED = Path(__file__).parents[3] / "shared"
DATA = Path(os.environ.get("POCKETVISION_DATA", SHARED / "data")) / "imagenet_val300"
WEIGHTS = Path(os.environ.get("POCKETVISION_WEIGHTS", SHARED / "weights")) / "tflite"

pytestmark = [
    pytest.mark.skipif(CC is None, reason="no C compiler is installed"),
    pytest.mark.skipif(
        not (DATA.is_dir() and WEIGHTS.is_dir()), reason="the photos and weights are not here"
    ),
]


def rgb(path: Path) -> np.ndarray:
    """The photo's pixels."""
    return decode(path)


@pytest.mark.timeout(400)
def test_300_photos_answer_as_in_onnx_runtime(tmp_path: Path) -> None:
    """MobileNetV2 1.0 with its trained weights: 1e-4 relative, and every first class."""
    imported = import_file(WEIGHTS / "mobilenet_v2_1.0_224_quant.tflite").bundle
    path = bundles.save(imported, tmp_path / "bundle")
    onnx = artifact.make(bundles.load(path), "onnx", tmp_path / "onnx").path
    compiled = compiling.make(path, tmp_path / "c")
    library = runtime.load(compiled.path, threads=2)
    reference = open_model(onnx, threads=1).runtime
    with (DATA / "labels.csv").open(newline="") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    worst, same = 0.0, 0
    for name in names:
        image = rgb(DATA / name)
        x = to_tensor(to_uint8(image, imported.preprocess)[None], imported.preprocess)
        y = next(iter(reference(x).values()))[0]
        (z,) = library.run([x[0]])
        worst = max(worst, float(np.abs(z - y).max() / np.abs(y).max()))
        same += int(z.argmax() == y.argmax())
        if name == names[0]:  # the library's own preparation of the image
            own = library.preprocess(image)
            assert np.abs(own - x[0]).max() < 2 / 127.5
    assert len(names) == 300
    assert worst <= 1e-4
    assert same == len(names)
