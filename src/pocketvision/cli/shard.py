"""`pocketvision data shard`: a data set as tar files, for what outgrows a disk."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pocketvision.cli.options import Json, Overwrite
from pocketvision.cli.out import Output, counted
from pocketvision.errors import UsageError

MEGABYTE = 10**6


def shard(
    data: str,
    folder: Path,
    /,
    *,
    shard_mb: int = 256,
    split: str | None = None,
    seed: int = 0,
    val_fraction: float = 0.2,
    split_seed: int = 0,
    group_by: str | None = None,
    workers: int | None = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a data set as tar shards and their index, which `train` reads from a disk or over HTTP.

    Files go in as they are, shuffled so that each shard is a fair sample of the classes. Each image
    is decoded once; unreadable ones are left out and listed. A call that was interrupted goes on
    where it stopped when it is repeated.

    Parameters
    ----------
    data: str
        A folder, a CSV file, or a built-in data set (digits).
    folder: Path
        Where the shards and shards.json go.
    shard_mb: int
        Megabytes a shard, about.
    split: str
        Which parts, with commas between several; by default all there are.
    seed: int
        Decides the order of the images.
    val_fraction: float
        Share held out for validation where the data have no split.
    split_seed: int
        Seed of that split.
    group_by: str
        Images that the split keeps together: folder (the first below the class), regex:PATTERN (its
        first parentheses in the file's name) or column:NAME (of a table).
    workers: int
        Processes that decode; by default one a core.
    """
    from pocketvision.data.read import read
    from pocketvision.data.shard_write import write_shards

    if shard_mb < 1:
        raise UsageError(f"--shard-mb must be 1 or more, got {shard_mb}")
    out = Output(json=json)
    dataset = read(data, seed=split_seed, val_fraction=val_fraction, group_by=group_by)
    with ExitStack() as stack:
        index = write_shards(
            dataset,
            folder,
            shard_bytes=shard_mb * MEGABYTE,
            seed=seed,
            splits=[s.strip() for s in split.split(",")] if split else (),
            workers=workers,
            overwrite=overwrite,
            on_progress=_Bars(out, stack),
        )
    rows = _rows(index)
    out.table(rows)
    for name, reason in index.left_out[:20]:
        out.say(f"left out: {name}: {reason}")
    if len(index.left_out) > 20:
        out.say(f"left out: {len(index.left_out) - 20} more, listed in {folder / 'shards.json'}")
    out.result({"index": folder / "shards.json", "splits": rows, "left_out": index.left_out})
    out.next("pocketvision", "train", folder)


def _rows(index: Any) -> list[dict[str, object]]:
    """A line a split."""
    rows = []
    for split in dict.fromkeys(s.split for s in index.shards):
        parts = index.of(split)
        total = sum(p.size_bytes for p in parts)
        rows.append(
            {
                "split": split,
                "shards": len(parts),
                "images": sum(map(len, parts)),
                "MB": round(total / MEGABYTE, 1),
            }
        )
    return rows


class _Bars:
    """A bar for each thing that is done."""

    def __init__(self, out: Output, stack: ExitStack) -> None:
        self.out, self.stack = out, stack
        self.shown: dict[str, Any] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """So many are done."""
        if what not in self.shown:
            self.stack.close()
            self.shown[what] = counted(self.stack.enter_context(self.out.progress(what, total)))
        self.shown[what](done, total)
