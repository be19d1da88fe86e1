"""The image operations that policies are made of, each at a level from 0 to 1.

At level 0 those that have a level change nothing, and they change more the higher it is. Pictures
are Pillow's, grey (L) or colour (RGB).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import ImageEnhance, ImageOps
from PIL.Image import Image, Resampling, Transform

GREY = 128  # what comes in from outside, as in AutoAugment's own code
ADDED, BELOW = 110, 128  # solarize_add adds at most so much to values below


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What level 1 means: shear in pixels a pixel, turn in degrees, shift as a share of the side,
    distance of a factor from 1, bits that posterize takes away.
    """

    shear: float
    rotate_deg: float
    translate: float
    factor: float
    bits: int


def apply(image: Image, name: str, level: float, *, sign: int, limits: Limits) -> Image:
    """The picture changed by an operation; `sign` 1 or -1 says to which side, where it has two."""
    return OPERATIONS[name](image, level, sign, limits)


# --------------------------------------------------------------------------------------- geometry


def shear_x(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """Rows shifted in proportion to their distance from the first."""
    return _affine(image, (1, sign * level * limits.shear, 0, 0, 1, 0))


def shear_y(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """Columns shifted in proportion to their distance from the first."""
    return _affine(image, (1, 0, 0, sign * level * limits.shear, 1, 0))


def translate_x(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """All shifted to one side, by whole pixels."""
    return _affine(image, (1, 0, sign * int(level * limits.translate * image.width), 0, 1, 0))


def translate_y(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """All shifted up or down, by whole pixels."""
    return _affine(image, (1, 0, 0, 0, 1, sign * int(level * limits.translate * image.height)))


def rotate(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """Turned about the centre."""
    angle = sign * level * limits.rotate_deg
    return image.rotate(angle, resample=Resampling.BILINEAR, fillcolor=_grey(image))


def _affine(image: Image, matrix: tuple[float, float, float, float, float, float]) -> Image:
    """Pixel (x, y) comes from (a x + b y + c, d x + e y + f), counted from the upper left edge."""
    return image.transform(
        image.size, Transform.AFFINE, matrix, resample=Resampling.BILINEAR, fillcolor=_grey(image)
    )


def _grey(image: Image) -> int | tuple[int, ...]:
    return GREY if image.mode == "L" else (GREY,) * len(image.getbands())


# ----------------------------------------------------------------------------------------- values


def brightness(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """All values times a factor."""
    return ImageEnhance.Brightness(image).enhance(_factor(level, sign, limits))


def color(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """Distance from the pixel's own grey times a factor."""
    return ImageEnhance.Color(image).enhance(_factor(level, sign, limits))


def contrast(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """Distance from the picture's mean grey times a factor."""
    return ImageEnhance.Contrast(image).enhance(_factor(level, sign, limits))


def sharpness(image: Image, level: float, sign: int, limits: Limits) -> Image:
    """Distance from the smoothed picture times a factor."""
    return ImageEnhance.Sharpness(image).enhance(_factor(level, sign, limits))


def _factor(level: float, sign: int, limits: Limits) -> float:
    return 1 + sign * level * limits.factor


def posterize(image: Image, level: float, _sign: int, limits: Limits) -> Image:
    """The lowest bits of each value cleared."""
    return ImageOps.posterize(image, 8 - round(level * limits.bits))


def solarize(image: Image, level: float, _sign: int, _limits: Limits) -> Image:
    """Values from a threshold on turned into their negative; the threshold falls from 256 to 0."""
    return ImageOps.solarize(image, round(256 * (1 - level)))


def solarize_add(image: Image, level: float, _sign: int, _limits: Limits) -> Image:
    """Something added to the values of the darker half."""
    more = int(level * ADDED)
    table = [min(v + more, 255) if v < BELOW else v for v in range(256)]
    return image.point(table * len(image.getbands()))


def autocontrast(image: Image, _level: float, _sign: int, _limits: Limits) -> Image:
    """Each channel stretched over all values."""
    return ImageOps.autocontrast(image)


def equalize(image: Image, _level: float, _sign: int, _limits: Limits) -> Image:
    """Each channel's histogram made even."""
    return ImageOps.equalize(image)


def invert(image: Image, _level: float, _sign: int, _limits: Limits) -> Image:
    """The negative."""
    return ImageOps.invert(image)


def identity(image: Image, _level: float, _sign: int, _limits: Limits) -> Image:
    """The picture itself."""
    return image


OPERATIONS: dict[str, Callable[[Image, float, int, Limits], Image]] = {
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
    "rotate": rotate,
    "brightness": brightness,
    "color": color,
    "contrast": contrast,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "solarize_add": solarize_add,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "invert": invert,
    "identity": identity,
}
