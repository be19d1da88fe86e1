"""The compiled C library against the runtimes people use: one image of 224 px, float32.

command   make bench-compiler
machine   2 quiet cores
time      about 8 minutes
expect    faster than ONNX Runtime, OpenVINO and ncnn on every network; near the arithmetic floor
writes    results/compiler.json

Every peer at its best setting: graph optimisations on, float32 asked for where it is not the
default, ncnn's packed layouts and Winograd on and its half precisions off. Weights are random, so
that batch-norm has been given statistics that are not those of a fresh network.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from math import exp, log
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import torch
from bench_runtimes import MODELS

from pocketvision import bundle as bundles
from pocketvision.bench import clock
from pocketvision.bench.host import host
from pocketvision.compiler import build as build_c
from pocketvision.compiler import runtime
from pocketvision.compiler.peak import Peak
from pocketvision.errors import MissingRuntime
from pocketvision.export import artifact, compile, memory
from pocketvision.export.open import open_model
from pocketvision.files import replace_file
from pocketvision.labels import Labels
from pocketvision.model import Network, build
from pocketvision.preprocess import Preprocess
from pocketvision.zoo.lookup import resolve

PEERS = ("onnxruntime", "openvino", "ncnn")
SECONDS = 12.0  # of timing, a network and number of threads
SETTLE_S = 0.02  # of untimed calls after it: a processor that slept is slow for some milliseconds
REST_S = 0.03  # ncnn's threads spin on for 20 ms, which makes it faster and others slower
CORES = 0.85  # of so many times one core's peak: less, and threads share a core or other work runs
TRIES, WAITS = 3, 20
RESULT = Path("results/compiler.json")
Call = Callable[[], object]


def spread(network: Network, seed: int = 0) -> Network:
    """The network with batch-norm statistics like those of a trained one."""
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            mean, var = module.running_mean, module.running_var
            assert mean is not None
            assert var is not None
            mean.copy_(torch.randn(mean.shape, generator=draw) * 0.1)
            var.copy_(torch.rand(var.shape, generator=draw) + 0.5)
    return network.eval()


def bundle_of(name: str, folder: Path) -> Path:
    """A bundle of a network with random weights."""
    spec = resolve(name)
    labels = Labels(names=tuple(str(i) for i in range(spec.head().classes)))
    made = bundles.bundle_of(
        spread(build(spec, seed=0)),
        Preprocess(size=spec.resolution),
        {"label": labels},
        manifest={},
    )
    return bundles.save(made, folder / name)


class Files:
    """A network for every runtime; each file has been proven to answer like the network."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.bundle = bundle_of(name, folder)
        loaded = bundles.load(self.bundle)
        self.onnx = artifact.make(loaded, "onnx", folder / f"{name}-onnx").path
        self.openvino = artifact.make(loaded, "openvino", folder / f"{name}-openvino").path
        self.ncnn = ncnn_files(self.onnx, folder / f"{name}-ncnn")
        self.c = compile.make(self.bundle, folder / f"{name}-c")

    def calls(self, threads: int, x: np.ndarray) -> dict[str, Call]:
        """A call of each runtime with one image."""
        library = runtime.load(self.c.path, threads=threads)
        opened = {
            "onnxruntime": open_model(self.onnx, threads=threads),
            "openvino": open_model(self.openvino, threads=threads),
            "torch": open_model(self.bundle, runtime="torch_channels_last", threads=threads),
        }
        calls: dict[str, Call] = {"c": lambda: library.run([x[0]])}
        for name, model in opened.items():
            calls[name] = lambda run=model.runtime: run(x)  # type: ignore[misc]
        calls["ncnn"] = ncnn_call(self.ncnn, threads, x[0])
        same(calls, self.name)
        return calls

    def peaks(self) -> dict[str, int]:
        """Bytes of memory that loading and running adds, by runtime."""
        opened = {"onnxruntime": self.onnx, "openvino": self.openvino, "c": self.c.path}
        return {
            name: memory.peak(open_model(path, threads=1)).model_bytes
            for name, path in opened.items()
        }


def same(calls: Mapping[str, Call], name: str) -> None:
    """Stop where two runtimes do not compute the same: their times could not be compared."""
    first = _flat(calls["onnxruntime"]())
    for peer, call in calls.items():
        error = float(np.abs(_flat(call()) - first).max() / np.abs(first).max())
        if error > 1e-3:
            sys.exit(f"{peer} answers otherwise than ONNX Runtime on {name}: {error:.1e}")


def _flat(answer: Any) -> np.ndarray:
    """The first output, whatever it comes in."""
    value = next(iter(answer.values())) if isinstance(answer, dict) else answer
    value = value[0] if isinstance(value, list) else value
    return np.asarray(value, np.float64).reshape(-1)


# -------------------------------------------------------------------------------------------- ncnn


def ncnn_files(onnx: Path, folder: Path) -> tuple[Path, Path]:
    """The network for ncnn by its own converter, float32. Raises MissingRuntime."""
    folder.mkdir()
    source = next(onnx.glob("*.onnx")) if onnx.is_dir() else onnx
    converter = Path(sys.executable).with_name("pnnx")
    if not converter.is_file():
        raise MissingRuntime("ncnn and its converter are not installed: pip install ncnn pnnx")
    copy = folder / "model.onnx"
    copy.write_bytes(source.read_bytes())
    subprocess.run(
        [str(converter), copy.name, "inputshape=[1,3,224,224]", "fp16=0"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "model.ncnn.param", folder / "model.ncnn.bin"


def ncnn_call(files: tuple[Path, Path], threads: int, x: np.ndarray) -> Call:
    """A call of the network in ncnn."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{half}", False)
    net.load_param(str(files[0]))
    net.load_model(str(files[1]))

    def call() -> np.ndarray:
        run = net.create_extractor()
        run.input("in0", ncnn.Mat(x))
        return np.array(run.extract("out0")[1])

    return call


# --------------------------------------------------------------------------------------- measuring


def measured(files: Files, peak: Peak) -> dict[str, Any]:
    """The row of one network."""
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    program = files.c.network.program
    row: dict[str, Any] = {"macs": files.c.network.macs}
    for threads in (1, 2):
        calls = files.calls(threads, x)
        for tries in range(1, TRIES + 1):
            row[f"tries_{threads}"] = tries
            before = whole_cores(peak, threads)
            timings = clock.interleaved(calls, seconds=SECONDS, rest_s=REST_S, settle_s=SETTLE_S)
            after = peak.gflops(threads)
            if min(before, after) >= CORES * threads * row.setdefault("one_core", before):
                break
        row[f"peak_gflops{threads}"] = [before, after]
        row[f"threads{threads}"] = {n: round(t.median_ms, 3) for n, t in timings.rows.items()}
        row[f"p95_{threads}"] = {n: round(t.p95_ms, 3) for n, t in timings.rows.items()}
    row["arena_bytes"] = program.arena_bytes(1)
    row["arena_bytes_2"] = program.arena_bytes(2)
    row["layerwise_bytes"] = files.c.network.layer_by_layer_bytes
    row["peak_bytes"] = files.peaks()
    row["compile_s"] = round(files.c.seconds, 1)
    row["library_bytes"] = files.c.library_bytes
    return row


def whole_cores(peak: Peak, threads: int) -> float:
    """Wait for a moment in which so many threads have as many cores; the peak they reach.

    A virtual machine's two processors may be two threads of one core for minutes: then nothing is
    1.4 times faster on two, and what is compared is something else.
    """
    one = peak.gflops(1)
    for _ in range(WAITS):
        found = peak.gflops(threads)
        if found >= CORES * threads * one:
            break
        sleep(1.0)
    return found


def best(row: Mapping[str, Any], threads: int) -> float:
    """Milliseconds of the fastest peer."""
    return min(row[f"threads{threads}"][peer] for peer in PEERS)


def geomean(values: list[float]) -> float:
    """The geometric mean."""
    return exp(statistics.fmean(log(v) for v in values))


def summary(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the networks come to together; the floor of each by the peak of the whole run."""
    peaks = {n: max(p for r in rows.values() for p in r[f"peak_gflops{n}"]) for n in (1, 2)}
    for row in rows.values():
        for n in (1, 2):
            row[f"floor_ms{'' if n == 1 else n}"] = round(2e-6 * row["macs"] / peaks[n], 3)
            row[f"against_best_peer_{n}"] = round(best(row, n) / row[f"threads{n}"]["c"], 3)
    every = rows.values()
    return {
        "peak_gflops": round(peaks[1], 1),
        "peak_gflops_2": round(peaks[2], 1),
        "networks": rows,
        "geomean_vs_best_peer_1": round(geomean([r["against_best_peer_1"] for r in every]), 3),
        "geomean_vs_floor_1": round(
            geomean([r["threads1"]["c"] / r["floor_ms"] for r in every]), 3
        ),
        "geomean_vs_best_peer_2": round(geomean([r["against_best_peer_2"] for r in every]), 3),
    }


def line(name: str, row: Mapping[str, Any]) -> str:
    """A network's medians on one line."""
    times = "  ".join(
        f"{n}: " + " ".join(f"{k} {v:.2f}" for k, v in row[f"threads{n}"].items()) for n in (1, 2)
    )
    return f"{name:20s} {times}"


def main() -> None:
    """Measure each network in turn and write what was found."""
    before, peak, rows = host(environment=os.environ), Peak(build_c.native()), {}
    with tempfile.TemporaryDirectory(prefix="pocketvision-") as folder:
        for name in MODELS:
            rows[name] = measured(Files(name, Path(folder)), peak)
            print(line(name, rows[name]), flush=True)
    result = {
        "host": before,
        "command": "make bench-compiler",
        "method": clock.METHOD + f"; before, a rest of {REST_S} s and {SETTLE_S} s of calls",
        "target": build_c.native().name,
        **summary(rows),
    }
    replace_file(RESULT, json.dumps(result, indent=1) + "\n")
    for key in ("geomean_vs_best_peer_1", "geomean_vs_floor_1", "geomean_vs_best_peer_2"):
        print(f"{key}: {result[key]}")


if __name__ == "__main__":
    main()
