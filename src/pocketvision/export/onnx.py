"""ONNX files, run by ONNX Runtime: float32, any batch size, contract and labels inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketvision.errors import BundleError, MissingRuntime
from pocketvision.export.metadata import Metadata, parsed, texts
from pocketvision.export.runtime import INPUT, as_input, check_precision, thread_count

if TYPE_CHECKING:
    from pocketvision.bundle import Bundle

RUNTIME = "onnxruntime"
FILE = "model.onnx"
PRECISIONS = ("f32",)
OPSET = 18

# ------------------------------------------------------------------------------------------- export


def export(bundle: Bundle, folder: Path, *, precision: str = "f32") -> Path:
    """Write model.onnx into `folder`, metadata inside. Raises UsageError for another precision."""
    check_precision(precision, PRECISIONS, runtime=RUNTIME)
    model = proto(bundle)
    for key, text in texts(bundle, precision=precision).items():
        model.metadata_props.add(key=key, value=text)
    path = folder / FILE
    path.write_bytes(model.SerializeToString())
    return path


def proto(bundle: Bundle) -> Any:
    """The network as an ONNX ModelProto: input "image" (batch, c, h, w), one output a head."""
    import onnx
    import torch

    from pocketvision.export.folded import Outputs, folded

    shape = (2, bundle.spec.in_channels, *bundle.spec.resolution)  # 1 would be taken as constant
    with _quiet():
        program = torch.onnx.export(
            Outputs(folded(bundle.network())).eval(),
            (torch.zeros(shape),),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[name for name, _ in bundle.spec.heads],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    model = _stripped(program.model_proto)
    onnx.checker.check_model(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own deprecations and its notes on packages we do not use off the screen.

    Errors still raise, and warnings about the network (UserWarning) still show.
    """
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        log.setLevel(level)


def _stripped(model: Any) -> Any:
    """The model without the exporter's notes: stack traces name folders of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
        value.doc_string = ""
    used = {name for node in graph.node for name in node.input}
    kept = [x for x in graph.initializer if x.name in used]
    if len(kept) < len(graph.initializer):  # constants that folding left over
        del graph.initializer[:]
        graph.initializer.extend(kept)
    return model


# --------------------------------------------------------------------------------------------- load


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime:
    """A session with a fixed number of threads."""

    session: Any
    threads: int
    heads: tuple[str, ...]
    input_shape: tuple[int, int, int]
    metadata: Metadata
    name: str = RUNTIME
    precision: str = "f32"

    def __call__(self, x_nchw: np.ndarray) -> dict[str, np.ndarray]:
        """(n, c, h, w) -> {head: (n, classes)}."""
        feed = {INPUT: as_input(x_nchw, self.input_shape)}
        return dict(zip(self.heads, self.session.run(list(self.heads), feed), strict=True))


def load(path: Path, *, threads: int | None = None, precision: str | None = None) -> OnnxRuntime:
    """The file in ONNX Runtime.

    Raises BundleError for a damaged file or one without metadata, MissingRuntime.
    """
    check_precision(precision or "f32", PRECISIONS, runtime=RUNTIME)
    count = thread_count(threads)
    opened = session(path, count)
    metadata = parsed(opened.get_modelmeta().custom_metadata_map, file=path)
    return OnnxRuntime(
        session=opened,
        threads=count,
        heads=tuple(o.name for o in opened.get_outputs()),
        input_shape=tuple(opened.get_inputs()[0].shape[1:]),
        metadata=metadata,
    )


def session(path: Path, threads: int) -> Any:
    """An InferenceSession of any .onnx file. Raises BundleError, MissingRuntime."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingRuntime("onnxruntime is not installed: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Threads that spin between layers of one call make two threads 1.2 to 1.5 times faster; those
    # that spin on after it take the cores from whatever runs next, in an app and in a benchmark.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if not path.is_file():
        raise BundleError(f"cannot read {path}: there is no such file")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # the runtime has one class for each status, all plain exceptions
        reason = str(e).split(" : ")[-1].strip()
        raise BundleError(
            f"{path} is damaged or cut short ({reason}): copy it again, or export again"
        ) from None
