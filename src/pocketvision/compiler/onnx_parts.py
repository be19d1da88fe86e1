"""Operators that take parts of tensors or put tensors behind each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Channels, Concat, Crop
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_layout import axes_of, shaped
from pocketvision.compiler.onnx_view import View


def picked(b: Builder, op: Operator, view: View, axis: int, kept: range | np.ndarray) -> View:
    """The tensor with only these places of one axis, in this order."""
    size = view.dims[axis]
    if len(kept) == size and all(a == i for i, a in enumerate(kept)):
        return view
    if len(kept) == 0:
        refuse(op, f"nothing is left of axis {axis} of its input {view.dims}")
    found = views.letters(view.axes[axis])
    if found == {"n"} or (not found and b.batch > 1 and axis == 0):
        refuse(op, "it takes part of the batch")
    if not found:
        return _repeated(b, op, view, axis, len(kept))
    whole = all(views.letters(a) <= {"c"} for a in view.axes if "c" in views.letters(a))
    if found == {"c"} and whole:
        return b.narrowed(op, view, axis, list(kept))
    view = b.tidied(op, view)
    letter = next(iter(views.letters(view.axes[axis])))
    if letter == "c":
        return b.narrowed(op, view, axis, list(kept))
    h, w, c = b.shapes[view.value]
    first, step = int(kept[0]), int(kept[1] - kept[0]) if len(kept) > 1 else 1
    if step < 1 or any(int(a) != first + i * step for i, a in enumerate(kept)):
        refuse(op, f"it takes rows or columns of {view.dims} out of order; steady steps forward "
                   f"are supported")  # fmt: skip
    rows = letter == "h"
    value = b.add(
        op, Crop, x=view.value, top=first if rows else 0, left=0 if rows else first,
        shape=(len(kept), w, c) if rows else (h, len(kept), c),
        step=(step, 1) if rows else (1, step),
    )  # fmt: skip
    axes = list(view.axes)
    axes[axis] = views.digits(letter, len(kept))
    return View(value, tuple(axes))


def _repeated(b: Builder, op: Operator, view: View, axis: int, times: int) -> View:
    """An axis of size 1 several times: the only channel, where there is but one."""
    view = b.tidied(op, view)
    if b.shapes[view.value][2] > 1:
        refuse(op, f"it repeats axis {axis} of its input {view.dims}")
    value = b.add(op, Channels, x=view.value, index=np.zeros(times, np.int64))
    axes = list(view.axes)
    axes[axis] = views.digits("c", times)
    return View(value, tuple(axes))


def slices(b: Builder, op: Operator) -> list[Tensor]:
    """Starts, ends, axes, steps: attributes before opset 10 and inputs since."""
    view = b.view(op)
    rank = len(view.dims)
    starts, ends = b.numbers(op, "starts", 1), b.numbers(op, "ends", 2)
    if starts is None or ends is None or len(starts) != len(ends):
        refuse(op, f"its starts {starts} and ends {ends} do not fit together")
    axes = b.numbers(op, "axes", 3)
    axes = axes_of(op, list(range(len(starts))) if axes is None else axes, rank)
    steps = b.numbers(op, "steps", 4) or [1] * len(starts)
    if len(axes) != len(starts) or len(steps) != len(starts) or 0 in steps:
        refuse(op, f"its axes {axes} and steps {steps} do not fit its starts {starts}")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        kept = range(view.dims[axis])[slice(start, _end(end, step), step)]
        view = picked(b, op, view, axis, kept)
    return [view]


def _end(end: int, step: int) -> int | None:
    """Far below zero means: to the first one, when counting down."""
    return None if step < 0 and end < -(1 << 30) else end


def split(b: Builder, op: Operator) -> list[Tensor]:
    """Parts of an axis, of given or equal sizes."""
    view = b.view(op)
    axis = axes_of(op, [int(op.attributes.get("axis", 0))], len(view.dims))[0]
    size, count = view.dims[axis], len(op.outputs)
    sizes = b.numbers(op, "split", 1)
    if sizes is None:
        each = -(-size // count)
        sizes = [each] * (count - 1) + [size - each * (count - 1)]
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 1:
        refuse(op, f"its parts {sizes} do not make up axis {axis} of {view.dims}")
    made: list[Tensor] = []
    at = 0
    for n, name in zip(sizes, op.outputs, strict=True):
        part = dataclasses.replace(op, outputs=(name or f"{op.name}.{at}",))
        made.append(picked(b, part, view, axis, range(at, at + n)))
        at += n
    return made


def gather(b: Builder, op: Operator) -> list[Tensor]:
    """Known places of an axis."""
    view = b.view(op)
    axis = axes_of(op, [int(op.attributes.get("axis", 0))], len(view.dims))[0]
    index = b.known(op, 1, "places")
    size = view.dims[axis]
    fits = index.ndim <= 1 and index.dtype.kind in "iu" and 0 < index.size <= size << 6
    if not fits or not ((index >= -size) & (index < size)).all():
        refuse(op, f"it takes places {index.shape} of axis {axis} of {view.dims}")
    view = picked(b, op, view, axis, np.atleast_1d(index) % size)
    if index.ndim == 0:
        return [View(view.value, tuple(a for i, a in enumerate(view.axes) if i != axis))]
    return [view]


def concat(b: Builder, op: Operator) -> list[Tensor]:
    """Tensors behind each other along channels, rows or columns."""
    found = [b.tensor(op, i) for i in range(len(op.inputs))]
    parts = [t if isinstance(t, View) else b.constant(op, t) for t in found]
    if len(parts) == 1:
        return [parts[0]]
    rank = len(parts[0].dims)
    axis = axes_of(op, [int(op.attributes.get("axis", 1))], rank)[0]
    for p in parts:
        beside = zip(p.dims, parts[0].dims, strict=False)
        if len(p.dims) != rank or any(a != b and i != axis for i, (a, b) in enumerate(beside)):
            refuse(op, f"its parts {[p.dims for p in parts][:6]} do not fit along axis {axis}")
    tidy = [b.tidied(op, p) for p in parts]
    letter = _letter(tidy, axis)
    if letter is None or not _alike(tidy, axis):
        return [_behind(b, op, parts, axis)]
    value = b.add(op, Concat, parts=tuple(p.value for p in tidy), axis="hwc".index(letter))
    axes = list(next((p for p in tidy if views.letters(p.axes[axis])), tidy[0]).axes)
    axes[axis] = views.digits(letter, sum(p.dims[axis] for p in tidy))
    return [View(value, tuple(axes))]


def _letter(parts: Sequence[View], axis: int) -> str | None:
    """The axis of the image that all parts have there, or could have where they are of size 1."""
    found = set().union(*(views.letters(p.axes[axis]) for p in parts))
    used = {x for p in parts for i, a in enumerate(p.axes) if i != axis for x in views.letters(a)}
    if len(found) == 1:
        letter = found.pop()
        return letter if letter in "hwc" and letter not in used else None
    if found:
        return None
    free = [x for x in "chw" if x not in used]
    likely = (*(views.sign(p.axes[axis]) for p in parts), {1: "c", 2: "h", 3: "w"}.get(axis, ""))
    return next((x for x in (*likely, *free) if x in free), None)


def _alike(parts: Sequence[View], axis: int) -> bool:
    """True where the other axes show the same axes of the image in all parts."""
    rest = {tuple(views.joined(a) for i, a in enumerate(p.axes) if i != axis) for p in parts}
    without_batch = {row[1:] if axis else row for row in rest}
    return len(without_batch) == 1


def _behind(b: Builder, op: Operator, parts: Sequence[View], axis: int) -> View:
    """Parts of which each, in a row, comes behind the one before: as vectors."""
    if any(n != 1 for n in parts[0].dims[1:axis]) or axis == 0:
        refuse(op, f"its parts {[p.dims for p in parts][:6]} are laid out too differently to be "
                   f"put behind each other along axis {axis}")  # fmt: skip
    rows = [b.vector(op, p) for p in parts]
    value = b.add(op, Concat, parts=tuple(rows), axis=2)
    dims = list(parts[0].dims)
    dims[axis] = sum(p.dims[axis] for p in parts)
    return shaped(b, op, views.vector(value, b.shapes[value][2], b.batch), dims)


HANDLERS = {"Slice": slices, "Split": split, "Gather": gather, "Concat": concat}
