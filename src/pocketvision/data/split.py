"""Which samples are held out: stratified, and a pure function of the seed and each file's name, or
its group's.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pocketvision.data.dataset import Sample
from pocketvision.data.groups import count
from pocketvision.errors import DataError

Counts = Mapping[int, int]  # images by class


def rank(name: str, seed: int) -> int:
    """A number in 0 .. 2^64 - 1 that depends on nothing but the name and the seed."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def split(
    samples: Iterable[Sample], *, seed: int, fraction: float
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """(kept, held out): of each class about `fraction`, the groups with the lowest ranks; a sample
    without a group is one by itself.

    A class of two groups or more has samples on both sides where its groups allow; a class of one
    is kept. Without groups a file that is added or removed can move one other file across at most.
    Raises DataError.
    """
    if not 0 < fraction < 1:
        raise DataError(f"the held-out fraction is {fraction}, must lie between 0 and 1")
    everything = tuple(samples)
    groups = by_group(everything, seed)
    held = _Held(groups, fraction)
    held.in_turn()
    held.what_is_missing()
    return (
        tuple(s for s in everything if group_of(s) not in held.names),
        tuple(s for s in everything if group_of(s) in held.names),
    )


def group_of(sample: Sample) -> str:
    """The name of what stays together."""
    return sample.name if sample.group is None else sample.group


def by_group(samples: Sequence[Sample], seed: int) -> dict[str, Counts]:
    """Images by class of each group, in the order of the groups' ranks."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for s in samples:
        found[group_of(s)][s.label] += 1
    return {name: found[name] for name in sorted(found, key=lambda n: (rank(n, seed), n))}


class _Held:
    """What is held out so far, by group and by class."""

    def __init__(self, groups: Mapping[str, Counts], fraction: float) -> None:
        self.groups = groups
        self.all: Counter[int] = Counter()
        for counts in groups.values():
            self.all.update(counts)
        self.wanted = {c: min(max(int(n * fraction + 0.5), 1), n - 1) for c, n in self.all.items()}
        self.of_class: Counter[int] = Counter()
        self.names: set[str] = set()

    def in_turn(self) -> None:
        """Hold out groups as they come while that brings the classes nearer to their share."""
        for name, counts in self.groups.items():
            if self._gain(counts) > 0 and self._leaves_some(counts):
                self._take(name)

    def what_is_missing(self) -> None:
        """Of classes with nothing held out, since their groups are large, the group that fits best
        of those that leave some of every class.
        """
        for c in sorted(self.all):
            if self.of_class[c]:
                continue
            left = (n for n, counts in self.groups.items() if c in counts and n not in self.names)
            fits = [n for n in left if self._leaves_some(self.groups[n])]
            if fits:
                self._take(max(fits, key=lambda n: self._gain(self.groups[n])))

    def _take(self, name: str) -> None:
        self.names.add(name)
        self.of_class.update(self.groups[name])

    def _gain(self, counts: Counts) -> float:
        """By how much the classes' distance to their share falls, as shares of the classes."""
        gain = 0.0
        for c, n in counts.items():
            now = self.wanted[c] - self.of_class[c]
            gain += (abs(now) - abs(now - n)) / self.all[c]
        return gain

    def _leaves_some(self, counts: Counts) -> bool:
        return all(self.of_class[c] + n < self.all[c] for c, n in counts.items())


def with_val(
    splits: dict[str, tuple[Sample, ...]], *, seed: int, fraction: float
) -> tuple[dict[str, tuple[Sample, ...]], str]:
    """The splits with a val, held out of train where there was none; and what was done, in words.

    Raises DataError where nothing can be held out.
    """
    groups = count([s for samples in splits.values() for s in samples])
    if splits.get("val"):
        return splits, f"; {groups} groups, none in two splits" if groups else ""
    kept, held = split(splits["train"], seed=seed, fraction=fraction)
    if not held:
        raise DataError(_nothing_held(splits["train"]))
    rest = {name: samples for name, samples in splits.items() if name not in ("train", "val")}
    whole = f", {count(splits['train'])} groups kept whole" if groups else ""
    words = f"; {fraction:.0%} of each class held out as val by seed {seed}{whole}"
    return {"train": kept, "val": held, **rest}, words


def _nothing_held(samples: Sequence[Sample]) -> str:
    groups = {s.group for s in samples} - {None}
    if not groups:
        return "no class has two images, so none can be held out to measure accuracy"
    few = (
        f"all images are of one group, {groups.pop()!r}"
        if len(groups) == 1
        else ("no class has images in two groups that leave some of every class to train on")
    )
    return (
        f"{few}, so none can be held out to measure accuracy; leave --group-by out, or group finer"
    )
