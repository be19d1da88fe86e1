"""`.tflite` files: a bundle from the operators, with the grids of a quantized file."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from pocketvision.preprocess import Preprocess
from pocketvision.weights import tflite, tflite_file
from pocketvision.weights.found import Imported, Wishes, preprocess_for, scaled
from pocketvision.weights.graph import Graph
from pocketvision.weights.graph_import import Habits, imported

HABITS = Habits(source="TFLite", numerics="tf", padding="same", epsilon=1e-3)
MAX_LABEL_BYTES = 1 << 20


# Damaged numbers overflow; what is not finite in the end is refused there.
@np.errstate(over="ignore", invalid="ignore")
def read(data: bytes, wishes: Wishes) -> Imported:
    """The bundle of a .tflite file. Raises WeightsError."""
    file = tflite_file.read(data)
    graph = tflite.graph(file)
    preprocess, assumed = _preprocess(graph, file, wishes)
    return imported(
        graph, HABITS, preprocess=preprocess, wishes=wishes, assumed=assumed, labels=labels(data)
    )


def _preprocess(
    graph: Graph, file: tflite_file.TFLiteFile, wishes: Wishes
) -> tuple[Preprocess, tuple[str, ...]]:
    """The contract: a quantized input says how pixels become numbers, a real one does not."""
    image = file.tensors[file.inputs[0]] if file.inputs else None
    channels = image.shape[3] if image is not None and len(image.shape) == 4 else 3
    found = graph.shapes.get(graph.inputs[0]) if graph.inputs else None
    known = found is not None and min(found) > 1
    size = wishes.resolution or (found if known and found is not None else (224, 224))
    made = preprocess_for(size, "-1..1", wishes, channels=min(channels, 3) or 3)
    grid = graph.grids.get(graph.inputs[0]) if graph.inputs else None
    assumed = () if known or wishes.resolution else ("the size of the input: 224x224",)
    if grid is None:
        said = wishes.scaling is not None
        return made, assumed if said else (*assumed, "the input scaling: -1..1, as TF-slim has it")
    scale, zero, lowest, _ = grid
    # A stored q stands for scale * (q - zero); pixels 0..255 are q, less the lowest.
    mean, std = (zero - lowest) / 255, 1 / (255 * scale)
    count = made.channels
    exact = Preprocess(size=size, channels=count, mean=(mean,) * count, std=(std,) * count)
    return scaled(exact, wishes), assumed


def labels(data: bytes) -> tuple[str, ...] | None:
    """Names in the label file that some .tflite files carry behind the model, as a zip archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist()[:16]:
                small = info.file_size <= MAX_LABEL_BYTES and info.compress_size <= MAX_LABEL_BYTES
                if "label" in info.filename.lower() and small:
                    with archive.open(info) as f:
                        text = f.read(MAX_LABEL_BYTES).decode("utf-8", "replace")
                    return tuple(line.strip() for line in text.splitlines() if line.strip())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return None
    return None
