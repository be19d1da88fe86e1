"""Every kind of node as C against numpy in float64, over odd shapes, targets and threads."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from pocketvision.compiler import build, reference
from pocketvision.compiler.plan import Options
from pocketvision.compiler.targets import TARGETS

from .conftest import noise
from .hand_made import GRAPHS
from .many import compiled

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
TOLERANCE = 1e-5
WINOGRAD = {"transposes": 3e-5}  # sums of numbers of different size
# Vectors of four as GCC makes them for any machine.
FOUR = replace(TARGETS["aarch64"], name="four", flags=("-std=c99",), compilers=("gcc",))


@cache
def expected() -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """Of every graph: inputs, and outputs in float64."""
    found = {}
    for name, make in GRAPHS.items():
        graph = make()
        feeds = noise(graph)
        made = reference.run(graph, feeds)
        found[name] = ([*feeds.values()], [*made.values()])
    return found


@pytest.fixture(scope="module", params=["x86-64-v4", "x86-64-v3", "four", "c99"])
def library(request, tmp_path_factory):
    if request.param != "four" and not build.runs(request.param):
        pytest.skip(f"this machine does not run {request.param}")
    target = TARGETS.get(request.param, FOUR)
    graphs = {name: make() for name, make in GRAPHS.items()}
    return compiled(graphs, target, tmp_path_factory.mktemp("operators") / "all")


def check(name: str, outputs: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    """Largest difference of every output, as a share of its largest number."""
    graph, most = GRAPHS[name](), WINOGRAD.get(name, TOLERANCE)
    for declared, got, want in zip(graph.outputs, outputs, wanted, strict=True):
        scale = np.abs(want).max()
        error = np.abs(got - want.ravel()).max() / (scale if scale > 0 else 1.0)
        assert error < most, (graph.maker().get(declared.value), graph.shapes[declared.value])


@needs_gcc
@pytest.mark.parametrize("name", GRAPHS)
def test_as_numpy(library, name):
    inputs, wanted = expected()[name]
    one = library.run(name, inputs)
    check(name, one, wanted)
    for threads in (2, 3):
        many = library.run(name, inputs, threads)
        assert all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))


@needs_gcc
def test_layer_by_layer(tmp_path):
    """Bands change no bit."""
    graph = GRAPHS["chain"]()
    target = TARGETS["c99"]
    library = compiled({"bands": graph}, target, tmp_path / "bands")
    whole = compiled({"whole": graph}, target, tmp_path / "whole", options=Options(fuse=False))
    assert max(len(s.stages) for s in library.programs["bands"].steps) >= 7
    assert max(len(s.stages) for s in whole.programs["whole"].steps) == 1
    inputs, _ = expected()["chain"]
    got, want = library.run("bands", inputs), whole.run("whole", inputs)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
