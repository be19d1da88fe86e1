"""A shard's file at hand, checked; and a split's images as files, for all that wants files.

<cache>/downloads/<sha256>.tar     a shard that is being downloaded; gone once it has been read
<cache>/unpacked/<hash>/           the images of a split, by number; index.json names them
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pocketvision.data import shard_tar
from pocketvision.data.cache import Cache, make_room
from pocketvision.data.dataset import Dataset, Sample
from pocketvision.data.shard_tar import Member, fault
from pocketvision.data.shards import Shard, Shards
from pocketvision.errors import DataError, PocketvisionError
from pocketvision.files import locked, new_folder
from pocketvision.weights.download import download

PIECE_BYTES = 2**20
# A server may be slow, but not endlessly so.
PATIENCE_S, LEAST_BYTES_PER_S = 120.0, 20_000


def members(shards: Shards, shard: Shard, cache: Cache) -> Iterator[Member]:
    """The images of a shard, in order, each of the class that the index says.

    Raises DataError for a file that is not the one of the index, and for what is wrong in it.
    """
    where, count = shards.where(shard), 0
    with _at_hand(shards, shard, cache) as path, path.open("rb") as f:
        for member in shard_tar.members(f, where):
            if count == len(shard):
                raise DataError(f"{where} holds more than the {len(shard)} images of the index")
            if member.label != shard.labels[count]:
                reason = f"is of class {member.label}, the index says {shard.labels[count]}"
                raise fault(where, member.name, reason)
            count += 1
            yield member
    if count < len(shard):
        raise DataError(f"{where} holds {count} images, the index says {len(shard)}")


@contextmanager
def _at_hand(shards: Shards, shard: Shard, cache: Cache) -> Iterator[Path]:
    """The shard's file, with the bytes of the index. Raises DataError."""
    where = shards.where(shard)
    if not shards.remote:
        path = Path(shards.place) / shard.name
        check(path, shard, where)
        yield path
        return
    target = cache.folder / "downloads" / f"{shard.sha256}.tar"
    with _free_of_errors(cache), locked(cache.folder / "locks" / f"{shard.sha256}.tar"):
        download(
            where,
            target,
            check=lambda part: check(part, shard, where),
            most_bytes=shard.size_bytes,
            most_s=PATIENCE_S + shard.size_bytes / LEAST_BYTES_PER_S,
        )
        try:
            yield target
        finally:
            target.unlink(missing_ok=True)


@contextmanager
def _free_of_errors(cache: Cache) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise PocketvisionError(f"cannot use {cache.folder}: {e.strerror or e}") from None


def check(path: Path, shard: Shard, where: str) -> None:
    """Raise DataError where a file is not the shard of the index."""
    try:
        size_bytes, total = path.stat().st_size, hashlib.sha256()
        if size_bytes != shard.size_bytes:
            raise DataError(f"{where} has {size_bytes} bytes, the index says {shard.size_bytes}")
        with path.open("rb") as f:
            while piece := f.read(PIECE_BYTES):
                total.update(piece)
    except OSError as e:
        raise DataError(f"cannot read {where}: {(e.strerror or str(e)).lower()}") from None
    if total.hexdigest() != shard.sha256:
        raise DataError(f"{where} is not the file of the index: its sha256 is another one")


# ----------------------------------------------------------------------------------- as plain files


def with_files(dataset: Dataset, split: str, *, cache: Cache | None) -> Dataset:
    """The dataset with files for the samples of a split, unpacked from its shards into the cache;
    as it is where its samples hold their images. Raises DataError.
    """
    shards = dataset.shards
    if shards is None or not shards.of(split) or dataset.splits[split][0].path is not None:
        return dataset
    if cache is None:
        raise DataError(f"{dataset.name} lies in shards, which need a cache to be unpacked into")
    place = cache.folder / "unpacked" / shards.digest(split)[:32]
    with _free_of_errors(cache), locked(cache.folder / "locks" / place.name):
        names = _unpacked(place) or _unpack(place, shards, split, cache)
        with contextlib.suppress(OSError):
            os.utime(place)
    samples = tuple(
        replace(sample, path=place / name, name=f"{split}/{name}")
        for sample, name in zip(dataset.splits[split], names, strict=True)
    )
    return replace(dataset, splits={**dataset.splits, split: samples})


def _unpacked(place: Path) -> list[str]:
    """Names of the files, in order; none where they are not all there."""
    try:
        rows = json.loads((place / "index.json").read_bytes())
        sizes = {e.name: e.stat().st_size for e in os.scandir(place)}
        names = [str(name) for name, _ in rows]
        return names if all(sizes.get(name) == size for name, size in rows) else []
    except (OSError, ValueError, TypeError):
        return []


def _unpack(place: Path, shards: Shards, split: str, cache: Cache) -> list[str]:
    """Write the images of a split under names of our own."""
    size_bytes = sum(s.size_bytes for s in shards.of(split))
    if size_bytes > cache.max_bytes:
        raise DataError(
            f"the {split} split of {shards.name} takes {size_bytes / 1e9:.1f} GB, more than the "
            f"cache may ({cache.max_bytes / 1e9:.1f} GB)"
        )
    make_room(place.parent, size_bytes, max_bytes=cache.max_bytes)
    rows: list[tuple[str, int]] = []
    with new_folder(place, overwrite=True) as folder:
        for shard in shards.of(split):
            for member in members(shards, shard, cache):
                name = f"{len(rows):08d}.{member.suffix}"
                (folder / name).write_bytes(member.data)
                rows.append((name, len(member.data)))
        (folder / "index.json").write_text(json.dumps(rows))
    return [name for name, _ in rows]


def names_of(shard: Shard) -> list[Sample]:
    """Samples that stand for the images of a shard, by their place in it."""
    return [
        Sample(None, label, f"{shard.name}/{i}") for i, label in enumerate(shard.labels.tolist())
    ]
