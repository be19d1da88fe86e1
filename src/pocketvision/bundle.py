"""The one noun that travels: a folder with a network's spec, weights, contract, labels and proof.

spec.json            the architecture (spec_json)
weights.safetensors  every parameter and statistic by its address
preprocess.json      how an image becomes the input (preprocess)
labels.json          names of the outputs, by head (labels)
golden.safetensors   images, inputs and outputs that any re-implementation must reproduce
manifest.json        made from what, by which command; sha256 of every other file
decision.json        only once fitted: temperature, and from where on an answer counts (decision)
quantization.json    only once quantized
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from pocketvision import decision as decision_json
from pocketvision import labels as labels_json
from pocketvision import preprocess as contract
from pocketvision import spec_json
from pocketvision.decision import Decision
from pocketvision.errors import BundleError, LabelError, PocketvisionError
from pocketvision.files import new_folder
from pocketvision.labels import Labels
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess
from pocketvision.spec import NetSpec

FORMAT = 1
FILES = (
    "spec.json",
    "weights.safetensors",
    "preprocess.json",
    "labels.json",
    "golden.safetensors",
)
OPTIONAL = ("decision.json", "quantization.json")
GOLDEN_LONGEST_PX = 512
GOLDEN_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A network and all that is needed to use it. `golden` holds "image.0" uint8 (h, w, 3), ...,
    "input" float32 (n, c, h, w) and "output.<head>" float32 (n, classes); a network without heads
    is a trunk, whose output is a map ("output.trunk"). `decision` is empty where none was fitted.
    """

    spec: NetSpec
    weights: Mapping[str, Tensor]
    preprocess: Preprocess
    labels: Mapping[str, Labels]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    golden: Mapping[str, Tensor] = field(default_factory=dict)
    quantization: Mapping[str, Any] | None = None
    decision: Mapping[str, Decision] = field(default_factory=dict)

    def network(self) -> Network:
        """The network in eval mode with these weights."""
        net = Network(self.spec)
        net.load_state_dict(dict(self.weights))
        return net.eval()

    @property
    def golden_images(self) -> list[np.ndarray]:
        """The golden images, uint8 (h, w, 3) each."""
        count = sum(name.startswith("image.") for name in self.golden)
        return [self.golden[f"image.{i}"].numpy() for i in range(count)]


def bundle_of(
    network: Network,
    preprocess: Preprocess,
    labels: Mapping[str, Labels],
    *,
    manifest: Mapping[str, Any],
    images: Sequence[np.ndarray] = (),
) -> Bundle:
    """A bundle of a trained network; golden vectors from up to four `images`, uint8 (h, w, 3).

    Without images, two made of blocks of noise stand in. Raises LabelError where labels do not fit.
    """
    _check_labels(network.spec, labels)
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}
    bundle = Bundle(
        spec=network.spec,
        weights=weights,
        preprocess=preprocess,
        labels=labels,
        manifest=dict(manifest),
    )
    return replace(bundle, golden=golden(bundle, images or noise_images()))


def golden(bundle: Bundle, images: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Golden vectors of `images`: the images themselves (shrunk to 512 px), inputs and outputs."""
    small = [_shrunk(image) for image in images[:GOLDEN_IMAGES]]
    p = bundle.preprocess
    inputs = np.stack([contract.to_tensor(contract.to_uint8(image, p), p) for image in small])
    rows = {f"image.{i}": torch.from_numpy(image.copy()) for i, image in enumerate(small)}
    rows["input"] = torch.from_numpy(inputs)
    return rows | outputs(bundle.network(), rows["input"])


@torch.no_grad()
def outputs(network: Network, x: Tensor) -> dict[str, Tensor]:
    """{"output.<head>": (n, classes)} of a batch, by head; of a trunk {"output.trunk": its map}."""
    y, heads = network(x), network.spec.heads
    by_head = y if isinstance(y, dict) else {heads[0][0] if heads else "trunk": y}
    return {f"output.{name}": value.contiguous() for name, value in by_head.items()}


def _shrunk(image: np.ndarray) -> np.ndarray:
    """The image with its longest side at most 512 px, by leaving out rows and columns.

    Any image serves as a golden one; small ones keep the bundle small.
    """
    step = -(-max(image.shape[:2]) // GOLDEN_LONGEST_PX)
    return np.ascontiguousarray(image[::step, ::step])


def noise_images() -> list[np.ndarray]:
    """Two images of blocks of noise, the same ones every time."""
    draw = np.random.Generator(np.random.PCG64(0))
    coarse = draw.integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)
    return [np.repeat(np.repeat(c, 16, axis=0), 16, axis=1) for c in coarse]


def _check_labels(spec: NetSpec, labels: Mapping[str, Labels]) -> None:
    for name, head in spec.heads:
        if name not in labels:
            raise LabelError(f"head {name!r} has no labels (labels for: {', '.join(labels)})")
        if len(labels[name].names) != head.classes:
            raise LabelError(
                f"head {name!r} has {head.classes} outputs but {len(labels[name].names)} labels"
            )


def _check_decision(spec: NetSpec, decision: Mapping[str, Decision]) -> None:
    heads = [name for name, _ in spec.heads]
    if unknown := [name for name in decision if name not in heads]:
        raise BundleError(
            f"the decision is about head {unknown[0]!r}, which the network lacks "
            f"(heads: {', '.join(heads)})"
        )


# -------------------------------------------------------------------------------------- save


def save(bundle: Bundle, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write the bundle as a folder, all or nothing. Raises OutputExists, PocketvisionError."""
    path = Path(folder)
    with new_folder(path, overwrite=overwrite) as temporary:
        hashes = {}
        for name, data in _contents(bundle).items():
            (temporary / name).write_bytes(data)
            hashes[name] = hashlib.sha256(data).hexdigest()
        manifest = {"format": FORMAT, **bundle.manifest, "files": hashes}
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return path


def _contents(bundle: Bundle) -> dict[str, bytes]:
    data = {
        "spec.json": spec_json.dumps(bundle.spec).encode(),
        "weights.safetensors": save_tensors(dict(bundle.weights)),
        "preprocess.json": contract.dumps(bundle.preprocess).encode(),
        "labels.json": labels_json.dumps(bundle.labels).encode(),
        "golden.safetensors": save_tensors(dict(bundle.golden)),
    }
    if bundle.decision:
        _check_decision(bundle.spec, bundle.decision)
        data["decision.json"] = decision_json.dumps(bundle.decision).encode()
    if bundle.quantization is not None:
        row = {"format": FORMAT, **bundle.quantization}
        data["quantization.json"] = (json.dumps(row, indent=1) + "\n").encode()
    return data


# -------------------------------------------------------------------------------------- load


def load(folder: str | Path) -> Bundle:
    """Read a bundle; every file is checked against its hash and against the others.

    Raises BundleError, which names the file and what is wrong with it.
    """
    path = Path(folder)
    manifest = _manifest(path)
    data = {name: _checked(path, name, digest) for name, digest in manifest["files"].items()}
    if missing := [name for name in FILES if name not in data]:
        raise BundleError(f"bundle {path} lists no {missing[0]} in its manifest.json")
    try:
        return _parsed(path, data, manifest)
    except BundleError:
        raise
    except PocketvisionError as e:
        raise BundleError(f"bundle {path} is damaged: {e}") from None


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise BundleError(f"no bundle at {path}: it {what}; a bundle is a folder that train makes")
    file = path / "manifest.json"
    try:
        row = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{path} is not a bundle: manifest.json is missing") from None
    except OSError as e:
        raise BundleError(f"cannot read {file}: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise BundleError(f"{file} is damaged: {e}") from None
    _check_manifest(file, row)
    return row


def _check_manifest(file: Path, row: Any) -> None:
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        got = row.get("format") if isinstance(row, dict) else type(row).__name__
        raise BundleError(f"{file} has format {got!r}; this version reads {FORMAT}")
    files = row.get("files")
    names = {*FILES, *OPTIONAL}
    # Only the known names: a foreign manifest must not make us read elsewhere.
    if not isinstance(files, dict) or not files.keys() <= names:
        raise BundleError(f"{file}: 'files' must map names of a bundle's files to their sha256")


def _checked(path: Path, name: str, digest: Any) -> bytes:
    try:
        data = (path / name).read_bytes()
    except FileNotFoundError:
        raise BundleError(f"bundle {path} is incomplete: {name} is missing") from None
    except OSError as e:
        raise BundleError(f"cannot read {path / name}: {e.strerror}") from None
    if (got := hashlib.sha256(data).hexdigest()) != digest:
        raise BundleError(
            f"bundle {path}: {name} is not the file that was saved (sha256 {got[:12]}..., expected "
            f"{str(digest)[:12]}...); it was changed or cut short, copy the bundle again"
        )
    return data


def _parsed(path: Path, data: Mapping[str, bytes], manifest: dict[str, Any]) -> Bundle:
    spec = spec_json.loads(data["spec.json"])
    weights = _tensors(path / "weights.safetensors", data["weights.safetensors"])
    if problems := mismatches(spec, weights):
        raise BundleError(f"bundle {path}: weights do not fit the spec: {'; '.join(problems[:5])}")
    labels = labels_json.loads(data["labels.json"])
    _check_labels(spec, labels)
    quantization, decided = data.get("quantization.json"), data.get("decision.json")
    decision = {} if decided is None else decision_json.loads(decided)
    _check_decision(spec, decision)
    rest = {k: v for k, v in manifest.items() if k not in ("format", "files")}
    return Bundle(
        spec=spec,
        weights=weights,
        preprocess=contract.loads(data["preprocess.json"].decode("utf-8", "replace")),
        labels=labels,
        manifest=rest,
        golden=_tensors(path / "golden.safetensors", data["golden.safetensors"]),
        quantization=json.loads(quantization) if quantization else None,
        decision=decision,
    )


def _tensors(file: Path, data: bytes) -> dict[str, Tensor]:
    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as e:
        raise BundleError(f"{file} is damaged: {e}") from None


def mismatches(spec: NetSpec, weights: Mapping[str, Tensor]) -> list[str]:
    """What keeps `weights` from loading into `spec`, tensor by tensor; empty when they fit."""
    with torch.device("meta"):  # shapes only: a hostile spec must not cost memory
        wanted = {k: tuple(v.shape) for k, v in Network(spec).state_dict().items()}
    got = {k: tuple(v.shape) for k, v in weights.items()}
    missing = [f"missing {k} {wanted[k]}" for k in wanted if k not in got]
    unexpected = [f"unexpected {k} {got[k]}" for k in got if k not in wanted]
    shapes = [
        f"{k} has shape {got[k]}, expected {wanted[k]}"
        for k in wanted
        if k in got and got[k] != wanted[k]
    ]
    return missing + unexpected + shapes
