"""PyTorch's files: `.pth` (zip or legacy pickle, weights only) and `.safetensors`, as tables.

Sizes are checked before a byte is allocated, and no pickle runs that does more than list tensors.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.weights import pickle_check

MAX_ENTRIES = 20_000
# Where training scripts keep the weights; averaged ones are what was evaluated.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "net", "network")
PREFIXES = ("module.", "model.", "_orig_mod.")


def read_safetensors(data: bytes) -> dict[str, Tensor]:
    """Tensors by name. Raises WeightsError."""
    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as e:
        raise WeightsError(f"not a whole .safetensors file: {_line(e)}") from None


def read_pth(data: bytes) -> dict[str, Tensor]:
    """Tensors by name of a `torch.save` of a state dictionary. Raises WeightsError.

    A dictionary around it ("state_dict") and prefixes of wrappers ("module.") are taken off.
    """
    if data[:4] == b"PK\x03\x04":
        _check_zip(data)
    else:
        _check_legacy(data)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as e:  # torch raises what it meets: pickle, zip, runtime, type, key errors
        raise WeightsError(f"PyTorch cannot read it: {_line(e)}") from None
    return unwrapped(loaded)


def unwrapped(loaded: Any) -> dict[str, Tensor]:
    """The table of tensors inside what a file holds. Raises WeightsError."""
    for _ in range(3):
        inner = [loaded[w] for w in WRAPPERS if isinstance(loaded, Mapping) and w in loaded]
        inner = [i for i in inner if isinstance(i, Mapping) and i]
        if not inner:
            break
        loaded = inner[0]
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"it holds a {type(loaded).__name__}, not a table of tensors")
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
    if not tensors:
        raise WeightsError("it holds no tensor")
    return _shorter(tensors)


def _shorter(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            return _shorter({name.removeprefix(prefix): t for name, t in tensors.items()})
    return tensors


def _check_zip(data: bytes) -> None:
    """Entries stored as they are, no larger in all than the file, and a pickle that lists them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_entries(entries, len(data))
            pickles = [e for e in entries if e.filename.endswith("data.pkl")]
            if len(pickles) != 1:
                raise WeightsError("no weights of PyTorch: the archive holds no single data.pkl")
            storages = pickle_check.check(archive.read(pickles[0]))
            # PyTorch itself does not look at the checksums.
            if (damaged := archive.testzip()) is not None:
                raise WeightsError(
                    f"the checksum of {damaged!r} is wrong: changed or cut short (or saved without "
                    "checksums; then save it again)"
                )
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError,
            RuntimeError, IndexError, OverflowError) as e:  # fmt: skip
        raise WeightsError(f"not a whole archive: {_line(e)}") from None
    root = pickles[0].filename.removesuffix("data.pkl")
    sizes = {e.filename: e.file_size for e in entries}
    for key, needed in storages.sizes.items():
        if (got := sizes.get(f"{root}data/{key}", -1)) < needed:
            raise WeightsError(f"block {key!r} needs {needed} bytes but has {max(got, 0)}")


def _check_entries(entries: list[zipfile.ZipInfo], size_bytes: int) -> None:
    if len(entries) > MAX_ENTRIES:
        raise WeightsError(f"the archive lists {len(entries)} entries: damaged or hostile")
    packed = [e.filename for e in entries if e.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise WeightsError(f"{packed[0]!r} is compressed, as PyTorch never writes it")
    if sum(e.file_size for e in entries) > size_bytes:
        raise WeightsError("the archive claims to hold more than its size: damaged or hostile")


def _check_legacy(data: bytes) -> None:
    """The format before 1.6: five pickles, then the blocks."""
    storages = pickle_check.check(data, several=True)
    if storages.total > len(data):
        raise WeightsError(
            f"its tensors need {storages.total} bytes but the file has {len(data)}: cut short"
        )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
