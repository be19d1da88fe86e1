"""TensorFlow.js layers models: `model.json` and the shards beside it.

Numbers lie in the shards in the order of the manifest, little-endian; whole numbers are
`q * scale + min`. Source: tfjs-core `io/io_utils.ts`, tfjs-converter's quantization.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketvision.errors import WeightsError

DTYPES = {"float32": "<f4", "int32": "<i4", "bool": "|u1", "uint8": "|u1", "uint16": "<u2",
          "float16": "<f2"}  # fmt: skip
MAX_JSON_BYTES = 64 << 20
MAX_SHARDS = 1000
MAX_TENSORS = 20_000


def model(path: Path) -> dict[str, Any]:
    """The model.json of a TensorFlow.js layers model. Raises WeightsError."""
    row = read_json(path)
    if "weightsManifest" not in row or not isinstance(row["weightsManifest"], list):
        raise WeightsError("it is no TensorFlow.js model: weightsManifest is missing")
    if row.get("format") == "graph-model":
        raise WeightsError("it is a TensorFlow.js graph model; layers models are read")
    return row


def read_json(path: Path) -> dict[str, Any]:
    """An object of a JSON file of bounded size. Raises WeightsError."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise WeightsError(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
        row = json.loads(path.read_bytes())
    except OSError as e:
        raise WeightsError(f"cannot read {path.name}: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise WeightsError(f"{path.name} is no JSON: {' '.join(str(e).split())[:120]}") from None
    if not isinstance(row, dict):
        raise WeightsError(f"{path.name} holds no object")
    return row


def tensors(row: dict[str, Any], folder: Path) -> dict[str, Tensor]:
    """Every tensor of the manifest by name. Raises WeightsError."""
    found: dict[str, Tensor] = {}
    for group in row["weightsManifest"]:
        if not isinstance(group, dict) or not isinstance(group.get("weights"), list):
            raise WeightsError("weightsManifest holds a group without weights")
        data, place = _shards(group.get("paths"), folder), 0
        for entry in group["weights"][:MAX_TENSORS]:
            name, value, place = _tensor(entry, data, place)
            if name in found:
                raise WeightsError(f"tensor {name!r} comes twice")
            found[name] = value
        if place != len(data):
            raise WeightsError(f"the shards hold {len(data)} bytes, the manifest takes {place}")
    return found


def _shards(paths: Any, folder: Path) -> bytes:
    """The bytes of all shards of a group. Only plain names beside model.json are opened."""
    if not isinstance(paths, list) or not 1 <= len(paths) <= MAX_SHARDS:
        raise WeightsError("weightsManifest holds a group without paths")
    pieces = []
    for name in paths:
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
            raise WeightsError(f"shard {name!r} is no plain file name beside model.json")
        if "\\" in name or "\0" in name or len(paths) != len(set(paths)):
            raise WeightsError(f"shard {name!r} is no plain file name, or comes twice")
        shard = folder / name
        if shard.is_symlink() or not shard.is_file():
            raise WeightsError(f"shard {name!r} is missing: it must lie beside model.json")
        pieces.append(shard.read_bytes())
    return b"".join(pieces)


def _tensor(entry: Any, data: bytes, place: int) -> tuple[str, Tensor, int]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise WeightsError("weightsManifest holds a tensor without a name")
    name, shape = entry["name"], entry.get("shape")
    whole = isinstance(shape, list) and len(shape) <= 8 and all(
        type(n) is int and 0 <= n < 1 << 40 for n in shape
    )  # fmt: skip
    if not whole or not isinstance(shape, list):
        raise WeightsError(f"tensor {name!r} has no shape of whole numbers: {shape!r:.80}")
    packed = entry.get("quantization") or {}
    kind = packed.get("dtype") if isinstance(packed, dict) and packed else entry.get("dtype")
    if kind not in DTYPES:
        raise WeightsError(f"tensor {name!r} has type {kind!r:.40}, which is not read")
    stored = np.dtype(DTYPES[str(kind)])
    end = place + math.prod(shape) * stored.itemsize
    if end > len(data):
        raise WeightsError(f"tensor {name!r} {shape} reaches over the end of the shards")
    values = np.frombuffer(data, stored, math.prod(shape), place).reshape(shape)
    return name, torch.from_numpy(_real(values, packed, name)), end


def _real(values: np.ndarray, packed: dict[str, Any], name: str) -> np.ndarray:
    if not packed or values.dtype.kind == "f":
        return values.astype(np.float32)
    scale, least = packed.get("scale"), packed.get("min")
    if not isinstance(scale, int | float) or not isinstance(least, int | float):
        raise WeightsError(f"tensor {name!r} is packed without scale and min")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later
        real: np.ndarray = (values.astype(np.float64) * scale + least).astype(np.float32)
    return real
