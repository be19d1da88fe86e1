"""A small network with everything a folder can hold, and C compilers to try it with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pocketvision.compiler import graph as g
from pocketvision.compiler import plan, reference
from pocketvision.compiler.api import Contract
from pocketvision.compiler.golden import Case
from pocketvision.compiler.project import Network, sources
from pocketvision.compiler.targets import TARGETS
from pocketvision.labels import Labels
from pocketvision.preprocess import Preprocess, prepare

CONTRACT = Contract(
    preprocess=Preprocess(size=(33, 46)),
    labels={"label": Labels(names=("katze 猫", 'a "b" \\ ??/', "c", "nothing"), background=3)},
)
ARMS = ("--target=aarch64-linux-gnu", "-march=armv8-a")
# compiler, target -> what is put before the target's flags
COMPILERS = {
    ("gcc", "x86-64-v4"): (),
    ("gcc", "x86-64-v3"): (),
    ("gcc", "c99"): (),
    ("clang", "x86-64-v4"): (),
    ("clang", "x86-64-v3"): (),
    ("clang", "c99"): (),
    ("aarch64-linux-gnu-gcc", "aarch64"): (),
    ("clang", "aarch64"): ("--target=aarch64-linux-gnu",),
    ("clang", "wasm32"): ("--target=wasm32", "-DPV_WASM", "-ffreestanding"),
}


def needs(*programs: str) -> None:
    """Skip the test where one of them is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (make test-targets installs it)")


def small(seed: int = 0) -> g.Graph:
    """A chain, a gate, a residual, two outputs: (33, 46, 3) -> 4 logits and a map."""
    rng = np.random.default_rng(seed)

    def w(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    clip, swish = g.Activation("clip", 0.0, 6.0), g.Activation("hard_swish")
    ones = (1, 1, 1, 1)
    nodes = (
        g.Conv(name="stem", output="a", x="image", weight=w(24, 3, 3, 3), bias=w(24),
               stride=(2, 2), pads=ones, act=clip),
        g.Depthwise(name="dw", output="b", x="a", weight=w(3, 3, 24), bias=w(24), pads=ones,
                    act=clip),
        g.Conv(name="pw", output="c", x="b", weight=w(20, 1, 1, 24), bias=w(20)),
        g.Conv(name="ex", output="d", x="c", weight=w(50, 1, 1, 20), bias=w(50), act=swish),
        g.Depthwise(name="dw5", output="e", x="d", weight=w(5, 5, 50), bias=w(50),
                    pads=(2, 2, 2, 2), act=g.Activation("silu")),
        g.GlobalMean(name="mean", output="m", x="e"),
        g.Conv(name="se", output="s", x="m", weight=w(50, 1, 1, 50), bias=w(50),
               act=g.Activation("sigmoid")),
        g.Conv(name="pr", output="f", x="e", weight=w(20, 1, 1, 50), bias=w(20), gate="s",
               residual="c"),
        g.GlobalMean(name="last", output="z", x="f"),
        g.Conv(name="fc", output="y", x="z", weight=w(4, 1, 1, 20), bias=w(4)),
    )  # fmt: skip
    shapes: dict[str, g.Shape] = {
        "image": (33, 46, 3), "a": (17, 23, 24), "b": (17, 23, 24), "c": (17, 23, 20),
        "d": (17, 23, 50), "e": (17, 23, 50), "m": (1, 1, 50), "s": (1, 1, 50),
        "f": (17, 23, 20), "z": (1, 1, 20), "y": (1, 1, 4),
    }  # fmt: skip
    return g.Graph(
        inputs=(g.Input(name="image", shape=(33, 46, 3)),),
        nodes=nodes,
        outputs=(
            g.Output(name="label", value="y", shape=(4,), layout="nc"),
            g.Output(name="map", value="f", shape=(20, 17, 23)),
        ),
        shapes=shapes,
    )


def network(target: str, *, name: str = "tiny", contract: Contract | None = CONTRACT) -> Network:
    """The small network for a target, its golden answers in float64."""
    graph = small()
    images = [np.random.default_rng(i).integers(0, 256, (50 + i, 70, 3)) for i in range(2)]
    cases = []
    for image in (i.astype(np.uint8) for i in images):
        x = prepare(image, CONTRACT.preprocess)
        answers = reference.run(graph, {"image": x[None]})
        outputs = [answers[o.name][0].astype(np.float32) for o in graph.outputs]
        cases.append(Case(inputs=[x], outputs=outputs, image=image if contract else None))
    return Network(
        name=name,
        graph=graph,
        program=plan.plan(graph, TARGETS[target]),
        target=TARGETS[target],
        cases=cases,
        contract=contract,
        texts={},
        layer_by_layer_bytes=0,
    )


def write(net: Network, folder: Path) -> Path:
    """The folder's sources."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in sources(net).items():
        (folder / name).write_bytes(data)
    return folder


def call(*command: object, cwd: Path) -> str:
    """Run a program that must succeed, silently on stderr; what it printed."""
    words = [str(w) for w in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    assert done.stderr == "", done.stderr
    return done.stdout


def linked(
    compiler: str, folder: Path, parts: Sequence[str], out: str, flags: Sequence[str] = ()
) -> Path:
    """A program of `parts`."""
    call(compiler, "-std=c99", "-I.", *flags, "-o", out, *parts, "-lm", "-pthread", cwd=folder)
    return folder / out
