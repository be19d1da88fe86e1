"""Which augmentation a run uses, bound to its seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from pocketvision.data.augment import augment
from pocketvision.data.config import PRESETS, AugmentConfig
from pocketvision.data.dataset import Dataset
from pocketvision.errors import UnknownName, closest
from pocketvision.train.config import TrainConfig
from pocketvision.train.job import Augment


def preset(name: str | None, dataset: Dataset) -> AugmentConfig:
    """The preset of that name; for None the one of a builtin dataset, else that for photos.

    Raises UnknownName.
    """
    builtin = dataset.root is None and dataset.name in PRESETS
    chosen = name or (dataset.name if builtin else "photo")
    if chosen not in PRESETS:
        known = ", ".join(PRESETS)
        raise UnknownName(
            f"no augmentation {chosen!r}{closest(chosen, PRESETS)} (--augment takes: {known})"
        )
    return PRESETS[chosen]


def chosen(config: TrainConfig, dataset: Dataset) -> AugmentConfig:
    """The preset with what --color-jitter and --erasing say instead. Raises UnknownName."""
    found, jitter = preset(config.augment, dataset), config.color_jitter
    if jitter is not None:
        found = replace(found, brightness=jitter, contrast=jitter, saturation=jitter)
    return found if config.erasing is None else replace(found, erase=config.erasing)


def bound(config: AugmentConfig, seed: int) -> Augment:
    """The augmentation as the training step calls it."""

    def changed(images: Tensor, indices: np.ndarray, epoch: int, size: tuple[int, int]) -> Tensor:
        return augment(images, indices=indices, epoch=epoch, seed=seed, config=config, size=size)

    return changed
