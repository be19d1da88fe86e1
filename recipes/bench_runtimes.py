"""Time of the six families in every runtime, one image of 224 px, float32, random weights.

command   make bench-runtimes
machine   2 quiet cores
time      about 6 minutes, most of it exports
expect    ONNX Runtime and OpenVINO about twice as fast as PyTorch; each file proven equal first
writes    results/runtimes.json
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from pocketvision import bundle as bundles
from pocketvision.bench import report
from pocketvision.bench.host import host, usable_cores
from pocketvision.export import BACKENDS, artifact, measure
from pocketvision.files import replace_file
from pocketvision.labels import Labels
from pocketvision.model import build
from pocketvision.preprocess import Preprocess
from pocketvision.zoo.lookup import resolve

MODELS = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "mobilenext",
    "rexnet",
    "mixnet_s",
)
SECONDS = 12.0


def files(name: str, folder: Path) -> list[Path]:
    """A bundle of `name` with random weights, and its proven exports."""
    spec = resolve(name)
    labels = Labels(names=tuple(str(i) for i in range(spec.head().classes)))
    made = bundles.bundle_of(
        build(spec).eval(), Preprocess(size=spec.resolution), {"label": labels}, manifest={}
    )
    path = bundles.save(made, folder / name)
    exports = [artifact.make(made, b, folder / f"{name}-{b}").path for b in BACKENDS]
    return [path, *exports]


def measured(name: str, threads: int) -> list[dict[str, object]]:
    """A row a runtime, interleaved."""
    with tempfile.TemporaryDirectory() as folder:
        opened = measure.candidates(files(name, Path(folder)), threads=threads)
        found = measure.measure(opened, seconds=SECONDS, rounds=400)
    return [{"model": name, **row} for row in found.rows]


def main() -> None:
    """Measure each model in turn and write what was found."""
    threads, before = usable_cores(), host(environment=os.environ)
    rows = []
    for name in MODELS:
        rows += measured(name, threads)
        print(report.text(rows[-4:], columns=("model", "name", "median_ms", "p95_ms")), flush=True)
    medians: dict[str, dict[str, object]] = {}
    for row in rows:
        medians.setdefault(str(row["model"]), {})[str(row["name"])] = row["median_ms"]
    result = {
        "host": before,
        "command": "make bench-runtimes",
        "threads": threads,
        "precision": "float32 in every runtime",
        "median_ms": medians,
        "rows": rows,
    }
    replace_file(Path("results/runtimes.json"), json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
