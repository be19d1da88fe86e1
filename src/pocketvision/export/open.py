"""Open whatever predicts: a bundle, an exported folder, or an exported file that was moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocketvision import spec_json
from pocketvision.decision import Decision
from pocketvision.errors import BundleError, PocketvisionError, UnknownName, UsageError, closest
from pocketvision.export import BACKENDS, compiled
from pocketvision.export.runtime import Runtime
from pocketvision.labels import Labels
from pocketvision.preprocess import Preprocess
from pocketvision.spec import NetSpec

FORMAT = 1
MANIFEST = "manifest.json"
# torch_exact rounds activations to the grids of a quantized file that was imported.
TORCH_RUNTIMES = ("torch", "torch_channels_last", "torch_exact")
LOADERS = {b.RUNTIME: b.load for b in BACKENDS.values()} | {compiled.RUNTIME: compiled.load}
RUNTIMES = (*TORCH_RUNTIMES, *LOADERS)
# Which runtimes read a file, the first unless asked otherwise.
READERS = {
    ".onnx": ("onnxruntime", "openvino"),
    ".xml": ("openvino",),
    **{suffix: (compiled.RUNTIME,) for suffix in compiled.SUFFIXES},
}


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model that is ready to answer. `path` is what was given, `model` the file that was read.

    `spec` is known for bundles and exported folders, not for a file alone. `contract` and `names`
    are None only where a network of others was compiled, which says nothing of its images.
    """

    path: Path
    model: Path
    runtime: Runtime
    contract: Preprocess | None
    names: Mapping[str, Labels] | None
    spec: NetSpec | None
    decision: Mapping[str, Decision] = field(default_factory=dict)

    @property
    def preprocess(self) -> Preprocess:
        """How images become the input. Raises BundleError where the model does not say."""
        if self.contract is None:
            raise self._silent("how its images are prepared")
        return self.contract

    @property
    def labels(self) -> Mapping[str, Labels]:
        """Names of the outputs, by head. Raises BundleError where the model does not say."""
        if self.names is None:
            raise self._silent("what its outputs stand for")
        return self.names

    def _silent(self, what: str) -> BundleError:
        return BundleError(
            f"{self.path} does not say {what}: it was compiled from a file of another program; "
            "it can be timed (pocketvision bench), and used from C"
        )

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.runtime.heads

    @property
    def size_bytes(self) -> int:
        """Bytes of the model on disk, weights included."""
        files = [self.model, self.model.with_suffix(".bin")]
        if self.runtime.name == compiled.RUNTIME:
            files = [self.model, self.model.with_name(compiled.WEIGHTS)]
        return sum(f.stat().st_size for f in files if f.is_file())


def open_model(
    path: str | Path,
    *,
    runtime: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> Opened:
    """Open a bundle folder, an exported folder, or an .onnx or .xml file by itself.

    `runtime` is one of RUNTIMES, by default the one the thing was made for; `precision` overrides
    what it was proven at. Raises BundleError, UsageError, UnknownName, MissingRuntime.
    """
    if runtime is not None and runtime not in RUNTIMES:
        raise UnknownName(
            f"no runtime {runtime!r}{closest(runtime, RUNTIMES)} (known: {', '.join(RUNTIMES)})"
        )
    place, options = Path(path), {"threads": threads, "precision": precision}
    if place.is_file():
        return _file(place, place, runtime, options, spec=None)
    manifest = _manifest(place)
    if manifest.get("kind") == "artifact":
        return _artifact(place, manifest, runtime, options)
    return _bundle(place, runtime, options)


def _bundle(path: Path, runtime: str | None, options: dict[str, Any]) -> Opened:
    if runtime is not None and runtime not in TORCH_RUNTIMES:
        formats = [name for name, backend in BACKENDS.items() if runtime == backend.RUNTIME]
        how = f"export {path} --format {formats[0]}" if formats else f"compile {path}"
        raise UsageError(f"{path} is a bundle, which {runtime} cannot read: pocketvision {how}")
    from pocketvision import bundle as bundles
    from pocketvision.export import torch_runtime

    bundle = bundles.load(path)
    if not bundle.spec.heads:
        raise UsageError(
            f"{path} is a trunk, which has no head and answers nothing: train one onto it with "
            f"pocketvision train DATA --from {path}"
        )
    last = runtime == "torch_channels_last"
    return Opened(
        path=path,
        model=path / "weights.safetensors",
        runtime=torch_runtime.load(
            bundle, channels_last=last, exact=runtime == "torch_exact", **options
        ),
        contract=bundle.preprocess,
        names=bundle.labels,
        spec=bundle.spec,
        decision=bundle.decision,
    )


def _artifact(
    path: Path, manifest: Mapping[str, Any], runtime: str | None, options: dict[str, Any]
) -> Opened:
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{path / MANIFEST} has format {manifest.get('format')!r}, this version reads {FORMAT}"
        )
    files, model = manifest.get("files"), manifest.get("model")
    if not isinstance(files, dict) or not isinstance(model, str) or model not in files:
        raise BundleError(f"{path / MANIFEST} does not list its model: export the bundle again")
    for name, expected in files.items():
        check_hash(path, name, expected)
    if manifest.get("backend") == compiled.RUNTIME:
        compiled.check_runs_here(path, model)
    return _file(path, path / model, runtime, options, spec=_spec(path, manifest))


def _file(
    path: Path, model: Path, runtime: str | None, options: dict[str, Any], *, spec: NetSpec | None
) -> Opened:
    readers = READERS.get(model.suffix.lower(), ())
    chosen = runtime or next(iter(readers), None)
    if chosen not in readers:
        can = f"{', '.join(readers)} can" if readers else f"known: {', '.join(READERS)}, or folders"
        raise UsageError(f"cannot open {model}{f' with {runtime}' if runtime else ''} ({can})")
    assert chosen is not None
    loaded = LOADERS[chosen](model, **options)
    m = loaded.metadata
    return Opened(
        path=path,
        model=model,
        runtime=loaded,
        contract=m and m.preprocess,
        names=m and m.labels,
        spec=spec,
        decision=m.decision if m else {},
    )


def check_hash(folder: Path, name: str, expected: object) -> None:
    """Raise BundleError unless `folder`/`name` is the file that was written."""
    if Path(name).name != name:  # a foreign manifest must not make us read elsewhere
        raise BundleError(f"{folder / MANIFEST} lists {name!r}, which is not a plain file name")
    try:
        with (folder / name).open("rb") as f:
            got = hashlib.file_digest(f, "sha256").hexdigest()
    except FileNotFoundError:
        raise BundleError(f"{folder} is incomplete: {name} is missing; copy it again") from None
    except OSError as e:
        raise BundleError(f"cannot read {folder / name}: {e.strerror}") from None
    if got != expected:
        raise BundleError(
            f"{folder / name} is not the file that was exported (sha256 {got[:12]}..., expected "
            f"{str(expected)[:12]}...): it was changed or cut short, copy the folder again"
        )


def _manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise BundleError(
            f"no model at {path}: give a bundle, an exported or compiled folder, .onnx or .xml"
        )
    try:
        row = json.loads((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BundleError(
            f"{path} holds no {MANIFEST}: it is neither a bundle nor an exported model"
        ) from None
    except OSError as e:
        raise BundleError(f"cannot read {path / MANIFEST}: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise BundleError(f"{path / MANIFEST} is damaged: {e}") from None
    if not isinstance(row, dict):
        raise BundleError(f"{path / MANIFEST} is damaged: it holds no object")
    return row


def _spec(path: Path, manifest: Mapping[str, Any]) -> NetSpec | None:
    if "spec" not in manifest:
        return None
    try:
        return spec_json.loads(json.dumps(manifest["spec"]))
    except PocketvisionError as e:
        raise BundleError(f"{path / MANIFEST} holds a damaged spec: {e}") from None
