"""Files for other runtimes: written, proven equal, opened and measured; one backend a file.

A backend has `RUNTIME`, `FILE`, `PRECISIONS`, `export(bundle, folder, *, precision)` -> path and
`load(path, *, threads, precision)` -> Runtime. Neither torch nor a runtime is imported before use.
"""

from pocketvision.export import onnx, openvino

BACKENDS = {
    "onnx": onnx,
    "openvino": openvino,
}
