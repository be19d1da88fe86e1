"""Operators that only change how a tensor is looked at: shapes and orders of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Resize
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_view import View

MAX_RANK = 8


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
    gone = axes_of(op, axes, len(view.dims))
    if any(view.dims[a] != 1 for a in gone):
        refuse(op, f"axes {axes} of its input {view.dims} are not of size 1")
    return [View(view.value, tuple(a for i, a in enumerate(view.axes) if i not in gone))]


def unsqueeze(b: Builder, op: Operator) -> list[Tensor]:
    """Axes of size 1 come."""
    view, axes = b.view(op), b.numbers(op, "axes", 1)
    if not axes:
        refuse(op, "it names no axes")
    rank = len(view.dims) + len(axes)
    new = set(axes_of(op, axes, rank))
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


def axes_of(op: Operator, axes: Sequence[int], rank: int) -> list[int]:
    """Axes counted from the front. Raises DataError for one that is not there."""
    if any(not -rank <= a < rank for a in axes):
        refuse(op, f"axes {list(axes)[:8]} of {rank}")
    return [a % rank for a in axes]


HANDLERS = {
    "Identity": same, "Dropout": same, "Cast": cast, "Transpose": transpose, "Reshape": reshape,
    "Flatten": flatten, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Expand": expand,
}  # fmt: skip
