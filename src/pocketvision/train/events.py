"""What a run says while it goes: plain records, for a progress bar, a log line or a tracker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.model import Network
from pocketvision.tasks.classify import Metrics
from pocketvision.train.hashes import Identity
from pocketvision.train.schedule import Plan

if TYPE_CHECKING:
    from pocketvision.train.closing import Closing


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Images have been read: how many, how many more are wanted (a split is done at the total)."""

    split: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The frozen trunk has run over so many images of a split (done at the total)."""

    split: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A teacher has answered about so many images of a split (done at the total)."""

    split: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The run's length is fixed; `step` is where it starts (over 0 after a resume)."""

    plan: Plan
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a person should know: a damaged checkpoint passed over, files left out."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """One optimizer step."""

    step: int
    steps: int
    epoch: int
    loss: float
    lr: float
    images_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of results.csv: one epoch; None where nothing was measured. Epoch 0 is the last layer
    fitted to what a frozen trunk gives.
    """

    epoch: int
    step: int
    seconds: float
    images_per_s: float
    lr: float
    train_loss: float
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    """An epoch has ended."""

    row: Row
    epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint was written."""

    path: Path
    step: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run's result: the network to keep, in eval mode, and its figures on validation images.
    `spent` holds seconds by part since the run began or was resumed; `identity` says what it is;
    `closing` holds what `run` found out about it in the end.
    """

    network: Network
    metrics: Metrics
    logits: np.ndarray
    epoch: int
    seconds: float
    identity: Identity
    spent: Mapping[str, float] = field(default_factory=dict)
    closing: Closing | None = None


Event = Loaded | Extracted | Answered | Planned | Note | StepDone | EpochDone | Saved | Finished
