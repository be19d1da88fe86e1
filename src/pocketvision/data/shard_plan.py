"""What goes into which shard: samples shuffled by a seed, a fair sample of the classes in each."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pocketvision.data.counter import bits, uniforms
from pocketvision.data.dataset import Sample
from pocketvision.data.shard_tar import BLOCK, CLASS_SUFFIX
from pocketvision.decode import read_bytes

NO_SUFFIX = "img"


@dataclass(frozen=True, slots=True)
class Item:
    """A sample on its way, and the size of its file."""

    sample: Sample
    size_bytes: int


def mixed(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples shuffled so that any stretch holds each class about in proportion."""
    labels = np.array([s.label for s in samples])
    place = np.empty(len(samples))
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        drawn = bits(seed=seed, epoch=0, indices=members, count=1)[:, 0]
        shift = uniforms(seed=seed, epoch=0, indices=members, count=2)[:, 1]
        rank = np.empty(len(members))
        rank[np.argsort(drawn, kind="stable")] = np.arange(len(members))
        place[members] = (rank + shift) / len(members)
    return [samples[i] for i in np.argsort(place, kind="stable").tolist()]


def plan(
    good: Mapping[str, list[Item]], shard_bytes: int, most_images: int
) -> Iterator[tuple[str, str, int, list[Item]]]:
    """(name, split, number of the first image, images) of each shard."""
    for split, items in good.items():
        first = number = 0
        while first < len(items):
            count = _fitting(items, first, shard_bytes, most_images)
            yield f"{split}-{number:05d}.tar", split, first, items[first : first + count]
            first, number = first + count, number + 1


def _fitting(items: Sequence[Item], first: int, shard_bytes: int, most_images: int) -> int:
    """How many images from `first` on make a shard; one at least."""
    size_bytes, count = 0, 0
    for item in items[first : first + most_images]:
        size_bytes += item.size_bytes + 4 * BLOCK
        if count and size_bytes > shard_bytes:
            break
        count += 1
    return count


# ------------------------------------------------------------------------------------- the samples


def item_of(sample: Sample) -> Item:
    """The sample with the size of its file."""
    if sample.path is None:
        return Item(sample, len(bytes_of(sample)))
    try:
        return Item(sample, sample.path.stat().st_size)
    except (OSError, ValueError):
        return Item(sample, 0)  # why it cannot be read is said when it is looked at


def bytes_of(sample: Sample) -> bytes:
    """The file of a sample, as it is; pixels that came with the program as PNG. Raises
    ImageError.
    """
    if sample.path is not None:
        return read_bytes(sample.path)
    assert sample.pixels is not None
    out = io.BytesIO()
    Image.fromarray(sample.pixels).save(out, "PNG")
    return out.getvalue()


def suffix_of(sample: Sample) -> str:
    """The suffix of a sample's file, where it can stand in a shard."""
    suffix = "png" if sample.path is None else sample.path.suffix[1:].lower()
    usable = suffix.isascii() and suffix.isalnum() and len(suffix) <= 5 and suffix != CLASS_SUFFIX
    return suffix if usable else NO_SUFFIX
