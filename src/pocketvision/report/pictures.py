"""The images that predictions name: found, decoded and made small enough to sit inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.data.builtin import BUILTIN
from pocketvision.data.dataset import Sample
from pocketvision.decode import decode
from pocketvision.errors import ImageError, MissingRuntime
from pocketvision.report.run import Run

# uint8 (h, w, 3) of the image with that path or name; None when it cannot be shown any more.
Source = Callable[[str], "np.ndarray | None"]

SIDE = 160
# Up to this side an image is kept as it is and enlarged by the page, pixel by pixel.
SMALL = 64


def from_files(root: Path = Path()) -> Source:
    """Images by their paths, relative ones under `root`; what cannot be read is None."""

    def image(path: str) -> np.ndarray | None:
        try:
            return decode(root / path)
        except (ImageError, ValueError):  # ValueError: a path with a zero byte
            return None

    return image


def from_samples(samples: Iterable[Sample]) -> Source:
    """Images of a dataset by the names of its samples."""
    by_name = {sample.name: sample for sample in samples}

    def image(name: str) -> np.ndarray | None:
        sample = by_name.get(name)
        if sample is None or sample.path is None:
            return None if sample is None else sample.pixels
        return from_files()(str(sample.path))

    return image


def of_run(run: Run) -> Source:
    """Images of the data that the run was given, while they are where they were.

    Raises DataError for a run whose files are not what they should be.
    """
    data = run.data or ""
    if data not in BUILTIN or Path(data).exists():
        place = Path(data)
        return from_files(place.parent if place.is_file() else place)
    try:
        splits = BUILTIN[data](seed=0, val_fraction=0.2).splits.values()
    except MissingRuntime:  # the package that carries the data has gone since
        return from_samples(())
    return from_samples(sample for samples in splits for sample in samples)


def thumbnail(image: np.ndarray) -> Image.Image:
    """uint8 (h, w, 3) as a picture of at most SIDE pixels a side."""
    small = Image.fromarray(image)
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def data_uri(image: np.ndarray) -> str:
    """The thumbnail inside a URI: PNG for few pixels, JPEG otherwise."""
    small, out = thumbnail(image), io.BytesIO()
    if max(small.size) <= SMALL:
        small.save(out, "PNG", optimize=True)
        kind = "png"
    else:
        small.save(out, "JPEG", quality=82)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
