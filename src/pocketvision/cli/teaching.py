"""The networks that `train --teacher` learns from: found, shown, and kept beside the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.out import Output
from pocketvision.errors import UsageError
from pocketvision.train.config import TrainConfig

if TYPE_CHECKING:
    from pocketvision.train.source import Source

FOLDER = "teachers"


def chosen(places: Sequence[str]) -> list[Source]:
    """What each `--teacher` names: a bundle, a run, a weight file. Raises whatever reading does."""
    if not places:
        return []
    from pocketvision.cli.import_weights import weight_file
    from pocketvision.train.source import opened

    return [opened(weight_file(place)) for place in places]


def check_not_given(places: Sequence[str]) -> None:
    """Raise UsageError where --teacher stands beside --resume."""
    if places:
        raise UsageError(
            "--resume goes on with the teachers that the run had, kept beside it; leave --teacher "
            "out"
        )


def say(out: Output, teachers: Sequence[Source], config: TrainConfig) -> None:
    """Who teaches what."""
    if not teachers:
        return
    names = ", ".join(f"{t.bundle.spec.name} ({t.record['name']})" for t in teachers)
    out.say(f"learning from {names}: {_settings(config)}")
    for teacher in teachers:
        for text in teacher.assumed:
            out.say(f"  assumed    {text}")
    out.say()


def _settings(config: TrainConfig) -> str:
    names = ("distill", "temperature", "distill_weight", "at_weight", "hint_weight")
    given = {name: getattr(config, name) for name in (*names, "teacher_size", "teacher_views")}
    return " ".join(
        f"--{k.replace('_', '-')} {v}" for k, v in given.items() if v not in (None, "same")
    )


def say_end(out: Output, summary: Mapping[str, Any]) -> None:
    """How good the teachers were on the same images."""
    for row in summary.get("teachers", ()):
        out.say(f"its teacher {row['model']} ({row['name']}): {row['accuracy']:.2%}")


def keep(folder: Path, teachers: Sequence[Source]) -> None:
    """Save the teachers beside the run, once: --resume must not depend on files elsewhere."""
    from pocketvision import bundle as bundles

    for number, teacher in enumerate(teachers):
        if not (place := folder / FOLDER / str(number)).exists():
            bundles.save(teacher.bundle, place)


def kept(folder: Path, records: Sequence[Mapping[str, Any]]) -> list[Source]:
    """The teachers of a run to resume. Raises BundleError where one is gone or damaged."""
    if not records:
        return []
    from pocketvision import bundle as bundles
    from pocketvision.train.source import Source

    return [
        Source(bundle=bundles.load(folder / FOLDER / str(number)), record=record)
        for number, record in enumerate(records)
    ]
