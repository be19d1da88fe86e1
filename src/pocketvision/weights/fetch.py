"""Getting public weights: from a mirror folder or a cache first, from the network when asked.

The only code of the package that opens the network. A download goes into a `.part` file, goes on
where it stopped, and gets its name only after its hash was found right.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.errors import PocketvisionError, WeightsError
from pocketvision.files import replace_file, writing
from pocketvision.weights.sources import Source

CHUNK_BYTES = 1 << 16
MAX_BYTES = 2 << 30
ATTEMPTS = 6
PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
TIMEOUT_S = 30.0

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where known


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where weights may lie, and whether the network may be used.

    cache       files that were downloaded
    mirror      a folder with the same files, by table name or by file name
    hub         Hugging Face's cache ($HF_HOME/hub)
    offline     why the network is off (the variable that says so), or empty
    """

    cache: Path
    mirror: Path | None = None
    hub: Path | None = None
    offline: str = ""


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """A file that is at hand. `checked`: what its hash was compared with, "nothing" if unknown."""

    path: Path
    where: str
    sha256: str
    checked: str


class HashMismatch(WeightsError):
    """A file whose hash is not the one of the table."""


def find(source: Source, places: Places) -> Pulled | None:
    """The file where it lies already, with its hash checked, or None.

    Raises HashMismatch for a file in the cache that is another; one in a mirror or in the hub's
    cache that does not match is passed over.
    """
    for where, path in _candidates(source, places):
        if not path.is_file():
            continue
        try:
            digest, checked = check(source, path)
        except HashMismatch:
            if where == "cache":
                raise
            continue
        return Pulled(path=path, where=where, sha256=digest, checked=checked)
    return None


def pull(
    source: Source,
    places: Places,
    *,
    unverified: bool = False,
    on_progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Pulled:
    """The file, downloaded if it is nowhere at hand. Without a known hash only if `unverified`.

    Raises WeightsError (offline, not found, cut off, wrong hash), PocketvisionError (disk).
    """
    here = find(source, places)
    if here is not None:
        return here
    if source.url is None:
        raise WeightsError(
            f"no lasting address of {source.name} is known: put {source.file} (sha256 "
            f"{source.sha256}) into the mirror folder, or import the file itself"
        )
    if places.offline:
        raise WeightsError(
            f"{source.name} is not at hand ({_looked(source, places)}) and the network is off "
            f"({places.offline}): get {source.file} from {source.url} where there is one"
        )
    if source.hashed == "none" and not unverified:
        raise WeightsError(
            f"no hash of {source.name} is known, so that nothing could tell a wrong file: "
            "--unverified downloads it all the same, and keeps the hash that it finds"
        )
    target = cached(source, places)
    download(source.url, target, check=lambda part: check(source, part), timeout_s=timeout_s,
             on_progress=on_progress)  # fmt: skip
    digest, checked = check(source, target)
    replace_file(_record(target), json.dumps({"url": source.url, "sha256": digest}) + "\n")
    return Pulled(path=target, where="network", sha256=digest, checked=checked)


def check(source: Source, path: Path) -> tuple[str, str]:
    """(sha256, what it was compared with). Raises HashMismatch."""
    sha256, md5 = digests(path)
    kept = _recorded(path)
    wanted = source.sha256 or ("" if source.md5 else kept or "")
    if not sha256.startswith(wanted) or (source.md5 is not None and md5 != source.md5):
        got = sha256 if source.sha256 or not source.md5 else md5
        raise HashMismatch(
            f"{path} is not {source.name}: its hash is {got[:16]}..., expected "
            f"{(wanted or str(source.md5))[:16]}...; delete it and pull again"
        )
    known = source.hashed != "none"
    return (
        sha256,
        source.hashed if known else "the hash of the first download" if kept else "nothing",
    )


def digests(path: Path) -> tuple[str, str]:
    """(sha256, md5) of a file, in hexadecimal digits."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as f:
        while chunk := f.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def cached(source: Source, places: Places) -> Path:
    """Where the cache keeps a file."""
    return places.cache / _folder(source.name) / source.file


def _folder(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "--", name)


def _candidates(source: Source, places: Places) -> Iterator[tuple[str, Path]]:
    yield "cache", cached(source, places)
    if places.mirror is not None:
        for path in (_folder(source.name), source.name):
            yield "mirror", places.mirror / path / source.file
        yield "mirror", places.mirror / source.file
    if places.hub is not None and source.url is not None:
        found = re.fullmatch(
            r"https://huggingface\.co/([^/]+)/([^/]+)/resolve/[^/]+/(.+)", source.url
        )
        if found:
            snapshots = places.hub / f"models--{found[1]}--{found[2]}" / "snapshots"
            for snapshot in sorted(snapshots.glob("*"), reverse=True):
                yield "Hugging Face's cache", snapshot / found[3]


def _looked(source: Source, places: Places) -> str:
    folders = dict.fromkeys(str(path.parent) for _, path in _candidates(source, places))
    return "looked in " + ", ".join(folders)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _recorded(path: Path) -> str | None:
    try:
        row = json.loads(_record(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    digest = row.get("sha256") if isinstance(row, dict) else None
    return digest if isinstance(digest, str) and len(digest) == 64 else None


# ---------------------------------------------------------------------------------- the network


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
