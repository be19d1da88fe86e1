"""Time and memory of opened models side by side, on one kind of input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketvision.bench import clock
from pocketvision.bench.clock import Comparison, Timings
from pocketvision.bench.host import host
from pocketvision.errors import UsageError
from pocketvision.export import memory
from pocketvision.export.memory import Peak
from pocketvision.export.open import Opened, open_model

Progress = Callable[[str, float], None]
BUSY_LOAD = 0.5


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured. `rows` are fit for tables and JSON; `host` says where, before it began."""

    rows: tuple[dict[str, object], ...]
    timings: Timings
    host: Mapping[str, object]
    method: Mapping[str, str]

    @property
    def fastest(self) -> str:
        """The name with the smallest median."""
        return min(self.timings.rows.values(), key=lambda t: t.median_ms).name

    @property
    def busy(self) -> bool:
        """True where other work held half a core or more in the minute before."""
        load = self.host["load_average"]
        return isinstance(load, list) and load[0] > BUSY_LOAD

    def against_fastest(self) -> list[Comparison]:
        """The fastest against each other one: is it more than noise?"""
        others = [name for name in self.timings.rows if name != self.fastest]
        return [self.timings.compare(self.fastest, name) for name in others]


def measure(
    models: Mapping[str, Opened],
    *,
    batch: int = 1,
    rounds: int = 50,
    seconds: float | None = None,
    with_memory: bool = True,
    on_progress: Progress | None = None,
) -> Measurement:
    """Interleaved times of `models` on the same random batch, then peak memory of each.

    `on_progress` gets the step in a few words and the share of it that is done. Raises UsageError,
    PocketvisionError.
    """
    if batch < 1:
        raise UsageError(f"batch must be >= 1, got {batch}")
    tell, before = on_progress or _silent, host()
    timings = clock.interleaved(
        _calls(models, batch),
        rounds=rounds,
        seconds=seconds,
        on_progress=lambda share: tell("timing", share),
    )
    peaks: dict[str, Peak] = {}
    for i, (name, opened) in enumerate(models.items() if with_memory else ()):
        tell(f"memory of {name}", i / len(models))
        peaks[name] = memory.peak(opened, batch=batch)
    rows = [_row(timings, models[name], name, batch, peaks.get(name)) for name in models]
    return Measurement(
        rows=tuple(rows),
        timings=timings,
        host=before,
        method={"time": clock.METHOD, "memory": memory.METHOD},
    )


def _silent(_step: str, _share: float) -> None:
    return None


def _calls(models: Mapping[str, Opened], batch: int) -> dict[str, Callable[[], object]]:
    draw = np.random.Generator(np.random.PCG64(0))
    calls: dict[str, Callable[[], object]] = {}
    for name, opened in models.items():
        x = draw.standard_normal((batch, *opened.runtime.input_shape), dtype=np.float32)
        calls[name] = lambda run=opened.runtime, x=x: run(x)  # type: ignore[misc]
    return calls


def _row(
    timings: Timings, opened: Opened, name: str, batch: int, peak: Peak | None
) -> dict[str, object]:
    r, t = opened.runtime, timings.rows[name]
    figures = t.row() | {
        "runtime": r.name,
        "precision": r.precision,
        "threads": r.threads,
        "batch": batch,
        "images_per_s": 1e3 * batch / t.median_ms,
        "size_bytes": opened.size_bytes,
    }
    if peak is None:
        return figures
    return figures | {"peak_bytes": peak.peak_bytes, "model_bytes": peak.model_bytes}


def candidates(paths: Sequence[Path], *, threads: int | None = None) -> dict[str, Opened]:
    """Everything that can be timed in `paths`, by name; a bundle gives both torch runtimes.

    A name is the runtime's, with the precision unless f32, with the path's name where two clash.
    """
    opened = [open_model(path, threads=threads) for path in paths]
    for model in list(opened):
        if model.runtime.name == "torch":
            opened.append(open_model(model.path, runtime="torch_channels_last", threads=threads))
    names = [_name(model) for model in opened]
    clash = {name for name in names if names.count(name) > 1}
    named = [
        f"{name} {model.path.name}" if name in clash else name
        for name, model in zip(names, opened, strict=True)
    ]
    if len(set(named)) < len(named):
        raise UsageError(f"the same model is given twice: {', '.join(map(str, paths))}")
    return dict(zip(named, opened, strict=True))


def _name(opened: Opened) -> str:
    r = opened.runtime
    return r.name if r.precision == "f32" else f"{r.name} {r.precision}"
