"""One address to one file: the only code of the package that opens the network.

A download goes into a `.part` file, goes on where it stopped as long as the server has the same
version, and gets its name only after `check` found it right.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pocketvision.errors import DataError, PocketvisionError, WeightsError
from pocketvision.files import writing

CHUNK_BYTES = 1 << 16
MAX_BYTES = 2 << 30
MAX_S = 86_400.0
ATTEMPTS = 6
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
TIMEOUT_S = 30.0

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


def download(
    url: str,
    target: Path,
    *,
    check: Callable[[Path], Any],
    on_progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
    most_bytes: int = MAX_BYTES,
    most_s: float = MAX_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring `url` to `target`, going on after interruptions; `check(part)` raises if it is wrong.

    No more than `most_bytes` are taken, no longer than `most_s` is waited, and no answer may take
    more than `timeout_s` to go on. Raises DataError; after a wrong file nothing is left, after a
    cut one the part is.
    """
    limits = _Limits(most_bytes, time.monotonic() + most_s, timeout_s)
    if not url.startswith(("https://", "http://")):
        raise WeightsError(f"only http and https addresses are opened, not {url}")
    part = target.with_name(f"{target.name}.part")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    for pause in (*PAUSES_S[: ATTEMPTS - 1], None):
        try:
            if _some(url, part, on_progress, limits):
                break
            problem = "the connection was cut"
        except _Retry as e:
            problem = str(e)
        if pause is None:
            kept = "; the part so far stays, repeat to go on" if part.exists() else ""
            raise WeightsError(f"cannot download {url}: {problem}, {ATTEMPTS} times{kept}")
        sleep(pause)
    try:
        check(part)
    except DataError:
        part.unlink(missing_ok=True)
        _tag(part).unlink(missing_ok=True)
        raise
    with writing(target):
        part.replace(target)
        _tag(part).unlink(missing_ok=True)


class _Limits(NamedTuple):
    """How much is taken at most, until when (of time.monotonic), and how long silence may last."""

    most_bytes: int
    until_s: float
    timeout_s: float


class _Retry(Exception):
    """Something that may go away by itself."""


def _tag(part: Path) -> Path:
    """Where the version of a part is noted, so that two versions are never mixed."""
    return part.with_name(f"{part.name}.version")


def _some(url: str, part: Path, on_progress: Progress | None, limits: _Limits) -> bool:
    """Read on to the end if the server allows; True when the file is whole."""
    start = part.stat().st_size if part.is_file() else 0
    tag = _tag(part).read_text() if _tag(part).is_file() else ""
    request = urllib.request.Request(url, headers={"User-Agent": "pocketvision"})
    if start and tag:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", tag)
    else:
        start = 0
    try:
        with urllib.request.urlopen(request, timeout=limits.timeout_s) as answer:
            return _append(answer, part, start, on_progress, limits)
    except urllib.error.HTTPError as e:
        return _refused(e, url, part)
    except (OSError, http.client.HTTPException, ValueError) as e:
        raise _Retry(f"{type(e).__name__}: {' '.join(str(e).split())[:120]}") from None


def _refused(error: urllib.error.HTTPError, url: str, part: Path) -> bool:
    """What a status means: 416 starts over, a server's trouble is tried again, others are final."""
    if error.code == 416:
        part.unlink(missing_ok=True)
        raise _Retry("the part no longer fits the file") from None
    if error.code >= 500 or error.code in (408, 425, 429):
        raise _Retry(f"the server answers {error.code}") from None
    raise WeightsError(f"cannot download {url}: the server answers {error.code} {error.reason}")


def _append(
    answer: http.client.HTTPResponse,
    part: Path,
    start: int,
    on_progress: Progress | None,
    limits: _Limits,
) -> bool:
    """Write an answer behind `start` bytes; True when as much came as was promised."""
    start = start if answer.status == 206 else 0
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length is not None and length.isdigit() else None
    if total is not None and total > limits.most_bytes:
        most = f"more than {limits.most_bytes}"
        raise WeightsError(f"the server promises {total} bytes, {most}: not taken")
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    done = start
    try:
        # A weak tag does not promise equal bytes, so that nothing may go on behind it.
        _tag(part).write_text("" if tag.startswith("W/") else tag)
        with part.open("r+b" if start else "wb") as f:
            f.seek(start)
            # What is there is taken at once: a server that drips would fill no larger piece.
            while (total is None or done < total) and (chunk := answer.read1(CHUNK_BYTES)):
                f.write(chunk)
                done += len(chunk)
                _check_limits(part, done, limits)
                if on_progress is not None:
                    on_progress(done, total)
    except OSError as e:
        if e.errno is not None and not isinstance(e, ConnectionError | TimeoutError):
            raise PocketvisionError(f"cannot write {part}: {e.strerror}") from None
        raise
    return total is None or done >= total


def _check_limits(part: Path, done: int, limits: _Limits) -> None:
    """Raise WeightsError once there is more, or it takes longer, than may be."""
    if done > limits.most_bytes:
        part.unlink(missing_ok=True)
        raise WeightsError(f"more than {limits.most_bytes} bytes came: not taken")
    if time.monotonic() > limits.until_s:
        raise WeightsError(f"{part.stem} comes too slowly ({done} bytes so far); repeat to go on")
