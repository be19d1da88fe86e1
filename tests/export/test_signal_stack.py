"""A signal after OpenVINO was used is handled, and does not end the process."""

import ctypes
import subprocess
import sys

import pytest

from pocketvision.export import signal_stack

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's call")

# Two plugins, of which the first made is the first to go.
CODE = """
import signal, sys
from pathlib import Path
from pocketvision.export import openvino
first, second = (openvino.load(Path(sys.argv[1])) for _ in range(2))
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


def stack():
    now = signal_stack._Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(now))
    return now.place, now.flags, now.size


def test_a_signal_after_openvino_is_handled(made):
    path = made["chains", "openvino"].path / "model.xml"
    got = subprocess.run(
        [sys.executable, "-c", CODE, path], capture_output=True, text=True, timeout=120
    )
    assert (got.returncode, got.stdout) == (0, "handled\n"), got.stderr


def other_stack(memory):
    """Give the thread another signal stack, see it, and fail."""
    with signal_stack.kept():
        other = signal_stack._Stack(ctypes.addressof(memory), 0, len(memory))
        ctypes.CDLL(None).sigaltstack(ctypes.byref(other), None)
        assert stack()[0] == ctypes.addressof(memory)
        raise KeyError


def test_what_a_block_sets_is_undone_even_after_an_error():
    before = stack()
    with pytest.raises(KeyError):
        other_stack(ctypes.create_string_buffer(2**16))
    assert stack() == before
