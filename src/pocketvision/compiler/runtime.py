"""Load a compiled library into this process and run it. Loading runs the library's own code."""

from __future__ import annotations

import ctypes
import json
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.compiler.project import FORMAT, METADATA, WEIGHTS
from pocketvision.errors import BundleError, UsageError

MAX_THREADS = 64
ALIGNMENT = 64


class Library:
    """A network in a loaded library, with its weights; one call at a time, others wait."""

    def __init__(self, path: Path, weights: Path, about: Mapping[str, Any], *, threads: int):
        self.about = about
        self.threads = min(threads, MAX_THREADS) if about["threads"] else 1
        self.inputs = [tuple(i["shape"]) for i in about["inputs"]]
        self.outputs = [tuple(o["shape"]) for o in about["outputs"]]
        self.output_names = tuple(o["name"] for o in about["outputs"])
        self._code = _opened(path, str(about["target"]))
        self._name = str(about["name"])
        self._turn = threading.Lock()
        self._weights = _aligned(weights)
        self._model = self._created(path)

    def _created(self, path: Path) -> ctypes.c_void_p:
        model, w = ctypes.c_void_p(), self._weights
        create = self._function("create", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                ctypes.c_size_t, ctypes.c_int)  # fmt: skip
        # An empty array may lie anywhere; its length alone is wrong then.
        place = w.ctypes.data if w.size else ALIGNMENT
        code = create(ctypes.byref(model), place, w.nbytes, self.threads)
        if code:
            raise BundleError(f"{path}: {self.error(code)}")
        destroy = self._function("destroy", None, ctypes.c_void_p)
        weakref.finalize(self, destroy, model)
        self._run = self._function("run", ctypes.c_int, *[ctypes.c_void_p] * 3)
        return model

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        try:
            found = getattr(self._code, f"{self._name}_{name}")
        except AttributeError:
            raise BundleError(f"the library has no {self._name}_{name}: compile again") from None
        found.restype, found.argtypes = result, arguments
        return found

    def error(self, code: int) -> str:
        """A code in words."""
        text: bytes = self._function("error", ctypes.c_char_p, ctypes.c_int)(code)
        return text.decode()

    def memory_bytes(self, threads: int) -> int:
        """What a model takes beside the weights."""
        return int(self._function("memory", ctypes.c_size_t, ctypes.c_int)(threads))

    def preprocess(self, rgb: np.ndarray) -> np.ndarray:
        """uint8 (h, w, 3) -> the first input, prepared by the library's own code."""
        image = np.ascontiguousarray(rgb, np.uint8)
        out = np.empty(self.inputs[0], np.float32)
        prepare = self._function("preprocess", ctypes.c_int, ctypes.c_void_p, ctypes.c_int,
                                 ctypes.c_int, ctypes.c_void_p)  # fmt: skip
        if code := prepare(image.ctypes.data, *image.shape[:2], out.ctypes.data):
            raise UsageError(f"the image cannot be prepared: {self.error(code)}")
        return out

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One image's inputs, in the file's order and shape -> its outputs."""
        for x, shape in zip(inputs, self.inputs, strict=True):
            if x.shape != shape:
                raise UsageError(f"the network takes {shape}, got {x.shape}")
        flat = [np.ascontiguousarray(x, np.float32) for x in inputs]
        y = [np.empty(shape, np.float32) for shape in self.outputs]
        given = (ctypes.c_void_p * len(flat))(*[a.ctypes.data for a in flat])
        made = (ctypes.c_void_p * len(y))(*[a.ctypes.data for a in y])
        with self._turn:
            code = self._run(self._model, given, made)
        if code:
            raise UsageError(f"the network cannot run: {self.error(code)}")
        return y


def load(path: str | Path, *, threads: int = 1) -> Library:
    """The library in a compiled folder, or a library file with metadata and weights beside it.

    Raises BundleError where something is missing, damaged or made for another machine.
    """
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    about = metadata(folder)
    library = place
    if place.is_dir():
        found = [folder / f"lib{about['name']}{end}" for end in (".so", ".dylib")]
        library = next((f for f in found if f.is_file()), found[0])
    if not library.is_file():
        raise BundleError(f"{folder} holds no {library.name}: it was compiled with --no-build")
    return Library(library, folder / WEIGHTS, about, threads=threads)


def metadata(folder: Path) -> dict[str, Any]:
    """metadata.json of a compiled folder. Raises BundleError."""
    file = folder / METADATA
    try:
        row = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{folder} is no compiled folder: {METADATA} is missing") from None
    except (OSError, ValueError, RecursionError) as e:
        raise BundleError(f"{file} is damaged: {e}") from None
    keys = {"name", "target", "threads", "inputs", "outputs", "texts"}
    if not isinstance(row, dict) or row.get("format") != FORMAT or not keys <= row.keys():
        raise BundleError(f"{file} is damaged, or of another version: compile again")
    return row


def _opened(path: Path, target: str) -> ctypes.CDLL:
    """The library from a private copy: the file may be compiled anew while this one is in use."""
    try:
        with tempfile.TemporaryDirectory(prefix="pocketvision-") as folder:
            copy = Path(folder) / path.name
            copy.write_bytes(path.read_bytes())
            return ctypes.CDLL(str(copy))
    except OSError:
        pass
    try:  # where programs may not be run from the temporary folder
        return ctypes.CDLL(str(path.resolve()))
    except OSError as e:
        raise BundleError(
            f"{path} was compiled for {target} and cannot be loaded here: {e}"
        ) from None


def _aligned(path: Path) -> np.ndarray:
    """The file's bytes in memory, from a multiple of 64 on."""
    try:
        size = path.stat().st_size
        block = np.empty(size + ALIGNMENT, np.uint8)
        start = -block.ctypes.data % ALIGNMENT
        data = block[start : start + size]
        data[:] = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: copy the whole folder") from None
    except (OSError, ValueError) as e:
        raise BundleError(f"cannot read {path}: {e}") from None
    return data
