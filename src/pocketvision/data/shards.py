"""Shards: a data set as tar files of some hundred megabytes, and the index that names them.

shards.json       the classes; of each shard its name, split, size, sha256 and its images' classes
train-00000.tar   00000000.jpg, 00000000.cls, 00000001.jpg, ...: a file's own bytes, then its class

They lie in a folder or behind an address. Nothing in them is believed that the index does not say.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np

from pocketvision.data.dataset import SPLITS, Dataset, Sample
from pocketvision.errors import DataError
from pocketvision.weights.download import download

FORMAT = 1
INDEX = "shards.json"
SHARD_NAME = r"[a-z]{1,16}-\d{5,9}\.tar"
MAX_INDEX_BYTES = 2**27
MAX_SHARD_BYTES = 2**34
# Of one image: two headers, a block of its file and a block of its class.
LEAST_BYTES = 4 * 512
FIELDS = {"format", "name", "classes", "shards", "left_out"}
SHARD_FIELDS = {"name", "split", "size_bytes", "sha256", "labels"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Shard:
    """One tar file: `labels` int32 (n,) are the classes of its images in order."""

    name: str
    split: str
    size_bytes: int
    sha256: str
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Shards:
    """An index and where it lies: `place` is a folder, or the address of a shards.json. `left_out`
    holds (name, reason) of images that could not be read when the shards were written.
    """

    place: str
    name: str
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]
    left_out: tuple[tuple[str, str], ...] = field(default=())

    @property
    def remote(self) -> bool:
        """They lie behind an address."""
        return is_address(self.place)

    def of(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split, in order."""
        return tuple(s for s in self.shards if s.split == split)

    def digest(self, split: str) -> str:
        """sha256 of all that a split holds, from the hashes of its files: nothing is read."""
        rows = [[s.name, s.sha256, len(s)] for s in self.of(split)]
        return hashlib.sha256(json.dumps([list(self.classes), rows]).encode()).hexdigest()

    def where(self, shard: Shard) -> str:
        """The path or address of a shard."""
        return urljoin(self.place, shard.name) if self.remote else f"{self.place}/{shard.name}"


def is_address(source: str) -> bool:
    """An http or https address."""
    return source.lower().startswith(("http://", "https://"))


def is_index(source: str) -> bool:
    """Whether `source` names shards: an address, a shards.json, or a folder that holds one."""
    return is_address(source) or Path(source).name == INDEX or (Path(source) / INDEX).is_file()


def read_shards(source: str) -> Dataset:
    """The dataset of an index. Its samples know their class only: `with_files` unpacks a split, and
    training takes them from the shards. Raises DataError.
    """
    shards = opened(source)
    kinds = [Sample(None, label, "") for label in range(len(shards.classes))]
    splits = {
        split: tuple(kinds[label] for s in shards.of(split) for label in s.labels.tolist())
        for split in SPLITS
        if shards.of(split)
    }
    root = None if shards.remote else Path(shards.place)
    total = sum(s.size_bytes for s in shards.shards)
    words = f"{len(shards.shards)} shards, {total / 1e6:,.0f} MB"
    return Dataset(shards.name, root, shards.classes, splits, words, shards)


def opened(source: str) -> Shards:
    """The index at a folder, a file or an address. Raises DataError."""
    if is_address(source):
        named = urlsplit(source).path.endswith(".json")
        address = source if named else f"{source.rstrip('/')}/{INDEX}"
        return loads(_downloaded(address), place=address)
    path = Path(source) if Path(source).name == INDEX else Path(source) / INDEX
    try:
        if path.stat().st_size > MAX_INDEX_BYTES:
            raise DataError(f"{path} is over {MAX_INDEX_BYTES >> 20} MiB, no index is")
        return loads(path.read_bytes(), place=str(path.parent))
    except OSError as e:
        raise DataError(f"cannot read {path}: {(e.strerror or str(e)).lower()}") from None


def _downloaded(address: str) -> bytes:
    # The user named the address, which is the asking that the network waits for.
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / INDEX
        download(address, target, check=lambda _: None, most_bytes=MAX_INDEX_BYTES)
        return target.read_bytes()


def loads(text: bytes, *, place: str) -> Shards:
    """Read what `dumps` wrote. Raises DataError naming what is wrong."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise _damaged(place, f"it is not JSON ({e})") from None
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        raise _damaged(place, f"it is not an object of format {FORMAT}")
    try:
        _check_fields(row, FIELDS)
        name, classes = _name(row["name"]), _classes(row["classes"])
        shards = tuple(_shard(s, len(classes)) for s in row["shards"])
        left_out = tuple((str(x["name"]), str(x["reason"])) for x in row["left_out"])
        _check(shards)
        return Shards(place=place, name=name, classes=classes, shards=shards, left_out=left_out)
    except KeyError as e:
        raise _damaged(place, f"it lacks {e}") from None
    except (TypeError, ValueError, OverflowError) as e:
        raise _damaged(place, str(e)) from None


def _damaged(place: str, why: str) -> DataError:
    where = place if is_address(place) else f"{place}/{INDEX}"
    words = " ".join(why.split())[:200]
    return DataError(
        f"{where} is no index of shards: {words}; write it with pocketvision data shard"
    )


def _check_fields(row: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(row.keys() - known):
        raise ValueError(f"unknown field {unknown[0]!r}")


def _name(name: Any) -> str:
    """A run's folder may be called by it: never a path."""
    if not isinstance(name, str) or not re.fullmatch(r"(?!\.)[^/\\:\x00-\x1f\x7f]{1,200}", name):
        raise ValueError(f"{name!r} is no name of a data set")
    return name


def _classes(rows: Any) -> tuple[str, ...]:
    if not isinstance(rows, list) or not all(isinstance(r, str) and r for r in rows):
        raise ValueError("classes is no list of names")
    if len(set(rows)) != len(rows):
        raise ValueError("a class is named twice")
    return tuple(rows)


def _shard(row: Any, classes: int) -> Shard:
    _check_fields(row, SHARD_FIELDS)
    name, size_bytes, sha256 = row["name"], row["size_bytes"], row["sha256"]
    if not isinstance(name, str) or not re.fullmatch(SHARD_NAME, name, re.ASCII):
        raise ValueError(f"a shard is named {name!r}, not like train-00000.tar")
    if row["split"] not in SPLITS:
        raise ValueError(f"{name} is of split {row['split']!r}, not {', '.join(SPLITS)}")
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"{name} has no sha256")
    labels = _labels(name, row["labels"], classes)
    if type(size_bytes) is not int or not len(labels) * LEAST_BYTES <= size_bytes < MAX_SHARD_BYTES:
        raise ValueError(f"{name} cannot hold {len(labels)} images in {size_bytes} bytes")
    return Shard(name=name, split=row["split"], size_bytes=size_bytes, sha256=sha256, labels=labels)


def _labels(name: str, rows: Any, classes: int) -> np.ndarray:
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{name} lists no labels")
    labels = np.asarray(rows)
    if labels.dtype.kind != "i" or labels.ndim != 1:
        raise ValueError(f"labels of {name} are not whole numbers")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{name} has a label beyond the {classes} classes")
    return labels.astype(np.int32)


def _check(shards: tuple[Shard, ...]) -> None:
    names = [s.name for s in shards]
    if not names:
        raise ValueError("it names no shard")
    if len(set(names)) != len(names):
        raise ValueError("a shard is named twice")


def dumps(shards: Shards) -> str:
    """shards.json."""
    rows = [
        {
            "name": s.name,
            "split": s.split,
            "size_bytes": s.size_bytes,
            "sha256": s.sha256,
            "labels": s.labels.tolist(),
        }
        for s in shards.shards
    ]
    row = {
        "format": FORMAT,
        "name": shards.name,
        "classes": list(shards.classes),
        "left_out": [{"name": name, "reason": reason} for name, reason in shards.left_out],
        "shards": rows,
    }
    return json.dumps(row, ensure_ascii=False) + "\n"
