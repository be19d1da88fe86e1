"""The one door: a file of someone else's weights, whatever it is, as a bundle with a report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketvision.errors import WeightsError
from pocketvision.weights import (
    read_keras,
    read_onnx,
    read_state,
    read_tfjs,
    read_tflite,
    torch_file,
)
from pocketvision.weights.found import Imported, Wishes
from pocketvision.weights.sources import Source, by_sha256

MAX_BYTES = 2 << 30
KINDS = ".pth .pt .bin .safetensors .h5 .keras .tflite .onnx, or a TensorFlow.js model.json"


def import_file(path: str | Path, wishes: Wishes | None = None) -> Imported:
    """Read a weight file. What it is follows from its bytes, not from its name.

    Raises WeightsError (the file is damaged, hostile, or of no known network; Mismatch lists the
    differences), MissingRuntime, UsageError.
    """
    file, wishes = Path(path), wishes or Wishes()
    try:
        reader = _reader(file)
        digest = _digest(file)
        known = by_sha256(digest)
        made = reader(file, _informed(wishes, known))
    except WeightsError as e:
        e.args = (f"{file}: {e}",)
        raise
    except OSError as e:
        raise WeightsError(f"cannot read {file}: {e.strerror or e}") from None
    except MemoryError:
        raise WeightsError(f"{file}: it claims more than fits into memory") from None
    return _with_origin(made, file, digest, known)


def _digest(file: Path) -> str:
    """sha256 of the file, or of a folder's model.json."""
    main = file / "model.json" if file.is_dir() else file
    with main.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _informed(wishes: Wishes, known: Source | None) -> Wishes:
    """What the person left open, filled in for a file of the table of public weights."""
    if known is None:
        return wishes
    return replace(
        wishes,
        scaling=wishes.scaling or known.scaling,
        resolution=wishes.resolution or known.resolution,
        labels=wishes.labels or known.labels,
        bgr=wishes.bgr or known.bgr,
    )


def _with_origin(made: Imported, file: Path, digest: str, known: Source | None) -> Imported:
    """The manifest says which bytes the bundle was made of, and what is known of them."""
    origin: dict[str, Any] = {"file": file.name, "sha256": digest}
    if known is not None:
        origin |= {"name": known.name, "url": known.url, "licence": known.licence}
    manifest = {**made.bundle.manifest, "origin": origin}
    return replace(made, bundle=replace(made.bundle, manifest=manifest))


Reader = Callable[[Path, Wishes], Imported]


def _reader(file: Path) -> Reader:
    """The reader for what the file's first bytes say it is. Raises WeightsError."""
    if file.is_dir():
        return read_tfjs.read
    if not file.exists():
        raise WeightsError("there is no such file")
    if not file.is_file():
        raise WeightsError("it is no file")
    if (size := file.stat().st_size) > MAX_BYTES:
        raise WeightsError(f"it has {size} bytes, more than {MAX_BYTES}: no network here is so big")
    with file.open("rb") as f:
        head = f.read(64)
    return _by_bytes(head, file)


def _by_bytes(head: bytes, file: Path) -> Reader:
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras.read
    if head[4:8] == b"TFL3":
        return lambda path, wishes: read_tflite.read(path.read_bytes(), wishes)
    if head.startswith(b"PK\x03\x04"):
        return read_keras.read_archive if file.suffix == ".keras" else _pth
    if head[:1] == b"\x80" or file.suffix in (".pth", ".pt", ".bin"):
        return _pth
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < MAX_BYTES:
        return _safetensors
    if head.lstrip()[:1] == b"{":
        return read_tfjs.read
    if file.suffix == ".onnx":
        return lambda path, wishes: read_onnx.read(path.read_bytes(), wishes)
    raise WeightsError(f"its first bytes are of no kind that is read ({KINDS})")


def _pth(path: Path, wishes: Wishes) -> Imported:
    return read_state.read(torch_file.read_pth(path.read_bytes()), path, wishes)


def _safetensors(path: Path, wishes: Wishes) -> Imported:
    return read_state.read(torch_file.read_safetensors(path.read_bytes()), path, wishes)
