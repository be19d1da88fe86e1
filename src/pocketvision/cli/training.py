"""What is shown while training goes: bars on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pocketvision.cli.out import Output

if TYPE_CHECKING:
    from pocketvision.train.events import Answered, EpochDone, Event, Extracted, Loaded, StepDone


class Progress:
    """Takes the events of a run and shows them. A context manager; `close` ends the bars."""

    def __init__(self, out: Output) -> None:
        self.out = out
        self.stack = ExitStack()
        self.bar: Any = None
        self.task: Any = None
        self.reading = ""
        self.reached = 0

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self.bar = self.stack.enter_context(_bar())
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the bars, so that plain lines can follow."""
        self.stack.close()
        self.bar = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        from pocketvision.train import events

        match event:
            case events.Loaded():
                self._counted(f"reading {event.split}", event)
            case events.Extracted():
                self._counted(f"trunk over {event.split}", event)
            case events.Answered():
                self._counted(f"teacher over {event.split}", event)
            case events.Planned():
                self._planned(event.plan, event.step)
            case events.StepDone():
                self._step(event)
            case events.EpochDone():
                self._epoch(event)
            case events.Note():
                self._line(event.text)

    def _counted(self, label: str, event: Loaded | Extracted | Answered) -> None:
        if self.bar is not None:
            if self.reading != label:
                self.task, self.reading = self.bar.add_task(label, total=event.total), label
            self.bar.update(self.task, completed=event.done)
        elif event.done == event.total and self.reading != label:  # a fresh cache says so twice
            self.reading = label
            self._line(f"{label}: {event.total} images")

    def _planned(self, plan: Any, step: int) -> None:
        where = f", going on at step {step}" if step else ""
        if plan.steps:
            self._line(f"{plan.steps} steps in {plan.epochs} epochs{where}")
        self.reached = step

    def _step(self, event: StepDone) -> None:
        if self.bar is None:
            return
        if self.reading != "training":
            self.task = self.bar.add_task("training", total=event.steps, completed=self.reached)
            self.reading = "training"
        words = f"loss {event.loss:.3f}  {event.images_per_s:.0f} images/s"
        self.bar.update(self.task, completed=event.step, description=f"training  {words}")

    def _epoch(self, event: EpochDone) -> None:
        row = event.row
        judged = (
            ""
            if row.val_accuracy is None
            else f"  val loss {row.val_loss:.3f}  val accuracy {row.val_accuracy:.2%}"
        )
        which = f"epoch {row.epoch}/{event.epochs}" if row.epoch else "last layer"
        self._line(
            f"{which}  loss {row.train_loss:.3f}{judged}  "
            f"{row.images_per_s:.0f} images/s  {row.seconds:.0f} s"
        )

    def _line(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, highlight=False, markup=False)
        else:
            self.out.say(text)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
