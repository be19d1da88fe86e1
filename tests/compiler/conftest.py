"""Models written to disk, run by ONNX Runtime, read and run by the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from pocketvision.compiler import reference
from pocketvision.compiler.graph import Graph
from pocketvision.compiler.passes import simplify
from pocketvision.compiler.read_onnx import read_onnx


def runtime(path: Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime, optimizations off, makes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def noise(graph: Graph, seed: int = 0, batch: int = 1) -> dict[str, np.ndarray]:
    """Random inputs in the file's layouts."""
    rng = np.random.default_rng(seed)
    found = {}
    for i in graph.inputs:
        h, w, c = i.shape
        shape = {"nchw": (c, h, w), "nhwc": (h, w, c), "nc": (c,)}[i.layout]
        found[i.name] = rng.standard_normal((batch, *shape)).astype(np.float32)
    return found


def distance(got: np.ndarray, want: np.ndarray) -> float:
    """The largest difference, relative to the largest number where that is above one."""
    assert got.shape == want.shape, (got.shape, want.shape)
    return float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))


def worst(graph: Graph, feeds: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> float:
    """The largest distance of the reference's outputs from the wanted ones."""
    got = reference.run(graph, feeds)
    assert list(got) == list(want)
    return max(distance(got[name], want[name]) for name in want)


@pytest.fixture
def agrees(tmp_path):
    """check(model, ...): the graph, raw and simplified, computes what ONNX Runtime does.

    Returns the simplified graph.
    """

    def check(model: onnx.ModelProto, *, tolerance: float = 1e-5, **options: object) -> Graph:
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        graph = read_onnx(path, **options)
        simple = simplify(graph)
        feeds = noise(graph, batch=1)
        want = runtime(path, feeds)
        assert worst(graph, feeds, want) < tolerance
        assert worst(simple, feeds, want) < tolerance
        return simple

    return check
