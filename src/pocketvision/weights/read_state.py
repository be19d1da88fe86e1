"""State dictionaries of PyTorch (`.pth`, `.safetensors`): timm, torchvision, the authors' own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.preprocess import Preprocess
from pocketvision.spec import NetSpec
from pocketvision.weights import tables, torchvision
from pocketvision.weights.found import Found, Imported, Wishes, finished, preprocess_for
from pocketvision.weights.libraries import LIBRARIES
from pocketvision.weights.tables import Fit

MAX_CONFIG_BYTES = 1 << 20


def read(tensors: Mapping[str, Tensor], path: Path, wishes: Wishes) -> Imported:
    """The bundle of a state dictionary. Raises WeightsError, Mismatch."""
    if torchvision.is_task(tensors):
        fit, left_out = torchvision.trunk(tensors)
        return bundled(fit, wishes, left_out=left_out)
    if wishes.model is not None:
        return bundled(tables.named(tensors, wishes.model), wishes)
    return bundled(tables.recognised(tensors, hint=hint(path)), wishes)


def hint(path: Path) -> str:
    """What the file's name, its folder's, and a config.json beside it say of the network."""
    config, words = path.parent / "config.json", f"{path.parent.name} {path.stem}"
    try:
        if config.is_file() and config.stat().st_size <= MAX_CONFIG_BYTES:
            row = json.loads(config.read_bytes())
            architecture = row.get("architecture") if isinstance(row, dict) else None
            return architecture if isinstance(architecture, str) else words
    except (OSError, ValueError, RecursionError):
        pass
    return words


def bundled(
    fit: Fit,
    wishes: Wishes,
    *,
    spec: NetSpec | None = None,
    facts: Mapping[str, str] | None = None,
    assumed: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    labels: tuple[str, ...] | None = None,
) -> Imported:
    """A bundle of a fit; `spec` replaces the fit's own where the file knows better."""
    chosen, library = fit.chosen, LIBRARIES[fit.chosen.library]
    spec = spec or chosen.spec
    if wishes.resolution is not None:
        spec = replace(spec, resolution=wishes.resolution)
    found = Found(
        source=chosen.library,
        model=chosen.name,
        facts=dict(facts or {}),
        assumed=assumed + _open_questions(fit),
        left_out=left_out,
    )
    preprocess = _preprocess(spec, library.scaling, library.interpolation, wishes)
    return finished(
        spec, fit.weights, found=found, preprocess=preprocess, wishes=wishes, labels=labels
    )


def _open_questions(fit: Fit) -> tuple[str, ...]:
    """What the tensors cannot decide."""
    n = fit.chosen.spec.numerics
    said = f"padding {n.padding} and epsilon {n.bn_epsilon:g}, as {fit.chosen.library} has them"
    rivals = ", ".join(dict.fromkeys(c.name for c in fit.others))
    if not rivals:
        return (said,)
    return (said, f"that it is {fit.chosen.name}: the tensors fit {rivals} too (--model decides)")


def _preprocess(
    spec: NetSpec, scaling: str, interpolation: str, wishes: Wishes
) -> Preprocess:
    # Ports of TensorFlow's weights keep its scaling.
    ported = spec.numerics.name == "tf"
    if spec.in_channels not in (1, 3):
        raise WeightsError(
            f"the network takes {spec.in_channels} channels; images here have 1 or 3"
        )
    made = preprocess_for(
        spec.resolution, "-1..1" if ported else scaling, wishes, channels=spec.in_channels
    )
    return replace(made, interpolation=interpolation)
