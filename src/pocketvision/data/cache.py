"""Images by the contract, as uint8 in one array: decoded in parallel once, then kept on disk.

An entry of the cache is a folder named by a hash of all that decides the pixels (the contract, what
each file holds, the versions of what decodes):

    images.npy    uint8 (n, h, w, c), mapped into memory
    sums.npy      a checksum of each image; an entry that does not match is made again
    index.json    which samples could not be read, and why

Entries appear by a rename, whole or not at all; the least recently used ones go when the bound is
reached. Without a cache the array is in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from pocketvision.bench.host import usable_cores
from pocketvision.data.contents import contents
from pocketvision.data.dataset import Sample
from pocketvision.data.preparing import Source
from pocketvision.errors import DataError, ImageError, PocketvisionError
from pocketvision.files import locked, new_folder
from pocketvision.preprocess import Preprocess, dumps

FORMAT = 1
DECODERS = ("pillow", "simplejpeg", "torch", "numpy")
MAX_CHECKED_BYTES = 2**31
MAX_NAMED = 5
LEFTOVER_S = 86_400.0
Bad = tuple[str, str]  # (path or name, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Where entries are kept, and how much they may take together."""

    folder: Path
    max_bytes: int = 20 * 10**9


class Loaded(NamedTuple):
    """`images` uint8 (m, h, w, c) of the samples `kept` (m,), and those that could not be read."""

    images: np.ndarray
    kept: np.ndarray
    bad: list[Bad]


def cache_folder(environment: Mapping[str, str]) -> Path:
    """`POCKETVISION_CACHE` of the environment, or ~/.cache/pocketvision."""
    chosen = environment.get("POCKETVISION_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "pocketvision"


def load_uint8(
    samples: Sequence[Sample],
    preprocess: Preprocess,
    *,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    skip_bad: bool = False,
    cache: Cache | None = None,
) -> Loaded:
    """Every sample by `to_uint8` of the contract, in order; from the cache where it holds them.

    `on_progress(done, all)` is called after each image. Raises DataError naming the files that
    cannot be read, unless `skip_bad` leaves them out; also when none is left.
    """
    source = Source(samples, preprocess, workers or usable_cores(), on_progress)
    if cache is None or source.size_bytes > cache.max_bytes:
        loaded = _in_memory(source)
    else:
        loaded = from_disk(source, cache, key=lambda: key(samples, preprocess, cache=cache))
        if source.on_progress:
            source.on_progress(len(samples), len(samples))
    if loaded.bad and (not skip_bad or not len(loaded.kept)):
        raise DataError(_complaint(loaded.bad, len(samples)))
    return loaded


def _complaint(bad: Sequence[Bad], total: int) -> str:
    shown = "; ".join(f"{path}: {reason}" for path, reason in bad[:MAX_NAMED])
    more = f"; and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
    advice = "repair or remove them, or leave them out with --skip-bad"
    if len(bad) == total:
        advice = "there is nothing to work with"
    return f"{len(bad)} of {total} images cannot be read ({shown}{more}); {advice}"


def _in_memory(source: Source) -> Loaded:
    try:
        images = np.empty((len(source.samples), *source.shape), np.uint8)
    except MemoryError:
        gigabytes = source.size_bytes / 1e9
        raise DataError(
            f"{len(source.samples)} images of this size take {gigabytes:.1f} GB of memory; use a "
            "smaller resolution, or a cache on disk"
        ) from None
    kept: list[int] = []
    bad: list[Bad] = []
    for i, got in enumerate(source.prepared()):
        if isinstance(got, ImageError):
            bad.append((got.path, got.reason))
        else:
            images[len(kept)] = got
            kept.append(i)
    return Loaded(images[: len(kept)], np.array(kept, np.int64), bad)


def key(samples: Sequence[Sample], preprocess: Preprocess, *, cache: Cache) -> str:
    """32 hex digits that change with anything that could change a pixel."""
    return key_of(contents(samples, memory=cache.folder / "contents"), preprocess)


def key_of(contents: str, preprocess: Preprocess) -> str:
    """32 hex digits of `contents`, a hash of the files, and of all that makes pixels of them."""
    parts = hashlib.blake2b(digest_size=16)
    versions = {name: version(name) for name in DECODERS}
    parts.update(json.dumps([FORMAT, versions, dumps(preprocess)]).encode())
    parts.update(contents.encode())
    return parts.hexdigest()


def from_disk(
    source: Source, cache: Cache, *, key: Callable[[], str], kind: str = "images"
) -> Loaded:
    """The entry of that kind and key, made of `source` where it is not there yet, or is damaged.

    Raises PocketvisionError where it cannot be kept, and what `source` raises.
    """
    try:
        place = cache.folder / kind / key()
        loaded = _opened(place, source)
        if loaded is None:
            # Of several processes one makes the entry, and the others wait for it.
            with locked(cache.folder / "locks" / place.name):
                loaded = _opened(place, source) or _made(place, source, cache)
    except OSError as e:
        raise _unwritable(cache, e.strerror or str(e)) from None
    with contextlib.suppress(OSError):
        os.utime(place)  # the time of last use, by which entries go
    return loaded


def _made(place: Path, source: Source, cache: Cache) -> Loaded:
    make_room(place.parent, source.size_bytes, max_bytes=cache.max_bytes)
    with new_folder(place, overwrite=True) as folder:
        _write(folder, source)
    loaded = _opened(place, source)
    if loaded is None:
        raise _unwritable(cache, "what was written does not read back the same")
    return loaded


def _unwritable(cache: Cache, why: str) -> PocketvisionError:
    return PocketvisionError(
        f"cannot keep prepared images in {cache.folder}: {why}; free some space, or set "
        "POCKETVISION_CACHE to another folder"
    )


def _write(folder: Path, source: Source) -> None:
    """The three files of an entry. The array's header is written last, when its length is known."""
    sums, bad = [], []
    with (folder / "images.npy").open("wb") as f:
        start = _header(f, 0, source.shape)
        for i, got in enumerate(source.prepared()):
            if isinstance(got, ImageError):
                bad.append([i, got.path, got.reason])
                continue
            row = np.ascontiguousarray(got).tobytes()
            f.write(row)
            sums.append(zlib.crc32(row))
        f.seek(0)
        if _header(f, len(sums), source.shape) != start:
            raise OSError("the header of the array changed its length")
    np.save(folder / "sums.npy", np.array(sums, np.uint32))
    index = {"format": FORMAT, "samples": len(source.samples), "bad": bad}
    (folder / "index.json").write_text(json.dumps(index))


def _header(f: BinaryIO, n: int, shape: tuple[int, int, int]) -> int:
    """Write the header of a .npy file (its room for a growing first axis keeps its length)."""
    row = {"descr": "|u1", "fortran_order": False, "shape": (n, *shape)}
    np.lib.format.write_array_header_1_0(f, row)
    return int(f.tell())


def _opened(place: Path, source: Source) -> Loaded | None:
    """The entry, or None where there is none or it is damaged."""
    try:
        index = json.loads((place / "index.json").read_text())
        if index["format"] != FORMAT:
            return None
        bad = {int(i): (_where(source, int(i)), str(reason)) for i, _, reason in index["bad"]}
        kept = np.array([i for i in range(len(source.samples)) if i not in bad], np.int64)
        sums = np.load(place / "sums.npy")
        if not len(kept):
            return Loaded(np.empty((0, *source.shape), np.uint8), kept, list(bad.values()))
        # Copy on write: torch wants arrays that may be written to, the file stays as it is.
        images = np.load(place / "images.npy", mmap_mode="c")
    except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError):
        return None
    if images.shape != (len(kept), *source.shape) or sums.shape != (len(kept),):
        return None
    return Loaded(images, kept, list(bad.values())) if _intact(images, sums) else None


def _where(source: Source, i: int) -> str:
    """Where a sample lies now; the entry may have been made from another place."""
    sample = source.samples[i]
    return sample.name if sample.path is None else str(sample.path)


def _intact(images: np.ndarray, sums: np.ndarray) -> bool:
    """Checksums hold: of every image, or of a sample spread over an array too large to read."""
    step = max(1, images.nbytes // MAX_CHECKED_BYTES)
    return all(zlib.crc32(images[i]) == sums[i] for i in range(0, len(images), step))


def make_room(place: Path, size_bytes: int, *, max_bytes: int) -> None:
    """Remove the least recently used entries of `place` until `size_bytes` more fit the bound, and
    leftovers of runs that were killed. Raises OSError when the disk has no room.
    """
    place.mkdir(parents=True, exist_ok=True)
    entries = sorted((p for p in place.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for entry in [p for p in entries if p.name.startswith(".tmp-")]:
        entries.remove(entry)
        if entry.stat().st_mtime < time.time() - LEFTOVER_S:
            shutil.rmtree(entry, ignore_errors=True)
    sizes = [sum(f.stat().st_size for f in entry.iterdir()) for entry in entries]
    # Where the disk is the tighter bound, older entries go for it too, if that helps.
    short = shutil.disk_usage(place).free < size_bytes <= shutil.disk_usage(place).free + sum(sizes)
    while entries and (sum(sizes) + size_bytes > max_bytes or short):
        shutil.rmtree(entries.pop(0), ignore_errors=True)
        sizes.pop(0)
        short = short and shutil.disk_usage(place).free < size_bytes
    if shutil.disk_usage(place).free < size_bytes:
        raise OSError(f"the disk has less than the {size_bytes / 1e9:.1f} GB it takes")
