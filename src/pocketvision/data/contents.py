"""A hash of what images hold, wherever their files lie and whenever they were touched.

Reading every file again for each run would cost as much as the run may: a list of files that has
not changed by path, size and time of change has its hash remembered, in <memory>/<hash of list>.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pocketvision.bench.host import usable_cores
from pocketvision.data.dataset import Sample
from pocketvision.errors import PocketvisionError
from pocketvision.files import replace_file

BYTES = 16
PIECE_BYTES = 2**20
MOST_REMEMBERED = 1000


def contents(samples: Sequence[Sample], *, memory: Path | None = None) -> str:
    """32 hex digits of what the samples hold, in order; remembered in the folder `memory`.

    A file that cannot be read counts as one of its own kind: why is found when it is decoded.
    """
    place = None if memory is None else memory / _joined([_identity(s) for s in samples])
    if place is not None and (known := _recalled(place)):
        return known
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = _joined(list(pool.map(_content, samples)))
    if place is not None:
        _remember(place, found)
    return found


def _joined(parts: Sequence[str]) -> str:
    total = hashlib.blake2b(digest_size=BYTES)
    for part in parts:
        total.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return total.hexdigest()


def _identity(sample: Sample) -> str:
    """What tells of a change without reading the file."""
    if sample.path is None:
        return _content(sample)
    try:
        status = sample.path.stat()
    except (OSError, ValueError):
        return f"{sample.path} missing"
    return f"{sample.path.absolute()} {status.st_size} {status.st_mtime_ns}"


def _content(sample: Sample) -> str:
    total = hashlib.blake2b(digest_size=BYTES)
    if sample.path is None:
        pixels = np.empty(0, np.uint8) if sample.pixels is None else sample.pixels
        total.update(f"{sample.name} {pixels.shape}".encode())
        total.update(np.ascontiguousarray(pixels).data)
        return total.hexdigest()
    try:
        with sample.path.open("rb") as f:
            while piece := f.read(PIECE_BYTES):
                total.update(piece)
    except (OSError, ValueError):
        return f"{sample.path} unreadable"
    return total.hexdigest()


def _recalled(place: Path) -> str:
    """What was remembered; nothing where the file is not one of ours."""
    try:
        text = place.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    return text if len(text) == 2 * BYTES and set(text) <= set("0123456789abcdef") else ""


def _remember(place: Path, found: str) -> None:
    """Keep a hash, and drop the oldest; a full disk costs the next run time, this one nothing."""
    try:
        replace_file(place, found + "\n")
        kept = sorted(place.parent.iterdir(), key=lambda p: p.stat().st_mtime)
        for old in kept[:-MOST_REMEMBERED]:
            old.unlink(missing_ok=True)
    except (OSError, PocketvisionError):
        return
