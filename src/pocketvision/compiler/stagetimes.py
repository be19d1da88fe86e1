"""Seconds of each stage of a program on this machine, and the algorithms that are fastest here."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketvision.compiler import build, emit, lower_winograd
from pocketvision.compiler import graph as g
from pocketvision.compiler.plan import Options, plan
from pocketvision.compiler.program import Program, Stage
from pocketvision.compiler.runtime import Context, aligned
from pocketvision.compiler.targets import Target
from pocketvision.errors import PocketvisionError

NAME = "timed"
ROUNDS = 15


@dataclass(frozen=True, kw_only=True)
class StageTime:
    """A stage, its multiply-accumulates and the least seconds that it took, on one thread."""

    name: str
    value: str
    kind: str
    macs: int
    seconds: float


def stage_times(
    program: Program, target: Target, *, rounds: int = ROUNDS, compiler: str | None = None
) -> list[StageTime]:
    """Run a program on random inputs with a clock in it: the least time of each stage.

    Raises MissingRuntime without a C compiler, PocketvisionError where it fails or where this
    machine does not run the target.
    """
    if not build.runs(target.name):
        raise PocketvisionError(f"this machine does not run code for {target.name}")
    with tempfile.TemporaryDirectory(prefix="pocketvision-") as temporary:
        folder = Path(temporary)
        (folder / "model.h").write_text(emit.header(NAME, program, target))
        (folder / "model.c").write_text(emit.source(NAME, program, target))
        library = build.timed_library(folder, target, given=compiler)
        seconds = _least(ctypes.CDLL(str(library)), program, rounds)
    stages = [s for step in program.steps for s in step.stages]
    return [
        StageTime(
            name=s.name,
            value=s.out.name if s.out is not None else s.name,
            kind=_kind(s),
            macs=s.macs,
            seconds=t,
        )
        for s, t in zip(stages, seconds, strict=True)
    ]


def choices(graph: g.Graph) -> list[str]:
    """Outputs of the convolutions that can be done in several ways."""
    shapes = graph.shapes.__getitem__
    return [n.output for n in graph.nodes if lower_winograd.is_possible(n, shapes)]


def fastest(graph: g.Graph, target: Target, *, compiler: str | None = None) -> dict[str, str]:
    """The algorithm of each 3x3 convolution that has a choice, by its output: the fastest here.

    Every algorithm is compiled and timed; nothing is where there is no choice.
    """
    able = choices(graph)
    if not able:
        return {}
    times: dict[str, Mapping[str, float]] = {}
    for algorithm in lower_winograd.ALGORITHMS:
        program = plan(graph, target, Options(algorithms=dict.fromkeys(able, algorithm)))
        rows = stage_times(program, target, compiler=compiler)
        times[algorithm] = {row.value: row.seconds for row in rows}
    return {v: min(times, key=lambda algorithm: times[algorithm][v]) for v in able}


def _least(code: ctypes.CDLL, program: Program, rounds: int) -> np.ndarray:
    """The least seconds of each stage over some runs."""
    context = Context(code, NAME, aligned(program.weights), 1)
    rng = np.random.default_rng(0)
    x = [rng.standard_normal(n).astype(np.float32) for n in program.input_floats]
    y = [np.empty(n, np.float32) for n in program.output_floats]
    spent = context.function("profile", ctypes.POINTER(ctypes.c_double))
    count = sum(len(step.stages) for step in program.steps)
    least = np.full(count, np.inf)
    for _ in range(rounds):
        before = np.array(spent()[:count])
        context.run(x, y)
        least = np.minimum(least, np.array(spent()[:count]) - before)
    return least


def _kind(stage: Stage) -> str:
    """What a stage is, in one word or two."""
    if stage.transform is not None:
        return f"winograd {stage.transform.m}x{stage.transform.m}"
    if stage.filters:
        return "depthwise"
    if stage.panels:
        return "pointwise" if stage.kernel_h == 1 and stage.x == 0 else "convolution"
    return stage.unit.removeprefix("pv_").removesuffix("_unit")
