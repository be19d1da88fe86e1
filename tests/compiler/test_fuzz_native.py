"""Random ONNX files as C libraries against ONNX Runtime, on every target that this machine runs."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from pocketvision.compiler import build
from pocketvision.compiler.passes import simplify
from pocketvision.compiler.plan import Options
from pocketvision.compiler.read_onnx import read_onnx
from pocketvision.compiler.targets import TARGETS

from .conftest import distance, noise, runtime
from .many import compiled
from .random_graphs import random_model

# `POCKETVISION_FUZZ=500 pytest tests/compiler/test_fuzz_native.py` takes some minutes.
MODELS = int(os.environ.get("POCKETVISION_FUZZ", "60"))
FIRST = int(os.environ.get("POCKETVISION_FUZZ_SEED", "0"))
BATCH = 20  # models a library
TOLERANCE = 1e-4
RUNNABLE = [n for n in ("x86-64-v4", "x86-64-v3", "aarch64", "c99") if build.runs(n)]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


@pytest.mark.parametrize("first", range(FIRST, FIRST + MODELS, BATCH))
def test_as_onnx_runtime(first, tmp_path):
    """Targets and plans in turn; one thread, then three, which change no bit."""
    graphs, feeds, wanted = {}, {}, {}
    for seed in range(first, min(first + BATCH, FIRST + MODELS)):
        name, path = f"m{seed}", tmp_path / f"{seed}.onnx"
        path.write_bytes(random_model(np.random.default_rng(seed)).SerializeToString())
        graphs[name] = simplify(read_onnx(path))
        feeds[name] = noise(graphs[name], seed)
        wanted[name] = runtime(path, feeds[name])
    number = first // BATCH
    target = TARGETS[RUNNABLE[number % len(RUNNABLE)]]
    options = Options(fuse=number // len(RUNNABLE) % 4 != 3)
    library = compiled(graphs, target, tmp_path / "all", options=options, flags=("-O1",))
    wrong = []
    for name, graph in graphs.items():
        one = library.run(name, [*feeds[name].values()])
        three = library.run(name, [*feeds[name].values()], threads=3)
        for declared, a, b in zip(graph.outputs, one, three, strict=True):
            want = wanted[name][declared.name]
            error = distance(a.reshape(want.shape), want)
            if not (error <= TOLERANCE and np.array_equal(a, b)):
                wrong.append((target.name, name, declared.name, error))
    assert not wrong
