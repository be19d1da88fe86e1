"""The two hashes of a run: the trace, all that decides its losses, and the context, all else.

Two runs of one trace have the same losses to the bit, whatever their contexts. trace.json in the
run's folder holds both in full, for `compare` to say what differs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pocketvision.bench.host import host
from pocketvision.files import replace_file
from pocketvision.train.config import TrainConfig, digest
from pocketvision.train.rules import flag

NAME = "trace.json"
PROCESSES = "processes"  # in a trace where there are several
SHORT = 12  # digits that are shown
PASSING = ("load_average",)  # differs from second to second


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a run is: its trace, its context, and what changed on the way (`resume.Change` as
    JSON). A change that made it another run than its settings say belongs to the trace.
    """

    trace: Mapping[str, Any]
    context: Mapping[str, Any]
    changes: Sequence[Mapping[str, Any]] = ()

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of both."""
        broken = [dict(row) for row in self.changes if not row["exact"]]
        trace = {**self.trace, **({"changes": broken} if broken else {})}
        return {"trace": digest(trace), "context": digest(self.context)}

    def rows(self) -> dict[str, Any]:
        """What summary.json and a bundle's manifest hold of it."""
        return {"hashes": self.hashes, "changes": [dict(row) for row in self.changes]}


def context(config: TrainConfig) -> dict[str, Any]:
    """All that may differ between two runs of the same losses: what reads, checks and logs, the
    machine, the versions.
    """
    settings = {flag(f.name): getattr(config, f.name) for f in fields(config)
                if f.metadata["context"]}  # fmt: skip
    machine = {k: v for k, v in host().items() if k not in PASSING}
    return {**settings, **machine}


def unwritten(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What the trace of an older version means by what it does not hold and `now` does: the
    defaults of settings, and whatever threads and arithmetic go on with it.
    """
    rows = {flag(f.name): f.default for f in fields(TrainConfig)}
    rows |= {name: now[name] for name in (flag("threads"), "torch", "processor") if name in now}
    rows[PROCESSES] = 1
    return {name: value for name, value in rows.items() if name in now and name not in was}


def write(folder: Path, identity: Identity) -> Path:
    """trace.json. Raises PocketvisionError."""
    row = {
        "format": 1,
        **identity.rows(),
        "trace": dict(identity.trace),
        "context": dict(identity.context),
    }
    return replace_file(folder / NAME, json.dumps(row, indent=1) + "\n")
