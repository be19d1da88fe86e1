"""A tensor of the file as a way to look at an image of the graph.

Each axis of the tensor is a row of digits; a digit counts through part of one axis of the image
(h, w, c) or through the batch (n). Reshape and Transpose only regroup digits: nothing is moved.

    the image                       (n)  (c)        (h)  (w)        as NCHW
    Reshape to (n, 2, c / 2, h, w)  (n)  (c1)  (c2) (h)  (w)
    Transpose of axes 1 and 2       (n)  (c2)  (c1) (h)  (w)
    Reshape to (n, c, h, w)         (n)  (c2 c1)    (h)  (w)        shuffled channels
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pocketvision.compiler.graph import Shape


class Digit(NamedTuple):
    """Counts `size` steps of `stride` along the axis "n", "h", "w" or "c" of the image."""

    axis: str
    size: int
    stride: int


Axis = tuple[Digit, ...]


@dataclass(frozen=True)
class View:
    """A tensor: the value of the graph it shows, and the digits of each axis."""

    value: str
    axes: tuple[Axis, ...]

    @property
    def dims(self) -> tuple[int, ...]:
        """The tensor's shape, as in the file."""
        return tuple(math.prod(d.size for d in axis) for axis in self.axes)


def digits(axis: str, size: int) -> Axis:
    """The whole of one axis of the image. A digit of size 1 counts nothing: it only says which
    axis of the image an axis of size 1 is.
    """
    return (Digit(axis, size, 1),)


def nchw(value: str, shape: Shape, batch: int) -> View:
    """The image as the file's NCHW tensor."""
    h, w, c = shape
    return View(value, (digits("n", batch), digits("c", c), digits("h", h), digits("w", w)))


def vector(value: str, size: int, batch: int) -> View:
    """The image (1, 1, size) as the file's (n, size) tensor."""
    return View(value, (digits("n", batch), digits("c", size)))


def joined(axis: Iterable[Digit]) -> Axis:
    """The same digits, neighbours that count as one made one; no digits of size 1."""
    made: list[Digit] = []
    for d in axis:
        if d.size == 1:
            continue
        last = made[-1] if made else None
        if last and last.axis == d.axis and last.stride == d.stride * d.size:
            made[-1] = Digit(d.axis, last.size * d.size, d.stride)
        else:
            made.append(d)
    return tuple(made)


def regrouped(axes: Iterable[Axis], dims: Sequence[int]) -> tuple[Axis, ...] | None:
    """The digits in their order, as axes of other sizes; None where a digit would have to break.

    dims hold as many numbers as there are.
    """
    axes = tuple(axes)
    if [math.prod(d.size for d in axis) for axis in axes] == list(dims):
        return axes
    waiting = [d for axis in axes for d in joined(axis)][::-1]
    made = []
    for size in dims:
        axis: list[Digit] = []
        while size > 1:
            d = waiting.pop()
            if size % d.size == 0:
                axis.append(d)
                size //= d.size
            elif d.size % size == 0:
                rest = d.size // size
                axis.append(Digit(d.axis, size, d.stride * rest))
                waiting.append(Digit(d.axis, rest, d.stride))
                size = 1
            else:
                return None
        made.append(joined(axis))
    return tuple(made)


def positions(axis: Iterable[Digit], strides: dict[str, int]) -> np.ndarray:
    """Where the numbers of `axis` lie in memory, given the stride of each axis of the image."""
    found = np.zeros(1, np.int64)
    for d in axis:
        step = d.stride * strides[d.axis]
        found = (found[:, None] + np.arange(d.size, dtype=np.int64) * step).reshape(-1)
    return found


def letters(axis: Iterable[Digit]) -> set[str]:
    """Axes of the image that are counted through."""
    return {d.axis for d in axis if d.size > 1}


def sign(axis: Axis) -> str:
    """The axis of the image that an axis of the tensor shows, empty where nothing tells."""
    return axis[0].axis if axis else ""


def is_whole(axis: Axis, letter: str, size: int) -> bool:
    """True where the axis is one whole axis of the image, in its order."""
    return joined(axis) == joined(digits(letter, size))


def in_image_order(constant: np.ndarray, view: View, shape: Shape) -> np.ndarray | None:
    """A constant that is combined with the tensor `view`, as an array over the image.

    Each axis of the result is 1 where the constant does not change along it. None where it changes
    along the batch, or has more axes than the tensor, or other sizes.
    """
    rank = len(view.axes)
    if constant.ndim > rank:
        if any(n != 1 for n in constant.shape[: constant.ndim - rank]):
            return None
        constant = constant.reshape(constant.shape[constant.ndim - rank :])
    sizes = (1,) * (rank - constant.ndim) + constant.shape
    if any(n not in (1, dim) for n, dim in zip(sizes, view.dims, strict=True)):
        return None
    used = [d for n, axis in zip(sizes, view.axes, strict=True) if n > 1 for d in joined(axis)]
    if "n" in letters(used):
        return None
    # An axis of the image of which only some digits are used must be repeated along the others.
    every = [d for axis in view.axes for d in joined(axis)]
    spread = constant.reshape([d.size for d in used])
    order = sorted(range(len(used)), key=lambda i: ("hwc".index(used[i].axis), -used[i].stride))
    spread, used = spread.transpose(order), [used[i] for i in order]
    made, at = [], 0
    for letter, size in zip("hwc", shape, strict=True):
        own = [d for d in used if d.axis == letter]
        whole = sorted((d for d in every if d.axis == letter), key=lambda d: -d.stride)
        if not own:
            made.append(1)
            continue
        for d in whole:
            if d not in own:
                spread = np.repeat(np.expand_dims(spread, at), d.size, axis=at)
            at += 1
        made.append(size)
    return spread.reshape(made)
