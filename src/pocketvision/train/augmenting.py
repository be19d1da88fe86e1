"""Which augmentation a run uses, bound to its seed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from torch import Tensor

from pocketvision.data.augment import augment
from pocketvision.data.config import PHOTO, PRESETS, AugmentConfig, PolicyConfig
from pocketvision.data.dataset import Dataset
from pocketvision.errors import UnknownName, closest
from pocketvision.train.config import TrainConfig, digest
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
    """The preset with what --color-jitter, --crop-area and --erasing say instead, and without its
    colours beside a policy. Raises UnknownName.
    """
    found, jitter = preset(config.augment, dataset), config.color_jitter
    if jitter is None and policy(config) is not None:
        jitter = 0.0  # a policy brings its own colours
    if jitter is not None:
        found = replace(found, brightness=jitter, contrast=jitter, saturation=jitter)
    if config.crop_area is not None:
        aspect = found.crop_aspect if found.crop_aspect > 1 else PHOTO.crop_aspect
        found = replace(found, crop_area=config.crop_area, crop_aspect=aspect)
    return found if config.erasing is None else replace(found, erase=config.erasing)


def policy(config: TrainConfig) -> PolicyConfig | None:
    """The policy of --policy with its numbers, None without one."""
    if config.policy in (None, "none"):
        return None
    given = {
        "ops": config.policy_ops,
        "magnitude": config.policy_magnitude,
        "deviation": config.policy_deviation,
    }
    chosen: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    return PolicyConfig(name=config.policy, **chosen)


def still(config: TrainConfig, dataset: Dataset) -> bool:
    """True where an image looks the same each time that it is seen, but for its size."""
    mixed = config.mixup or config.cutmix
    return chosen(config, dataset).still and policy(config) is None and not mixed


def looks(config: TrainConfig, dataset: Dataset) -> str:
    """A hash of all that decides how a view of an image looks, but for seed and size."""
    rules = policy(config)
    return digest({"changes": asdict(chosen(config, dataset)), "policy": rules and asdict(rules)})


def bound(config: AugmentConfig, seed: int, policy: PolicyConfig | None = None) -> Augment:
    """The augmentation as the training step calls it."""
    fixed: dict[str, Any] = {"seed": seed, "config": config, "policy": policy}

    def changed(images: Tensor, indices: np.ndarray, epoch: int, size: tuple[int, int]) -> Tensor:
        return augment(images, indices=indices, epoch=epoch, size=size, **fixed)

    return changed
