"""Keras' HDF5 files as tables of tensors, read by `h5_child` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketvision.errors import MissingRuntime, WeightsError

CHILD = Path(__file__).with_name("h5_child.py")
SECONDS = 60
ARCHIVED = "model.weights.h5"
MAX_CONFIG_BYTES = 16 << 20


@dataclass(frozen=True)
class H5File:
    """Tensors by path, and the model's description as JSON where the file has one."""

    tensors: dict[str, Tensor]
    config: dict[str, Any] | None


def read(path: Path) -> H5File:
    """The numbers of an .h5 file. Raises WeightsError, MissingRuntime."""
    if find_spec("h5py") is None:
        raise MissingRuntime.of("h5py", "weights")
    command = [sys.executable, "-I", str(CHILD), str(path)]
    try:
        # One thread: the library would reserve address space for each.
        done = subprocess.run(
            command, capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise WeightsError(f"reading it takes over {SECONDS} s: damaged or hostile") from None
    if done.returncode < 0:
        raise WeightsError("the HDF5 library crashed over it: damaged or hostile")
    if done.returncode:
        raise WeightsError(done.stderr.decode("utf-8", "replace").strip() or "it cannot be read")
    return parsed(done.stdout)


def parsed(answer: bytes) -> H5File:
    """What the child wrote."""
    length = int.from_bytes(answer[:8], "little")
    header = json.loads(answer[8 : 8 + length])
    tensors, place = {}, 8 + length
    for row in header["tensors"]:
        kind, shape = np.dtype(row["dtype"]), tuple(row["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        values = np.frombuffer(answer, kind, count, place).reshape(shape)
        place += count * kind.itemsize
        tensors[row["name"]] = torch.from_numpy(values.copy())
    return H5File(tensors, as_config(header["model_config"]))


def read_archive(path: Path) -> H5File:
    """A `.keras` archive: its weights file and its description. Raises WeightsError."""
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            weights = archive.getinfo(ARCHIVED)
            # Weights hardly shrink; what grows tenfold on opening is no weights file.
            if weights.file_size > 10 * path.stat().st_size:
                raise WeightsError(f"{ARCHIVED} claims {weights.file_size} bytes: hostile")
            inner = Path(folder) / "weights.h5"
            with archive.open(weights) as f:
                inner.write_bytes(f.read(weights.file_size))
            info = archive.NameToInfo.get("config.json")
            small = info is not None and info.file_size <= MAX_CONFIG_BYTES
            config = archive.read("config.json").decode("utf-8", "replace") if small else ""
            return H5File(read(inner).tensors, as_config(config))
    except KeyError:
        raise WeightsError(f"the archive holds no {ARCHIVED}") from None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError,
            RuntimeError) as e:  # fmt: skip
        raise WeightsError(f"not a whole .keras archive: {' '.join(str(e).split())}") from None


def as_config(text: str) -> dict[str, Any] | None:
    """A model's description, or None where there is none that can be read."""
    try:
        row = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
