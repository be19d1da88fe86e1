"""Trackers: what a run says, told to TensorBoard, Weights & Biases or MLflow beside results.csv.

A tracker listens to events. It never stops a run: one that fails is switched off, with a note. What
it writes lies in the run's folder and leaves this machine only where `Places` says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from pocketvision.train.events import EpochDone, Event, Finished, Note, Planned, Row, StepDone

EVERY = 10  # steps between two points of a curve
PROJECT = "pocketvision"
Figures = dict[str, float]


class Tracker(Protocol):
    """Takes every event from `Planned` on; any exception it raises switches it off. `where` says
    what a person does to see what it wrote.
    """

    where: str

    def __call__(self, event: Event) -> None:
        """Take an event."""

    def close(self) -> None:
        """End, once; what was written stays."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where trackers write; the defaults stay in the run's folder and off the network."""

    wandb_mode: str = "offline"
    wandb_project: str = PROJECT
    mlflow_uri: str | None = None
    mlflow_experiment: str = PROJECT

    @staticmethod
    def of(environment: Mapping[str, str]) -> Places:
        """What the two programs' own variables say, such as WANDB_MODE=online."""
        return Places(
            wandb_mode=environment.get("WANDB_MODE") or "offline",
            wandb_project=environment.get("WANDB_PROJECT") or PROJECT,
            mlflow_uri=environment.get("MLFLOW_TRACKING_URI") or None,
            mlflow_experiment=environment.get("MLFLOW_EXPERIMENT_NAME") or PROJECT,
        )


LOCAL = Places()


def _tensorboard(folder: Path, facts: Mapping[str, Any], _places: Places) -> Tracker:
    from pocketvision.train.track_tensorboard import TensorBoard

    return TensorBoard(folder, facts)


def _wandb(folder: Path, facts: Mapping[str, Any], places: Places) -> Tracker:
    from pocketvision.train.track_wandb import Wandb

    return Wandb(folder, facts, places)


def _mlflow(folder: Path, facts: Mapping[str, Any], places: Places) -> Tracker:
    from pocketvision.train.track_mlflow import MLflow

    return MLflow(folder, facts, places)


# (run folder, facts about the run, places) -> tracker; raises MissingRuntime without its package
TRACKERS: dict[str, Callable[[Path, Mapping[str, Any], Places], Tracker]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}


def curves(event: Event) -> tuple[int, Figures]:
    """(step, figures by name) that an event adds to the curves; no figures where it adds none."""
    if isinstance(event, StepDone) and (event.step % EVERY == 0 or event.step == event.steps):
        names = ("loss", "lr", "images_per_s")
        return event.step, {f"train/{name}": float(getattr(event, name)) for name in names}
    if isinstance(event, EpochDone):
        return event.row.step, _of_row(event.row)
    return 0, {}


def _of_row(row: Row) -> Figures:
    """epoch/train_loss, val/loss, val/accuracy and whatever else a row tells of its two parts."""
    found = {}
    for f in fields(row):
        part, value = f.name.partition("_")[0], getattr(row, f.name)
        if part in ("train", "val") and value is not None:
            name = f.name.replace("_", "/", 1) if part == "val" else f"epoch/{f.name}"
            found[name] = float(value)
    return found


def final(event: Finished) -> Figures:
    """The result's figures, by name."""
    rows = event.metrics.to_dict().items()
    kept = {k: v for k, v in rows if isinstance(v, int | float)}
    return {f"final/{k}": float(v) for k, v in kept.items()} | {"final/epoch": float(event.epoch)}


def new_ones(step: int, figures: Figures, done: Mapping[str, int]) -> Figures:
    """The figures that were not written before: `done` holds the last step of each name."""
    return {name: value for name, value in figures.items() if step > done.get(name, -1)}


def tracking(
    names: Sequence[str],
    folder: Path,
    facts: Mapping[str, Any],
    *,
    on_event: Callable[[Event], None],
    places: Places,
) -> Tracking:
    """`on_event`, and behind it the trackers `names`, which write from `Planned` on; to be closed.

    Raises MissingRuntime for one whose package is not installed.
    """
    return Tracking({name: TRACKERS[name](folder, facts, places) for name in names}, on_event)


class Tracking:
    """Tells every event to a listener, then to trackers; drops those that fail."""

    def __init__(self, trackers: Mapping[str, Tracker], say: Callable[[Event], None]) -> None:
        self.trackers, self.say = dict(trackers), say

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        self.say(event)
        for name, tracker in list(self.trackers.items()):
            try:
                tracker(event)
                if isinstance(event, Planned):
                    self.say(Note(text=f"{name}: {tracker.where}"))
            except Exception as e:
                self._drop(name, tracker, e)

    def _drop(self, name: str, tracker: Tracker, error: Exception) -> None:
        """Switch a tracker off: a full disk or a lost network there costs no training here."""
        del self.trackers[name]
        with contextlib.suppress(Exception):
            tracker.close()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        self.say(Note(text=f"{name} failed and is off from here on ({reason}); training goes on"))

    def close(self) -> None:
        """End every tracker that is left."""
        for name, tracker in list(self.trackers.items()):
            try:
                tracker.close()
            except Exception as e:
                self._drop(name, tracker, e)
        self.trackers = {}
