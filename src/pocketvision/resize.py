"""Which part of an image is read, where it lands in the input, and the resampling between.

Resampling is separable and antialiased: output pixel i sits at (i + 1/2) * s - 1/2 of the source,
s = source / output; its weights are the kernel stretched by max(s, 1), cut at the border and
scaled to sum 1 (the rule of Pillow, and of torch with antialias=True). Kernels: the triangle, or
Keys' cubic with a = -1/2. Results are rounded to 8 bit; the exact value is at most 1/255 away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """Two rectangles (top, left, height, width), whole pixels: read from the image, put into the
    input; what the second leaves free is filled.
    """

    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]

    def to_source(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """(b, 4) boxes in pixels of the input -> float64 (b, 4) in pixels of the image."""
        return _moved(boxes_xyxy, self.target, self.source)

    def to_input(self, boxes_xyxy: np.ndarray) -> np.ndarray:
        """(b, 4) boxes in pixels of the image -> float64 (b, 4) in pixels of the input."""
        return _moved(boxes_xyxy, self.source, self.target)


def _moved(
    boxes_xyxy: np.ndarray, start: tuple[int, int, int, int], goal: tuple[int, int, int, int]
) -> np.ndarray:
    def frame(r: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        top, left, height, width = r
        return np.array([left, top, left, top]), np.array([width, height, width, height])

    (zero, unit), (new_zero, new_unit) = frame(start), frame(goal)
    moved: np.ndarray = (np.asarray(boxes_xyxy, np.float64) - zero) / unit * new_unit + new_zero
    return moved


def _centred(outer: Size, inner: Size) -> tuple[int, int, int, int]:
    return (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2, inner[0], inner[1]


def _rounded(length: float, most: int) -> int:
    return min(most, max(1, int(length + 0.5)))


def crop(image: Size, size: Size, fraction: float) -> Placement:
    """The largest centred box of the input's aspect, its sides times `fraction`.

    That is "short side to size / fraction, then the centre" with the crop done first, on whole
    source pixels: less to resample, and nothing to get wrong when it is written again elsewhere.
    """
    scale = fraction * min(image[0] / size[0], image[1] / size[1])
    box = (_rounded(size[0] * scale, image[0]), _rounded(size[1] * scale, image[1]))
    return Placement(_centred(image, box), (0, 0, *size))


def squash(image: Size, size: Size, fraction: float) -> Placement:
    """The whole image on the whole input; the aspect changes."""
    return Placement((0, 0, *image), (0, 0, *size))


def letterbox(image: Size, size: Size, fraction: float) -> Placement:
    """The whole image as large as fits, centred; the rest is filled."""
    scale = min(size[0] / image[0], size[1] / image[1])
    box = (_rounded(image[0] * scale, size[0]), _rounded(image[1] * scale, size[1]))
    return Placement((0, 0, *image), _centred(size, box))


PLACEMENTS: dict[str, Callable[[Size, Size, float], Placement]] = {
    "crop": crop,
    "squash": squash,
    "letterbox": letterbox,
}


def bilinear(image: np.ndarray, size: Size) -> np.ndarray:
    """uint8 (h, w, c) -> uint8 (*size, c) by the triangle kernel, in 8-bit fixed-point passes."""
    return _by_torch(image, size, "bilinear")


def bicubic(image: np.ndarray, size: Size) -> np.ndarray:
    """uint8 (h, w, c) -> uint8 (*size, c) by the cubic kernel, in float32.

    In 8 bit the overshoot between the passes would be cut off, up to 30/255 from the exact value.
    """
    return _by_torch(image, size, "bicubic")


def nearest(image: np.ndarray, size: Size) -> np.ndarray:
    """uint8 (h, w, c) -> uint8 (*size, c): the source pixel that holds the output's centre."""
    rows, columns = (
        ((2 * np.arange(n) + 1) * m) // (2 * n) for n, m in zip(size, image.shape[:2], strict=True)
    )
    return image[rows[:, None], columns]


def _by_torch(image: np.ndarray, size: Size, kernel: str) -> np.ndarray:
    import torch

    if not image.flags.writeable or min(image.strides) < 0:
        image = image.copy()  # torch reads neither
    x_nchw = torch.from_numpy(image).permute(2, 0, 1)[None]
    x_nchw = x_nchw.float() if kernel == "bicubic" else x_nchw
    out = torch.nn.functional.interpolate(x_nchw, size=size, mode=kernel, antialias=True)
    if kernel == "bicubic":
        out = out.clamp_(0, 255).add_(0.5).to(torch.uint8)
    hwc: np.ndarray = out[0].permute(1, 2, 0).numpy()
    return hwc


INTERPOLATIONS: dict[str, Callable[[np.ndarray, Size], np.ndarray]] = {
    "bilinear": bilinear,
    "bicubic": bicubic,
    "nearest": nearest,
}


def resized(image: np.ndarray, size: Size, interpolation: str) -> np.ndarray:
    """uint8 (h, w, c) -> uint8 (*size, c); unchanged where the size is right already."""
    if image.shape[:2] == size:
        return image
    return INTERPOLATIONS[interpolation](image, size)
