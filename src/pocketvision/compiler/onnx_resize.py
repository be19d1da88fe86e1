"""Resize and Upsample: what opsets 9 to 21 mean by sizes, scales and coordinates."""

from __future__ import annotations

import math

import numpy as np

from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Resize
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_view import View

COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
DEFAULTS = {"antialias": 0, "exclude_outside": 0, "keep_aspect_ratio_policy": "stretch"}


def resize(b: Builder, op: Operator) -> list[Tensor]:
    """Nearest and linear over rows and columns."""
    view = b.tidied(op, b.view(op))
    mode = op.attributes.get("mode", "nearest")
    if mode not in ("nearest", "linear"):
        refuse(op, f"mode is {mode!r}; nearest and linear are supported")
    for name, usual in DEFAULTS.items():
        if (got := op.attributes.get(name, usual)) != usual:
            refuse(op, f"{name} is {got!r}; {usual!r} is supported")
    sizes, scales = _wanted(b, op, view)
    place = {i: views.sign(a) for i, a in enumerate(view.axes)}
    new: dict[str, tuple[int, float]] = {}
    for i, (size, scale) in enumerate(zip(sizes, scales, strict=True)):
        if size != view.dims[i] or scale != 1:
            # An axis of one row or column has no digits of its own.
            letter = place[i] or {2: "h", 3: "w"}.get(i, "?")
            if letter not in "hw" or letter in new:
                refuse(op, f"it changes axis {i} of {view.dims}; rows and columns are supported")
            new[letter] = (size, scale)
            place[i] = letter
    if not new:
        return [view]
    h, w, _ = b.shapes[view.value]
    (height, scale_h), (width, scale_w) = new.get("h", (h, 1.0)), new.get("w", (w, 1.0))
    coordinates, rounding = _rules(op, (scale_h, scale_w), ((h, height), (w, width)))
    value = b.add(
        op, Resize, x=view.value, size=(height, width), scales=(scale_h, scale_w), kind=mode,
        coordinates=coordinates, rounding=rounding,
    )  # fmt: skip
    axes = list(view.axes)
    for i, letter in place.items():
        if letter in new:
            axes[i] = views.digits(letter, new[letter][0])
    return [View(value, tuple(axes))]


def _wanted(b: Builder, op: Operator, view: View) -> tuple[list[int], list[float]]:
    """Size and scale of every axis."""
    dims = view.dims
    at = 1 if op.kind == "Upsample" or op.opset < 11 else 2
    axes = [a % len(dims) for a in op.attributes.get("axes") or range(len(dims))]
    sizes: list[int] | None = None
    scales: list[float] | None = None
    if op.opset >= 11 and op.kind == "Resize" and op.input(3):
        sizes = b.numbers(op, "sizes", 3) or None
    if sizes is None and op.input(at):
        scales = [float(s) for s in b.known(op, at, "scales").reshape(-1)[:8]]
    given = scales if sizes is None else sizes
    if given is None or len(given) != len(axes):
        refuse(op, f"its sizes or scales {given} do not fit its input {dims}")
    all_sizes, all_scales = list(dims), [1.0] * len(dims)
    for axis, number in zip(axes, given, strict=True):
        if not (math.isfinite(number) and 0 < number < 1 << 31):
            refuse(op, f"it asks for {number} along axis {axis}")
        if sizes is None:
            # Multiplied as the file's own float32, as runtimes do.
            all_sizes[axis] = math.floor(np.float32(dims[axis]) * np.float32(number))
            all_scales[axis] = float(str(np.float32(number)))  # 1.2, not 1.2000000476837158
        else:
            all_sizes[axis], all_scales[axis] = int(number), int(number) / dims[axis]
    return all_sizes, all_scales


def _rules(
    op: Operator, scales: tuple[float, float], sizes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[str, str]:
    if op.kind == "Upsample" or op.opset < 11:
        down = min(scales) < 1
        return "asymmetric", "ceil" if down else "floor"
    how = op.attributes.get("coordinate_transformation_mode", "half_pixel")
    if how == "half_pixel_symmetric":
        exact = all(abs(n * s - m) < 1e-6 for s, (n, m) in zip(scales, sizes, strict=True))
        how = "half_pixel" if exact else how
    if how not in COORDINATES:
        refuse(op, f"coordinate_transformation_mode is {how!r}; {', '.join(COORDINATES)} are "
                   f"supported")  # fmt: skip
    rounding = op.attributes.get("nearest_mode", "round_prefer_floor")
    if rounding not in ROUNDINGS:
        refuse(op, f"nearest_mode is {rounding!r}; {', '.join(ROUNDINGS)} are supported")
    return how, rounding


HANDLERS = {"Resize": resize, "Upsample": resize}
