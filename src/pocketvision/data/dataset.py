"""A dataset as a value: names of classes, and samples by split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.errors import LabelError, closest

if TYPE_CHECKING:
    from pocketvision.data.shards import Shards

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: a file, or pixels uint8 (h, w, 3) that came with the program.

    `name` is what people are shown, and what the split and the predictions go by: the path below
    the dataset's root, with `/`. Samples of one `group` stay on one side of a split.
    """

    path: Path | None
    label: int
    name: str
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples by split ("train" and "val", perhaps "test"); a label is an index into `classes`.

    `layout` says in words what was recognised, to be shown. `shards` hold the images where samples
    do not.
    """

    name: str
    root: Path | None
    classes: tuple[str, ...]
    splits: dict[str, tuple[Sample, ...]]
    layout: str
    shards: Shards | None = None

    def counts(self) -> dict[str, tuple[int, ...]]:
        """Images of each class, in the order of `classes`, by split."""
        return {
            split: tuple(
                np.bincount([s.label for s in samples], minlength=len(self.classes)).tolist()
            )
            for split, samples in self.splits.items()
        }


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which "2" comes before "10"."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    key = [(0, int(p), p) if p[0] in "0123456789" else (1, 0, p) for p in pieces]
    return tuple(key)


def relabeled(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The dataset with labels that index `classes` (a bundle's), matched by name, never by order.

    `classes` may hold names that the dataset lacks. Raises LabelError naming those it does not
    hold.
    """
    table = {name: i for i, name in enumerate(classes)}
    if foreign := [name for name in dataset.classes if name not in table]:
        raise LabelError(
            f"{dataset.name} has {_listed(foreign)}, which the model does not know"
            f"{closest(foreign[0], classes)} (it knows {len(table)}: {_listed(list(classes))}); "
            "rename the classes, or train on this data"
        )
    new = [table[name] for name in dataset.classes]
    splits = {
        split: tuple(replace(s, label=new[s.label]) for s in samples)
        for split, samples in dataset.splits.items()
    }
    return replace(dataset, classes=tuple(classes), splits=splits)


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(repr(n) for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
