"""Compiled folders as a runtime: the library that `pocketvision compile` built, in this process.

Opening one runs the code in its library: open only folders that you made or trust.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.errors import BundleError, UsageError
from pocketvision.export.metadata import PREFIX, Metadata, parsed
from pocketvision.export.runtime import as_input, check_precision, thread_count

if TYPE_CHECKING:
    from pocketvision.compiler.runtime import Library

RUNTIME = "compiled"
PRECISIONS = ("f32",)
SUFFIXES = (".so", ".dylib")
WEIGHTS = "weights.bin"


@dataclass(frozen=True, kw_only=True)
class CompiledRuntime:
    """A loaded library of one input. `metadata` is None for a network of others."""

    library: Library
    threads: int
    heads: tuple[str, ...]
    input_shape: tuple[int, int, int]
    layout: str
    metadata: Metadata | None
    name: str = RUNTIME
    precision: str = "f32"

    def __call__(self, x_nchw: np.ndarray) -> dict[str, np.ndarray]:
        """(n, c, h, w) -> {head: (n, classes)}."""
        x = as_input(x_nchw, self.input_shape)
        if self.layout == "nhwc":
            x = x.transpose(0, 2, 3, 1)
        elif self.layout == "nc":
            x = x[:, :, 0, 0]
        rows = [self.library.run([image]) for image in x]
        return {
            head: np.stack(y) for head, y in zip(self.heads, zip(*rows, strict=True), strict=True)
        }


def load(
    path: Path, *, threads: int | None = None, precision: str | None = None
) -> CompiledRuntime:
    """The library at `path`, with metadata.json and weights.bin beside it.

    Raises BundleError for what is damaged or made for another machine, UsageError.
    """
    from pocketvision.compiler import runtime

    check_precision(precision or "f32", PRECISIONS, runtime=RUNTIME)
    library = runtime.load(path, threads=thread_count(threads))
    if len(library.inputs) > 1:
        raise UsageError(
            f"{path} takes {len(library.inputs)} inputs: only its C functions can run it"
        )
    layout = library.about["inputs"][0]["layout"]
    return CompiledRuntime(
        library=library,
        threads=library.threads,
        heads=library.output_names,
        input_shape=_as_chw(library.inputs[0], layout),
        layout=layout,
        metadata=metadata_of(library.about["texts"], path),
    )


def metadata_of(texts: Mapping[str, str], file: object) -> Metadata | None:
    """The metadata in texts of a file; None where the file is not ours."""
    return parsed(texts, file=file) if any(key.startswith(PREFIX) for key in texts) else None


def check_runs_here(folder: Path, model: str) -> None:
    """Raise BundleError unless the folder's model is a library for a machine like this one."""
    from pocketvision.compiler import build, runtime

    target = runtime.metadata(folder)["target"]
    if Path(model).suffix == ".c":
        raise BundleError(
            f"{folder} holds sources only: compile again without --no-build, or use it from C"
        )
    if not build.runs(target):
        raise BundleError(
            f"{folder} was compiled for {target}, which this machine does not run: "
            "compile with --target native to use it here"
        )


def _as_chw(shape: tuple[int, ...], layout: str) -> tuple[int, int, int]:
    if layout == "nc":
        return (shape[0], 1, 1)
    c, h, w = shape if layout == "nchw" else (shape[2], *shape[:2])
    return (c, h, w)
