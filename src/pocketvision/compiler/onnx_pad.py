"""Pad: what opsets 9 to 21 mean by its amounts; borders of rows, columns and channels."""

from __future__ import annotations

import numpy as np

from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Concat, Constant, Pad
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_layout import axes_of
from pocketvision.compiler.onnx_parts import picked
from pocketvision.compiler.onnx_tensor import MAX_ELEMENTS
from pocketvision.compiler.onnx_view import View


def pad(b: Builder, op: Operator) -> list[Tensor]:
    """Borders of zeros, a number, or mirrored or repeated pixels; negative ones cut."""
    view = b.view(op)
    rank = len(view.dims)
    mode = op.attributes.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        refuse(op, f"mode is {mode!r}; constant, reflect and edge are supported")
    amounts = _amounts(b, op, rank)
    value = float(op.attributes.get("value", 0.0))
    if op.opset >= 11 and op.input(2):
        found = b.known(op, 2, "value").reshape(-1)
        value = float(found[0]) if found.size else 0.0
    for axis, (before, behind) in enumerate(amounts):
        kept = range(view.dims[axis])[max(0, -before) : view.dims[axis] - max(0, -behind)]
        view = picked(b, op, view, axis, kept)
    sides = [(max(0, one), max(0, two)) for one, two in amounts]
    return [_bordered(b, op, view, sides, mode, value)]


def _amounts(b: Builder, op: Operator, rank: int) -> list[tuple[int, int]]:
    pads = b.numbers(op, "pads", 1)
    axes = b.numbers(op, "axes", 3)
    axes = axes_of(op, list(range(rank)) if axes is None else axes, rank)
    if pads is None or len(pads) != 2 * len(axes):
        refuse(op, f"its pads {pads} do not fit {len(axes)} axes")
    rows = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        rows[axis] = (pads[i], pads[i + len(axes)])
    return rows


def _bordered(
    b: Builder, op: Operator, view: View, sides: list[tuple[int, int]], mode: str, number: float
) -> View:
    grown = [i for i, row in enumerate(sides) if any(row)]
    if not grown:
        return view
    view = b.tidied(op, view)
    place = {i: views.sign(view.axes[i]) for i in grown}
    free = [x for x in "hwc" if all(x != views.sign(a) for a in view.axes)]
    for i in grown:  # an axis of size 1 may stand for any that is left
        if not place[i]:
            usual = {1: "c", 2: "h", 3: "w"}.get(i, "")
            place[i] = usual if usual in free else (free[0] if free else "n")
            free = [x for x in free if x != place[i]]
    if "n" in place.values():
        refuse(op, "it pads the batch")
    at = {place[i]: sides[i] for i in grown}
    value, (top, bottom), (left, right) = view.value, at.get("h", (0, 0)), at.get("w", (0, 0))
    if top or left or bottom or right:
        value = b.add(op, Pad, x=value, pads=(top, left, bottom, right), kind=mode, value=number)
    if "c" in at:
        value = _more_channels(b, op, value, at["c"], mode, number)
    axes = list(view.axes)
    for i in grown:
        axes[i] = views.digits(place[i], b.shapes[value]["hwc".index(place[i])])
    return View(value, tuple(axes))


def _more_channels(
    b: Builder, op: Operator, value: str, counts: tuple[int, int], mode: str, number: float
) -> str:
    if mode != "constant":
        refuse(op, f"mode {mode!r} over channels; over rows and columns is supported")
    h, w, _ = b.shapes[value]
    if h * w * sum(counts) >= MAX_ELEMENTS >> 6:
        refuse(op, f"it adds {sum(counts)} channels")
    ends = [
        b.add(op, Constant, value=np.full((h, w, n), number, np.float32)) if n else None
        for n in counts
    ]
    parts = [p for p in (ends[0], value, ends[1]) if p is not None]
    return b.add(op, Concat, parts=tuple(parts), axis=2)


HANDLERS = {"Pad": pad}
