"""TensorBoard: curves and settings as event files below the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketvision.errors import MissingRuntime
from pocketvision.train.events import EpochDone, Event, Finished, Planned
from pocketvision.train.trackers import curves, final


class TensorBoard:
    """Writes `tensorboard/` in the run's folder. Raises MissingRuntime."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingRuntime.of("tensorboard", "tensorboard") from None
        self.make: Any = SummaryWriter
        self.folder, self.facts = folder / "tensorboard", facts
        self.where = f"tensorboard --logdir {self.folder}"
        self.writer: Any = None
        self.step = 0

    def __call__(self, event: Event) -> None:
        """Add what the event tells to the curves."""
        if isinstance(event, Planned):
            self._start(event)
        if isinstance(event, Finished):
            for name, value in final(event).items():
                self.writer.add_scalar(name, value, self.step)
        step, figures = curves(event)
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        self.step = max(self.step, step)
        if isinstance(event, EpochDone | Finished):
            self.writer.flush()

    def _start(self, planned: Planned) -> None:
        # What was written of steps that a resumed run takes again is not shown twice.
        purge = planned.step + 1 if planned.step else None
        self.writer, self.step = self.make(log_dir=str(self.folder), purge_step=purge), planned.step
        if not planned.step:
            facts = {**self.facts, "plan": planned.plan.to_dict()}
            text = json.dumps(facts, indent=1, default=str)
            self.writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            self.writer.close()
