"""Many graphs as one C library, so that a test of hundreds compiles in seconds."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pocketvision.compiler import emit
from pocketvision.compiler.graph import Graph
from pocketvision.compiler.plan import Options, plan
from pocketvision.compiler.program import Program
from pocketvision.compiler.project import FLOAT_FLAGS
from pocketvision.compiler.runtime import Context, aligned
from pocketvision.compiler.targets import Target

WARNINGS = ("-Wall", "-Wextra", "-Werror")


@dataclass
class Many:
    """Networks by name, each of them compiled for one target."""

    code: ctypes.CDLL
    programs: Mapping[str, Program]
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    def run(
        self, name: str, inputs: Sequence[np.ndarray], threads: int = 1, times: int = 2
    ) -> list[np.ndarray]:
        """Flat outputs of flat inputs; run again and again, every run must say the same."""
        program = self.programs[name]
        if name not in self.weights:
            self.weights[name] = aligned(program.weights)
        context = Context(self.code, name, self.weights[name], threads)
        x = [np.ascontiguousarray(a, np.float32) for a in inputs]
        found = []
        for _ in range(times):
            found.append([np.full(n, np.nan, np.float32) for n in program.output_floats])
            context.run(x, found[-1])
        for again in found[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(found[0], again, strict=True)), name
        return found[0]


def compiled(
    graphs: Mapping[str, Graph],
    target: Target,
    folder: Path,
    *,
    options: Options | None = None,
    flags: Sequence[str] = ("-O1",),
    jobs: int = 1,
) -> Many:
    """The graphs as one library, `jobs` compilers at a time."""
    programs = {name: plan(graph, target, options) for name, graph in graphs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    waiting: list[subprocess.Popen[str]] = []
    objects = []
    common = ("gcc", *flags, *target.flags, *FLOAT_FLAGS, *WARNINGS, "-fPIC")
    for name, program in programs.items():
        inner = folder / name
        inner.mkdir()
        (inner / "model.h").write_text(emit.header(name, program, target))
        (inner / "model.c").write_text(poisoned(emit.source(name, program, target)))
        objects.append(str(inner / "model.o"))
        if len(waiting) >= jobs:
            finished(waiting.pop(0))
        command = [*common, "-c", "-o", objects[-1], str(inner / "model.c")]
        waiting.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in waiting:
        finished(process)
    library = folder / "all.so"
    link = ["gcc", *flags, "-shared", "-o", str(library), *objects, "-lm", "-pthread"]
    finished(subprocess.Popen(link, stderr=subprocess.PIPE, text=True))
    return Many(ctypes.CDLL(str(library)), programs)


def poisoned(source: str) -> str:
    """The memory of a context begins as NaN, so that what is read before it is written shows."""
    assert source.count("memset(m->arena, 0,") == 1
    return source.replace("memset(m->arena, 0,", "memset(m->arena, 0xff,")


def finished(process: subprocess.Popen[str]) -> None:
    """Wait for a compiler, and say what it said where it failed."""
    _, said = process.communicate()
    assert process.returncode == 0, said[:4000]
