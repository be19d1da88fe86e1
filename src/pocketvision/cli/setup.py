"""What a training run was made of, kept as setup.json beside it, for --resume."""

from __future__ import annotations

import json as jsonlib
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


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run is made of beside its TrainConfig; kept as setup.json for --resume. `start` says
    where its weights are from, `teachers` where those are; they lie beside it as bundles.
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


def dumps(setup: Setup) -> str:
    """setup.json."""
    row = {f.name: getattr(setup, f.name) for f in fields(setup)}
    row["spec"] = jsonlib.loads(spec_json.dumps(setup.spec))
    return jsonlib.dumps({"format": FORMAT, **row}, indent=1) + "\n"


def saved_setup(folder: Path, data: str) -> Setup:
    """The setup of a run to resume, on the data that were named now. Raises DataError."""
    row = _object(folder / "setup.json")
    try:
        row["spec"] = spec_json.loads(jsonlib.dumps(row["spec"]))
        row.pop("format")
        return replace(Setup(**row), data=data)
    except (TypeError, KeyError) as e:
        raise DataError(f"{folder / 'setup.json'} is damaged: {e}") from None


def saved_config(folder: Path, config: TrainConfig) -> TrainConfig:
    """The run's own config; flags given now may change only what does not decide the losses."""
    saved = from_dict(_object(folder / "config.json"))
    for f in fields(TrainConfig):
        given = getattr(config, f.name)
        if given == f.default:
            continue
        if not f.metadata["context"] and given != getattr(saved, f.name):
            raise UsageError(
                f"{flag(f.name)} was {getattr(saved, f.name)!r} in {folder} and cannot change in a "
                "resumed run; leave it out, or start a new run"
            )
        saved = replace(saved, **{f.name: given})
    return saved


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
