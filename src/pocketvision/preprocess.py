"""THE contract: how a picture becomes the network's input. Every user of an image goes through it.

    decode (decode.py) -> to_uint8: cut, resample, fill -> to_tensor: scale, shift, planes first

The uint8 in the middle is what training caches and augments. The fields travel as
`preprocess.json`; those with a single allowed value record a rule for whoever writes it again.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.decode import decode
from pocketvision.errors import BundleError, UsageError, closest
from pocketvision.resize import INTERPOLATIONS, PLACEMENTS, Placement, resized

FORMAT = 1
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# The same for one channel: the mean by the weights of grey, the mean of the three deviations.
GREY_MEAN = (0.459,)
GREY_STD = (0.226,)
# ITU-R BT.601 in 16-bit fixed point; the three sum to 2^16, so grey stays the grey it was.
GREY_WEIGHTS = (19595, 38470, 7471)
MAX_SIDE = 8192
CHOICES: dict[str, tuple[Any, ...]] = {
    "channels": (1, 3),
    "resize": tuple(PLACEMENTS),
    "interpolation": tuple(INTERPOLATIONS),
    "antialias": (True,),
    "scaled_decode": (False, True),
    "orientation": ("exif",),
    "alpha": ("on white",),
    "frame": ("first",),
    "depth": ("high byte",),
    "profile": ("ignored",),
    "grey": ("bt601",),
    "layout": ("nchw",),
    "dtype": ("float32",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """The contract's fields; sizes are (h, w). Raises UsageError naming the field that is wrong.

    resize      "crop": the largest centred box of the input's aspect, its sides times
                `crop_fraction`; "squash": everything, aspect changed; "letterbox": everything,
                aspect kept, the rest filled with `fill`
    mean, std   per channel, on the 0..1 scale: y = (x / 255 - mean) / std
    scaled_decode   a JPEG may decode at 1/2, 1/4 or 1/8 where the result is still shrunk
    """

    size: tuple[int, int]
    channels: int = 3
    resize: str = "crop"
    crop_fraction: float = 0.875
    interpolation: str = "bilinear"
    antialias: bool = True
    scaled_decode: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    fill: int = 114
    orientation: str = "exif"
    alpha: str = "on white"
    frame: str = "first"
    depth: str = "high byte"
    profile: str = "ignored"
    grey: str = "bt601"
    layout: str = "nchw"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if not any(value == a and type(value) is type(a) for a in allowed):
                shown = ", ".join(map(repr, allowed))
                _refuse(name, value, f"one of {shown}{closest(str(value), map(str, allowed))}")
        _check_numbers(self)


def _refuse(name: str, value: object, allowed: str) -> None:
    raise UsageError(f"preprocess.{name} is {value!r}, must be {allowed}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check_numbers(p: Preprocess) -> None:
    pair = isinstance(p.size, tuple) and len(p.size) == 2
    if not pair or not all(_is_whole(s, 1, MAX_SIDE) for s in p.size):
        _refuse("size", p.size, f"(height, width), whole numbers from 1 to {MAX_SIDE}")
    if not _is_number(p.crop_fraction) or not 0 < p.crop_fraction <= 1:
        _refuse("crop_fraction", p.crop_fraction, "over 0 and at most 1")
    if not _is_whole(p.fill, 0, 255):
        _refuse("fill", p.fill, "a whole number from 0 to 255")
    for name in ("mean", "std"):
        value = getattr(p, name)
        whole = isinstance(value, tuple) and len(value) == p.channels
        if not whole or not all(_is_number(v) for v in value):
            _refuse(name, value, f"{p.channels} numbers, one per channel")
    if min(p.std) <= 0:
        _refuse("std", p.std, "over 0")


def dumps(p: Preprocess) -> str:
    """The contract as JSON text, one field a line; `loads` gives back an equal value."""
    return json.dumps({"format": FORMAT, **asdict(p)}, indent=2) + "\n"


def loads(text: str | bytes) -> Preprocess:
    """Read what `dumps` wrote. Raises BundleError naming the field that is wrong."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise BundleError(f"the preprocessing contract is not valid JSON: {e}") from None
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        got = row.get("format") if isinstance(row, dict) else row
        raise BundleError(
            f"the preprocessing contract's format is {got!r}; this version reads {FORMAT}"
        )
    known = [f.name for f in fields(Preprocess)]
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in row.items() if k != "format"
    }
    for name in values:
        if name not in known:
            raise BundleError(f"preprocess has no field {name!r}{closest(name, known)}")
    try:
        return Preprocess(**values)
    except UsageError as e:
        raise BundleError(str(e)) from None
    except TypeError:
        raise BundleError("preprocess lacks 'size'") from None


def placement(image_hw: tuple[int, int], p: Preprocess) -> Placement:
    """What the contract reads of an image of size (h, w), and where it puts it."""
    return PLACEMENTS[p.resize](image_hw, p.size, p.crop_fraction)


def to_uint8(image: np.ndarray, p: Preprocess) -> np.ndarray:
    """uint8 (h, w, 3) -> uint8 (*p.size, p.channels), a new array: cut, resampled, filled."""
    at = placement((image.shape[0], image.shape[1]), p)
    top, left, height, width = at.source
    part = image[top : top + height, left : left + width]
    part = _grey(part) if p.channels == 1 else part
    part = resized(part, at.target[2:], p.interpolation)
    if at.target == (0, 0, *p.size):
        return part if part.base is not image else part.copy()
    top, left, height, width = at.target
    out = np.full((*p.size, p.channels), p.fill, np.uint8)
    out[top : top + height, left : left + width] = part
    return out


def _grey(rgb: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) -> uint8 (h, w, 1), BT.601 luma rounded to nearest."""
    total = np.full(rgb.shape[:2], 1 << 15, np.uint32)
    for channel, weight in enumerate(GREY_WEIGHTS):
        total += rgb[..., channel] * np.uint32(weight)
    return (total >> 16).astype(np.uint8)[..., None]


def scale_and_bias(p: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """float32 (c,), (c,): y = x * scale + bias for x in 0..255; the contract's last step."""
    mean, std = np.array(p.mean, np.float64), np.array(p.std, np.float64)
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def to_tensor(image: np.ndarray, p: Preprocess) -> np.ndarray:
    """uint8 (h, w, c) -> float32 (c, h, w), or a batch (n, h, w, c) -> (n, c, h, w)."""
    scale, bias = scale_and_bias(p)
    *batch, height, width, channels = image.shape
    out = np.empty((*batch, channels, height, width), np.float32)
    # A channel at a time reads and writes in long runs; one transposed copy takes four times this.
    for c in range(channels):
        plane = out[..., c, :, :]
        np.multiply(image[..., c], scale[c], out=plane)
        plane += bias[c]
    return out


def pixels_of(source: Path | str | bytes | np.ndarray, p: Preprocess) -> np.ndarray:
    """uint8 (h, w, 3) of an image file, its bytes, or pixels already decoded. Raises ImageError."""
    if isinstance(source, np.ndarray):
        return source
    return decode(source, scale_hint=_least_size(p) if p.scaled_decode else None)


def _least_size(p: Preprocess) -> tuple[int, int]:
    """The (h, w) below which an image would have to be enlarged: scaled decoding stops above."""
    fraction = p.crop_fraction if p.resize == "crop" else 1.0
    return math.ceil(p.size[0] / fraction), math.ceil(p.size[1] / fraction)


def prepare(source: Path | str | bytes | np.ndarray, p: Preprocess) -> np.ndarray:
    """float32 (c, h, w), the network's input: decode, to_uint8 and to_tensor. Raises ImageError."""
    return to_tensor(to_uint8(pixels_of(source, p), p), p)


def reference(source: Path | str | bytes | np.ndarray, p: Preprocess) -> np.ndarray:
    """float64 (c, h, w): the same input by plain exact arithmetic, slowly; `prepare` stays within
    1/255 of it on the 0..1 scale. Written apart from the fast path, to check it.
    """
    image = pixels_of(source, p).astype(np.float64)
    if p.channels == 1:
        image = np.floor(image @ (np.array(GREY_WEIGHTS)[:, None] / 65536) + 0.5)
    at = placement((image.shape[0], image.shape[1]), p)
    top, left, height, width = at.source
    part = image[top : top + height, left : left + width]
    for axis in (0, 1):
        weights = _weights(part.shape[axis], at.target[2 + axis], p.interpolation)
        part = np.moveaxis(np.tensordot(weights, part, axes=(1, axis)), 0, axis)
    top, left, height, width = at.target
    out = np.full((*p.size, p.channels), float(p.fill))
    out[top : top + height, left : left + width] = np.clip(part, 0, 255)
    return np.moveaxis((out / 255 - np.array(p.mean)) / np.array(p.std), 2, 0)


def _weights(source: int, target: int, interpolation: str) -> np.ndarray:
    """(target, source) float64: row i holds the weights of output i; each row sums to 1."""
    scale = source / target
    centres = (np.arange(target) + 0.5) * source / target
    if interpolation == "nearest":
        return np.eye(source)[np.floor(centres).astype(int)]
    x = np.abs(np.arange(source) + 0.5 - centres[:, None]) / max(scale, 1.0)
    if interpolation == "bilinear":
        rows = np.maximum(0.0, 1.0 - x)
    else:
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        rows = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return rows / rows.sum(axis=1, keepdims=True)
