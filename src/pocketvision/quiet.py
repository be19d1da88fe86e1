"""What decoders say on the side (Python warnings, lines on stderr) is kept from leaking out."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import PIL

_lock = threading.Lock()
_depth = 0
_filters: contextlib.ExitStack | None = None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No Python warning leaves the block. The filters are global, so the threads inside share one
    change: the first in makes it, the last out undoes it.
    """
    global _depth, _filters
    with _lock:
        if _depth == 0:
            _filters = contextlib.ExitStack()
            _filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _filters is not None:
                _filters.close()
                _filters = None


@functools.cache
def hush() -> None:
    """Stop libtiff and Pillow's log printing the faults of a damaged file to stderr; Pillow raises
    an exception for each.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    for path in _loaded_libtiff():
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(path))
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


def _loaded_libtiff() -> set[Path]:
    """The library that Pillow loaded: as Linux lists it, or where Pillow for macOS keeps it."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/maps").read_text().splitlines()
        return {Path(line.split(maxsplit=5)[5]) for line in lines if "/libtiff" in line}
    return set((Path(PIL.__file__).parent / ".dylibs").glob("libtiff*"))
