"""Weights & Biases: an offline run below the run's folder, or one on their server when asked."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketvision.errors import MissingRuntime
from pocketvision.train.events import Event, Finished, Planned
from pocketvision.train.trackers import Places, curves, final, new_ones


class Wandb:
    """One run of W&B, the same one after a resume: its id and the last step of each curve are kept
    in `wandb.json`. Raises MissingRuntime.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], places: Places) -> None:
        if places.wandb_mode != "online":
            # Without it the package reports its own errors over the network, offline or not.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError:
            raise MissingRuntime.of("wandb", "wandb") from None
        self.wandb: Any = wandb
        self.folder, self.facts, self.places = folder, facts, places
        self.where = f"wandb sync {folder}/wandb/offline-run-*"
        self.run: Any = None
        self.ended = False
        self.id, self.done = _kept(folder / "wandb.json")

    def __call__(self, event: Event) -> None:
        """Add what the event tells to the curves."""
        if isinstance(event, Planned):
            self._start(event)
        if isinstance(event, Finished):
            self.run.summary.update(final(event))
            self.ended = True
        step, figures = curves(event)
        if figures := new_ones(step, figures, self.done):
            self.run.log(figures, step=step)
            self.done |= dict.fromkeys(figures, step)
            self._keep()

    def _start(self, planned: Planned) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run = self.wandb.init(
            project=self.places.wandb_project,
            name=self.folder.name,
            dir=str(self.folder),
            id=self.id,
            resume="allow",
            mode=self.places.wandb_mode,
            config={**self.facts, "plan": planned.plan.to_dict()},
            settings=self.wandb.Settings(
                console="off", silent=True, disable_git=True, save_code=False
            ),
        )
        if self.places.wandb_mode == "online":
            self.where = str(self.run.url)
        self._keep()

    def _keep(self) -> None:
        """Note where the curves end. It is written often and may be lost: no call to sync."""
        temporary = self.folder / f".tmp-wandb-{self.id}"
        temporary.write_text(json.dumps({"id": self.id, "steps": self.done}))
        temporary.replace(self.folder / "wandb.json")

    def close(self) -> None:
        """End the run; one that did not finish is marked so."""
        if self.run is not None:
            self.run.finish(exit_code=0 if self.ended else 1)


def _kept(path: Path) -> tuple[str, dict[str, int]]:
    """(id, last step by curve) of the run to go on with, or a new id."""
    try:
        row = json.loads(path.read_bytes())
        return str(row["id"]), {str(k): int(v) for k, v in row["steps"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return secrets.token_hex(4), {}
