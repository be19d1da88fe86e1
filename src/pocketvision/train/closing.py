"""What is looked at once training has ended, on validation images: calibration, the threshold for
"unknown", and whether batch-norm's kept statistics are those of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pocketvision.decision import Decision
from pocketvision.tasks import calibrate
from pocketvision.train.events import Event, Finished, Note
from pocketvision.train.job import Job
from pocketvision.train.modes import Modes, modes


@dataclass(frozen=True, kw_only=True)
class Closing:
    """The decision that goes into the bundle; `modes` is None for a network without batch-norm."""

    decision: Decision
    modes: Modes | None

    def figures(self) -> dict[str, Any]:
        """What summary.json says of it."""
        norms = {} if self.modes is None else {"norms": self.modes.to_dict()}
        return {"decision": self.decision.row(), **norms}

    def notes(self) -> tuple[str, ...]:
        """What a person should know at once."""
        if self.modes is None or not self.modes.differ:
            return ()
        m = self.modes
        return (
            f"batch-norm: {m.kept:.1%} of {m.n} validation images are right by its kept "
            f"statistics, {m.batch:.1%} by those of each batch; the kept ones do not fit: try "
            "pocketvision recalibrate-bn BUNDLE --data DATA --output NEW",
        )


def with_closing(events: Iterable[Event], job: Job) -> Iterator[Event]:
    """The events of `loop.fit`; notes come before the last, which holds what was found."""
    for event in events:
        if not isinstance(event, Finished):
            yield event
            continue
        last = looked_at(event, job)
        yield from (Note(text=text) for text in last.notes())
        yield replace(event, closing=last)


def looked_at(end: Finished, job: Job) -> Closing:
    """Fit and measure on the validation images."""
    val = job.val
    decision = calibrate.fitted(
        end.logits, val.truth, labels=job.labels, known_share=job.config.known_share
    )
    both = modes(
        end.network,
        val.pixels,
        val.truth,
        job.preprocess,
        kept_logits=end.logits,
        batch_size=job.config.batch_size,
    )
    return Closing(decision=decision, modes=both)
