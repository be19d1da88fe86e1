"""Training images that lie in shards: an array that is not there until it is asked for.

Each shard is prepared as a whole, by the contract, and kept in the cache like other images. The
least recently used ones go when the bound is reached, so that what a run needs on the disk is a few
shards, whatever the data are. Which of them are there decides nothing but time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.bench.host import usable_cores
from pocketvision.data.cache import Cache, from_disk, key_of
from pocketvision.data.order import WINDOW
from pocketvision.data.preparing import Source
from pocketvision.data.shard_files import members, names_of
from pocketvision.data.shards import Shard, Shards
from pocketvision.errors import DataError
from pocketvision.preprocess import Preprocess

KIND = "shards"
# Of the disk's free room; the rest is for checkpoints and other people.
DISK_SHARE = 0.5


class ShardedPixels:
    """uint8 (n, h, w, c) of a split's images, in the order of its shards; indexed by an array of
    indices or a slice, which gives a new array. Thread-safe.

    Raises DataError, when indexed, for a shard that cannot be got or holds what it should not.
    """

    def __init__(
        self,
        shards: Shards,
        split: str,
        preprocess: Preprocess,
        *,
        cache: Cache,
        workers: int | None = None,
    ) -> None:
        self.shards, self.parts, self.preprocess = shards, shards.of(split), preprocess
        self.cache = _bounded(cache)
        self.workers = workers or usable_cores()
        self.sizes = tuple(len(part) for part in self.parts)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self.shape = (int(self.starts[-1]), *preprocess.size, preprocess.channels)
        self.dtype = np.dtype(np.uint8)
        self.lock = threading.Lock()
        self.open: OrderedDict[int, np.ndarray] = OrderedDict()
        self.coming: dict[int, Future[np.ndarray]] = {}
        self.todo: deque[tuple[int, Future[np.ndarray]]] = deque()
        self.working = False
        self.slots = self._slots()

    def __len__(self) -> int:
        return self.shape[0]

    def _slots(self) -> int:
        """How many shards may be there at a time. Raises DataError where it is not one."""
        largest = max(self.sizes) * int(np.prod(self.shape[1:]))
        if largest > self.cache.max_bytes:
            raise DataError(
                f"a shard of {max(self.sizes)} images takes {largest / 1e9:.2f} GB at this size, "
                f"the cache in {self.cache.folder} has {self.cache.max_bytes / 1e9:.2f} GB; make "
                "room, set POCKETVISION_CACHE to another disk, or write smaller shards"
            )
        return self.cache.max_bytes // largest

    @property
    def nbytes(self) -> int:
        """Of all images together."""
        return int(np.prod(self.shape))

    @property
    def roomy(self) -> bool:
        """There is room for the shards that are mixed and the one that comes next."""
        return self.slots > min(WINDOW, len(self.parts) - 1)

    def __getitem__(self, key: np.ndarray | slice) -> np.ndarray:
        span = range(*key.indices(len(self))) if isinstance(key, slice) else key
        indices = np.asarray(span, np.int64)
        place = self._shard_of(indices)
        out = np.empty((len(indices), *self.shape[1:]), np.uint8)
        for i in np.unique(place).tolist():
            rows = place == i
            out[rows] = self._array(i)[indices[rows] - self.starts[i]]
        return out

    def expect(self, indices: np.ndarray) -> None:
        """Prepare the shards of `indices` in the background, where there is room for them."""
        if not self.roomy:
            return
        with self.lock:
            for i in np.unique(self._shard_of(np.asarray(indices))).tolist():
                if i not in self.open and i not in self.coming:
                    self._wanted(i, first=False)

    def _shard_of(self, indices: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.starts, indices, side="right") - 1

    def _array(self, i: int) -> np.ndarray:
        """The images of shard `i`, once they are there."""
        with self.lock:
            if i in self.open:
                self.open.move_to_end(i)
                return self.open[i]
            coming = self.coming.get(i) or self._wanted(i, first=True)
        try:
            return coming.result()
        finally:
            with self.lock:
                if self.coming.get(i) is coming:  # it failed; the next time it is tried again
                    del self.coming[i]

    def _wanted(self, i: int, *, first: bool) -> Future[np.ndarray]:
        """Have shard `i` prepared, before others where it is waited for. The lock is held."""
        coming = self.coming[i] = Future()
        (self.todo.appendleft if first else self.todo.append)((i, coming))
        if not self.working:
            self.working = True
            # A daemon: a download must not keep a program from ending.
            threading.Thread(target=self._work, daemon=True).start()
        return coming

    def _work(self) -> None:
        """Prepare what is wanted, one shard after the other, until nothing is."""
        while True:
            with self.lock:
                if not self.todo:
                    self.working = False
                    return
                i, coming = self.todo.popleft()
            try:
                array = self._prepared(i)
            except BaseException as e:
                coming.set_exception(e)
                continue
            with self.lock:
                self.open[i] = array
                self.coming.pop(i, None)
            coming.set_result(array)

    def _prepared(self, i: int) -> np.ndarray:
        """The images of shard `i` from the cache, made before where they are not there."""
        part = self.parts[i]
        with self.lock:
            while len(self.open) >= self.slots:
                self.open.popitem(last=False)
            for used in self.open:  # so that the cache drops those that are used least
                with contextlib.suppress(OSError):
                    os.utime(self._place(self.parts[used]))
        source = Source(
            samples=names_of(part),
            preprocess=self.preprocess,
            workers=self.workers,
            opened=lambda: self._files(part),
        )
        loaded = from_disk(source, self.cache, key=lambda: self._key(part), kind=KIND)
        if loaded.bad:
            name, reason = loaded.bad[0]
            raise DataError(
                f"{self.shards.where(part)}: image {name.rpartition('/')[2]} cannot be read "
                f"({reason}); write the shards again with pocketvision data shard"
            )
        return loaded.images

    def _files(self, part: Shard) -> Iterator[bytes]:
        return (member.data for member in members(self.shards, part, self.cache))

    def _key(self, part: Shard) -> str:
        return key_of(part.sha256, self.preprocess)

    def _place(self, part: Shard) -> Path:
        return self.cache.folder / KIND / self._key(part)


def _bounded(cache: Cache) -> Cache:
    """The cache with no more than a share of the room that its disk has for shards."""
    place = cache.folder / KIND
    place.mkdir(parents=True, exist_ok=True)
    held = sum(f.stat().st_size for entry in place.iterdir() for f in entry.glob("*"))
    room = int((shutil.disk_usage(place).free + held) * DISK_SHARE)
    return replace(cache, max_bytes=min(cache.max_bytes, room))
