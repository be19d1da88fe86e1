"""TensorFlow.js layers models: Keras' names; a head of matrices behind a trunk comes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketvision.errors import PocketvisionError
from pocketvision.spec import Classifier, Conv, NetSpec
from pocketvision.weights import keras_config, tables, tfjs
from pocketvision.weights.found import Imported, Wishes
from pocketvision.weights.match import natural
from pocketvision.weights.read_keras import corrected
from pocketvision.weights.read_state import bundled
from pocketvision.weights.tables import Fit


def read(path: Path, wishes: Wishes) -> Imported:
    """The bundle of a model.json, or of the folder that holds it. Raises WeightsError."""
    file = path / "model.json" if path.is_dir() else path
    row = tfjs.model(file)
    tensors = tfjs.tensors(row, file.parent)
    topology = row.get("modelTopology")
    config = topology if isinstance(topology, dict) else None
    config = config.get("model_config", config) if config else None
    extra = {k: v for k, v in tensors.items() if k.startswith("dense_")}
    trunk = {k: v for k, v in tensors.items() if k not in extra}
    fit = (
        tables.named(trunk, wishes.model)
        if wishes.model is not None
        else tables.recognised(trunk, hint=file.parent.name)
    )
    known = keras_config.facts(config)
    spec, assumed = corrected(fit.chosen.spec, known)
    spec, weights, facts = _with_head(spec, fit, extra, config)
    made = bundled(
        replace(fit, weights=weights),
        wishes,
        spec=spec,
        facts=facts,
        assumed=assumed,
        labels=_labels(file.parent, spec),
    )
    return replace(made, found=replace(made.found, source="tfjs"))


def _with_head(
    spec: NetSpec, fit: Fit, extra: Mapping[str, Tensor], config: Mapping[str, Any] | None
) -> tuple[NetSpec, Mapping[str, Tensor], dict[str, str]]:
    """The trunk with the matrices that the file has behind it (Teachable Machine's two)."""
    layers = _dense(extra, config)
    if not layers or spec.heads:
        return spec, fit.weights, {}
    *hidden, (last, bias, _) = layers
    convs = tuple(
        Conv(c_in=w.shape[0], c_out=w.shape[1], norm="none", act=act) for w, _, act in hidden
    )
    c_in = spec.blocks[-1].c_out
    head = Classifier(c_in=c_in, classes=last.shape[1], hidden=convs)
    rows = dict(fit.weights)
    for i, (w, b, _) in enumerate(hidden):
        rows[f"heads.label.hidden.{i}.conv.weight"] = w.T.contiguous()[:, :, None, None]
        rows[f"heads.label.hidden.{i}.conv.bias"] = b
    rows["heads.label.classifier.weight"] = last.T.contiguous()
    rows["heads.label.classifier.bias"] = bias
    widths = " -> ".join(str(w.shape[1]) for w, _, _ in layers)
    facts = {"head": f"{len(layers)} matrices behind the mean: {c_in} -> {widths}"}
    return replace(spec, heads=(("label", head),)), rows, facts


Dense = tuple[Tensor, Tensor, str]


def _dense(extra: Mapping[str, Tensor], config: Mapping[str, Any] | None) -> list[Dense]:
    """(matrix, bias, activation) of the dense layers in order."""
    acts = {
        str(c.get("name")): str(c.get("activation"))
        for kind, c in keras_config.flattened(config)
        if kind == "Dense"
    }
    found = []
    for layer in sorted({k.rpartition("/")[0] for k in extra}, key=natural):
        weight = extra.get(f"{layer}/kernel")
        if weight is None or weight.ndim != 2:
            return []
        bias = extra.get(f"{layer}/bias", torch.zeros(weight.shape[1]))
        act = acts.get(layer, "linear")
        found.append((weight, bias, act if act in ("relu", "relu6", "sigmoid") else "none"))
    return found


def _labels(folder: Path, spec: NetSpec) -> tuple[str, ...] | None:
    """Names in the metadata.json that Teachable Machine puts beside the model."""
    try:
        labels = tfjs.read_json(folder / "metadata.json").get("labels")
    except PocketvisionError:
        return None
    fits = isinstance(labels, list) and spec.heads and len(labels) == spec.head().classes
    return tuple(map(str, labels)) if fits and isinstance(labels, list) else None
