"""Images that belong together (a patient, a video, a place) and must not be split apart.

--group-by folder          the first folder below the class; in a table the image's folder
--group-by regex:PATTERN   what the first parentheses of the pattern match in the file's name
--group-by column:NAME     a column of the table
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pocketvision.data.dataset import Sample
from pocketvision.errors import DataError, UsageError, closest

KINDS = ("folder", "regex", "column")
Splits = dict[str, tuple[Sample, ...]]


@dataclass(frozen=True, slots=True)
class GroupBy:
    """What --group-by said: a kind, and the pattern or the column that goes with it."""

    kind: str
    what: str = ""


def parsed(text: str) -> GroupBy:
    """Read what --group-by takes. Raises UsageError."""
    kind, colon, what = text.partition(":")
    if kind not in KINDS or bool(colon) != (kind != "folder") or (colon and not what):
        raise UsageError(
            f"--group-by must be folder, regex:PATTERN or column:NAME, got {text!r}"
            f"{closest(kind, KINDS)}"
        )
    if kind == "regex":
        _check_pattern(what)
    return GroupBy(kind, what)


def _check_pattern(text: str) -> None:
    try:
        pattern = re.compile(text)
    except re.error as e:
        raise UsageError(f"--group-by regex:{text} is not a pattern: {e}") from None
    if not pattern.groups:
        raise UsageError(
            f"--group-by regex:{text} marks no part of the name; put what tells the groups apart "
            "in parentheses, such as regex:(\\d+)_"
        )


def grouped(splits: Splits, by: GroupBy | None, *, folder_of: Callable[[Sample], str]) -> Splits:
    """The splits with the group of every sample; `folder_of` gives its folder, "" for none.

    Samples that have one already keep it. Raises UsageError where a table is needed, DataError for
    names that do not fit, and for groups that the data's own splits tear apart.
    """
    if by is None:
        return splits
    everything = [s for samples in splits.values() for s in samples]
    keys = _keys(everything, by, folder_of)
    made = {
        name: tuple(replace(s, group=keys[s.name]) for s in samples)
        for name, samples in splits.items()
    }
    _check_apart(made)
    return made


def _keys(
    samples: Sequence[Sample], by: GroupBy, folder_of: Callable[[Sample], str]
) -> Mapping[str, str]:
    """Groups by the samples' names."""
    if by.kind == "regex":
        return _matched(samples, by.what)
    if by.kind == "folder":
        return _in_folders(samples, folder_of)
    if any(s.group is None for s in samples):
        raise UsageError(
            f"--group-by column:{by.what} needs a table (.csv); for folders there are "
            "--group-by folder and --group-by regex:PATTERN"
        )
    return {s.name: s.group or "" for s in samples}


def _matched(samples: Sequence[Sample], text: str) -> Mapping[str, str]:
    pattern, keys = re.compile(text), {}
    for s in samples:
        found = pattern.search(PurePosixPath(s.name).name)
        if found and found.group(1):
            keys[s.name] = found.group(1)
    lost = [s.name for s in samples if s.name not in keys]
    if lost:
        count = "none" if not keys else f"only {len(keys)}"
        raise DataError(
            f"--group-by regex:{text} fits {count} of {len(samples)} file names, not "
            f"{PurePosixPath(lost[0]).name!r}; every image needs a group"
        )
    return keys


def _in_folders(samples: Sequence[Sample], folder_of: Callable[[Sample], str]) -> Mapping[str, str]:
    """The folder of each sample; one that lies in none is a group of its own."""
    folders = {s.name: folder_of(s) for s in samples}
    if not any(folders.values()):
        raise DataError(
            f"--group-by folder finds no folder to group by: {samples[0].name!r} lies directly in "
            "its class; put each group in a folder below the class, or use --group-by "
            "regex:PATTERN on file names"
        )
    # A slash keeps folders apart from names of single images.
    return {name: f"{folder}/" if folder else name for name, folder in folders.items()}


def _check_apart(splits: Splits) -> None:
    """No group stands in two splits of the data's own. Raises DataError."""
    first: dict[str, tuple[str, str]] = {}
    for split, samples in splits.items():
        for s in samples:
            where, name = first.setdefault(s.group or s.name, (split, s.name))
            if where != split:
                raise DataError(
                    f"group {s.group!r} is in {where} ({name}) and in {split} ({s.name}): what was "
                    "learned from one would be measured on the other; move it to one of them, or "
                    "leave --group-by out"
                )


def count(samples: Sequence[Sample]) -> int:
    """How many groups there are; 0 where nothing was grouped."""
    return len({s.group for s in samples if s.group is not None})
