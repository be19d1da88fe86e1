"""Hold imported weights against their own runtimes, on the same tensors of real images.

command   POCKETVISION_WEIGHTS=... POCKETVISION_DATA=... make bench-weights
needs     the extra "test": ai-edge-litert runs TFLite files, onnxruntime ONNX files; Keras and
          TensorFlow.js files run in plain numpy (plain_forward.py)
machine   any; one core
time      about 3 minutes
expect    results/imported_weights.json; agreement in real numbers at least 0.92 (MobileNetV1 0.25),
          0.96 (V1 0.5, V2), rounded to the files' grids at least 0.97; largest differences of real
          files below 1e-4

top1, original_top1     share of images whose first class is right: our network, their runtime
agreement               share of images with the same first class, ours in real numbers
agreement_quantized     the same with activations rounded to the file's grids; a first class that
                        shares the original's highest value counts as the same
largest_difference      of the outputs (probabilities), for files in real numbers
relative_difference     of a trunk's last map: |ours - theirs| / |theirs| over all values
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plain_forward
import torch

from pocketvision.bench.host import host
from pocketvision.decode import decode
from pocketvision.files import replace_file
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess, to_tensor, to_uint8
from pocketvision.weights import blocks, passes, tflite, tflite_file
from pocketvision.weights.exact import exact_network
from pocketvision.weights.importer import import_file

RESULT = Path("results/imported_weights.json")
BATCH = 10
TRUNK_IMAGES = 8
QUANTIZED = (
    "tflite/mobilenet_v1_0.25_128_quant.tflite",
    "tflite/mobilenet_v1_0.5_160_quant.tflite",
    "tflite/mobilenet_v2_1.0_224_quant.tflite",
)
TRUNKS = (
    "tflite/coco_ssd_mobilenet_v1_1.0_quant_300.tflite",
    "tflite/deeplabv3_mnv2_pascal_quant.tflite",
    "tflite/deeplabv3_mnv2_dm05_pascal_quant.tflite",
)
KERAS = "keras/imagenet_mobilenet_v1_0.25_224.h5"
PERSON = "tflite/vww_mobilenet_v1_0.25_96_float.tflite"
TFJS = "tfjs/mobilenet_v2_0.35_224_backbone"
DIRECTION = "onnx/ch_ppocr_mobile_v2.0_cls_infer.onnx"

Run = Callable[[np.ndarray], np.ndarray]


# ------------------------------------------------------------------------------------------- images


def images(data: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Decoded images of imagenet_val300 and their labels (0 to 999)."""
    folder = data / "imagenet_val300"
    with (folder / "labels.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    return [decode(folder / r["image"]) for r in rows], np.array([int(r["label"]) for r in rows])


def squashed(pixels: list[np.ndarray], p: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 (n, h, w, c), float32 (n, c, h, w)) of whole images brought to the input's size."""
    p = replace(p, resize="squash")
    whole = np.stack([to_uint8(image, p) for image in pixels])
    return whole, to_tensor(whole, p)


# ----------------------------------------------------------------------------------------- runtimes


@torch.inference_mode()
def ours(network: Network, x: np.ndarray) -> np.ndarray:
    """Logits of our network in batches."""
    return np.concatenate([network(b).numpy() for b in torch.from_numpy(x).split(BATCH)])


def litert(path: Path, inputs: np.ndarray, tensor: int | None = None) -> np.ndarray:
    """What TFLite's own runtime gives for each input, or one inner tensor made real."""
    from ai_edge_litert.interpreter import Interpreter

    keep = tensor is not None
    run = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=keep)
    run.allocate_tensors()
    source = run.get_input_details()[0]["index"]
    target = run.get_output_details()[0]["index"] if tensor is None else tensor
    scale, zero = next(d["quantization"] for d in run.get_tensor_details() if d["index"] == target)
    found = []
    for x in inputs:
        run.set_tensor(source, x[None])
        run.invoke()
        y = run.get_tensor(target)[0]
        found.append((y.astype(np.float32) - zero) * scale if keep else y.copy())
    return np.stack(found)


def numpy_run(read: tuple[list[dict[str, Any]], dict[str, np.ndarray]]) -> Run:
    """A Keras description as a function of (n, c, h, w), in plain numpy."""

    def run(x: np.ndarray) -> np.ndarray:
        parts = np.split(x.transpose(0, 2, 3, 1), range(BATCH, len(x), BATCH))
        return np.concatenate([list(plain_forward.run(*read, p).values())[-1] for p in parts])

    return run


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# -------------------------------------------------------------------------------------------- files


def same(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Share of images with the same first class."""
    return float((mine.argmax(1) == theirs.argmax(1)).mean())


def same_or_tied(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Share of images where our first class has the highest value of theirs."""
    chosen = np.take_along_axis(theirs, mine.argmax(1)[:, None], axis=1)[:, 0]
    return float((chosen == theirs.max(1)).mean())


def right(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose first class is the label, a background class in front left out."""
    return float((scores.argmax(1) - (scores.shape[1] - 1000) == labels).mean())


def row(**more: float | None) -> dict[str, float | None]:
    """A file's figures; those that do not apply are None."""
    keys = ("top1", "original_top1", "agreement", "agreement_quantized")
    return {**dict.fromkeys(keys), **more}


def quantized(path: Path, pixels: list[np.ndarray], labels: np.ndarray) -> dict[str, Any]:
    """A classifier in whole numbers: real arithmetic and rounded arithmetic beside LiteRT's."""
    bundle = import_file(path).bundle
    whole, x = squashed(pixels, bundle.preprocess)
    theirs = litert(path, whole)
    real, rounded = ours(bundle.network(), x), ours(exact_network(bundle), x)
    return row(
        top1=right(real, labels),
        original_top1=right(theirs, labels),
        agreement=same(real, theirs),
        agreement_quantized=same_or_tied(rounded, theirs),
        top1_quantized=right(rounded, labels),
    )


def keras(path: Path, pixels: list[np.ndarray], labels: np.ndarray) -> dict[str, Any]:
    """The Keras file beside a forward pass in numpy."""
    bundle = import_file(path).bundle
    _, x = squashed(pixels, bundle.preprocess)
    mine, theirs = ours(bundle.network(), x), numpy_run(plain_forward.of_h5(path))(x)
    return row(
        top1=right(mine, labels),
        original_top1=right(theirs, labels),
        agreement=same(mine, theirs),
        largest_difference=float(np.abs(probabilities(mine) - theirs).max()),
    )


def real(path: Path, pixels: list[np.ndarray], theirs: Run, *, bgr: bool = False) -> dict[str, Any]:
    """A file in real numbers whose classes are not ImageNet's."""
    bundle = import_file(path).bundle
    _, x = squashed(pixels, bundle.preprocess)
    mine, other = ours(bundle.network(), x), theirs(x[:, ::-1].copy() if bgr else x)
    difference = float(np.abs(probabilities(mine) - other).max())
    return row(agreement=same(mine, other), largest_difference=difference)


def trunk(path: Path, pixels: list[np.ndarray]) -> dict[str, Any]:
    """A detector or segmenter: the last map of its trunk beside the same tensor in LiteRT."""
    bundle = import_file(path).bundle
    whole, x = squashed(pixels[:TRUNK_IMAGES], bundle.preprocess)
    graph = passes.joined(tflite.graph(tflite_file.read(path.read_bytes())))
    last = blocks.read(graph).edges[f"blocks.{len(bundle.spec.blocks) - 1}"]
    theirs = litert(path, whole, tensor=int(last.removeprefix("t"))).transpose(0, 3, 1, 2)
    figures = {}
    for name, network in (("", bundle.network()), ("_quantized", exact_network(bundle))):
        mine = ours(network, x)
        figures[f"relative_difference{name}"] = float(
            np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)
        )
    return row(**figures)


def direction(path: Path) -> Run:
    """The text-direction file in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]


def measured(weights: Path, data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file, figures) one after the other."""
    pixels, labels = images(data)
    for name in QUANTIZED:
        yield name, quantized(weights / name, pixels, labels)
    yield KERAS, keras(weights / KERAS, pixels, labels)
    person = weights / PERSON
    yield PERSON, real(person, pixels, lambda x: litert(person, x.transpose(0, 2, 3, 1)))
    read = plain_forward.of_tfjs(weights / TFJS)
    yield TFJS, real(weights / TFJS, pixels, numpy_run(read))
    yield DIRECTION, real(weights / DIRECTION, pixels, direction(weights / DIRECTION), bgr=True)
    for name in TRUNKS:
        yield name, trunk(weights / name, pixels)


def kept(part: str) -> dict[str, Any]:
    """A part of the result that other recipes write."""
    try:
        found = json.loads(RESULT.read_bytes()).get(part, {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def main() -> int:
    """Measure, write the result and show it."""
    places = [os.environ.get(f"POCKETVISION_{name}") for name in ("WEIGHTS", "DATA")]
    if not all(places):
        print("set POCKETVISION_WEIGHTS and POCKETVISION_DATA to the folders of real files")
        return 2
    torch.set_num_threads(1)
    weights, data = (Path(str(p)) for p in places)
    files = {}
    for name, figures in measured(weights, data):
        files[Path(name).name] = figures
        shown = {k: round(v, 6) for k, v in figures.items() if v is not None}
        print(Path(name).name, shown, flush=True)
    result = {"host": host(environment=os.environ), "files": files, "transfer": kept("transfer")}
    replace_file(RESULT, json.dumps(result, indent=1) + "\n")
    print(f"written to {RESULT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
