"""Two runs beside each other: what was set, what they saw, how they went and what they came to."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.errors import DataError
from pocketvision.report import identity, run, significance, tables
from pocketvision.report.run import Run
from pocketvision.train.hashes import unwritten

LOSS_COLUMNS: dict[str, tables.Reader] = {"step": tables.whole, "loss": float, "lr": float}
FIGURES = ("accuracy", "loss", "macro_recall", "top5", "params", "macs", "size_bytes", "seconds")
DATA = ("classes", "training images", "validation images")
UNKNOWN = "not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not the same in both runs. `part`: trace, plan, data, context or change."""

    part: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """How losses went: steps in each run, steps that both know, the first of these at which the
    losses differ (None: nowhere) with both losses, and the largest difference.
    """

    steps_a: int
    steps_b: int
    common: int
    parting: int | None
    a: float | None
    b: float | None
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Accuracies against each other: b minus a with its 95% interval, and how likely chance alone
    makes such a difference. Paired: on the same images, `only_a` and `only_b` of which one run
    alone answers right.
    """

    difference: float
    low: float
    high: float
    p: float
    paired: bool
    n: int
    only_a: int | None = None
    only_b: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs; None where one of them lacks what it takes."""

    a: Run
    b: Run
    hashes: tuple[Mapping[str, str], Mapping[str, str]]
    differences: tuple[Difference, ...]
    losses: Losses | None
    figures: tuple[tuple[str, float | None, float | None], ...]
    accuracy: Accuracy | None

    def of(self, *parts: str) -> list[Difference]:
        """The differences of some parts."""
        return [d for d in self.differences if d.part in parts]


def compared(a: Path, b: Path) -> Comparison:
    """Compare the runs in two folders. Raises DataError for a folder that is no run, naming the
    nearest one, or a damaged file.
    """
    runs = tuple(_opened(folder) for folder in (a, b))
    known = tuple(identity.read(r.folder) for r in runs)
    return Comparison(
        a=runs[0],
        b=runs[1],
        hashes=(known[0].hashes, known[1].hashes),
        differences=tuple(_differences(*known)),
        losses=_losses(a, b),
        figures=tuple(_figures(*runs)),
        accuracy=_accuracy(*runs),
    )


def _opened(folder: Path) -> Run:
    if not folder.exists():
        beside = {p.name: p for p in folder.parent.glob("*") if (p / "config.json").exists()}
        near = difflib.get_close_matches(folder.name, list(beside), n=1)
        hint = f"did you mean {beside[near[0]]}?" if near else "give the folder of a run, such as "
        raise DataError(f"no run at {folder}; {hint if near else hint + 'runs/train/photos'}")
    return run.read(folder)


# -------------------------------------------------------------------------------------- differences


def _differences(a: identity.Identity, b: identity.Identity) -> Iterator[Difference]:
    if a.trace and b.trace:
        yield from _trace(a.trace, b.trace)
    if a.context and b.context:
        yield from _each("context", _flat(a.context), _flat(b.context))
    words = tuple([f"step {c.get('step')}: {c.get('words')}" for c in x.changes] for x in (a, b))
    if words[0] != words[1]:
        yield Difference(part="change", name="changed on the way", a=words[0], b=words[1])


def _trace(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    a, b = {**a, **unwritten(a, b)}, {**b, **unwritten(b, a)}
    plans = a.pop("plan", None), b.pop("plan", None)
    for found in _each("trace", a, b):
        if found.name == "classes":
            yield _classes(found)
        else:
            part = "data" if found.name in DATA else "trace"
            yield Difference(part=part, name=found.name, a=found.a, b=found.b)
    if all(isinstance(plan, dict) for plan in plans):
        yield from _each("plan", _flat(plans[0]), _flat(plans[1]))


def _classes(found: Difference) -> Difference:
    """What one run has alone, or both lists where only their order differs."""
    a, b = (
        list(map(str, names)) if isinstance(names, list) else [] for names in (found.a, found.b)
    )
    if set(a) != set(b):
        a, b = [n for n in a if n not in b], [n for n in b if n not in a]
        return Difference(part="data", name="classes of one run alone", a=a, b=b)
    return Difference(part="data", name="order of classes", a=a, b=b)


def _each(part: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    for name in {**a, **b}:
        one, other = (row.get(name, UNKNOWN) for row in (a, b))
        if one != other:
            yield Difference(part=part, name=name, a=one, b=other)


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"cpu.model": ...} of {"cpu": {"model": ...}}."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


# ------------------------------------------------------------------------------------------ losses


def _losses(a: Path, b: Path) -> Losses | None:
    """None where a run has no losses.csv."""
    rows = [tables.csv_rows(folder / "losses.csv", LOSS_COLUMNS) for folder in (a, b)]
    if rows[0] is None or rows[1] is None:
        return None
    one, other = (
        {row["step"]: row["loss"] for row in table} for table in rows if table is not None
    )
    common = sorted(one.keys() & other.keys())
    apart = [step for step in common if one[step] != other[step]]
    first = apart[0] if apart else None
    return Losses(
        steps_a=len(one),
        steps_b=len(other),
        common=len(common),
        parting=first,
        a=None if first is None else one[first],
        b=None if first is None else other[first],
        largest=max((abs(one[step] - other[step]) for step in apart), default=0.0),
    )


# ----------------------------------------------------------------------------------------- figures


def _figures(a: Run, b: Run) -> Iterator[tuple[str, float | None, float | None]]:
    for name in FIGURES:
        one, other = a.number(name), b.number(name)
        if one is not None or other is not None:
            yield name, one, other


def _accuracy(a: Run, b: Run) -> Accuracy | None:
    rights = [{p.path: (p.label, p.correct) for p in r.predictions or ()} for r in (a, b)]
    labels = [{path: label for path, (label, _) in table.items()} for table in rights]
    if labels[0] and labels[0] == labels[1]:
        return _paired([(rights[0][path][1], rights[1][path][1]) for path in labels[0]])
    (p_a, n_a), (p_b, n_b) = ((r.number("accuracy"), r.number("n")) for r in (a, b))
    if p_a is None or p_b is None or not n_a or not n_b:
        return None
    counts = (round(p_a * n_a), int(n_a), round(p_b * n_b), int(n_b))
    low, high = significance.unpaired_interval(*counts)
    p = significance.two_shares(*counts)
    return Accuracy(difference=p_b - p_a, low=low, high=high, p=p, paired=False, n=counts[3])


def _paired(rows: Sequence[tuple[bool, bool]]) -> Accuracy:
    only_a = sum(a and not b for a, b in rows)
    only_b = sum(b and not a for a, b in rows)
    low, high = significance.paired_interval(only_a, only_b, len(rows))
    return Accuracy(
        difference=(only_b - only_a) / len(rows),
        low=low,
        high=high,
        p=significance.mcnemar(only_a, only_b),
        paired=True,
        n=len(rows),
        only_a=only_a,
        only_b=only_b,
    )


def in_short(value: Any) -> str:
    """A value as a table shows it: hashes cut, lists with commas, numbers short."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(in_short, value)) or "none"
    if value is None:
        return "left out"
    text = str(value)
    hexadecimal = len(text) == 64 and not set(text) - set("0123456789abcdef")
    return text[:12] if hexadecimal else text
