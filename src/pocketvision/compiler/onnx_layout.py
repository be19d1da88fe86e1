"""Operators that move or pick numbers: shapes, slices, parts, borders."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Channels, Concat, Constant, Crop, Pad, Resize
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse
from pocketvision.compiler.onnx_file import MAX_ELEMENTS, Operator
from pocketvision.compiler.onnx_view import View

MAX_RANK = 8

# ------------------------------------------------------------------------------------------- shapes


def same(b: Builder, op: Operator) -> list[Tensor]:
    """Identity, and Dropout as it is in use."""
    if any(op.outputs[1:]):
        refuse(op, "its second output is used; the first is supported")
    return [b.tensor(op, 0)]


def cast(b: Builder, op: Operator) -> list[Tensor]:
    """From one float to another: nothing happens, all is computed in float32."""
    target = int(op.attributes.get("to", 1))
    if target not in (1, 10, 11, 16):
        refuse(op, f"it makes whole numbers of an image (type {target}); floats are supported")
    return [b.tensor(op, 0)]


def transpose(b: Builder, op: Operator) -> list[Tensor]:
    """Axes in another order; nothing moves until an operator needs it."""
    view = b.view(op)
    rank = len(view.axes)
    order = op.attributes.get("perm") or tuple(range(rank))[::-1]
    if sorted(order) != list(range(rank)):
        refuse(op, f"perm {order} is no order of the {rank} axes of its input")
    return [View(view.value, tuple(view.axes[i] for i in order))]


def reshape(b: Builder, op: Operator) -> list[Tensor]:
    """0 keeps a size (unless allowzero), -1 is what remains."""
    view, wanted = b.view(op), b.numbers(op, "shape", 1)
    if wanted is None or len(wanted) > MAX_RANK:
        refuse(op, f"its new shape is {wanted}; up to {MAX_RANK} axes are supported")
    dims = list(wanted)
    for i, n in enumerate(dims):
        if n == 0 and not op.attributes.get("allowzero", 0) and i < len(view.dims):
            dims[i] = view.dims[i]
    total, rest = math.prod(view.dims), math.prod(n for n in dims if n != -1)
    if dims.count(-1) == 1 and rest > 0:
        dims[dims.index(-1)] = total // rest
    return [shaped(b, op, view, dims)]


def shaped(b: Builder, op: Operator, view: View, dims: Sequence[int]) -> View:
    """The tensor in another shape of as many numbers."""
    if any(n < 1 for n in dims) or math.prod(dims) != math.prod(view.dims):
        refuse(op, f"the shape {list(dims)} does not hold the numbers of {list(view.dims)}")
    axes = views.regrouped(view.axes, dims)
    for bring in (b.tidied, b.flattened):  # whole axes can be split in more ways
        if axes is None:
            view = bring(op, view)
            axes = views.regrouped(view.axes, dims)
    if axes is None:
        refuse(op, f"the shape {list(dims)} mixes the batch with the image {list(view.dims)}")
    return View(view.value, axes)


def flatten(b: Builder, op: Operator) -> list[Tensor]:
    """Two axes: all before `axis`, and the rest."""
    view = b.view(op)
    axis = int(op.attributes.get("axis", 1))
    axis = axis + len(view.dims) if axis < 0 else axis
    if not 0 <= axis <= len(view.dims):
        refuse(op, f"axis {axis} of an input {view.dims}")
    dims = (math.prod(view.dims[:axis]), math.prod(view.dims[axis:]))
    return [shaped(b, op, view, dims)]


def squeeze(b: Builder, op: Operator) -> list[Tensor]:
    """Axes of size 1 go."""
    view = b.view(op)
    axes = b.numbers(op, "axes", 1)
    if axes is None:
        axes = [i for i, n in enumerate(view.dims) if n == 1]
    gone = _axes(op, axes, len(view.dims))
    if any(view.dims[a] != 1 for a in gone):
        refuse(op, f"axes {axes} of its input {view.dims} are not of size 1")
    return [View(view.value, tuple(a for i, a in enumerate(view.axes) if i not in gone))]


def unsqueeze(b: Builder, op: Operator) -> list[Tensor]:
    """Axes of size 1 come."""
    view, axes = b.view(op), b.numbers(op, "axes", 1)
    if not axes:
        refuse(op, "it names no axes")
    rank = len(view.dims) + len(axes)
    new = set(_axes(op, axes, rank))
    if len(new) < len(axes) or rank > MAX_RANK:
        refuse(op, f"axes {axes} of an input {view.dims}")
    old = iter(view.axes)
    return [View(view.value, tuple(() if i in new else next(old) for i in range(rank)))]


def expand(b: Builder, op: Operator) -> list[Tensor]:
    """One pixel repeated over an image, or nothing at all."""
    view, wanted = b.view(op), b.numbers(op, "shape", 1)
    rank = len(view.dims)
    if wanted is None or len(wanted) > rank or any(n < 1 for n in wanted):
        refuse(op, f"its new shape is {wanted}, its input {view.dims}")
    wanted = [1] * (rank - len(wanted)) + wanted
    if all(n in (1, d) for n, d in zip(wanted, view.dims, strict=True)):
        return [view]
    x = b.image(op, view)
    h, w, _ = b.shapes[x]
    if wanted[1] not in (1, view.dims[1]) or any(
        n != m and 1 not in (n, m) for n, m in zip(wanted[2:], (h, w), strict=True)
    ):
        refuse(op, f"it repeats {view.dims} to {wanted}; repeated rows and columns are supported")
    size = (max(h, wanted[2]), max(w, wanted[3]))
    scales = (size[0] / h, size[1] / w)
    value = b.add(op, Resize, x=x, size=size, scales=scales, kind="nearest",
                  coordinates="asymmetric", rounding="floor")  # fmt: skip
    return [b.nchw(value)]


def _axes(op: Operator, axes: Sequence[int], rank: int) -> list[int]:
    if any(not -rank <= a < rank for a in axes):
        refuse(op, f"axes {list(axes)[:8]} of {rank}")
    return [a % rank for a in axes]


# ------------------------------------------------------------------------------------------- pieces


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
    axes = _axes(op, list(range(len(starts))) if axes is None else axes, rank)
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
    axis = _axes(op, [int(op.attributes.get("axis", 0))], len(view.dims))[0]
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
    axis = _axes(op, [int(op.attributes.get("axis", 0))], len(view.dims))[0]
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
    axis = _axes(op, [int(op.attributes.get("axis", 1))], rank)[0]
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


# ------------------------------------------------------------------------------------------ borders


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
    axes = _axes(op, list(range(rank)) if axes is None else axes, rank)
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


HANDLERS = {
    "Identity": same, "Dropout": same, "Cast": cast, "Transpose": transpose, "Reshape": reshape,
    "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Expand": expand,
    "Slice": slices, "Split": split, "Gather": gather, "Concat": concat, "Pad": pad,
}  # fmt: skip
