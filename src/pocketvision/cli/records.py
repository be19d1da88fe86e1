"""What export, eval and bench note in the run folder that a model came from, for its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pocketvision.files import replace_file

Row = Mapping[str, Any]


def run_of(model: Path) -> Path | None:
    """The run folder around a bundle, an exported folder or its file; None when there is none."""
    for folder in (model, *model.absolute().parents[:2]):
        beside = ("results.csv", "setup.json")
        if (folder / "summary.json").is_file() and any((folder / n).is_file() for n in beside):
            return folder
    return None


def note_export(model: Path, row: Row) -> None:
    """Add or update the row of `row["name"]` in the run's exports.json, if there is a run."""
    run = run_of(model)
    if run is None:
        return
    rows = {r["name"]: r for r in _rows(run / "exports.json")}
    rows[row["name"]] = {**rows.get(row["name"], {}), **row}
    replace_file(
        run / "exports.json", json.dumps({"format": 1, "rows": [*rows.values()]}, indent=1)
    )


def note_bench(models: Sequence[Path], measured: Mapping[str, Any]) -> None:
    """Keep a measurement as the run's bench.json, if there is a run."""
    runs = {run_of(m) for m in models} - {None}
    for run in runs:
        assert run is not None
        replace_file(run / "bench.json", json.dumps(measured, indent=1))


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier file; a damaged one is begun again, since all can be measured anew."""
    try:
        rows = json.loads(path.read_bytes())["rows"]
        return [r for r in rows if isinstance(r.get("name"), str)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []
