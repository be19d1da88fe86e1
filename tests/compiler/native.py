"""Compile hand-made graphs and run them: what tests of plans and kernels share."""

import ctypes
import shutil
import tempfile
from pathlib import Path

import numpy as np

from pocketvision.compiler import build, emit
from pocketvision.compiler.graph import Graph
from pocketvision.compiler.plan import Options, plan
from pocketvision.compiler.runtime import Context, aligned
from pocketvision.compiler.targets import TARGETS, Target

CC = next((c for c in ("gcc", "clang", "cc") if shutil.which(c)), None)
RUNNABLE = tuple(n for n in ("x86-64-v4", "x86-64-v3", "c99") if build.runs(n))


class Loaded:
    """A graph as a library in this process."""

    def __init__(
        self, graph: Graph, target: Target, options: Options | None = None, threads: int = 1
    ) -> None:
        self.program = plan(graph, target, options)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "model.h").write_text(emit.header("net", self.program, target))
            (folder / "model.c").write_text(emit.source("net", self.program, target))
            self.code = ctypes.CDLL(str(build.timed_library(folder, target)))
        self.start(threads)

    def start(self, threads: int) -> None:
        """A context of its own with so many threads."""
        self.context = Context(self.code, "net", aligned(self.program.weights), threads)

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Flat outputs of one image's flat inputs."""
        y = [np.full(n, np.nan, np.float32) for n in self.program.output_floats]
        self.context.run([np.ascontiguousarray(a, np.float32) for a in inputs], y)
        return y


def here() -> Target:
    """The best target that this machine runs."""
    return TARGETS[RUNNABLE[0]]


def worst(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    return float(np.abs(got.ravel() - wanted.ravel()).max() / np.abs(wanted).max())
