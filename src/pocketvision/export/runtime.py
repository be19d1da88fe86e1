"""What every runtime offers: images in, outputs by head out; nothing else is known about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from pocketvision.bench.host import usable_cores
from pocketvision.errors import UsageError

if TYPE_CHECKING:
    from pocketvision.export.metadata import Metadata

INPUT = "image"


class Runtime(Protocol):
    """A loaded model. `threads` and `precision` are what it really runs with.

    `input_shape` is (c, h, w).
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def threads(self) -> int: ...  # noqa: D102
    @property
    def heads(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def input_shape(self) -> tuple[int, int, int]: ...  # noqa: D102

    def __call__(self, x_nchw: np.ndarray) -> dict[str, np.ndarray]:
        """(n, c, h, w) -> {head: (n, classes)}."""
        ...


class FileRuntime(Runtime, Protocol):
    """A runtime that read a file; `metadata` came with it."""

    @property
    def metadata(self) -> Metadata: ...  # noqa: D102


def thread_count(threads: int | None) -> int:
    """`threads`, or every core this process may use. Raises UsageError below 1."""
    if threads is None:
        return usable_cores()
    if threads < 1:
        raise UsageError(f"threads must be >= 1, got {threads}")
    return threads


def as_input(x_nchw: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The batch as contiguous float32. Raises UsageError unless it is (n >= 1, *shape)."""
    x = np.asarray(x_nchw)
    if x.ndim != 4 or x.shape[1:] != shape or len(x) == 0:
        c, h, w = shape
        raise UsageError(f"the model takes (n, {c}, {h}, {w}), got {x.shape}")
    return np.ascontiguousarray(x, dtype=np.float32)


def check_precision(precision: str, allowed: tuple[str, ...], *, runtime: str) -> None:
    """Raise UsageError when `runtime` cannot do `precision`."""
    if precision not in allowed:
        raise UsageError(f"{runtime} offers precision {', '.join(allowed)}, got {precision!r}")
