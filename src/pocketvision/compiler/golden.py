"""Golden vectors in one file that a C program reads: what goes in, what must come out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAGIC, VERSION = b"PVGOLDEN", 1


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run: the inputs and outputs in the file's order, float32; the image they came from."""

    inputs: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]
    image: np.ndarray | None = None  # uint8 (h, w, 3)


def dumps(cases: Sequence[Case]) -> bytes:
    """golden.bin: magic, version, cases, 1 where images are there, 0; then case after case.

    An image: height, width, bytes up to a multiple of four. All numbers little-endian.
    """
    images = all(c.image is not None for c in cases)
    parts = [MAGIC, struct.pack("<4I", VERSION, len(cases), int(images), 0)]
    for case in cases:
        if images:
            assert case.image is not None
            raw = np.ascontiguousarray(case.image).tobytes()
            parts += [struct.pack("<2I", *case.image.shape[:2]), raw, bytes(-len(raw) % 4)]
        parts += [np.ascontiguousarray(x, "<f4").tobytes() for x in (*case.inputs, *case.outputs)]
    return b"".join(parts)
