"""What run a folder holds: its trace and context, from wherever its version wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.report import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that decides a run's losses, all else, and what changed on its way; empty where an older
    version did not write it.
    """

    trace: Mapping[str, Any]
    context: Mapping[str, Any]
    hashes: Mapping[str, str]
    changes: tuple[Mapping[str, Any], ...]


def read(folder: Path) -> Identity:
    """Read trace.json, or the bundle's manifest and the last checkpoint of older runs. Raises
    DataError for a damaged file.
    """
    places = [folder / "trace.json", folder / "bundle" / "manifest.json"]
    places += sorted(folder.glob("checkpoint/step-*/state.json"), reverse=True)
    for place in places:
        row = tables.json_object(place)
        if row is not None and isinstance(row.get("trace"), dict):
            return _identity(place, row)
    return Identity(trace={}, context={}, hashes={}, changes=())


def _identity(place: Path, row: Mapping[str, Any]) -> Identity:
    trace, plan = dict(row["trace"]), row.get("plan")
    if isinstance(plan, dict):  # older traces hold a hash of it
        trace["plan"] = plan
    context, hashes = row.get("context") or {}, row.get("hashes") or {}
    changes = row.get("changes") or []
    kinds = isinstance(context, dict) and isinstance(hashes, dict) and isinstance(changes, list)
    if not kinds or not all(isinstance(c, dict) for c in changes):
        raise tables.damaged(place, "its trace, context or changes are not what was written")
    return Identity(trace=trace, context=context, hashes=hashes, changes=tuple(changes))
