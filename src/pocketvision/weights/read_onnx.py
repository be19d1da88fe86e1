"""`.onnx` files: a bundle from the operators, batch-norms kept where the file has them."""

from __future__ import annotations

import numpy as np

from pocketvision.weights import onnx
from pocketvision.weights.found import Imported, Wishes, preprocess_for
from pocketvision.weights.graph_import import Habits, imported

HABITS = Habits(source="ONNX", numerics="torch", padding="symmetric", epsilon=1e-5)


# Damaged numbers overflow; what is not finite in the end is refused there.
@np.errstate(over="ignore", invalid="ignore")
def read(data: bytes, wishes: Wishes) -> Imported:
    """The bundle of an .onnx file. Raises WeightsError."""
    graph = onnx.graph(data)
    found = graph.shapes.get(graph.inputs[0]) if graph.inputs else None
    size = wishes.resolution or found or (224, 224)
    assumed: tuple[str, ...] = (
        () if wishes.resolution or found else ("the size of the input: 224x224",)
    )
    if wishes.scaling is None:
        assumed += ("the input scaling: ImageNet's mean and deviation",)
    preprocess = preprocess_for(size, "imagenet", wishes)
    return imported(graph, HABITS, preprocess=preprocess, wishes=wishes, assumed=assumed)
