"""`pocketvision weights`: the table of public weights, and the one verb that opens the network."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.options import Flag, Json
from pocketvision.cli.out import Output, mebibytes
from pocketvision.errors import UnknownName, WeightsError, closest

if TYPE_CHECKING:
    from pocketvision.weights.fetch import Places, Pulled
    from pocketvision.weights.sources import Source

YES = ("1", "true", "yes", "on")
OFFLINE = ("POCKETVISION_OFFLINE", "HF_HUB_OFFLINE")


def places() -> Places:
    """Where weights may lie, from the environment."""
    from pocketvision.data.cache import cache_folder
    from pocketvision.weights.fetch import Places

    mirror, home = os.environ.get("POCKETVISION_MIRROR"), os.environ.get("HF_HOME")
    hub = Path(home) if home else Path.home() / ".cache" / "huggingface"
    offline = [name for name in OFFLINE if os.environ.get(name, "").lower() in YES]
    return Places(
        cache=cache_folder(os.environ) / "weights",
        mirror=Path(mirror) if mirror else None,
        hub=hub / "hub",
        offline=f"{offline[0]} is set" if offline else "",
    )


def list_weights(pattern: str = "", /, *, json: Json = False) -> None:
    """List public weights: network, published accuracy, licence, whether a hash is known.

    Parameters
    ----------
    pattern: str
        Show only names that contain this.
    """
    from pocketvision.weights.fetch import cached
    from pocketvision.weights.sources import ROWS, SOURCES

    out, where = Output(json=json), places()
    rows = [row for row in ROWS if pattern in row.name]
    if not rows:
        raise UnknownName(f"no public weights contain {pattern!r}{closest(pattern, SOURCES)}")
    out.table([_row(row, here=cached(row, where).is_file()) for row in rows])
    out.result([_record(row, here=cached(row, where).is_file()) for row in rows])
    out.next("pocketvision", "weights", "pull", rows[0].name)


def pull(
    name: str, /, *, unverified: Flag = False, offline: Flag = False, json: Json = False
) -> None:
    """Get weights of the table: from the mirror folder or a cache, else from their address.

    A download goes on where it stopped and is kept only if its hash is right. POCKETVISION_MIRROR
    names a folder with the same files; HF_HOME and HF_HUB_OFFLINE are honoured.

    Parameters
    ----------
    name: str
        A name of `weights list`.
    unverified: bool
        Accept a file of which no hash is known; the hash found is kept for the next time.
    offline: bool
        Do not open the network; say what is missing.
    """
    from pocketvision.weights import fetch
    from pocketvision.weights.sources import source

    out, row, where = Output(json=json), source(name), places()
    where = replace(where, offline="--offline") if offline else where
    out.say(f"{row.name}: {row.licence}, {row.url or 'no address'}")
    with out.progress("percent", 100) as advance:
        seen = 0

        def on_progress(done: int, total: int | None) -> None:
            nonlocal seen
            if total and (percent := 100 * done // total) > seen:
                advance(percent - seen)
                seen = percent

        got = fetch.pull(row, where, unverified=unverified, on_progress=on_progress)
    out.say(_pulled(got))
    out.result({"name": row.name, "path": got.path, "where": got.where, "sha256": got.sha256,
                "checked": got.checked})  # fmt: skip
    out.next("pocketvision", "import", row.name)


def verify(name: str = "", /, *, json: Json = False) -> None:
    """Compare every file at hand with the hashes of the table. Exit code 3 if one is wrong.

    Parameters
    ----------
    name: str
        One name of `weights list`; by default all that lie in the cache or the mirror.
    """
    from pocketvision.weights.sources import ROWS, source

    out, where = Output(json=json), places()
    rows = [source(name)] if name else list(ROWS)
    found = [r for r in (_verified(row, where) for row in rows) if r is not None]
    if not found:
        out.say("no weights at hand: pocketvision weights pull NAME")
    out.table(found)
    out.result(found)
    if wrong := [r for r in found if r["result"] != "ok"]:
        raise WeightsError(f"{len(wrong)} of {len(found)} files are wrong: {wrong[0]['file']}")


def _verified(row: Source, where: Places) -> dict[str, object] | None:
    from pocketvision.weights.fetch import HashMismatch, cached, find

    try:
        got = find(row, where)
    except HashMismatch:
        return {"name": row.name, "result": "wrong", "compared with": row.hashed,
                "file": str(cached(row, where))}  # fmt: skip
    if got is None:
        return None
    return {"name": row.name, "result": "ok", "compared with": got.checked, "file": str(got.path)}


def _row(row: Source, *, here: bool) -> dict[str, object]:
    size = f"{row.resolution[0]}x{row.resolution[1]}"
    top1 = "" if row.top1 is None else f"{row.top1:.1f}"
    return {"name": row.name, "top-1 %": top1, "size": size, "input": row.scaling or "in the file",
            "licence": row.licence, "hash": row.hashed, "here": "yes" if here else ""}  # fmt: skip


def _record(row: Source, *, here: bool) -> dict[str, Any]:
    return {
        "name": row.name,
        "url": row.url,
        "model": row.model,
        "licence": row.licence,
        "top1": row.top1,
        "resolution": list(row.resolution),
        "scaling": row.scaling,
        "sha256": row.sha256,
        "md5": row.md5,
        "here": here,
    }


def _pulled(got: Pulled) -> str:
    size = mebibytes(got.path.stat().st_size)
    return (
        f"{got.path}: {size} from {got.where}\nsha256 {got.sha256}, checked against {got.checked}"
    )
