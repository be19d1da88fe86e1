"""`pocketvision compare`: what two runs share, what differs, and whether it matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.options import Json
from pocketvision.cli.out import Output
from pocketvision.cli.records import run_of

if TYPE_CHECKING:
    from pocketvision.report.compare import Accuracy, Comparison, Difference, Losses
    from pocketvision.report.run import Run

UNITS = {"seconds": "time, s", "size_bytes": "weights, bytes", "loss": "validation loss"}
CELL = 40  # characters of a value in the table
LIKELY = 0.05


def compare(a: Path, b: Path, /, *, json: Json = False) -> None:
    """List what differs between two runs: settings, data, machine, losses, figures.

    Parameters
    ----------
    a: Path
        A folder that `train` made, or the bundle in it.
    b: Path
        Another one.
    """
    from pocketvision.report.compare import compared

    out = Output(json=json)
    found = compared(run_of(a) or a, run_of(b) or b)
    names = names_of(found)
    for title, parts in (("decides the losses", ("trace", "plan", "change")),
                         ("data", ("data",)), ("decides nothing", ("context",))):  # fmt: skip
        _table(out, title, found.of(*parts), names)
    out.say(f"losses: {losses_in_words(found.losses, names)}\n")
    _say_figures(out, found, names)
    out.say(verdict(found, names))
    out.result(_as_json(found))
    _next(out, found)


def names_of(found: Comparison) -> tuple[str, str]:
    """What the runs are called: by their folders' names, or paths where these are the same."""
    a, b = found.a.folder, found.b.folder
    one, other = a.resolve().name, b.resolve().name
    return (one, other) if one != other else (str(a), str(b))


def _table(out: Output, title: str, rows: Sequence[Difference], names: tuple[str, str]) -> None:
    from pocketvision.report.compare import in_short

    if not rows:
        return
    out.table([
        {title: _name(d), names[0]: _cut(in_short(d.a)), names[1]: _cut(in_short(d.b))}
        for d in rows
    ])  # fmt: skip
    out.say()


def _name(d: Difference) -> str:
    return f"plan: {d.name.replace('_', ' ')}" if d.part == "plan" else d.name


def _cut(text: str) -> str:
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."


def losses_in_words(losses: Losses | None, names: tuple[str, str]) -> str:
    """Where the losses of two runs part."""
    if losses is None:
        return "a run without losses.csv, so they cannot be compared step by step"
    if not losses.common:
        return f"no step in common ({losses.steps_a} and {losses.steps_b} steps)"
    lengths = f" ({losses.steps_a} and {losses.steps_b} steps)"
    lengths = "" if losses.steps_a == losses.steps_b else lengths
    if losses.parting is None:
        return f"the same to the bit in all {losses.common} steps that both took{lengths}"
    return (
        f"they part at step {losses.parting} ({names[0]} {losses.a!r}, {names[1]} {losses.b!r}), "
        f"by up to {losses.largest:.3g} in {losses.common} steps{lengths}"
    )


def _say_figures(out: Output, found: Comparison, names: tuple[str, str]) -> None:
    rows = [
        {"figure": UNITS.get(name, name.replace("_", " ")), names[0]: a, names[1]: b,
         "difference": None if a is None or b is None else b - a}
        for name, a, b in found.figures
    ]  # fmt: skip
    if rows:
        out.table(rows)
        out.say()


def verdict(found: Comparison, names: tuple[str, str]) -> str:
    """One or two sentences: whether they are one run, and whether one is better."""
    return "\n".join(w for w in (_same(found), _better(found.accuracy, names)) if w)


def _same(found: Comparison) -> str:
    traces = [h.get("trace") for h in found.hashes]
    if None in traces:
        return "a run of an older version: what decides its losses was not written down in full"
    apart = found.losses is not None and found.losses.parting is not None
    if traces[0] == traces[1]:
        if apart:
            return (
                "all that is known to decide the losses is the same, yet they part: the machine "
                "or its libraries round otherwise"
            )
        return "one trace: the same run"
    return "two runs: what decides the losses differs"


def _better(accuracy: Accuracy | None, names: tuple[str, str]) -> str:
    if accuracy is None:
        return "accuracies cannot be compared: a run has not come to its end"
    how = f"on the same {accuracy.n} images; exact McNemar test"
    if not accuracy.paired:
        how = "on different images; test of two proportions"
    if accuracy.difference == 0:
        return f"both are equally accurate, {how.split(';')[0]}"
    low, high = (f"{100 * value:+.2f}" for value in (accuracy.low, accuracy.high))
    chance = "chance alone may explain it" if accuracy.p >= LIKELY else "more than chance"
    return (
        f"accuracy of {names[1]} is {abs(accuracy.difference) * 100:.2f} points "
        f"{'higher' if accuracy.difference > 0 else 'lower'} (95% interval {low} to {high}, {how}: "
        f"p = {accuracy.p:.2g}): {chance}"
    )


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "format": 1,
        "runs": [found.a.folder, found.b.folder],
        "hashes": list(found.hashes),
        "differences": [asdict(d) for d in found.differences],
        "losses": None if found.losses is None else asdict(found.losses),
        "figures": [
            {"name": name, "a": a, "b": b, "difference": None if a is None or b is None else b - a}
            for name, a, b in found.figures
        ],
        "accuracy": None if found.accuracy is None else asdict(found.accuracy),
    }


def _next(out: Output, found: Comparison) -> None:
    for run in (found.a, found.b):
        if run.summary is None:
            out.next("pocketvision", "train", run.data or "DATA", "--resume", run.folder)
            return
    best: Run = found.b
    if found.accuracy is None or found.accuracy.difference <= 0:
        best = found.a
    out.next("pocketvision", "export", best.folder / "bundle", "--data", best.data or "DATA")
