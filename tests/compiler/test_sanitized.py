"""Hand-made graphs under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketvision.compiler import build, reference
from pocketvision.compiler.targets import TARGETS

from .conftest import distance, noise
from .hand_made import GRAPHS
from .many import compiled

FLAGS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
# `POCKETVISION_SANITIZE=1 pytest tests/compiler/test_sanitized.py`: all graphs, for two targets.
ALL = bool(os.environ.get("POCKETVISION_SANITIZE"))
NAMES = [n for n in ("c99", "x86-64-v4") if build.runs(n)][: 2 if ALL else 1]
KINDS = [*GRAPHS] if ALL else ["concats", "means", "pools", "wiring"]


def run(name: str, folder: Path) -> None:
    """Graphs with one thread and with three."""
    graphs = {kind: GRAPHS[kind]() for kind in KINDS}
    library = compiled(graphs, TARGETS[name], folder / name, flags=FLAGS)
    for kind, graph in graphs.items():
        feeds = noise(graph)
        wanted = reference.run(graph, feeds)
        for threads in (1, 3):
            made = library.run(kind, [*feeds.values()], threads, times=1)
            for got, want in zip(made, wanted.values(), strict=True):
                assert distance(got, want.ravel()) < 1e-5
    print(f"{len(graphs)} graphs are clean")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_clean(name, tmp_path):
    asked = ["gcc", "-print-file-name=libasan.so"]
    library = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip("gcc has no address sanitizer")
    env = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself keeps memory
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.compiler.test_sanitized", name, str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{len(KINDS)} graphs are clean" in done.stdout


if __name__ == "__main__":
    np.seterr(all="ignore")
    run(sys.argv[1], Path(sys.argv[2]))
