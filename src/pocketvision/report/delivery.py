"""The end of the page: cost by operation, exported files, settings, machine, what to run next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketvision.cost import cost
from pocketvision.report.class_table import bar
from pocketvision.report.markup import Markup, join, name, scrolled, tag
from pocketvision.report.overview import facts_list, missing
from pocketvision.report.run import Run
from pocketvision.report.words import ABSENT, count, figure, percent, size

OPERATION_WORDS = {
    "1x1": "1x1 convolutions",
    "depthwise": "depthwise convolutions",
    "grouped": "grouped convolutions",
    "dense": "full convolutions",
    "fully_connected": "fully connected",
}

# key, title, how the value is worded. A column is shown where some row has it.
Columns = tuple[tuple[str, str, Callable[[Any], str]], ...]
EXPORT_COLUMNS: Columns = (
    ("format", "format", str),
    ("precision", "precision", str),
    ("size_bytes", "size", size),
    ("accuracy", "accuracy", percent),
    ("top1_agreement", "same answer", percent),
    ("max_abs", "largest difference", figure),
    ("n", "images", figure),
    ("median_ms", "median ms", figure),
    ("p95_ms", "p95 ms", figure),
)
BENCH_COLUMNS: Columns = (
    ("precision", "precision", str),
    ("threads", "threads", figure),
    ("batch", "batch", figure),
    ("median_ms", "median ms", figure),
    ("p95_ms", "p95 ms", figure),
    ("spread_ms", "spread ms", figure),
    ("images_per_s", "images/s", figure),
    ("size_bytes", "size", size),
    ("peak_bytes", "peak memory", size),
)


def model_cost(run: Run) -> Markup:
    """Where parameters and multiply-adds lie, computed from the spec."""
    if run.spec is None:
        return missing("bundle/spec.json", "the cost by operation cannot be computed")
    total = cost(run.spec)
    macs, params = total.by_operation("macs"), total.by_operation("params")
    head = [
        tag("th", title, scope="col", class_="name" if title == "operation" else None)
        for title in ("operation", "multiply-adds", "", "parameters", "")
    ]
    rows = [
        tag("tr", tag("th", words, scope="row", class_="name"),
            *_share_cells(macs[key], total.macs), *_share_cells(params[key], total.params))
        for key, words in OPERATION_WORDS.items() if macs[key] or params[key]
    ]  # fmt: skip
    height, width = run.spec.resolution
    words = (
        f"{run.spec.name} at {height} x {width}: {total.params:,} parameters, {total.macs:,} "
        f"multiply-adds an image, {size(total.peak_bytes)} of feature maps at the fullest moment "
        "(float32, layer by layer)."
    )
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", rows), class_="figures")
    return join([tag("p", words), scrolled(table, "cost by operation")])


def _share_cells(part: int, whole: int) -> tuple[Markup, Markup]:
    share = part / whole if whole else 0.0
    return (
        tag("td", f"{count(part)} ({percent(share)})"),
        tag("td", bar(share, float("nan"), float("nan")), class_="bar-cell"),
    )


def exports(run: Run) -> Markup:
    """Exported files with the proof of each."""
    if not run.exports:
        return missing("exports.json", "no exported file is shown: export the bundle, then repeat")
    words = "Differences and agreement are against the trained network, on the same images."
    return join([tag("p", words), _measured(run.exports, EXPORT_COLUMNS, "exported files")])


def speed(run: Run) -> Markup:
    """Times and memory on the machine that measured them."""
    if not run.bench:
        return missing("bench.json", "no times are shown: bench the bundle and its exports")
    table = _measured(run.bench, BENCH_COLUMNS, "times and memory")
    cpu = (run.bench_host or {}).get("cpu")
    model = cpu.get("model") if isinstance(cpu, Mapping) else None
    on = tag("p", "Measured on ", name(str(model)), ".") if model else Markup("")
    return join([on, table])


def _measured(rows: Sequence[Mapping[str, Any]], columns: Columns, label: str) -> Markup:
    used = [c for c in columns if any(row.get(c[0]) is not None for row in rows)]
    head = [tag("th", "name", scope="col", class_="name")]
    head += [tag("th", title, scope="col") for _, title, _ in used]
    body = [
        tag("tr", tag("th", name(str(row.get("name", ABSENT))), scope="row", class_="name"),
            [tag("td", _worded(row.get(key), how)) for key, _, how in used])
        for row in rows
    ]  # fmt: skip
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), class_="figures")
    return scrolled(table, label)


def _worded(value: Any, how: Callable[[Any], str]) -> str:
    if value is None:
        return ABSENT
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return how(value) if number else str(value)


def settings(run: Run) -> Markup:
    """Every setting of the run."""
    if run.config is None:
        return missing("config.json", "the settings are not known here")
    # The spec has a part of its own; a number of the file's format says nothing here.
    rows = {**(run.setup or {}), **run.config, "spec": None, "format": None}
    return facts_list(flat(rows), style="facts long")


def environment(run: Run) -> Markup:
    """The machine and the packages."""
    if run.environment is None:
        return missing("env.json", "the machine is not known here")
    return facts_list(flat(run.environment), style="facts long")


def flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as ("augment.flip", "true") pairs, in their order; empty ones left out."""
    rows = []
    for key, entry in value.items():
        title = f"{prefix}{key}"
        if isinstance(entry, Mapping):
            rows += flat(entry, f"{title}.")
        elif entry not in (None, "", []):
            rows.append((title, _plain(entry)))
    return rows


def _plain(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, list):
        return ", ".join(_plain(e) for e in entry)
    return json.dumps(entry, ensure_ascii=False)


def next_commands(run: Run) -> Markup:
    """Commands to go on with, ready to copy."""
    lines = [tag("code", shlex.join(words)) for words in commands(run.folder)]
    return tag("pre", Markup("\n".join(lines)), tabindex="0")


def commands(folder: Path) -> list[list[str]]:
    """The commands that go on from a run, as words."""
    bundle = str(folder / "bundle")
    return [
        ["pocketvision", "predict", bundle, "photo.jpg"],
        ["pocketvision", "export", bundle, "--format", "onnx"],
        ["pocketvision", "bench", bundle, str(folder / "onnx")],
        ["pocketvision", "report", str(folder)],
    ]
