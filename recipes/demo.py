"""The main job on real data that come with the program: digits, from nothing to proven files.

command   make demo
machine   2 cores, no GPU
time      at most 6 minutes on a clean clone, set-up included
expect    accuracy on the held-out fifth at least 98.5%, equal in PyTorch, ONNX Runtime and OpenVINO
writes    runs/train/demo (bundle, plots, report.html, onnx/, openvino/) and results/demo.json
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from pocketvision.bench import report
from pocketvision.bench.host import host
from pocketvision.cli.main import run
from pocketvision.files import replace_file

ROOT = Path(__file__).parents[1]
RUN = Path("runs/train/demo")
BUNDLE, ONNX, OPENVINO = RUN / "bundle", RUN / "onnx", RUN / "openvino"
TRAIN = "train digits --model mobilenet_v3_small --resolution 32 --epochs 50 --name demo"
COMMANDS = (
    "data check digits",
    TRAIN,
    f"export {BUNDLE} --format onnx --data digits --images 360",
    f"export {BUNDLE} --format openvino --data digits --images 360",
    f"eval {BUNDLE} digits",
    f"eval {ONNX} digits",
    f"eval {OPENVINO} digits",
    f"bench {BUNDLE} {ONNX} {OPENVINO} --rounds 200",
    f"report {RUN}",
)


def main() -> int:
    """Run the commands one by one, stop at the first that fails, and end with one table."""
    os.chdir(ROOT)
    shutil.rmtree(RUN, ignore_errors=True)
    started = time.monotonic()
    for command in COMMANDS:
        print(f"\n$ pocketvision {command}", flush=True)
        if code := run(shlex.split(command)):
            return code
    seconds = time.monotonic() - started + float(os.environ.get("DEMO_SETUP_SECONDS", "0"))
    rows = table()
    replace_file(Path("results/demo.json"), json.dumps(figures(rows, seconds), indent=1) + "\n")
    print(f"\n{report.text(rows)}\n\nfrom photos to proven files in {seconds:.0f} s")
    print(f"report: {(RUN / 'report.html').resolve().as_uri()}")
    return 0


def table() -> list[dict[str, object]]:
    """One row a runtime: accuracy, size on disk, median latency of one image."""
    accuracy = {r["name"]: r["accuracy"] for r in _rows("exports.json")}
    accuracy["torch_channels_last"] = accuracy["torch"]
    return [
        {
            "runtime": r["name"],
            "precision": r["precision"],
            "accuracy": f"{accuracy[r['name']]:.2%}",
            "size_mib": r["size_bytes"] / 2**20,
            "median_ms": r["median_ms"],
            "p95_ms": r["p95_ms"],
        }
        for r in _rows("bench.json")
    ]


def figures(rows: list[dict[str, object]], seconds: float) -> dict[str, object]:
    """What results/demo.json keeps."""
    accuracy = {r["name"]: r["accuracy"] for r in _rows("exports.json")}
    return {
        "host": host(environment=os.environ),
        "command": "make demo",
        "seconds": round(seconds, 1),
        "accuracy": accuracy,
        "median_ms": {r["runtime"]: r["median_ms"] for r in rows},
        "rows": rows,
    }


def _rows(name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads((RUN / name).read_text())["rows"]
    return rows


if __name__ == "__main__":
    sys.exit(main())
