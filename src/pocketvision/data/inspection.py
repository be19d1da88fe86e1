"""Decode files in processes of their own: one that hangs, crashes or eats memory is named, and the
rest goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pocketvision
from pocketvision.data.child import DIGEST_BYTES
from pocketvision.data.dataset import Sample
from pocketvision.errors import PocketvisionError

TIMEOUT_S = 20.0
START_TIMEOUT_S = 60.0
# Address space, of which the interpreter and its libraries take a third before any image.
MEMORY_BYTES = 3 * 2**29
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from pocketvision.data.child import main; main(int(sys.argv[2]))"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one image turned out to be; `reason` is empty for a good one."""

    reason: str = ""
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    fingerprint: bytes | None = None


class _Dead(Exception):
    """The process has ended, or was ended because it took too long; says which."""


class _Child:
    """One process and the pipe to it."""

    def __init__(self, memory_bytes: int) -> None:
        root = str(Path(pocketvision.__file__).parents[1])
        # Without -P the current folder, perhaps the user's data, would be searched for modules.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, root, str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Thread pools and arenas reserve address space, which is what the limit counts.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
            start_new_session=True,  # Ctrl-C is for us; we end the children
        )
        try:
            self._line(START_TIMEOUT_S)
        except _Dead as e:
            self.end()
            raise PocketvisionError(f"cannot start a process to decode images: it {e}") from None

    def ask(self, path: Path, timeout_s: float) -> dict:
        """The child's answer about a file. Raises _Dead."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise _Dead("crashed its decoder") from None
        return json.loads(self._line(timeout_s))

    def _line(self, timeout_s: float) -> bytes:
        assert self.process.stdout is not None
        pipe, line = self.process.stdout.fileno(), b""
        end = time.monotonic() + timeout_s
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise _Dead(f"takes more than {timeout_s:.0f} s to decode")
            piece = os.read(pipe, 1 << 16)
            if not piece:
                raise _Dead(f"crashed its decoder (exit {self.process.wait()})")
            line += piece
        return line

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe and pipe.close()


def inspect(
    samples: Sequence[Sample],
    *,
    workers: int,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """A finding for each sample, in order; `on_progress(done, all)` is called as they come in."""
    findings: list[Finding] = [Finding()] * len(samples)
    files = [(i, s.path) for i, s in enumerate(samples) if s.path is not None]
    for i, sample in enumerate(samples):
        if sample.pixels is not None:
            findings[i] = _of_pixels(sample)
    done = len(samples) - len(files)
    for i, finding in _inspected(files, max(1, workers), timeout_s, memory_bytes):
        findings[i] = finding
        done += 1
        if on_progress:
            on_progress(done, len(samples))
    return findings


def _of_pixels(sample: Sample) -> Finding:
    assert sample.pixels is not None
    digest = hashlib.blake2b(sample.pixels.tobytes(), digest_size=DIGEST_BYTES).hexdigest()
    return Finding(digest=digest, size=(sample.pixels.shape[0], sample.pixels.shape[1]))


Numbered = tuple[int, Path]


def _inspected(
    files: Sequence[Numbered], workers: int, timeout_s: float, memory_bytes: int
) -> Iterator[tuple[int, Finding]]:
    """Findings as they come; a thread leads each process, and all end with this generator."""
    todo: queue.SimpleQueue[Numbered] = queue.SimpleQueue()
    for file in files:
        todo.put(file)
    found: queue.SimpleQueue[tuple[int, Finding] | BaseException] = queue.SimpleQueue()
    stop = threading.Event()
    lead = (todo, found, stop, timeout_s, memory_bytes)
    threads = [threading.Thread(target=_lead, args=lead) for _ in range(min(workers, len(files)))]
    for thread in threads:
        thread.start()
    try:
        for _ in files:
            got = found.get()
            if isinstance(got, BaseException):
                raise got
            yield got
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _lead(
    todo: queue.SimpleQueue[Numbered],
    found: queue.SimpleQueue[tuple[int, Finding] | BaseException],
    stop: threading.Event,
    timeout_s: float,
    memory_bytes: int,
) -> None:
    child = None
    try:
        while not stop.is_set():
            number, path = todo.get_nowait()
            child = child or _Child(memory_bytes)
            try:
                found.put((number, _finding(child.ask(path, timeout_s))))
            except _Dead as e:
                found.put((number, Finding(reason=str(e))))
                child.end()
                child = None
    except queue.Empty:
        pass
    except BaseException as e:
        found.put(e)
    finally:
        if child:
            child.end()


def _finding(answer: dict) -> Finding:
    if "reason" in answer:
        return Finding(reason=answer["reason"])
    marks = answer["fingerprint"]
    height, width = answer["size"]
    return Finding("", answer["digest"], (height, width), bytes.fromhex(marks) if marks else None)
