"""`pocketvision data check`: decode everything once and say what is wrong, by name."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path

from pocketvision.cli.options import Json
from pocketvision.cli.out import Output, counted
from pocketvision.errors import DataError, UsageError
from pocketvision.files import replace_file


def check(
    data: str,
    /,
    *,
    workers: int | None = None,
    show: int = 20,
    output: Path | None = None,
    group_by: str | None = None,
    json: Json = False,
) -> None:
    """Decode every image once; list bad files, class counts, duplicates and leaks across splits.

    Nothing is written into the data folder. The exit code is 3 when something would spoil a
    training or its figures: unreadable files, leaks, or one image under two classes.

    Parameters
    ----------
    data: str
        A folder, a CSV file, or a built-in data set (digits).
    workers: int
        Processes that decode; by default one a core.
    show: int
        Lines of each list; --output and --json hold them all.
    output: Path
        Write the whole report to this JSON file.
    group_by: str
        Look at the split that `train --group-by` would make: folder, regex:PATTERN or column:NAME.
    """
    from pocketvision.data.check import check as checked
    from pocketvision.data.read import read

    out, dataset = Output(json=json), read(data, group_by=group_by)
    if dataset.shards is not None:
        raise UsageError(f"{data}: shards are checked as they are written; check their source")
    total = sum(len(samples) for samples in dataset.splits.values())
    with out.progress("decoding", total) as advance:
        report = checked(dataset, workers=workers, on_progress=counted(advance))
    out.say("\n".join(report.lines(most=show)))
    if output is not None:
        text = jsonlib.dumps(report.as_dict(), indent=1, ensure_ascii=False)
        out.say(f"written: {replace_file(output, text)}")
    out.result(report.as_dict())
    skip = ["--skip-bad"] if report.bad else []
    skip += ["--group-by", group_by] if group_by else []
    out.next("pocketvision", "train", data, "--model", "mobilenet_v3_small", *skip)
    if not report.ok:
        raise DataError(
            f"{data}: {len(report.bad)} unreadable, {len(report.leaks)} in more than one split, "
            f"{len(report.conflicts)} under more than one class; see above"
        )
