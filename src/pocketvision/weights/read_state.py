"""State dictionaries of PyTorch (`.pth`, `.safetensors`): timm, torchvision, the authors' own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pocketvision.errors import UsageError, WeightsError
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
        # SSDLite alone was trained on -1..1.
        detector = fit.chosen.spec.resolution == (torchvision.DETECTOR_SIDE,) * 2
        if detector and wishes.scaling is None:
            wishes = replace(wishes, scaling="-1..1")
        return bundled(fit, wishes, left_out=left_out)
    near = beside(path)
    fit = (
        tables.named(tensors, wishes.model)
        if wishes.model is not None
        else tables.recognised(tensors, hint=near.hint)
    )
    return bundled(fit, wishes, recipe=near.recipe)


@dataclass(frozen=True)
class Beside:
    """What lies beside a file: words for the network's name, and timm's own preprocessing."""

    hint: str
    recipe: Mapping[str, Any]


def beside(path: Path) -> Beside:
    """The file's name, its folder's, and the config.json that hubs keep beside the weights."""
    config, words = path.parent / "config.json", f"{path.parent.name} {path.stem}"
    try:
        small = config.is_file() and config.stat().st_size <= MAX_CONFIG_BYTES
        row = json.loads(config.read_bytes()) if small else {}
    except (OSError, ValueError, RecursionError):
        row = {}
    if not isinstance(row, dict):
        return Beside(words, {})
    architecture, recipe = row.get("architecture"), row.get("pretrained_cfg")
    hint = architecture if isinstance(architecture, str) else words
    return Beside(hint, recipe if isinstance(recipe, dict) else {})


def with_recipe(p: Preprocess, recipe: Mapping[str, Any], wishes: Wishes) -> Preprocess:
    """The contract with what timm's `pretrained_cfg` says, where it can be read."""
    changes: dict[str, Any] = {}
    for ours, theirs in (("mean", "mean"), ("std", "std")):
        values = recipe.get(theirs)
        if isinstance(values, list) and len(values) == p.channels and wishes.scaling is None:
            changes[ours] = tuple(values)
    if recipe.get("interpolation") in ("bilinear", "bicubic"):
        changes["interpolation"] = recipe["interpolation"]
    if isinstance(recipe.get("crop_pct"), int | float):
        changes["crop_fraction"] = float(recipe["crop_pct"])
    try:
        return replace(p, **changes)
    except UsageError:  # what is beside a file is a help, no part of it
        return p


def bundled(
    fit: Fit,
    wishes: Wishes,
    *,
    spec: NetSpec | None = None,
    facts: Mapping[str, str] | None = None,
    assumed: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    labels: tuple[str, ...] | None = None,
    recipe: Mapping[str, Any] | None = None,
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
    preprocess = with_recipe(preprocess, recipe or {}, wishes)
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


def _preprocess(spec: NetSpec, scaling: str, interpolation: str, wishes: Wishes) -> Preprocess:
    # Ports of TensorFlow's weights keep its scaling; timm trained its MobileNetV1 with it too.
    ported = spec.numerics.name == "tf" or (spec.numerics.name, spec.name) == (
        "timm",
        "mobilenet_v1",
    )
    if spec.in_channels not in (1, 3):
        raise WeightsError(
            f"the network takes {spec.in_channels} channels; images here have 1 or 3"
        )
    made = preprocess_for(
        spec.resolution, "-1..1" if ported else scaling, wishes, channels=spec.in_channels
    )
    return replace(made, interpolation=interpolation)
