"""Data that come with a dependency: real images for a first run without a download."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketvision.data.dataset import Dataset, Sample
from pocketvision.data.split import with_val
from pocketvision.errors import MissingRuntime
from pocketvision.preprocess import Preprocess, reference

DIGITS_PX = 32


def digits(*, seed: int, val_fraction: float) -> Dataset:
    """scikit-learn's 1797 handwritten digits: 8x8 with 17 grey levels, shown at 32x32 RGB.

    They are enlarged by the triangle kernel of the contract. Source: UCI Optical Recognition of
    Handwritten Digits, test part. Raises MissingRuntime.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingRuntime.of("scikit-learn", "demo") from None
    loaded = load_digits()
    samples = tuple(
        Sample(None, int(label), f"digits/{label}/{i:04d}", _shown(image))
        for i, (image, label) in enumerate(zip(loaded.images, loaded.target, strict=True))
    )
    splits, held = with_val({"train": samples}, seed=seed, fraction=val_fraction)
    classes = tuple(str(d) for d in range(10))
    return Dataset("digits", None, classes, splits, "builtin" + held)


ENLARGED = Preprocess(size=(DIGITS_PX, DIGITS_PX), resize="squash", mean=(0.0,) * 3, std=(1.0,) * 3)


def _shown(levels: np.ndarray) -> np.ndarray:
    """(8, 8) levels 0..16 -> uint8 (32, 32, 3)."""
    grey = np.repeat(levels[..., None] * (255 / 16), 3, axis=2)
    chw = reference(grey, ENLARGED)
    return (np.moveaxis(chw, 0, 2) * 255 + 0.5).astype(np.uint8)


BUILTIN: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
}
