"""What augmentation may do: one frozen record, whose fields are the API, the flags and the JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pocketvision.errors import UsageError


def _opt(default: float, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Strengths of random changes to training images; the defaults change nothing.

    A factor of strength s is drawn evenly from 1 - s .. 1 + s. Raises UsageError.
    """

    flip: float = _opt(0.0, "probability of a left-right mirror image")
    crop_area: float = _opt(1.0, "smallest share of the image's area that a random crop keeps")
    crop_aspect: float = _opt(1.0, "largest change of a crop's aspect: 4/3 allows 3/4 to 4/3")
    rotate_deg: float = _opt(0.0, "largest turn to either side, in degrees")
    shift: float = _opt(0.0, "largest shift in each direction, as a share of the side")
    zoom: float = _opt(0.0, "strength of a random scale: 0.1 draws 0.9 to 1.1")
    brightness: float = _opt(0.0, "strength of a random factor on all values")
    contrast: float = _opt(0.0, "strength of a random factor on the distance from the mean grey")
    saturation: float = _opt(0.0, "strength of a random factor on the distance from grey")
    erase: float = _opt(0.0, "probability that one random rectangle becomes noise")
    erase_area: float = _opt(0.4, "largest share of the area that is erased")
    fill: int = _opt(0, "value 0..255 of what is turned or shifted in from outside")

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            whole = isinstance(value, int | float) and not isinstance(value, bool)
            if not whole or not math.isfinite(value) or not least <= value <= most:
                raise UsageError(f"augment.{name} is {value!r}, must be from {least} to {most}")
        if not isinstance(self.fill, int):
            raise UsageError(f"augment.fill is {self.fill!r}, must be a whole number")

    @property
    def turns(self) -> bool:
        """Anything that whole-pixel crops cannot express."""
        return self.rotate_deg > 0 or self.shift > 0 or self.zoom > 0

    @property
    def still(self) -> bool:
        """Nothing at all is changed at random."""
        cuts = self.crop_area < 1 or self.crop_aspect > 1
        return not (self.flip or self.erase or cuts or self.turns or self.recolours)

    @property
    def recolours(self) -> bool:
        """Anything that changes values."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0


BOUNDS: dict[str, tuple[float, float]] = {
    "flip": (0, 1),
    "crop_area": (0.01, 1),
    "crop_aspect": (1, 4),
    "rotate_deg": (0, 180),
    "shift": (0, 1),
    "zoom": (0, 0.9),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "erase": (0, 1),
    "erase_area": (0.01, 1),
    "fill": (0, 255),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """A published policy of image operations; the numbers are RandAugment's alone."""

    name: str
    ops: int = 2
    magnitude: float = 9.0
    deviation: float = 0.5


NONE = AugmentConfig()
# Photos of things that have no left or right, and that keep their colour only roughly.
PHOTO = AugmentConfig(
    flip=0.5, crop_area=0.35, crop_aspect=4 / 3, brightness=0.3, contrast=0.3, saturation=0.3
)
# Signs whose mirror image means something else, or nothing.
DIGITS = AugmentConfig(rotate_deg=10.0, shift=0.08, zoom=0.1, brightness=0.1, contrast=0.1)
PRESETS = {"none": NONE, "photo": PHOTO, "digits": DIGITS}
