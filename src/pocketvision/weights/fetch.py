"""Getting public weights: from a mirror folder or a cache first, from the network when asked.

Files are looked for in the cache, the mirror and Hugging Face's cache; what is found or downloaded
is compared with the table's hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import WeightsError
from pocketvision.files import replace_file
from pocketvision.weights.download import TIMEOUT_S, Progress, download
from pocketvision.weights.sources import Source


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
