"""Cross-validation: every image held out once, by a model that has not seen its group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pocketvision.data.dataset import Dataset, Sample
from pocketvision.data.split import Counts, by_group, group_of
from pocketvision.errors import DataError, UsageError

LEAST, MOST = 2, 50


def folds_of(samples: Sequence[Sample], count: int, *, seed: int) -> tuple[tuple[Sample, ...], ...]:
    """The samples in `count` parts: stratified, groups whole, a function of seed and names alone.

    Without groups the parts' numbers of each class differ by one at most. Raises UsageError for a
    count that cannot be, DataError where fewer groups than parts are there, or a part would hold
    all there is of a class.
    """
    check_count(count)
    groups = by_group(samples, seed)
    if len(groups) < count:
        what = "images" if len(groups) == len(samples) else "groups of images"
        raise DataError(f"--folds {count} needs as many {what}, there are {len(groups)}")
    place = _places(groups, count)
    parts: list[list[Sample]] = [[] for _ in range(count)]
    for s in samples:
        parts[place[group_of(s)]].append(s)
    return tuple(tuple(part) for part in parts)


def check_count(count: int) -> None:
    """Raise UsageError for a number of folds that cannot be."""
    if not LEAST <= count <= MOST:
        raise UsageError(f"--folds must be from {LEAST} to {MOST}, got {count}")


def _places(groups: Mapping[str, Counts], count: int) -> dict[str, int]:
    """Which part each group goes to: large ones first, each to the part that has least of its
    classes, and then the fewest images.
    """
    total: Counter[int] = Counter()
    for counts in groups.values():
        total.update(counts)
    parts = [Counter[int]() for _ in range(count)]
    sizes, place = [0] * count, {}
    # Sorting is stable: groups of one size stay in the order of their ranks.
    for name, counts in sorted(groups.items(), key=lambda row: -sum(row[1].values())):
        own = {c: n / total[c] ** 2 for c, n in counts.items()}

        def load(i: int, own: Mapping[int, float] = own) -> tuple[float, int, int]:
            return sum(parts[i][c] * share for c, share in own.items()), sizes[i], i

        best = min(range(count), key=load)
        parts[best].update(counts)
        sizes[best] += sum(counts.values())
        place[name] = best
    return place


def fold_datasets(dataset: Dataset, count: int, *, seed: int) -> tuple[Dataset, ...]:
    """A dataset for each fold: val is the fold, train all the others. What was train and val is
    pooled; a test split stays as it is and out of it.

    Raises DataError and UsageError as `folds_of`, and for shards.
    """
    pool = pooled(dataset)
    parts = folds_of(pool, count, seed=seed)
    made = []
    for k, part in enumerate(parts):
        held = {s.name for s in part}
        train = tuple(s for s in pool if s.name not in held)
        _check_all_there(dataset.classes, train)
        rest = {name: s for name, s in dataset.splits.items() if name not in ("train", "val")}
        made.append(
            replace(
                dataset,
                splits={"train": train, "val": part, **rest},
                layout=f"fold {k + 1} of {count} by seed {seed}",
            )
        )
    return tuple(made)


def pooled(dataset: Dataset) -> tuple[Sample, ...]:
    """Train and val, in the order of their names, so that no split shows through. Raises
    UsageError for shards, whose splits are fixed.
    """
    if dataset.shards is not None:
        raise UsageError("--folds needs single images, shards have their splits; leave it out")
    both = (*dataset.splits["train"], *dataset.splits.get("val", ()))
    return tuple(sorted(both, key=lambda s: s.name))


def _check_all_there(classes: Sequence[str], train: Sequence[Sample]) -> None:
    used = {s.label for s in train}
    for label, name in enumerate(classes):
        if label not in used:
            raise DataError(
                f"class {name!r} would have no image to train on in one of the folds: it needs "
                "images in two folds, so two images at least, in groups that can be told apart"
            )
