"""Arrays that are costly to make, kept on disk by a key: whole or not at all, within a bound.

<kind>/<key>/array.npy    the array
<kind>/<key>/sum.txt      its checksum; an entry that does not match is made again
"""

from __future__ import annotations

import contextlib
import os
import zlib

import numpy as np

from pocketvision.data.cache import Cache, make_room
from pocketvision.errors import PocketvisionError
from pocketvision.files import new_folder

MAX_BYTES = 4 * 10**9  # of one kind, within what the cache itself may take


def found_array(cache: Cache, kind: str, key: str, *, rows: int) -> np.ndarray | None:
    """The array of `key`, or None where there is none, it is damaged or has not so many rows."""
    place = cache.folder / kind / key
    try:
        array = np.load(place / "array.npy", allow_pickle=False)
        expected = int((place / "sum.txt").read_text())
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(array, np.ndarray) or array.ndim == 0 or len(array) != rows:
        return None
    if _sum(array) != expected:
        return None
    with contextlib.suppress(OSError):
        os.utime(place)  # the time of last use, by which entries go
    return array


def keep_array(cache: Cache, kind: str, key: str, array: np.ndarray) -> bool:
    """Keep an array; False where it has no room. A full disk costs the next run time, this one
    nothing.
    """
    place, array = cache.folder / kind / key, np.ascontiguousarray(array)
    most = min(cache.max_bytes, MAX_BYTES)
    if array.nbytes > most:
        return False
    try:
        make_room(cache.folder / kind, array.nbytes, max_bytes=most)
        with new_folder(place, overwrite=True) as folder:
            np.save(folder / "array.npy", array)
            (folder / "sum.txt").write_text(str(_sum(array)))
    except (OSError, PocketvisionError):
        return False
    return True


def _sum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)
