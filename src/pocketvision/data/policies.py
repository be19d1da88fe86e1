"""Published augmentation policies: which operations an image gets, and how strong.

What is drawn for an image follows from (seed, epoch, its number) alone, in a row of numbers of its
own: switching a policy on does not shift what else is drawn.

autoaugment     one of 25 pairs that were searched for on ImageNet; arXiv:1805.09501, table 9
randaugment     a few operations of one strength; arXiv:1909.13719
trivialaugment  one operation of any strength; arXiv:2103.10158, the wide space of table 1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from PIL import Image

from pocketvision.data.config import PolicyConfig
from pocketvision.data.counter import stream, uniforms
from pocketvision.data.operations import Limits, apply
from pocketvision.errors import UsageError

STREAM = 1
CHANCE = 0.5  # of each of randaugment's operations, as timm does it
MOST_MAGNITUDE = 10.0
WIDE_LEVELS = 31
# The searched policies' ranges: arXiv:1805.09501, table 6, with shifts as shares of its 331 pixels.
# Factors and bits grow from no change at level 0, as torchvision has them; TensorFlow's own code
# has some of them the other way round (0.1 to 1.9, and 0 to 4 bits that are left).
AUTO = Limits(shear=0.3, rotate_deg=30, translate=150 / 331, factor=0.9, bits=4)
# timm's "increasing" ones.
RAND = Limits(shear=0.3, rotate_deg=30, translate=0.45, factor=0.9, bits=4)
# 32 pixels of 224: a smaller picture would lose its object to the paper's plain 32.
WIDE = Limits(shear=0.99, rotate_deg=135, translate=32 / 224, factor=0.99, bits=6)

# (operation, probability, magnitude 0 to 9)
AUTOAUGMENT: tuple[tuple[tuple[str, float, int], tuple[str, float, int]], ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)
RANDAUGMENT = (
    *("autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add"),
    *("color", "contrast", "brightness", "sharpness"),
    *("shear_x", "shear_y", "translate_x", "translate_y"),
)
TRIVIALAUGMENT = (
    *("identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "color", "contrast", "sharpness", "posterize", "solarize"),
    *("autocontrast", "equalize"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One operation at a level from 0 to 1, to the side `sign` where it has two."""

    name: str
    level: float
    sign: int


def change_(
    image_hwc: np.ndarray, policy: PolicyConfig, *, seed: int, epoch: int, index: int
) -> None:
    """Change a uint8 image (h, w, c) in place as the policy does in this epoch. Raises UsageError
    for other than 1 or 3 channels.
    """
    channels = image_hwc.shape[2]
    if channels not in (1, 3):
        raise UsageError(
            f"--policy {policy.name} changes grey or colour images, these have {channels} "
            "channels; leave it out"
        )
    limits, changes = planned(drawn(policy, seed=seed, epoch=epoch, index=index), policy)
    if changes:
        picture = Image.fromarray(image_hwc[..., 0] if channels == 1 else image_hwc)
        for c in changes:
            picture = apply(picture, c.name, c.level, sign=c.sign, limits=limits)
        image_hwc[:] = np.asarray(picture).reshape(image_hwc.shape)


def drawn(policy: PolicyConfig, *, seed: int, epoch: int, index: int) -> list[float]:
    """The numbers in [0, 1) that decide on one image."""
    count = 4 * policy.ops if policy.name == "randaugment" else 5
    numbers = uniforms(
        seed=stream(seed, STREAM), epoch=epoch, indices=np.array([index]), count=count
    )
    row: list[float] = numbers[0].tolist()
    return row


def planned(u: Sequence[float], policy: PolicyConfig) -> tuple[Limits, list[Change]]:
    """What the numbers stand for: the limits of the policy's levels, and operations in turn."""
    limits, changes = POLICIES[policy.name]
    return limits, changes(u, policy)


def autoaugment(u: Sequence[float], _policy: PolicyConfig) -> list[Change]:
    """A pair of operations, each done with its own probability."""
    pair = AUTOAUGMENT[int(u[0] * len(AUTOAUGMENT))]
    rows = zip(pair, u[1:3], u[3:5], strict=True)
    return [Change(name, k / 9, _sign(s)) for (name, p, k), chance, s in rows if chance < p]


def randaugment(u: Sequence[float], policy: PolicyConfig) -> list[Change]:
    """Operations drawn with replacement, their strength from a normal distribution, cut off."""
    rows = [u[4 * k : 4 * k + 4] for k in range(policy.ops)]
    return [
        Change(_one(RANDAUGMENT, which), _level(strength, policy), _sign(s))
        for which, chance, strength, s in rows
        if chance < CHANCE
    ]


def _level(u: float, policy: PolicyConfig) -> float:
    # 0 has no quantile.
    away = NormalDist().inv_cdf(max(u, 2.0**-54)) if policy.deviation else 0.0
    magnitude = policy.magnitude + policy.deviation * away
    return min(max(magnitude, 0.0), MOST_MAGNITUDE) / MOST_MAGNITUDE


def trivialaugment(u: Sequence[float], _policy: PolicyConfig) -> list[Change]:
    """One operation at one of 31 levels."""
    level = int(u[1] * WIDE_LEVELS) / (WIDE_LEVELS - 1)
    return [Change(_one(TRIVIALAUGMENT, u[0]), level, _sign(u[2]))]


def _one(names: Sequence[str], u: float) -> str:
    return names[int(u * len(names))]


def _sign(u: float) -> int:
    return 1 if u < 0.5 else -1


Planner = Callable[[Sequence[float], PolicyConfig], list[Change]]
POLICIES: dict[str, tuple[Limits, Planner]] = {
    "autoaugment": (AUTO, autoaugment),
    "randaugment": (RAND, randaugment),
    "trivialaugment": (WIDE, trivialaugment),
}
