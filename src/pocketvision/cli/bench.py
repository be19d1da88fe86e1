"""`pocketvision bench`: time and memory of models side by side, on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pocketvision.cli.options import Json
from pocketvision.cli.out import Output
from pocketvision.cli.records import note_bench
from pocketvision.errors import UsageError

if TYPE_CHECKING:
    from pocketvision.export.measure import Measurement
    from pocketvision.export.open import Opened

Memory = Annotated[bool, Parameter(negative="--no-memory")]
COLUMNS = (
    "name",
    "precision",
    "threads",
    "batch",
    "median_ms",
    "p95_ms",
    "spread_ms",
    "images_per_s",
    "size_mib",
    "peak_mib",
)


def bench(
    *models: Path,
    threads: int | None = None,
    batch: int = 1,
    rounds: int = 50,
    seconds: float | None = None,
    memory: Memory = True,
    json: Json = False,
) -> None:
    """Time models on this machine: warm-up, then rounds in which each runs once, in turn.

    Parameters
    ----------
    models: Path
        Bundles, exported or compiled folders, .onnx or .xml files. A bundle is timed in PyTorch
        twice: plain and channels-last.
    threads: int
        Threads of every runtime; by default one for each core this process may use.
    batch: int
        Images a call.
    rounds: int
        Rounds to time.
    seconds: float
        Stop after so many seconds of rounds.
    memory: bool
        Measure the peak memory of each in a process of its own.
    """
    from pocketvision.bench.host import usable_cores
    from pocketvision.export import measure

    if not models:
        raise UsageError("bench needs one or more models: a bundle, an exported folder or file")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads must be 1 or more, got {threads}")
    out = Output(json=json)
    opened = measure.candidates(list(models), threads=threads or usable_cores())
    found = _measured(out, opened, batch=batch, rounds=rounds, seconds=seconds, with_memory=memory)
    out.say()
    out.table([_shown(row) for row in found.rows])
    out.say()
    for comparison in found.against_fastest():
        out.say(str(comparison))
    cpu = found.host["cpu"]
    assert isinstance(cpu, dict)
    out.say(
        f"\non {cpu['model']}, {cpu['usable_cores']} cores, load {os.getloadavg()[0]:.1f}; "
        f"{found.method['time']}"
    )
    if found.busy:
        out.say("the machine was busy before: measure again when it is quiet, or trust ratios only")
    measured = {"format": 1, "host": found.host, "method": found.method, "rows": found.rows}
    note_bench(models, measured)
    out.result(measured)
    out.next("pocketvision", "eval", models[-1], "DATA")


def _measured(out: Output, opened: Mapping[str, Opened], **how: Any) -> Measurement:
    """The measurement, with a bar that fills over the timing and then over the memory."""
    from pocketvision.export import measure

    out.say(f"timing {', '.join(opened)} ...")
    with out.progress("measuring", 100, line=False) as advance:
        shown = 0

        def tell(step: str, share: float) -> None:
            nonlocal shown
            now = int(80 * share) if step == "timing" else 80 + int(20 * share)
            advance(max(now - shown, 0))
            shown = max(now, shown)

        return measure.measure(opened, on_progress=tell, **how)


def _shown(row: dict[str, object]) -> dict[str, object]:
    """The columns people read; bytes as MiB."""
    sizes = {"size_mib": row.get("size_bytes"), "peak_mib": row.get("peak_bytes")}
    mib = {k: v / 2**20 for k, v in sizes.items() if isinstance(v, int | float)}
    return {c: (row | mib)[c] for c in COLUMNS if c in row | mib}
