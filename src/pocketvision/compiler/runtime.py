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


class Context:
    """One model of loaded code: its C functions all begin with `name`.

    `weights` begin at a multiple of 64 bytes (see `aligned`). Raises BundleError with the library's
    own words where it refuses them.
    """

    def __init__(self, code: ctypes.CDLL, name: str, weights: np.ndarray, threads: int) -> None:
        self._code, self._name, self._weights = code, name, weights
        self._model = ctypes.c_void_p()
        create = self.function("create", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                               ctypes.c_size_t, ctypes.c_int)  # fmt: skip
        # An empty array may lie anywhere; its length alone is wrong then.
        place = weights.ctypes.data if weights.size else ALIGNMENT
        if failed := create(ctypes.byref(self._model), place, weights.nbytes, threads):
            raise BundleError(self.error(failed))
        weakref.finalize(self, self.function("destroy", None, ctypes.c_void_p), self._model)
        self._run = self.function("run", ctypes.c_int, *[ctypes.c_void_p] * 3)

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """One of its C functions. Raises BundleError where the library has none of that name."""
        try:
            found = getattr(self._code, f"{self._name}_{name}")
        except AttributeError:
            raise BundleError(f"the library has no {self._name}_{name}: compile again") from None
        found.restype, found.argtypes = result, arguments
        return found

    def error(self, code: int) -> str:
        """A code in words."""
        text: bytes = self.function("error", ctypes.c_char_p, ctypes.c_int)(code)
        return text.decode()

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """One image's inputs, contiguous float32, into arrays of the outputs' sizes."""
        given = (ctypes.c_void_p * len(inputs))(*[a.ctypes.data for a in inputs])
        made = (ctypes.c_void_p * len(outputs))(*[a.ctypes.data for a in outputs])
        if code := self._run(self._model, given, made):
            raise UsageError(f"the network cannot run: {self.error(code)}")


class Library:
    """A network in a loaded library, with its weights; one call at a time, others wait."""

    def __init__(self, path: Path, weights: Path, about: Mapping[str, Any], *, threads: int):
        self.about = about
        self.threads = min(threads, MAX_THREADS) if about["threads"] else 1
        self.inputs = [tuple(i["shape"]) for i in about["inputs"]]
        self.outputs = [tuple(o["shape"]) for o in about["outputs"]]
        self.output_names = tuple(o["name"] for o in about["outputs"])
        self._turn = threading.Lock()
        code, values = _opened(path, str(about["target"])), _read(weights)
        try:
            self._context = Context(code, str(about["name"]), values, self.threads)
        except BundleError as e:
            raise BundleError(f"{path}: {e}") from None

    def memory_bytes(self, threads: int) -> int:
        """What a model takes beside the weights."""
        return int(self._context.function("memory", ctypes.c_size_t, ctypes.c_int)(threads))

    def preprocess(self, rgb: np.ndarray) -> np.ndarray:
        """uint8 (h, w, 3) -> the first input, prepared by the library's own code."""
        image = np.ascontiguousarray(rgb, np.uint8)
        out = np.empty(self.inputs[0], np.float32)
        prepare = self._context.function("preprocess", ctypes.c_int, ctypes.c_void_p, ctypes.c_int,
                                         ctypes.c_int, ctypes.c_void_p)  # fmt: skip
        if code := prepare(image.ctypes.data, *image.shape[:2], out.ctypes.data):
            raise UsageError(f"the image cannot be prepared: {self._context.error(code)}")
        return out

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One image's inputs, in the file's order and shape -> its outputs."""
        for x, shape in zip(inputs, self.inputs, strict=True):
            if x.shape != shape:
                raise UsageError(f"the network takes {shape}, got {x.shape}")
        flat = [np.ascontiguousarray(x, np.float32) for x in inputs]
        y = [np.empty(shape, np.float32) for shape in self.outputs]
        with self._turn:
            self._context.run(flat, y)
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


def aligned(data: np.ndarray) -> np.ndarray:
    """A copy that begins at a multiple of 64 bytes, as the C code wants its weights."""
    block = np.empty(data.nbytes + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    copy = block[start : start + data.nbytes].view(data.dtype)
    copy[:] = data.reshape(-1)
    return copy


def _read(path: Path) -> np.ndarray:
    """The weights of a file."""
    try:
        return aligned(np.frombuffer(path.read_bytes(), np.uint8))
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: copy the whole folder") from None
    except (OSError, ValueError) as e:
        raise BundleError(f"cannot read {path}: {e}") from None
