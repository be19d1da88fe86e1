"""Write a data set as shards: the files' own bytes, shuffled by a seed, a fair sample in each.

Every image is decoded once, in processes that may be killed, and what cannot be read is left out
and listed. The same data and seed give the same bytes. What is done when a run is interrupted
stays, and the same call goes on behind it:

.partial.json    a hash of the call and the data, what cannot be read, and the shards that are done
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pocketvision.bench.host import usable_cores
from pocketvision.data import shard_tar
from pocketvision.data.dataset import SPLITS, Dataset
from pocketvision.data.inspection import inspect
from pocketvision.data.shard_files import check
from pocketvision.data.shard_plan import Item, bytes_of, item_of, mixed, plan, suffix_of
from pocketvision.data.shard_tar import Member
from pocketvision.data.shards import FORMAT, INDEX, SHARD_NAME, Shard, Shards, dumps, loads
from pocketvision.errors import DataError, OutputExists, UsageError
from pocketvision.files import replace_file, replacing, writing

PARTIAL = ".partial.json"
# Prepared images are larger than small files: a shard of them must stay a small part of a disk.
MOST_IMAGES = 5000

# (what is being done, done, all)
Progress = Callable[[str, int, int], None]


@dataclass(kw_only=True)
class _Partial:
    """What an interrupted run has done: reasons by split and place once all was decoded, and (size,
    sha256) of shards by name.
    """

    digest: str
    bad: dict[str, dict[int, str]] = field(default_factory=dict)
    shards: dict[str, tuple[int, str]] = field(default_factory=dict)


def write_shards(
    dataset: Dataset,
    folder: Path,
    *,
    shard_bytes: int,
    seed: int = 0,
    splits: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
    most_images: int = MOST_IMAGES,
    on_progress: Progress | None = None,
) -> Shards:
    """Write `splits` (all by default) of a dataset into `folder` as shards of about `shard_bytes`
    and at most `most_images`, and the index, which comes last.

    Raises OutputExists where there is an index, DataError for a class whose images all cannot be
    read, UsageError for a split that is not there.
    """
    if dataset.shards is not None:
        raise UsageError(f"{dataset.name} lies in shards already; give the data they were made of")
    chosen = _chosen(dataset, splits)
    _check_folder(folder, overwrite=overwrite)
    tell = on_progress or (lambda what, done, total: None)
    items = {s: [item_of(x) for x in mixed(dataset.splits[s], seed)] for s in chosen}
    state = _resumed(folder, _digest(dataset, items, (shard_bytes, most_images, seed)))
    if not state.bad:
        _inspect(state, items, workers or usable_cores(), tell)
        _keep(state, folder)
    good = {
        s: [x for i, x in enumerate(rows) if i not in state.bad[s]] for s, rows in items.items()
    }
    _check_classes(dataset, good)
    index = Shards(
        place=str(folder),
        name=dataset.name,
        classes=dataset.classes,
        shards=tuple(_made(state, folder, good, (shard_bytes, most_images), tell)),
        left_out=tuple(
            (items[s][i].sample.name, why) for s in chosen for i, why in state.bad[s].items()
        ),
    )
    replace_file(folder / INDEX, dumps(index))
    with writing(folder):
        (folder / PARTIAL).unlink(missing_ok=True)
    return index


def _made(
    state: _Partial,
    folder: Path,
    good: dict[str, list[Item]],
    most: tuple[int, int],
    tell: Progress,
) -> Iterator[Shard]:
    """Every shard, written now where it is not there from a run before."""
    total, done = sum(map(len, good.values())), 0
    for name, split, first, items in plan(good, *most):
        shard = _done(folder, name, split, items, state.shards.get(name))
        if shard is None:
            shard = _written(folder / name, split, first, items)
            state.shards[name] = (shard.size_bytes, shard.sha256)
            _keep(state, folder)
        done += len(items)
        tell("writing", done, total)
        yield shard


def _chosen(dataset: Dataset, splits: Sequence[str]) -> list[str]:
    for split in splits:
        if split not in dataset.splits:
            known = ", ".join(dataset.splits)
            raise UsageError(f"{dataset.name} has no split {split!r} (splits: {known})")
    return [s for s in SPLITS if s in (splits or dataset.splits) and dataset.splits.get(s)]


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """An index there is an error, or goes with its shards."""
    index = folder / INDEX
    if index.exists() and not overwrite:
        raise OutputExists(f"{index} exists already; add --overwrite, or choose another folder")
    if not index.exists():
        return
    try:
        names = [s.name for s in loads(index.read_bytes(), place=str(folder)).shards]
    except DataError:
        names = []
    with writing(folder):
        index.unlink()
    _remove(folder, names)


# ------------------------------------------------------------------------------------- the samples


def _inspect(state: _Partial, items: dict[str, list[Item]], workers: int, tell: Progress) -> None:
    """Decode everything once; note what cannot be."""
    total, before = sum(map(len, items.values())), 0
    for split, rows in items.items():
        findings = inspect(
            [item.sample for item in rows],
            workers=workers,
            on_progress=partial(_decoded, tell, before, total),
        )
        state.bad[split] = {i: f.reason for i, f in enumerate(findings) if f.reason}
        before += len(rows)


def _decoded(tell: Progress, before: int, total: int, done: int, _all: int) -> None:
    tell("decoding", before + done, total)


def _check_classes(dataset: Dataset, good: dict[str, list[Item]]) -> None:
    used = {item.sample.label for item in good.get("train", [])}
    lost = [name for i, name in enumerate(dataset.classes) if i not in used]
    if "train" in good and lost:
        raise DataError(f"no image of {', '.join(map(repr, lost))} in train can be read")


# ----------------------------------------------------------------------------------------- writing


def _written(path: Path, split: str, first: int, items: Sequence[Item]) -> Shard:
    with replacing(path) as f:
        counted = _Counted(f)
        for number, item in enumerate(items, first):
            data = bytes_of(item.sample)
            member = Member(f"{number:08d}", suffix_of(item.sample), data, item.sample.label)
            shard_tar.write(counted, member)
        shard_tar.write_end(counted)
    return _shard(path.name, split, items, (counted.size_bytes, counted.total.hexdigest()))


def _shard(name: str, split: str, items: Sequence[Item], file: tuple[int, str]) -> Shard:
    labels = np.array([item.sample.label for item in items], np.int32)
    return Shard(name=name, split=split, size_bytes=file[0], sha256=file[1], labels=labels)


class _Counted:
    """A file that counts and hashes what is written to it."""

    def __init__(self, f: BinaryIO) -> None:
        self.f, self.total, self.size_bytes = f, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self.total.update(data)
        self.size_bytes += len(data)
        return self.f.write(data)


# ------------------------------------------------------------------------------------ interruptions


def _digest(dataset: Dataset, items: dict[str, list[Item]], settings: tuple[int, ...]) -> str:
    """Hash of all that decides what is written, by the files' sizes and times of change."""
    total = hashlib.sha256(json.dumps([FORMAT, list(dataset.classes), settings]).encode())
    for split, rows in items.items():
        for x in rows:
            changed = _changed(x.sample.path)
            row = (split, x.sample.name, x.sample.label, x.size_bytes, changed)
            total.update(repr(row).encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def _changed(path: Path | None) -> int:
    try:
        return 0 if path is None else path.stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def _keep(state: _Partial, folder: Path) -> None:
    bad = {split: list(rows.items()) for split, rows in state.bad.items()}
    row = {"digest": state.digest, "bad": bad, "shards": state.shards}
    replace_file(folder / PARTIAL, json.dumps(row))


def _resumed(folder: Path, digest: str) -> _Partial:
    """What a run before this one has done, where it was the same call on the same data; else its
    shards go.
    """
    try:
        row: Any = json.loads((folder / PARTIAL).read_bytes())
        bad = {str(s): {int(i): str(why) for i, why in rows} for s, rows in row["bad"].items()}
        shards = {str(k): (int(size), str(sha)) for k, (size, sha) in row["shards"].items()}
        same = row["digest"] == digest
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _Partial(digest=digest)
    if same:
        return _Partial(digest=digest, bad=bad, shards=shards)
    _remove(folder, list(shards))
    return _Partial(digest=digest)


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Remove shards by name; whatever else lies there stays."""
    with writing(folder):
        for name in names:
            if re.fullmatch(SHARD_NAME, name, re.ASCII):
                (folder / name).unlink(missing_ok=True)


def _done(
    folder: Path, name: str, split: str, items: Sequence[Item], file: tuple[int, str] | None
) -> Shard | None:
    """The shard, where it is there as it was written."""
    if file is None:
        return None
    shard = _shard(name, split, items, file)
    try:
        check(folder / name, shard, name)
    except DataError:
        return None
    return shard
