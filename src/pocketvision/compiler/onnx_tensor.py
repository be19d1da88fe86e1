"""Stored tensors of an .onnx file as arrays, those in files beside it too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import DataError

MAX_BYTES = 1 << 29  # of a file
MAX_ELEMENTS = 1 << 31  # of a tensor


def initializers(graph: Any, path: Path) -> dict[str, np.ndarray]:
    """The stored tensors of a graph by name. Raises DataError."""
    if graph.sparse_initializer:
        raise DataError(f"{path} holds sparse tensors; dense ones are read")
    found = {}
    for t in graph.initializer:
        if t.name in found:
            raise DataError(f"{path} holds two tensors named {t.name!r}")
        found[t.name] = array(t, path)
    return found


def array(tensor: Any, path: Path) -> np.ndarray:
    """A tensor of the file; its claimed shape must be what its bytes hold. float16 -> float32."""
    import onnx
    from onnx import numpy_helper

    name, dims = tensor.name or "a constant", list(tensor.dims)
    if any(n < 0 for n in dims) or len(dims) > 16 or math.prod(dims) >= MAX_ELEMENTS:
        raise DataError(f"{path}: tensor {name!r} claims the shape {dims[:8]}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        tensor = _with_data(tensor, path)
    fields = (tensor.float_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    held = max(2 * len(tensor.raw_data), *(len(f) for f in (*fields, tensor.int32_data)))
    if math.prod(dims) > held:
        raise DataError(f"{path}: tensor {name!r} claims the shape {dims} and does not hold it")
    try:
        found = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as e:
        reason = " ".join(str(e).split())[:120]
        raise DataError(f"{path}: tensor {name!r} is damaged: {reason}") from None
    if found.dtype.kind == "f" or found.dtype.name == "bfloat16":
        return found.astype(np.float64 if found.dtype == np.float64 else np.float32)
    if found.dtype.kind not in "iub":
        raise DataError(f"{path}: tensor {name!r} is of type {found.dtype}, which is not read")
    return found


def _with_data(tensor: Any, path: Path) -> Any:
    """A copy of the tensor that holds what lies in another file."""
    import onnx

    rows = {e.key: e.value for e in tensor.external_data}
    file = _beside(path, rows.get("location", ""), tensor.name)
    try:
        offset, length = int(rows.get("offset", 0)), int(rows.get("length", -1))
        size = file.stat().st_size
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or e
        raise DataError(f"{path}: tensor {tensor.name!r} lies in {file.name}: {reason}") from None
    length = size - offset if length < 0 else length
    if offset < 0 or length > MAX_BYTES or offset + length > size:
        raise DataError(
            f"{path}: tensor {tensor.name!r} lies at {offset} + {length} of {file.name}, "
            f"which has {size} bytes: copy it again"
        )
    copied = onnx.TensorProto()
    copied.name, copied.data_type = tensor.name, tensor.data_type
    copied.dims.extend(tensor.dims)
    with file.open("rb") as stream:
        stream.seek(offset)
        copied.raw_data = stream.read(length)
    return copied


def _beside(path: Path, location: str, name: str) -> Path:
    """The file of external data; it must lie in the model's folder, links followed."""
    folder = path.resolve().parent
    try:
        file = (folder / location).resolve()
        inside = bool(location) and file.is_relative_to(folder) and file != folder
        if not inside:
            raise DataError(
                f"{path}: tensor {name!r} lies in {location!r}, outside the model's folder"
            )
        if not file.is_file():
            raise DataError(
                f"{path}: tensor {name!r} lies in {location!r}, which is missing: "
                f"copy it beside the model"
            )
    except (OSError, ValueError):
        raise DataError(f"{path}: tensor {name!r} lies in a file that has no name") from None
    return file
