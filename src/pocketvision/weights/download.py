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
from typing import Any

from pocketvision.errors import PocketvisionError, WeightsError
from pocketvision.files import writing

CHUNK_BYTES = 1 << 16
MAX_BYTES = 2 << 30
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
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring `url` to `target`, going on after interruptions; `check(part)` raises if it is wrong.

    Raises WeightsError; after a wrong file nothing is left, after a cut one the part is.
    """
    if not url.startswith(("https://", "http://")):
        raise WeightsError(f"only http and https addresses are opened, not {url}")
    part = target.with_name(f"{target.name}.part")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    for pause in (*PAUSES_S[: ATTEMPTS - 1], None):
        try:
            if _some(url, part, on_progress, timeout_s):
                break
            problem = "the connection was cut"
        except _Retry as e:
            problem = str(e)
        if pause is None:
            raise WeightsError(
                f"cannot download {url}: {problem}, {ATTEMPTS} times; the part so far stays, "
                "repeat to go on"
            )
        sleep(pause)
    try:
        check(part)
    except WeightsError:
        part.unlink(missing_ok=True)
        _tag(part).unlink(missing_ok=True)
        raise
    with writing(target):
        part.replace(target)
        _tag(part).unlink(missing_ok=True)


class _Retry(Exception):
    """Something that may go away by itself."""


def _tag(part: Path) -> Path:
    """Where the version of a part is noted, so that two versions are never mixed."""
    return part.with_name(f"{part.name}.version")


def _some(url: str, part: Path, on_progress: Progress | None, timeout_s: float) -> bool:
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
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return _append(answer, part, start, on_progress)
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
    answer: http.client.HTTPResponse, part: Path, start: int, on_progress: Progress | None
) -> bool:
    """Write an answer behind `start` bytes; True when as much came as was promised."""
    start = start if answer.status == 206 else 0
    length = answer.headers.get("Content-Length")
    total = start + int(length) if length is not None and length.isdigit() else None
    if total is not None and total > MAX_BYTES:
        raise WeightsError(f"the server promises {total} bytes, more than {MAX_BYTES}: not taken")
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    done = start
    try:
        # A weak tag does not promise equal bytes, so that nothing may go on behind it.
        _tag(part).write_text("" if tag.startswith("W/") else tag)
        with part.open("r+b" if start else "wb") as f:
            f.seek(start)
            while chunk := answer.read(CHUNK_BYTES):
                f.write(chunk)
                done += len(chunk)
                if done > MAX_BYTES:
                    raise WeightsError(f"more than {MAX_BYTES} bytes came: not taken")
                if on_progress is not None:
                    on_progress(done, total)
    except OSError as e:
        if e.errno is not None and not isinstance(e, ConnectionError | TimeoutError):
            raise PocketvisionError(f"cannot write {part}: {e.strerror}") from None
        raise
    return total is None or done >= total
