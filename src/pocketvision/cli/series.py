"""Several runs instead of one: --folds for cross-validation, --seeds for the spread.

RUN/fold-1 .. fold-K, RUN/final    or    RUN/seed-0 .. seed-N
RUN itself then reads like a run: summary.json, tables, bundle, with the figures of the series.

A series that was interrupted goes on with --resume RUN: finished runs are kept, the one that was
cut goes on to the bit, the others follow.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.options import opt
from pocketvision.cli.out import Output
from pocketvision.cli.setup import Setup
from pocketvision.errors import OutputExists, UsageError
from pocketvision.files import replace_file
from pocketvision.train.config import TrainConfig, from_dict
from pocketvision.train.rules import flag

if TYPE_CHECKING:
    from pocketvision.data.dataset import Dataset
    from pocketvision.train.events import Event

FEW_IMAGES, FOLDS = 500, 5
MOST_SEEDS = 100
LENGTHS = ("epochs", "steps", "time")
Heard = Callable[["Event"], "Event"]


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """How many runs, where one does not say enough."""

    folds: int | None = opt(
        None,
        "cross-validate: so many runs, each measured on a part that it has not seen; then one on "
        "all images, whose bundle is kept",
    )
    seeds: int | None = opt(
        None, "so many runs, from --seed on; mean and spread; the first one's bundle is kept"
    )


def check_options(given: SeriesOptions) -> None:
    """Raise UsageError for counts that cannot be."""
    if given.folds is not None and given.seeds is not None:
        raise UsageError("--folds and --seeds are two answers to two questions; give one of them")
    if given.seeds is not None and not 2 <= given.seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds must be from 2 to {MOST_SEEDS}, got {given.seeds}")
    if given.folds is not None:
        from pocketvision.data.folds import check_count

        check_count(given.folds)


def advice(dataset: Dataset, setup: Setup) -> str:
    """A line that names cross-validation where a held-out part says little; else nothing."""
    n = sum(len(dataset.splits.get(name, ())) for name in ("train", "val"))
    if setup.folds or setup.seeds or dataset.shards is not None or n >= FEW_IMAGES:
        return ""
    held = len(dataset.splits.get("val", ()))
    return (
        f"{n} images, {held} of them held out to measure with: --folds {FOLDS} measures with every "
        f"one, in {FOLDS + 1} runs\n"
    )


@dataclass(frozen=True, kw_only=True)
class One:
    """A run of a series: its folder's name, its data and settings, and what passes by its events
    before they are shown.
    """

    name: str
    dataset: Dataset
    config: TrainConfig
    heard: Callable[[Path], Heard] = field(default=lambda folder: lambda event: event)


@dataclass(frozen=True, kw_only=True)
class Series:
    """What all runs of a series share. `train` takes (dataset, config, folder, heard, resume) to a
    finished run, and raises Interrupted after saving.
    """

    out: Output
    dataset: Dataset
    setup: Setup
    config: TrainConfig
    folder: Path
    train: Callable[..., object]

    def check(self, *, resume: bool) -> None:
        """Raise OutputExists for a folder that holds another run; UsageError for several processes,
        and for another length of a series that has begun, whose finished runs cannot become longer.
        """
        check_alone(os.environ)
        if not resume:
            if self.folder.exists() and any(self.folder.iterdir()):
                raise OutputExists(
                    f"{self.folder} holds a run already; add --resume to go on with it, or choose "
                    "another --name"
                )
            return
        saved = from_dict(json.loads((self.folder / "config.json").read_bytes()))
        for name in LENGTHS:
            if getattr(saved, name) != getattr(self.config, name):
                raise UsageError(
                    f"{flag(name)} cannot change in a series of runs that has begun; leave it out, "
                    "or start a new one"
                )

    def run(self, ones: Sequence[One]) -> list[Path]:
        """The folders of all runs, each finished. Raises Interrupted."""
        folders = [self.folder / one.name for one in ones]
        for k, (one, folder) in enumerate(zip(ones, folders, strict=True)):
            if finished(folder):
                self.out.say(f"{one.name}: finished, kept")
                continue
            self.out.say(f"\n{one.name} ({k + 1} of {len(ones)})")
            config = shared_time(one.config, folders[0], len(ones), first_run=k == 0)
            self.train(
                one.dataset,
                config,
                folder,
                heard=self._keeping(one.heard(folder)),
                resume=begun(folder),
            )
        return folders

    def _keeping(self, heard: Heard) -> Heard:
        """Keeps the series' own config as soon as there is something to resume."""
        from pocketvision.train.events import Planned

        def hear(event: Event) -> Event:
            if isinstance(event, Planned):
                text = json.dumps(self.config.to_dict(), indent=1) + "\n"
                replace_file(self.folder / "config.json", text)
            return heard(event)

        return hear


def check_alone(environment: Mapping[str, str]) -> None:
    """Raise UsageError where a launcher started several processes."""
    count = environment.get("WORLD_SIZE", "1")
    if count != "1":
        raise UsageError(
            f"--folds and --seeds train in one process, the launcher started {count}; start it "
            "without torchrun, or the runs one by one"
        )


def finished(folder: Path) -> bool:
    """The run came to its end: its bundle is the last that is written."""
    return (folder / "bundle" / "manifest.json").is_file()


def begun(folder: Path) -> bool:
    """The run can go on; one that was cut before it could is cleared away."""
    from pocketvision.train import checkpoint

    if not folder.exists():
        return False
    if checkpoint.found(folder / "checkpoint"):
        return True
    shutil.rmtree(folder)
    return False


def shared_time(config: TrainConfig, first: Path, runs: int, *, first_run: bool) -> TrainConfig:
    """The config with its part of --time: the first run finds how many steps that is, and the
    others take as many, or they could not be compared.
    """
    if config.time_s is None:
        return config
    if first_run:
        return replace(config, time=f"{config.time_s / runs:.3f}s")
    steps = from_dict(json.loads((first / "config.json").read_bytes())).steps
    return replace(config, time=None, steps=steps)


# ---------------------------------------------------------------------------------------- together


def summary(folder: Path) -> dict[str, Any]:
    """summary.json of a finished run."""
    row: dict[str, Any] = json.loads((folder / "summary.json").read_bytes())
    return row


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation (over n - 1), least and greatest of two values or more."""
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return {"mean": mean, "std": variance**0.5, "min": min(values), "max": max(values)}


def lines(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What summary.json of the series says of each run."""
    keys = ("n", "accuracy", "interval", "macro_recall", "loss", "best_epoch", "steps", "seconds",
            "seed")  # fmt: skip
    return [{"run": f.name, **{key: summary(f)[key] for key in keys}} for f in folders]


def table(rows: Sequence[dict[str, Any]]) -> list[dict[str, object]]:
    """The runs for people."""
    return [
        {
            "run": row["run"],
            "images": row["n"],
            "accuracy": f"{row['accuracy']:.2%}",
            "95% interval": f"{row['interval'][0]:.1%} to {row['interval'][1]:.1%}",
            "mean recall": f"{row['macro_recall']:.2%}",
            "seconds": f"{row['seconds']:.0f}",
        }
        for row in rows
    ]


def spread_words(row: dict[str, float]) -> str:
    """ "mean 91.20%, standard deviation 1.10%, 90.00% to 92.50%"."""
    return (
        f"mean {row['mean']:.2%}, standard deviation {row['std']:.2%}, {row['min']:.2%} to "
        f"{row['max']:.2%}"
    )
