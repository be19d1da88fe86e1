"""Samples to uint8 images by the contract, in parallel and in order, with little in hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from pocketvision.data.dataset import Sample
from pocketvision.errors import ImageError
from pocketvision.preprocess import Preprocess, pixels_of, to_uint8

CHUNK = 64  # images a worker has in hand at most; bounds the memory when writing to disk
CHUNK_BYTES = 2**26  # and so many bytes of files


@dataclass(frozen=True)
class Source:
    """The samples and how to prepare them. `opened` gives what they are made of in order (paths,
    bytes of files or pixels) where they do not hold it themselves.
    """

    samples: Sequence[Sample]
    preprocess: Preprocess
    workers: int
    on_progress: Callable[[int, int], None] | None = None
    opened: Callable[[], Iterable[Any]] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c) of one prepared image."""
        return (*self.preprocess.size, self.preprocess.channels)

    @property
    def size_bytes(self) -> int:
        """Of all images together."""
        return len(self.samples) * int(np.prod(self.shape))

    def prepared(self) -> Iterator[np.ndarray | ImageError]:
        """Images, or why there is none, in order.

        Threads serve as well as processes here: decoding and resampling leave Python's lock, and
        nothing is copied between processes.
        """
        pool, done = ThreadPoolExecutor(self.workers), count(1)
        held = map(_held, self.samples) if self.opened is None else self.opened()
        try:
            for chunk in _chunks(held, CHUNK * self.workers):
                for image, number in zip(pool.map(self._one, chunk), done, strict=False):
                    yield image
                    if self.on_progress:
                        self.on_progress(number, len(self.samples))
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, held: Any) -> np.ndarray | ImageError:
        if isinstance(held, ImageError):
            return held
        try:
            return to_uint8(pixels_of(held, self.preprocess), self.preprocess)
        except ImageError as e:
            return e


def _held(sample: Sample) -> Any:
    """What a sample is made of, or why there is nothing."""
    held = sample.path if sample.pixels is None else sample.pixels
    return ImageError(sample.name, "has neither a file nor pixels") if held is None else held


def _chunks(held: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Up to `most` of them at a time, fewer where they are many bytes."""
    chunk: list[Any] = []
    for one in held:
        chunk.append(one)
        size_bytes = sum(len(x) for x in chunk if isinstance(x, bytes))
        if len(chunk) == most or size_bytes > CHUNK_BYTES:
            yield chunk
            chunk = []
    yield chunk
