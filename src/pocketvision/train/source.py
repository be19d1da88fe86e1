"""The place that a run starts from: a bundle, the run that made one, or anyone's weight file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision import bundle as bundles
from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError, closest
from pocketvision.weights.found import SCALINGS, Wishes
from pocketvision.weights.importer import import_file
from pocketvision.zoo.lookup import target

READ_BY_STRUCTURE = ("bundle", "TFLite", "ONNX")  # a name is not needed and only compared
RUN_FILES = ("setup.json", "config.json", "results.csv")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trained network and where it is from; `record` is what manifests say of it.

    `assumed`: what a file does not say, and what was taken, in words.
    """

    bundle: Bundle
    record: Mapping[str, Any]
    assumed: tuple[str, ...] = ()


def opened(place: Path, *, model: str | None = None) -> Source:
    """The source at `place`; `model` names the network where a file's tensors cannot tell.

    Raises BundleError for a folder that is no bundle, WeightsError for a file that holds no
    weights, UsageError where `model` contradicts what is there.
    """
    folder = _bundle_folder(place)
    if folder is None:
        made = import_file(place, Wishes(model=model))
        origin = made.bundle.manifest["origin"]
        found = Source(
            bundle=made.bundle,
            record=_record(origin["file"], origin["sha256"], made.found.source, made.bundle),
            assumed=made.found.assumed,
        )
    else:
        bundle = bundles.load(folder)
        sha256 = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
        name = place.resolve().parent.name if place.name == "bundle" else place.resolve().name
        found = Source(bundle=bundle, record=_record(name, sha256, "bundle", bundle))
    _check_model(model, found, place)
    return found


def _record(name: str, sha256: str, kind: str, bundle: Bundle) -> dict[str, Any]:
    return {"name": name, "kind": kind, "sha256": sha256, "model": bundle.spec.name}


def _bundle_folder(place: Path) -> Path | None:
    """The bundle at or in `place`; None where an importer must look. Raises BundleError."""
    if not place.is_dir():
        return None
    if (place / "spec.json").exists() or (place / "manifest.json").exists():
        return place
    if (place / "bundle").is_dir():
        return place / "bundle"
    if any((place / name).exists() for name in RUN_FILES):
        raise BundleError(
            f"{place} is a run without a bundle: it has not come to its end; go on with "
            f"pocketvision train DATA --resume {place}, or start from another"
        )
    if (place / "model.json").exists():
        return None
    raise BundleError(
        f"{place} holds neither a bundle nor a TensorFlow.js model; give the folder of a bundle or "
        "of a run, or a weight file"
    )


def _check_model(model: str | None, found: Source, place: Path) -> None:
    """Raise UnknownName or UsageError where a name was given that the source is not. Files of
    tensors were read by that name.
    """
    if model is None or found.record["kind"] not in READ_BY_STRUCTURE:
        return
    if target(model)[0] != found.bundle.spec.name:
        raise UsageError(
            f"--model {model} contradicts --from: {place} holds {found.bundle.spec.name}; leave "
            "--model out"
        )


def scaled_to(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) of a named input scaling. Raises UsageError."""
    if name not in SCALINGS:
        raise UsageError(
            f"no input scaling {name!r}{closest(name, SCALINGS)} (--input-scaling takes: "
            f"{', '.join(SCALINGS)})"
        )
    mean, std = SCALINGS[name]
    return mean[:channels], std[:channels]
