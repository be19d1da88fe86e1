"""The state of a run on disk: tensors and facts, whole or not there, the last two kept.

A state is on the disk before its name appears, and never takes the place of another: at whatever
moment a run is killed, or the power goes, the one before is still there.

checkpoint/step-00001200/state.safetensors    every tensor by name
checkpoint/step-00001200/state.json           the facts, and the sha256 of the tensors' file
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pocketvision.errors import DataError, PocketvisionError
from pocketvision.files import new_folder, remove_leftovers
from pocketvision.train.ranks import Ranks

FORMAT = 1
KEPT = 2  # one may be found damaged; then the one before serves


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A state read back. `rejected` holds (path, reason) of newer ones that were damaged."""

    path: Path
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    rejected: tuple[tuple[Path, str], ...] = ()


def save(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Write a checkpoint of `facts["step"]`, then drop all but the last two; those of later steps
    too, which a run that is at this step has passed over.

    Raises PocketvisionError, with the older ones untouched, where the disk is full or values are
    not finite: a state that is broken must not replace one that is not.
    """
    if bad := [name for name, t in tensors.items() if not _finite(t)]:
        raise PocketvisionError(
            f"the state at step {facts['step']} is not finite ({bad[0]}), so it was not saved; "
            "the checkpoint before it is kept"
        )
    path = _free(folder, f"step-{facts['step']:08d}")
    data = save_tensors({name: t.detach().contiguous() for name, t in tensors.items()})
    row = {"format": FORMAT, **facts, "sha256": hashlib.sha256(data).hexdigest()}
    with new_folder(path, durable=True) as temporary:
        (temporary / "state.safetensors").write_bytes(data)
        (temporary / "state.json").write_text(json.dumps(row, indent=1) + "\n")
    known = found(folder)
    at = known.index(path)
    for other in (*known[: max(at + 1 - KEPT, 0)], *known[at + 1 :]):
        shutil.rmtree(other, ignore_errors=True)
    remove_leftovers(folder)
    return path


def _free(folder: Path, name: str) -> Path:
    """A path of that name, numbered where it is taken."""
    taken = sorted(folder.glob(f"{name}*"))
    if not taken:
        return folder / name
    number = int(taken[-1].name.removeprefix(name).removeprefix("-") or 0)
    return folder / f"{name}-{number + 1:04d}"


def handed_out(ranks: Ranks, read: Callable[[], Checkpoint]) -> Checkpoint:
    """The checkpoint that the first process reads, on all: one on another machine may have no such
    folder, and must not go on from another step.
    """
    if ranks.count == 1:
        return read()
    saved = read() if ranks.first else None
    facts = ranks.said(lambda: saved and {**saved.facts, "path": str(saved.path)})
    data = ranks.told(lambda: b"" if saved is None else save_tensors(dict(saved.tensors)))
    if saved is not None:
        return saved
    path = Path(facts.pop("path"))
    return Checkpoint(path=path, tensors=load_tensors(data), facts=facts)


def found(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, oldest first."""
    return sorted(folder.glob("step-*"))


def newest(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint; None where there is none at all.

    Raises DataError, with every reason, where there are some and all are damaged.
    """
    rejected: list[tuple[Path, str]] = []
    for path in reversed(found(folder)):
        try:
            tensors, facts = _read(path)
        except (OSError, ValueError, KeyError, SafetensorError, RecursionError) as e:
            rejected.append((path, str(e)))
            continue
        return Checkpoint(path=path, tensors=tensors, facts=facts, rejected=tuple(rejected))
    if rejected:
        reasons = "; ".join(f"{path.name}: {reason}" for path, reason in rejected)
        raise DataError(f"no checkpoint in {folder} can be used ({reasons}); start the run anew")
    return None


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    facts = json.loads((path / "state.json").read_bytes())
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"state.json is not of format {FORMAT}")
    data = (path / "state.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != facts["sha256"]:
        raise ValueError("state.safetensors is not the file that was saved")
    return load_tensors(data), facts


def _finite(t: Tensor) -> bool:
    return not t.is_floating_point() or bool(torch.isfinite(t).all())
