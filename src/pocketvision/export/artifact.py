"""Make an exported folder: model file, sidecars, and the proof that it answers like the original.

model.onnx | model.xml + model.bin   the model, contract and labels inside
preprocess.json, labels.json, labels.txt, golden.safetensors   the same for programs without it
decision.json  only where the bundle has one
parity.json    how far its answers lie from the original's, on which host
manifest.json  made from what; sha256 of every other file
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from safetensors.torch import save as save_tensors

from pocketvision import __version__, spec_json
from pocketvision import decision as decision_json
from pocketvision import labels as labels_json
from pocketvision import preprocess as contract
from pocketvision.bench.host import host
from pocketvision.bundle import Bundle
from pocketvision.decision import Decision
from pocketvision.errors import ParityError, UnknownName, UsageError, closest
from pocketvision.export import BACKENDS, torch_runtime
from pocketvision.export.metadata import digest
from pocketvision.export.open import FORMAT, MANIFEST
from pocketvision.export.parity import (
    TIE,
    TOLERANCE,
    Indices,
    Parity,
    compare,
    compare_pairs,
    relative,
)
from pocketvision.export.runtime import FileRuntime
from pocketvision.files import new_folder
from pocketvision.labels import Labels
from pocketvision.preprocess import Preprocess

Image = np.ndarray | Path | bytes

# Resizing may round differently in another version of its library: one level of 255, rarely two.
GOLDEN_LEVELS = 2.5
GOLDEN_OUTPUT_REL = 1e-3


@dataclass(frozen=True, kw_only=True)
class Check:
    """What the proof uses beside the golden images: more images, their labels, the tolerance.

    An image is a path, the bytes of a file, or uint8 (h, w, 3). With `labels` (indices, in the
    order of `images`) top-1 accuracy is measured on both. `tolerance` None: parity.TOLERANCE.
    """

    images: Sequence[Image] = ()
    labels: Sequence[int] | Indices | None = None
    tolerance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished folder. `seconds` is the time of export and proof together."""

    path: Path
    model: Path
    parity: Parity
    size_bytes: int
    seconds: float


def make(
    bundle: Bundle,
    backend: str,
    folder: str | Path,
    *,
    precision: str = "f32",
    overwrite: bool = False,
    check: Check | None = None,
) -> Artifact:
    """Export `bundle` with BACKENDS[backend] into `folder`, all or nothing, and prove it equal.

    Raises ParityError over tolerance (nothing is left behind), OutputExists, UnknownName,
    UsageError, MissingRuntime.
    """
    if backend not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise UnknownName(f"no format {backend!r}{closest(backend, BACKENDS)} (known: {known})")
    if not bundle.spec.heads:
        raise UsageError(
            "the bundle is a trunk, which has no head and answers nothing: train one onto it with "
            "pocketvision train DATA --from BUNDLE, then export that"
        )
    started, path, check = perf_counter(), Path(folder), check or Check()
    with new_folder(path, overwrite=overwrite) as temporary:
        model = BACKENDS[backend].export(bundle, temporary, precision=precision)
        loaded = BACKENDS[backend].load(model)
        parity = proven(bundle, loaded, check=check)
        size_bytes = sum(f.stat().st_size for f in temporary.iterdir())
        sidecars(
            temporary, bundle.preprocess, bundle.labels, bundle.golden, decision=bundle.decision
        )
        proof = proof_row(parity, _tolerance(precision, check))
        (temporary / "parity.json").write_text(as_json(proof), encoding="utf-8")
        made = {"backend": backend, "runtime": loaded.name, "precision": precision}
        made |= {"model": model.name, "size_bytes": size_bytes}
        write_manifest(temporary, made, source_of(bundle))
    return Artifact(
        path=path,
        model=path / model.name,
        parity=parity,
        size_bytes=size_bytes,
        seconds=perf_counter() - started,
    )


# -------------------------------------------------------------------------------------------- proof


def proven(bundle: Bundle, runtime: FileRuntime, *, check: Check) -> Parity:
    """The parity of a loaded file with its bundle: each prepares the images by its own contract.

    Raises ParityError over tolerance, with the figures and where to look.
    """
    original, inside = torch_runtime.load(bundle, threads=torch.get_num_threads()), runtime.metadata
    _check_golden(bundle, original)
    if dict(inside.labels) != dict(bundle.labels):
        raise ParityError(f"{runtime.name}: the labels in the file are not those of the bundle")
    if dict(inside.decision) != dict(bundle.decision):
        raise ParityError(f"{runtime.name}: the decision in the file is not that of the bundle")
    images = [*bundle.golden_images, *check.images]
    pairs = (
        (contract.prepare(i, bundle.preprocess), contract.prepare(i, inside.preprocess))
        for i in images
    )
    labels = _padded(bundle, check.labels, len(bundle.golden_images))
    parity = compare_pairs(original, runtime, pairs, labels=labels)
    tolerance = _tolerance(inside.precision, check)
    if not parity.max_rel <= tolerance:
        where = _where(bundle, original, parity, inside.preprocess)
        raise ParityError(f"{_figures(parity, tolerance)}; {where}; nothing was written")
    return parity


def _tolerance(precision: str, check: Check) -> float:
    return TOLERANCE[precision] if check.tolerance is None else check.tolerance


def _padded(
    bundle: Bundle, labels: Sequence[int] | Indices | None, golden: int
) -> dict[str, list[int]] | None:
    """Labels by head with -1 (not counted) for the golden images, which have none."""
    if labels is None:
        return None
    by_head = labels if isinstance(labels, Mapping) else {bundle.spec.heads[0][0]: labels}
    return {head: [-1] * golden + list(indices) for head, indices in by_head.items()}


def _check_golden(bundle: Bundle, original: torch_runtime.TorchRuntime) -> None:
    """Raise ParityError where the bundle's own golden vectors do not come out here."""
    p, recorded = bundle.preprocess, bundle.golden
    if "input" not in recorded:
        return
    level = 1 / 255 / min(p.std)
    for i, image in enumerate(bundle.golden_images):
        apart = float(np.abs(contract.prepare(image, p) - recorded["input"][i].numpy()).max())
        if apart > GOLDEN_LEVELS * level:
            raise ParityError(
                f"golden image {i} of the bundle is prepared differently here than where it was "
                f"made: inputs differ by {apart:.3g} ({apart / level:.0f} levels of 255); "
                "check the versions of torch and pillow, then make the bundle again"
            )
    for head, answer in original(recorded["input"].numpy()).items():
        apart = relative(recorded[f"output.{head}"].numpy(), answer)
        if not apart <= GOLDEN_OUTPUT_REL:
            raise ParityError(
                f"the golden outputs of head {head!r} in the bundle are not those of its weights "
                f"(relative difference {apart:.2g}): they are stale, make the bundle again"
            )


def _figures(parity: Parity, tolerance: float) -> str:
    return (
        f"{parity.b} does not answer like {parity.a}: largest difference {parity.max_abs:.3g}, "
        f"{parity.max_rel:.2g} of the largest output (allowed {tolerance:.2g}), mean "
        f"{parity.mean_abs:.3g}, same first class on {parity.top1_agreement:.1%} of {parity.n} "
        "images"
    )


def _where(
    bundle: Bundle, original: torch_runtime.TorchRuntime, parity: Parity, inside: Preprocess
) -> str:
    """Which half is at fault: how images are prepared, or the network."""
    if parity.input_max_abs == 0.0:
        draw = np.random.Generator(np.random.PCG64(0))
        x = draw.standard_normal((2, *original.input_shape))
        own = compare(
            torch_runtime.load(bundle, precision="f64", threads=original.threads), original, x
        ).max_rel
        return (
            "both prepare the images equally, so the difference lies in the network: a lower "
            "precision, or an operator that this runtime computes differently (rounding alone "
            f"moves the original by {own:.2g} from float64)"
        )
    a, b = bundle.preprocess, inside
    named = [
        f"{f.name} is {getattr(b, f.name)} in the file and {getattr(a, f.name)} in the bundle"
        for f in fields(Preprocess)
        if getattr(a, f.name) != getattr(b, f.name)
    ]
    return (
        f"the input tensors already differ, by up to {parity.input_max_abs:.3g}: preprocessing "
        f"is at fault ({'; '.join(named)})"
    )


# ------------------------------------------------------------------------------------------- files


def proof_row(parity: Parity, tolerance: float) -> dict[str, object]:
    """parity.json."""
    return {
        "format": FORMAT,
        **parity.row(),
        "tolerance_rel": tolerance,
        "tie_rel": TIE,
        "host": host(),
    }


def sidecars(
    folder: Path,
    preprocess: Preprocess,
    labels: Mapping[str, Labels],
    golden: Mapping[str, torch.Tensor],
    *,
    decision: Mapping[str, Decision],
) -> None:
    """Write contract, labels, golden vectors and decision for programs that do not read the
    model's own.
    """
    (folder / "preprocess.json").write_text(contract.dumps(preprocess), encoding="utf-8")
    (folder / "labels.json").write_text(labels_json.dumps(labels), encoding="utf-8")
    for name, text in _label_lists(labels).items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "golden.safetensors").write_bytes(save_tensors(dict(golden)))
    if decision:
        (folder / "decision.json").write_text(decision_json.dumps(decision), encoding="utf-8")


def _label_lists(labels: Mapping[str, Labels]) -> dict[str, str]:
    """labels.txt, one name a line; labels.<head>.txt where there are several heads."""
    lists = {h: "".join(" ".join(n.split()) + "\n" for n in x.names) for h, x in labels.items()}
    if len(lists) == 1:
        return {"labels.txt": next(iter(lists.values()))}
    return {f"labels.{head}.txt": text for head, text in lists.items()}


def source_of(bundle: Bundle) -> dict[str, object]:
    """What the manifest says of the bundle that an artifact was made from."""
    return {"spec": json.loads(spec_json.dumps(bundle.spec)), "bundle": dict(bundle.manifest)}


def write_manifest(
    folder: Path,
    made: Mapping[str, object],
    source: Mapping[str, object],
    *,
    editable: Collection[str] = (),
) -> None:
    """Write manifest.json: what was made of what, and the hash of every file that must not change.

    `editable` are names of files that people may change; they are only listed.
    """
    names = sorted(f.name for f in folder.iterdir())
    row = {"format": FORMAT, "kind": "artifact", "version": __version__, **made, **source}
    row["files"] = {n: digest((folder / n).read_bytes()) for n in names if n not in editable}
    if editable:
        row["editable"] = sorted(editable)
    (folder / MANIFEST).write_text(as_json(row), encoding="utf-8")


def as_json(row: Mapping[str, object]) -> str:
    """JSON as our files have it."""
    return json.dumps(row, indent=1, ensure_ascii=False) + "\n"
