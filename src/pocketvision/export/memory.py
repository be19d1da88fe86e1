"""Peak memory of loading and running one model, measured in a process of its own.

The child (`python -m pocketvision.export.memory`) imports the runtime, resets the kernel's
high-water mark, loads the model, runs it three times and reads the mark (VmHWM of
/proc/self/status). Elsewhere than on Linux ru_maxrss serves, which cannot be reset.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketvision.errors import PocketvisionError
from pocketvision.export import compiled, openvino
from pocketvision.export.open import Opened, open_model
from pocketvision.export.runtime import Runtime

RUNS = 3
TIMEOUT_S = 300
METHOD = (
    "fresh process; peak resident memory while loading and running 3 times; base is the memory"
    " after importing the runtime"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Bytes: the whole process at its peak, and what was there before the model came."""

    peak_bytes: int
    base_bytes: int

    @property
    def model_bytes(self) -> int:
        """What the model added."""
        return max(self.peak_bytes - self.base_bytes, 0)


def peak(opened: Opened, *, batch: int = 1) -> Peak:
    """The peak of the same model, runtime, threads and precision. Raises PocketvisionError."""
    r = opened.runtime
    request = {
        "path": str(opened.path.resolve()),
        "runtime": r.name,
        "threads": r.threads,
        "precision": r.precision,
        "batch": batch,
    }
    with tempfile.TemporaryDirectory(prefix="pocketvision-") as folder:
        answer = Path(folder) / "answer.json"
        # -P: a file of the current folder must not stand in for a package.
        command = [sys.executable, "-P", "-m", __name__, json.dumps(request), str(answer)]
        _run(command)
        return Peak(**json.loads(answer.read_text()))


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise PocketvisionError(f"peak memory: no answer within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PocketvisionError(f"peak memory: the measuring process failed: {last}")


# -------------------------------------------------------------------------------------------- child


def measured(request: dict[str, object]) -> dict[str, int]:
    """Load and run in this process; for the child."""
    _import(str(request["runtime"]))
    base = _reset_mark()
    keys = ("runtime", "threads", "precision")
    opened = open_model(Path(str(request["path"])), **{k: request[k] for k in keys})  # type: ignore[arg-type]
    _exercise(opened.runtime, int(str(request["batch"])))
    return {"peak_bytes": peak_bytes(), "base_bytes": base}


def _import(runtime: str) -> None:
    if runtime == "onnxruntime":
        import onnxruntime  # noqa: F401
    elif runtime == "openvino":
        openvino.package().Core()
    elif runtime == compiled.RUNTIME:
        import pocketvision.compiler.runtime  # noqa: F401
    else:
        from pocketvision.export import torch_runtime  # noqa: F401


def _exercise(runtime: Runtime, batch: int) -> None:
    x = np.zeros((batch, *runtime.input_shape), np.float32)
    for _ in range(RUNS):
        runtime(x)


def _reset_mark() -> int:
    """Set the high-water mark to the memory of now, where the kernel allows it, and read it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """High-water mark of the resident memory of this process."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return _maxrss_bytes()
    line = next(row for row in status.splitlines() if row.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _maxrss_bytes() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(measured(json.loads(sys.argv[1]))))
