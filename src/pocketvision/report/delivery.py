"""The end of the page: cost by operation, exported files, settings, machine, what to run next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
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

# Columns of the exported files: key, title, how the value is worded.
EXPORT_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("format", "format", str),
    ("precision", "precision", str),
    ("size_bytes", "size", size),
    ("accuracy", "accuracy", percent),
    ("top1_agreement", "same answer", percent),
    ("max_abs", "largest difference", figure),
    ("median_ms", "median ms", figure),
    ("p95_ms", "p95 ms", figure),
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
    """Exported files and their measurements, one row a file."""
    rows = [*(run.exports or ()), *(run.bench or ())]
    if not rows:
        return missing("exports.json", "no exported file is shown: export the bundle, then repeat")
    used = [c for c in EXPORT_COLUMNS if any(row.get(c[0]) is not None for row in rows)]
    head = [tag("th", "file", scope="col", class_="name")]
    head += [tag("th", title, scope="col") for _, title, _ in used]
    body = [_export_row(row, used) for row in rows]
    table = tag("table", tag("thead", tag("tr", head)), tag("tbody", body), class_="figures")
    words = "Differences and agreement are against the trained network, on the same images."
    return join([tag("p", words), scrolled(table, "exported files")])


def _export_row(
    row: Mapping[str, Any], used: Sequence[tuple[str, str, Callable[[Any], str]]]
) -> Markup:
    title = tag("th", name(str(row.get("name", ABSENT))), scope="row", class_="name")
    return tag("tr", title, [tag("td", _worded(row.get(key), how)) for key, _, how in used])


def _worded(value: Any, how: Callable[[Any], str]) -> str:
    if value is None:
        return ABSENT
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return how(value) if number else str(value)


def settings(run: Run) -> Markup:
    """Every setting of the run."""
    if run.config is None:
        return missing("config.json", "the settings are not known here")
    return facts_list(flat(run.config), style="facts long")


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
    bundle = str(run.folder / "bundle")
    lines = [shlex.join(words) for words in commands(bundle)]
    return tag("pre", tag("code", "\n".join(lines)))


def commands(bundle: str) -> list[list[str]]:
    """The commands that take a trained bundle, as words."""
    return [
        ["pocketvision", "predict", bundle, "photo.jpg"],
        ["pocketvision", "export", bundle, "--to", "onnx"],
        ["pocketvision", "bench", bundle],
    ]
