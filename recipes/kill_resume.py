"""kill -9 at random moments: what is resumed ends like what was never killed, to the bit.

command   make bench-resume
machine   any; nothing here is a time
time      about 10 minutes on 2 cores
expect    20 of 20 runs with the losses of the uninterrupted one at every step, the same weights,
          answers and rows of results.csv
writes    results/resume.json

A run of 75 steps writes a checkpoint every tenth of a second. Each of 20 runs is killed once, at a
moment drawn evenly from a twentieth of its way from before the first image until the bundle is
there, in processor time, which other work on the machine does not stretch; what it was doing is
read from its stack a moment before. It is then resumed, or started anew with --overwrite where it
had no checkpoint yet. With `--kills N` fewer run and nothing is written.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketvision.bench.host import host
from pocketvision.files import replace_file

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "results" / "resume.json"
KILLS, SEED = 20, 5
# The command as it is, but that it writes its stack when it is asked to.
START = (
    "import faulthandler, signal, sys; "
    "faulthandler.register(signal.SIGUSR1, file=open(sys.argv.pop(1), 'w')); "
    "from pocketvision.cli.main import main; main()"
)
SETTINGS = (
    "--model mobilenet_v3_small --width 0.35 --resolution 32 --threads 1 --workers 1 "
    "--batch-size 16 --epochs 5 --eval-every 1 --val-fraction 0.5 --checkpoint-minutes 0.002 "
    "--drop-path 0.1 --mixup 0.2 --schedule cosine"
)
BEGINS = "run folder:"  # the line after which the first image is read
# Functions of pocketvision, the innermost of which says what a run was doing.
DOING = {
    "prepared": "reading images",
    "load_uint8": "reading images",
    "checkpoint": "writing a checkpoint",
    "write_results": "writing results.csv",
    "measured": "evaluating",
    "stepped": "taking a step",
    "kept": "writing the result",
    "write": "writing the report",
    "_say_end": "writing the report",
    "trace": "hashing images",
    "fit": "between two steps",
    "<module>": "importing",
}
CLOCKED = ("seconds", "images_per_s")
PATIENCE_S = 300


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run lives: its data, and a folder of its own for what it writes."""

    data: Path
    folder: Path

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    def started(self, *words: str) -> subprocess.Popen[bytes]:
        """`pocketvision train` on the data with these words; what it says goes to a file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "POCKETVISION_CACHE": str(self.folder / "cache")}
        argv = [sys.executable, "-c", START, str(self.stack), "train", str(self.data), *words]
        with self.said.open("wb") as f:
            return subprocess.Popen(argv, stdout=f, stderr=f, env=environment)

    @property
    def said(self) -> Path:
        """What the command printed."""
        return self.folder / "said.txt"

    @property
    def stack(self) -> Path:
        """Where the command writes its stack."""
        return self.folder / "stack.txt"

    def anew(self) -> subprocess.Popen[bytes]:
        """The run from its start."""
        output = ("--output", str(self.folder), "--name", "run", "--overwrite")
        return self.started(*SETTINGS.split(), *output)

    def resumed(self) -> subprocess.Popen[bytes]:
        """The run from where it is; from the start where it has no checkpoint."""
        if not any(self.run.glob("checkpoint/step-*")):
            return self.anew()
        return self.started("--resume", str(self.run))


def main() -> int:
    """Kill and resume; 1 where a run ended differently."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    count = parser.parse_args().kills
    before = host(environment=os.environ)
    with tempfile.TemporaryDirectory() as folder:
        rows, steps = killed(count, Path(folder), seed=SEED)
    same = sum(row["identical"] for row in rows)
    result = {"host": before, "command": "make bench-resume", "settings": SETTINGS, "steps": steps,
              "seed": SEED, "of": count, "identical": same, "kills": rows}  # fmt: skip
    if count == KILLS:
        replace_file(RESULT, json.dumps(result, indent=1) + "\n")
    print(f"{same} of {count} killed runs ended like the one that was not")
    return 0 if same == count else 1


def killed(count: int, folder: Path, *, seed: int) -> tuple[list[dict[str, Any]], int]:
    """A row for each of `count` runs that were killed and resumed, and the steps of a whole one."""
    data = photos(folder / "photos")
    whole = Place(data=data, folder=folder / "whole")
    lasted_s = _watched(whole)
    expected, steps = ended(whole), len((whole.run / "losses.csv").read_text().splitlines()) - 1
    draw, rows = random.Random(seed), []
    for k in range(count):
        place = Place(data=data, folder=folder / f"killed-{k}")
        share = (k + draw.random()) / count
        row = _killed(place, share * lasted_s)
        _wait(place, place.resumed())
        row["identical"] = ended(place) == expected
        rows.append({"share_of_run": round(share, 3), **row})
        print(json.dumps(rows[-1]), flush=True)
    return rows, steps


def photos(root: Path, *, each: int = 160) -> Path:
    """Three classes of noisy pictures with a stripe that says which."""
    draw = np.random.default_rng(0)
    for k, name in enumerate(("low", "middle", "high")):
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = draw.integers(0, 160, (120, 160, 3), dtype=np.uint8)
            pixels[20 + 30 * k : 45 + 30 * k] += 60
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


# ------------------------------------------------------------------------------- processes


def _watched(place: Place) -> float:
    """Seconds that a whole run takes from before its first image until its bundle is there."""
    process = place.anew()
    begun = last = _begun(place, process)
    while process.poll() is None and not (place.run / "bundle").exists():
        last = _used_s(process)
        time.sleep(0.002)
    _wait(place, process)
    return last - begun


def _begun(place: Place, process: subprocess.Popen[bytes]) -> float:
    """Wait for the line that comes before the first image; the seconds that were used by then."""
    deadline = time.monotonic() + PATIENCE_S
    while BEGINS not in place.said.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the run did not begin:\n{place.said.read_text()}")
        time.sleep(0.002)
    return _used_s(process)


def _used_s(process: subprocess.Popen[bytes]) -> float:
    """Processor time that a process has used; the clock where the system does not tell."""
    try:
        row = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return time.monotonic()
    user, system = row.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _wait(place: Place, process: subprocess.Popen[bytes]) -> None:
    if process.wait(PATIENCE_S):
        raise SystemExit(f"the run failed:\n{place.said.read_text()}")


def _killed(place: Place, after_s: float) -> dict[str, Any]:
    """Kill a run so many seconds after it began; what it was doing, and what it had saved. Where
    it was faster than that and over, it is run again and killed earlier.
    """
    process = place.anew()
    end = _begun(place, process) + after_s
    while process.poll() is None and _used_s(process) < end:
        time.sleep(0.001)
    process.send_signal(signal.SIGUSR1)
    written = time.monotonic() + 0.1
    while not place.stack.stat().st_size and time.monotonic() < written:
        time.sleep(0.001)
    process.kill()
    if process.wait(PATIENCE_S) != -signal.SIGKILL:
        return _killed(place, 0.9 * after_s)
    newest = max((p.name for p in place.run.glob("checkpoint/step-*")), default=None)
    return {"doing": doing(place.stack.read_text()), "checkpoint": newest}


def doing(stack: str) -> str:
    """What a run was doing, from the stacks of its threads."""
    own = [line for line in stack.splitlines() if "/pocketvision/" in line]
    names = [line.rpartition(" in ")[2] for line in own]
    known = [DOING[name] for name in names if name in DOING]
    return (known or [f"in {name}" for name in names] or ["starting"])[0]


# ----------------------------------------------------------------------------------- results


def ended(place: Place) -> dict[str, Any]:
    """All that a run came to, but for what a clock decides."""
    run = place.run
    files = ("losses.csv", "predictions.csv", "bundle/weights.safetensors")
    rows = list(csv.DictReader((run / "results.csv").read_text().splitlines()))
    return {
        **{name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in files},
        "results.csv": [{k: v for k, v in row.items() if k not in CLOCKED} for row in rows],
        "left over": [p.name for p in run.rglob(".tmp-*")],
    }


if __name__ == "__main__":
    sys.exit(main())
