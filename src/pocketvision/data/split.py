"""Which samples are held out: stratified, and a pure function of the seed and each file's name."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from pocketvision.data.dataset import Sample
from pocketvision.errors import DataError


def rank(name: str, seed: int) -> int:
    """A number in 0 .. 2^64 - 1 that depends on nothing but the name and the seed."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def split(
    samples: Iterable[Sample], *, seed: int, fraction: float
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """(kept, held out): of each class the `fraction` with the lowest ranks is held out.

    A class of two or more has samples on both sides; a class of one is kept. A file that is added
    or removed can move one other file across at most. Raises DataError.
    """
    if not 0 < fraction < 1:
        raise DataError(f"the held-out fraction is {fraction}, must lie between 0 and 1")
    everything = tuple(samples)
    by_class: dict[int, list[Sample]] = defaultdict(list)
    for sample in everything:
        by_class[sample.label].append(sample)
    held = set()
    for members in by_class.values():
        count = min(max(int(len(members) * fraction + 0.5), 1), len(members) - 1)
        members.sort(key=lambda s: (rank(s.name, seed), s.name))
        held |= {s.name for s in members[:count]}
    return (
        tuple(s for s in everything if s.name not in held),
        tuple(s for s in everything if s.name in held),
    )


def with_val(
    splits: dict[str, tuple[Sample, ...]], *, seed: int, fraction: float
) -> tuple[dict[str, tuple[Sample, ...]], str]:
    """The splits with a val, held out of train where there was none; and what was done, in words.

    Raises DataError where nothing can be held out.
    """
    if splits.get("val"):
        return splits, ""
    kept, held = split(splits["train"], seed=seed, fraction=fraction)
    if not held:
        raise DataError("no class has two images, so none can be held out to measure accuracy")
    rest = {name: samples for name, samples in splits.items() if name not in ("train", "val")}
    words = f"; {fraction:.0%} of each class held out as val by seed {seed}"
    return {"train": kept, "val": held, **rest}, words
