"""The stack on which a thread's signals are handled, kept from what a runtime makes of it.

OpenVINO's CPU plugin gives the thread a signal stack of its own and frees it when the plugin goes,
in whatever order plugins go. After two of them the thread may be left with a stack that is freed
memory, and the next Ctrl-C, SIGTERM or fault ends the process without a word (seen with 2026.4.1).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = (
        ("place", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


@contextmanager
def kept() -> Iterator[None]:
    """The thread's signal stack is after the block what it was before it; Linux only."""
    if not sys.platform.startswith("linux"):
        yield
        return
    call, before = ctypes.CDLL(None).sigaltstack, _Stack()
    call(None, ctypes.byref(before))
    try:
        yield
    finally:
        call(ctypes.byref(before), None)
