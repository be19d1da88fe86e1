"""What the two transfer recipes share: the command run as people run it, and its figures kept."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pocketvision.bench.host import host
from pocketvision.files import replace_file

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "results" / "imported_weights.json"
WEIGHTS = "tflite/mobilenet_v2_1.0_224_quant.tflite"


def places() -> tuple[Path, Path] | None:
    """Folders of real weights and data, None (said in one line) where they are not named."""
    found = [os.environ.get(f"POCKETVISION_{name}") for name in ("WEIGHTS", "DATA")]
    if not all(found):
        print("set POCKETVISION_WEIGHTS and POCKETVISION_DATA to the folders of real files")
        return None
    weights, data = (Path(str(p)) for p in found)
    return weights / WEIGHTS, data


def measured(name: str, data: Path, weights: Path, flags: str, *, least: float) -> int:
    """Train in a process of its own, with an empty cache; keep the figures; 1 below `least`.

    The wall clock runs from before Python starts until the report is written.
    """
    run = ROOT / "runs" / "train" / f"transfer-{name}"
    shutil.rmtree(run, ignore_errors=True)
    call = ["train", str(data), "--from", str(weights), *shlex.split(flags)]
    before, load = host(environment=os.environ), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as cache:
        begin = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "pocketvision", *call, "--name", run.name],
            cwd=ROOT,
            env={**os.environ, "POCKETVISION_CACHE": cache},
            check=True,
        )
        seconds = time.monotonic() - begin
    summary = json.loads((run / "summary.json").read_text())
    figures = {
        "accuracy": summary["accuracy"],
        "interval": summary["interval"],
        "n": summary["n"],
        "seconds": round(seconds, 1),
        "load_before": round(load, 2),
        "weights": summary["start"],
        "command": shlex.join(
            ["pocketvision", "train", data.name, "--from", weights.name, *shlex.split(flags)]
        ),
        "host": before,
    }
    keep(name, figures)
    print(f"{name}: accuracy {figures['accuracy']:.2%} in {seconds:.0f} s")
    return 0 if summary["accuracy"] >= least else 1


def keep(name: str, figures: dict[str, Any]) -> None:
    """Put the figures beside those of the imported files."""
    result = json.loads(RESULT.read_text())
    result["transfer"] = {**result["transfer"], name: figures}
    replace_file(RESULT, json.dumps(result, indent=1) + "\n")
