"""The graph while it is read: nodes so far, shapes, and how a tensor is brought into order."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Channels, Constant, Flatten, Node, Shape
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_tensor import MAX_ELEMENTS
from pocketvision.compiler.onnx_view import Axis, View, joined
from pocketvision.compiler.shapes import shape_of
from pocketvision.errors import DataError

MAX_GRAPH_NODES = 50_000
Tensor = View | np.ndarray


def refuse(op: Operator, why: str) -> NoReturn:
    """Say that an operator cannot be read."""
    raise DataError(f"{op}: {why}")


class Builder:
    """Nodes and shapes so far; `tensors` by the file's names: constants and views."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.tensors: dict[str, Tensor] = {}

    # ---------------------------------------------------------------------------------- tensors

    def tensor(self, op: Operator, number: int) -> Tensor:
        """An input that must be there."""
        name = op.input(number)
        if not name:
            refuse(op, f"its input {number} is left out")
        return self.tensors[name]

    def view(self, op: Operator, number: int = 0) -> View:
        """An input that is an image; a constant becomes one."""
        found = self.tensor(op, number)
        return found if isinstance(found, View) else self.constant(op, found)

    def known(self, op: Operator, number: int, what: str) -> np.ndarray:
        """An input that must be a constant."""
        found = self.tensor(op, number)
        if isinstance(found, View):
            refuse(op, f"its {what} are computed ({op.input(number)!r}); constants are supported")
        return found

    def weights(self, op: Operator, number: int, what: str) -> np.ndarray:
        """A constant of finite floats."""
        found = self.known(op, number, what)
        self.check_finite(op.input(number), found)
        return found

    def check_finite(self, name: str, found: np.ndarray) -> None:
        """Raise DataError where a weight is NaN or infinite."""
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise DataError(f"tensor {name!r} holds NaN or infinite numbers: train or export again")

    def numbers(self, op: Operator, name: str, number: int) -> list[int] | None:
        """Whole numbers that older opsets have as an attribute and newer ones as an input."""
        if (given := op.attributes.get(name)) is not None:
            return [int(n) for n in given] if isinstance(given, tuple) else [int(given)]
        if not op.input(number):
            return None
        found = self.known(op, number, name)
        if found.dtype.kind not in "iu" or found.size > 64:
            refuse(
                op, f"its {name} are {found.dtype} {found.shape}; a few whole numbers are needed"
            )
        return [int(n) for n in found.reshape(-1)]

    # ------------------------------------------------------------------------------------ nodes

    def add(self, op: Operator, make: Callable[..., Node], **fields: Any) -> str:
        """Append a node and return the name of what it makes."""
        base = next(o for o in op.outputs if o)
        name, n = base, 1
        while name in self.shapes:
            n += 1
            name = f"{base}.{n}"
        try:
            node = make(name=op.name, output=name, **fields)
            shape = shape_of(node, self.shapes)
        except ValueError as e:
            refuse(op, f"{e}")
        if math.prod(shape) >= MAX_ELEMENTS:
            refuse(op, f"its output would have the shape {'x'.join(map(str, shape))}")
        if len(self.nodes) >= MAX_GRAPH_NODES:
            refuse(op, f"the file holds more than {MAX_GRAPH_NODES} operators")
        self.nodes.append(node)
        self.shapes[name] = shape
        return name

    def constant(self, op: Operator, found: np.ndarray) -> View:
        """A constant of the file as an image."""
        if found.dtype.kind != "f":
            refuse(op, f"it mixes images with {found.dtype} numbers; floats are supported")
        if found.ndim not in (2, 4) or found.shape[0] != 1 or 0 in found.shape:
            refuse(op, f"a constant of shape {found.shape} stands where an image is needed")
        image = found.reshape(found.shape if found.ndim == 4 else (*found.shape, 1, 1))[0]
        value = self.add(op, Constant, value=np.ascontiguousarray(image.transpose(1, 2, 0)))
        whole = views.nchw(value, self.shapes[value], 1)
        return View(value, whole.axes[: found.ndim])

    # ------------------------------------------------------------------------------------ order

    def nchw(self, value: str) -> View:
        """A value of the graph as the file's NCHW tensor."""
        return views.nchw(value, self.shapes[value], self.batch)

    def image(self, op: Operator, view: View) -> str:
        """The value that a NCHW tensor is, channels in order."""
        if len(view.axes) != 4:
            refuse(op, f"its input has the shape {view.dims}; images (n, c, h, w) are supported")
        return self.arranged(op, view, channels=1, rows=2, columns=3)

    def vector(self, op: Operator, view: View) -> str:
        """The value (1, 1, n) that an (n, c) tensor is, or whatever has its numbers in a row."""
        self.check_batch(op, view)
        rest = joined(d for axis in view.axes[1:] for d in axis)
        return self._in_a_row(op, view.value, rest)

    def check_batch(self, op: Operator, view: View) -> None:
        """Raise DataError unless axis 0, and only it, is the batch."""
        others = [d for axis in view.axes[1:] for d in axis]
        first = view.axes[0] if view.axes else ()
        whole = views.is_whole(first, "n", self.batch)
        if not view.axes or not whole or "n" in views.letters(others):
            refuse(op, f"axis 0 of its input {view.dims} is not the batch")

    def arranged(self, op: Operator, view: View, *, channels: int, rows: int, columns: int) -> str:
        """The value whose channels, rows and columns are these axes of the tensor."""
        self.check_batch(op, view)
        h, w, _ = self.shapes[view.value]
        axes = view.axes
        c = joined(axes[channels])
        if views.is_whole(axes[rows], "h", h) and views.is_whole(axes[columns], "w", w):
            if views.letters(c) <= {"c"}:
                return self._picked(op, view.value, c)
        elif not joined(axes[rows]) and not joined(axes[columns]):
            return self._in_a_row(op, view.value, c)
        return refuse(
            op, f"the layout of its input {view.dims} is mixed; channels, rows and columns each "
            f"on an axis of their own are supported",
        )  # fmt: skip

    def _picked(self, op: Operator, value: str, axis: Axis) -> str:
        """The value with its channels in the order of `axis`."""
        c = self.shapes[value][2]
        if views.is_whole(axis, "c", c):
            return value
        index = views.positions(axis, {"c": 1})
        return self.add(op, Channels, x=value, index=index)

    def _in_a_row(self, op: Operator, value: str, axis: Axis) -> str:
        h, w, c = self.shapes[value]
        if h == w == 1:
            return self._picked(op, value, axis)
        chw = joined((*views.digits("c", c), *views.digits("h", h), *views.digits("w", w)))
        hwc = joined((*views.digits("h", h), *views.digits("w", w), *views.digits("c", c)))
        if axis == chw:
            return self.add(op, Flatten, x=value, order="chw")
        flat = self.add(op, Flatten, x=value, order="hwc")
        if axis == hwc:
            return flat
        index = views.positions(axis, {"h": w * c, "w": c, "c": 1})
        return self.add(op, Channels, x=flat, index=index)

    def tidied(self, op: Operator, view: View) -> View:
        """The same tensor, over a value of which each axis is one whole axis.

        A tensor that cannot be shown so is made a vector first.
        """
        shape = dict(zip("hwc", self.shapes[view.value], strict=True))
        roles: dict[str, int] = {}
        for i, axis in enumerate(view.axes[1:], 1):
            if len(found := views.letters(axis)) > 1 or (found & roles.keys()):
                return self.flattened(op, view)
            roles.update(dict.fromkeys(found, i))
        for letter in "hw":
            if not views.is_whole(view.axes[roles[letter]] if letter in roles else (), letter,
                                  shape[letter]):  # fmt: skip
                return self.flattened(op, view)
        self.check_batch(op, view)
        c = joined(view.axes[roles["c"]]) if "c" in roles else ()
        value = self._picked(op, view.value, c)
        axes = list(view.axes)
        if "c" in roles:
            axes[roles["c"]] = views.digits("c", self.shapes[value][2])
        return View(value, tuple(axes))

    def flattened(self, op: Operator, view: View) -> View:
        """The same tensor over a vector; its axes are parts of that vector."""
        value = self.vector(op, view)
        plain = (views.digits("n", self.batch), views.digits("c", self.shapes[value][2]))
        axes = views.regrouped(plain, view.dims)
        assert axes is not None  # one digit of the right size can be split in any way
        return View(value, axes)

    def narrowed(self, op: Operator, view: View, axis: int, kept: Sequence[int]) -> View:
        """The tensor with only these places of an axis of channels."""
        ours = [i for i, a in enumerate(view.axes) if "c" in views.letters(a)]
        strides = {"c": 1, "n": 0}
        grid = np.zeros((), np.int64)
        for i in ours:
            grid = np.add.outer(grid, views.positions(view.axes[i], strides))
        grid = np.take(grid, np.asarray(kept, np.int64), axis=ours.index(axis))
        value = self.add(op, Channels, x=view.value, index=grid.reshape(-1))
        pieces = views.regrouped((views.digits("c", grid.size),), grid.shape)
        assert pieces is not None
        axes = list(view.axes)
        for i, piece in zip(ours, pieces, strict=True):
            axes[i] = piece or (views.digits("c", 1) if len(ours) == 1 else ())
        return View(value, tuple(axes))


def replaced(view: View, value: str) -> View:
    """The same axes over another value."""
    return dataclasses.replace(view, value=value)
