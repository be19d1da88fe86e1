"""Keras' own files (`.h5`, `.weights.h5`, `.keras`): the numbers by name, facts by description."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.errors import WeightsError
from pocketvision.spec import NetSpec
from pocketvision.weights import h5_file, keras_config, tables
from pocketvision.weights.found import Imported, Wishes
from pocketvision.weights.h5_file import H5File
from pocketvision.weights.keras_config import KerasFacts
from pocketvision.weights.read_state import bundled


def read(path: Path, wishes: Wishes) -> Imported:
    """The bundle of an .h5 file. Raises WeightsError, MissingRuntime."""
    return of(h5_file.read(path), path, wishes)


def read_archive(path: Path, wishes: Wishes) -> Imported:
    """The bundle of a .keras archive. Raises WeightsError, MissingRuntime."""
    return of(h5_file.read_archive(path), path, wishes)


def of(file: H5File, path: Path, wishes: Wishes) -> Imported:
    """The bundle of the tensors of one file. Raises WeightsError."""
    tensors = {k: v for k, v in file.tensors.items() if not k.startswith("optimizer")}
    if not tensors:
        raise WeightsError("it holds no weights")
    fit = (
        tables.named(tensors, wishes.model)
        if wishes.model is not None
        else tables.recognised(tensors, hint=path.stem)
    )
    known = keras_config.facts(file.config)
    spec, assumed = corrected(fit.chosen.spec, known)
    if known.resolution is None:
        assumed = (*assumed, f"the size of the input: {spec.resolution[0]}x{spec.resolution[1]}")
    return bundled(fit, wishes, spec=spec, assumed=assumed)


def corrected(spec: NetSpec, known: KerasFacts) -> tuple[NetSpec, tuple[str, ...]]:
    """The spec with what the description says in place of what Keras applications have.

    Raises WeightsError for an activation that the network cannot have.
    """
    if known.resolution is not None:
        spec = replace(spec, resolution=known.resolution)
    if known.epsilon is not None:
        spec = replace(spec, numerics=replace(spec.numerics, bn_epsilon=known.epsilon))
    if not known.acts:
        return spec, ("the activations, as the paper has them",)
    ours = acts_of(spec)
    if "relu6" in ours and "relu6" not in known.acts and "relu" in known.acts:
        spec = with_act(spec, "relu6", "relu")
    # Hard-swish and gates use relu6 inside, however the network is written.
    strange = known.acts - ours - {"relu", "relu6", "hard_sigmoid", "hard_swish", "sigmoid"}
    if strange:
        raise WeightsError(f"it has the activation {min(strange)!r}, which {spec.name} has not")
    return spec, ()


def acts_of(value: Any) -> set[str]:
    """Every activation in a spec."""
    if isinstance(value, tuple):
        return set().union(*map(acts_of, value)) if value else set()
    if not is_dataclass(value) or isinstance(value, type):
        return set()
    own = {getattr(value, n) for n in ("act", "gate") if isinstance(getattr(value, n, None), str)}
    return own.union(*(acts_of(getattr(value, f.name)) for f in fields(value)))


def with_act(value: Any, old: str, new: str) -> Any:
    """A spec (or a part of one) with one activation in place of another."""
    if isinstance(value, tuple):
        return tuple(with_act(v, old, new) for v in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes: dict[str, Any] = {}
    for f in fields(value):
        held = getattr(value, f.name)
        changes[f.name] = new if f.name == "act" and held == old else with_act(held, old, new)
    return replace(value, **changes)
