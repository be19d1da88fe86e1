"""What a training run was made of, kept as setup.json beside it, for --resume."""

from __future__ import annotations

import json as jsonlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pocketvision import spec_json
from pocketvision.errors import DataError, UsageError
from pocketvision.spec import NetSpec
from pocketvision.train.config import TrainConfig, from_dict
from pocketvision.train.rules import flag

FORMAT = 1
LENGTHS = ("epochs", "steps")  # a run may be made longer by these


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run is made of beside its TrainConfig; kept as setup.json for --resume. `start` says
    where its weights are from, `teachers` where those are; they lie beside it as bundles. `recipe`
    names what filled the config where no flag was given.
    """

    data: str
    spec: NetSpec
    resize: str | None
    crop_fraction: float | None
    val_fraction: float
    split_seed: int
    input_scaling: str | None = None
    start: Mapping[str, Any] | None = None
    teachers: Sequence[Mapping[str, Any]] = ()
    recipe: str | None = None
    group_by: str | None = None
    folds: int | None = None
    seeds: int | None = None

    def split(self) -> dict[str, Any]:
        """What reading the data takes of it."""
        return {"seed": self.split_seed, "val_fraction": self.val_fraction,
                "group_by": self.group_by}  # fmt: skip


def free_folder(place: Path, *, given: bool, overwrite: bool) -> Path:
    """The run's folder: numbered when the name was not given and is taken."""
    folder = place
    if overwrite and (folder / "setup.json").exists():
        shutil.rmtree(folder)
    number = 2
    while folder.exists() and not given:
        folder = place.with_name(f"{place.name}-{number}")
        number += 1
    return folder


def dumps(setup: Setup) -> str:
    """setup.json."""
    row = {f.name: getattr(setup, f.name) for f in fields(setup)}
    row["spec"] = jsonlib.loads(spec_json.dumps(setup.spec))
    return jsonlib.dumps({"format": FORMAT, **row}, indent=1) + "\n"


def saved_setup(folder: Path, data: str | None = None) -> Setup:
    """The setup of a run to resume, on the data that were named now, or those that it had. Raises
    DataError.
    """
    row = _object(folder / "setup.json")
    try:
        row["spec"] = spec_json.loads(jsonlib.dumps(row["spec"]))
        row.pop("format")
        made = Setup(**row)
        return made if data is None else replace(made, data=data)
    except (TypeError, KeyError) as e:
        raise DataError(f"{folder / 'setup.json'} is damaged: {e}") from None


def saved_config(
    folder: Path, told: Mapping[str, Any], *, allow_changes: bool = False
) -> TrainConfig:
    """The run's own config; flags given now may make it longer and change what does not decide the
    losses, all of it where changes are allowed. Raises UsageError for others.
    """
    saved = from_dict(_object(folder / "config.json"))
    given = dict(told)
    lengths = {name: given.pop(name) for name in LENGTHS if name in given}
    if allow_changes and saved.epochs is not None:
        saved = replace(saved, steps=None)  # so many epochs, over whatever the data are now
    for f in fields(TrainConfig):
        fixed = not f.metadata["context"] and not allow_changes
        if fixed and f.name in given and given[f.name] != getattr(saved, f.name):
            was = getattr(saved, f.name)
            raise UsageError(
                f"{flag(f.name)} was {'left out' if was is None else was} in {folder} and cannot "
                "change in a resumed run; leave it out, go on all the same with --allow-changes, "
                "or start a new run"
            )
    return replace(_longer(saved, lengths), **given)


def _longer(saved: TrainConfig, lengths: Mapping[str, int]) -> TrainConfig:
    """The config with another length, of which it has one alone. Raises UsageError for a shorter
    one.
    """
    for name, value in lengths.items():
        was = getattr(saved, name)
        if was is not None and value < was:
            raise UsageError(
                f"{flag(name)} was {was}, got {value}: a resumed run can become longer, not "
                f"shorter; give {flag(name)} over {was}, or start a new run"
            )
    if not lengths or all(getattr(saved, name) == value for name, value in lengths.items()):
        return saved
    changes: dict[str, Any] = {"epochs": None, "steps": None, "time": None, **lengths}
    return replace(saved, **changes)


def check_kept(folder: Path, *given: Any) -> None:
    """Raise UsageError for flags (fields of frozen options) that a run to resume has decided."""
    for options in given:
        for f in fields(options):
            if getattr(options, f.name) != f.default:
                raise UsageError(
                    f"{flag(f.name)} is kept in {folder} and cannot change in a resumed run; leave "
                    "it out, or start a new run"
                )


def _object(path: Path) -> dict[str, Any]:
    try:
        row = jsonlib.loads(path.read_bytes())
    except OSError as e:
        raise DataError(
            f"cannot resume: {path} cannot be read ({(e.strerror or str(e)).lower()}); "
            "give the folder of a run, such as runs/train/photos"
        ) from None
    except ValueError as e:
        raise DataError(f"{path} is damaged: {e}") from None
    if not isinstance(row, dict):
        raise DataError(f"{path} is damaged: it holds no object")
    return row
