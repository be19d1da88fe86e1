"""OpenVINO files (model.xml beside model.bin), made from the ONNX graph and run on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketvision.errors import BundleError, MissingRuntime, PocketvisionError
from pocketvision.export import signal_stack
from pocketvision.export.metadata import KEYS, PREFIX, Metadata, parsed, texts
from pocketvision.export.runtime import INPUT, as_input, check_precision, thread_count

if TYPE_CHECKING:
    from pocketvision.bundle import Bundle

RUNTIME = "openvino"
FILE = "model.xml"
# f32: as trained. f16: weights stored in half the bytes, computed in f32. bf16: computed in
# bfloat16 where the processor can, which is what OpenVINO would do unasked.
PRECISIONS = ("f32", "f16", "bf16")
KEPT_BATCH_SIZES = 8

# ------------------------------------------------------------------------------------------- export


def export(bundle: Bundle, folder: Path, *, precision: str = "f32") -> Path:
    """Write model.xml and model.bin into `folder`, metadata inside. Raises MissingRuntime."""
    from pocketvision.export import onnx

    check_precision(precision, PRECISIONS, runtime=RUNTIME)
    ov = package()
    model = ov.Core().read_model(onnx.proto(bundle).SerializeToString(), b"")
    for key, text in texts(bundle, precision=precision).items():
        model.set_rt_info(text, _place(key))
    path = folder / FILE
    _save(ov, model, path, half=precision == "f16")
    return path


def _place(key: str) -> list[str]:
    return ["pocketvision", key.removeprefix(PREFIX)]


def _save(ov: Any, model: Any, path: Path, *, half: bool) -> None:
    try:
        ov.save_model(model, str(path), compress_to_fp16=half)
    except RuntimeError as e:
        raise PocketvisionError(
            f"OpenVINO cannot write {path.name} and its weights ({e}): is the disk full?"
        ) from None


def package() -> Any:
    """The openvino package, imported so that it does not report its use to a server, its default.

    Its own code takes a silent stand-in where the package that reports is not installed. Raises
    MissingRuntime.
    """
    reporter = "openvino_telemetry"
    before = sys.modules.get(reporter)
    sys.modules[reporter] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError:
        raise MissingRuntime.of("openvino", "openvino") from None
    finally:
        del sys.modules[reporter]
        if before is not None:
            sys.modules[reporter] = before
    return openvino


# --------------------------------------------------------------------------------------------- load


class OpenVino:
    """A model compiled once for each batch size that occurs.

    With a batch size left open the same file takes 8 to 18% longer (V2 and V3-Small, measured).
    """

    name = RUNTIME

    def __init__(self, core: Any, model: Any, *, metadata: Metadata, threads: int, precision: str):
        self.core, self.model, self.metadata, self.threads = core, model, metadata, threads
        self.heads = tuple(o.get_any_name() for o in model.outputs)
        _, c, h, w = model.input().partial_shape
        self.input_shape = (c.get_length(), h.get_length(), w.get_length())
        self._hint = "bf16" if precision == "bf16" else "f32"
        self._requests: dict[int, Any] = {}
        used = self._request(1).get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
        self.precision = {"f32": "f32", "bf16": "bf16"}[used.get_type_name()]

    def __call__(self, x_nchw: np.ndarray) -> dict[str, np.ndarray]:
        """(n, c, h, w) -> {head: (n, classes)}."""
        x = as_input(x_nchw, self.input_shape)
        request = self._request(len(x))
        request.infer({INPUT: x}, share_inputs=True)
        return {head: request.get_tensor(head).data.copy() for head in self.heads}

    def _request(self, batch: int) -> Any:
        if batch not in self._requests:
            if len(self._requests) >= KEPT_BATCH_SIZES:
                del self._requests[next(iter(self._requests))]
            self._requests[batch] = self._compiled(batch).create_infer_request()
        return self._requests[batch]

    def _compiled(self, batch: int) -> Any:
        model = self.model.clone()
        model.reshape({INPUT: [batch, *self.input_shape]})
        options = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": self.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        with signal_stack.kept():
            return self.core.compile_model(model, "CPU", options)


def load(path: Path, *, threads: int | None = None, precision: str | None = None) -> OpenVino:
    """The file (.xml, or an .onnx) in OpenVINO, at the precision it was proven at unless given.

    Raises BundleError for a damaged file or one without metadata, MissingRuntime.
    """
    if precision is not None:
        check_precision(precision, PRECISIONS, runtime=RUNTIME)
    core = package().Core()
    _check_files(path)
    count = thread_count(threads)
    with _readable(path):
        model = core.read_model(path)
    metadata = parsed(_texts(model), file=path)
    chosen = precision or metadata.precision
    with _readable(path):
        return OpenVino(core, model, metadata=metadata, threads=count, precision=chosen)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """OpenVINO has one exception for everything; with our own files it means damage."""
    try:
        yield
    except RuntimeError as e:
        reason = [line for line in str(e).splitlines() if line.strip()][-1].strip()
        raise BundleError(
            f"{path} is damaged or cut short ({reason}): copy it again, or export again"
        ) from None


def _check_files(path: Path) -> None:
    if not path.is_file():
        raise BundleError(f"cannot read {path}: there is no such file")
    weights = path.with_suffix(".bin")
    if path.suffix == ".xml" and not weights.is_file():
        raise BundleError(
            f"{path} has no weights: {weights.name} must lie beside it; copy both files"
        )


def _texts(model: Any) -> dict[str, str]:
    """Our texts: where `export` puts them, or where OpenVINO keeps an ONNX file's own."""
    found = {}
    for key in (PREFIX + name for name in KEYS):
        for place in (_place(key), ["framework", key]):
            if model.has_rt_info(place):
                found[key] = model.get_rt_info(place).astype(str)
                break
    return found
