"""Operators on every number alone: activations, and arithmetic of two tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Act, Activation, Affine, Binary, Constant, Shape
from pocketvision.compiler.onnx_build import Builder, Tensor, refuse, replaced
from pocketvision.compiler.onnx_file import Operator
from pocketvision.compiler.onnx_view import View, joined

Kind = Literal["add", "mul", "sub", "div", "max", "min"]
Handler = Callable[[Builder, Operator], list[Tensor]]
KINDS: dict[str, Kind] = {
    "Add": "add", "Sum": "add", "Sub": "sub", "Mul": "mul", "Div": "div",
    "Max": "max", "Min": "min",
}  # fmt: skip
INFINITY = math.inf

# -------------------------------------------------------------------------------------- activations


def act(b: Builder, op: Operator, view: View, activation: Activation) -> View:
    """The tensor with an activation on every number."""
    return replaced(view, b.add(op, Act, x=view.value, act=activation))


def plain(kind: str) -> Handler:
    """An activation without numbers."""
    return lambda b, op: [act(b, op, b.view(op), Activation(kind))]


def leaky_relu(b: Builder, op: Operator) -> list[Tensor]:
    """x where positive, alpha * x where negative."""
    alpha = float(op.attributes.get("alpha", 0.01))
    return [act(b, op, b.view(op), Activation("leaky_relu", alpha))]


def hard_sigmoid(b: Builder, op: Operator) -> list[Tensor]:
    """clip(alpha * x + beta, 0, 1)."""
    alpha, beta = float(op.attributes.get("alpha", 0.2)), float(op.attributes.get("beta", 0.5))
    return [act(b, op, b.view(op), Activation("hard_sigmoid", _tidy(alpha), _tidy(beta)))]


def _tidy(number: float) -> float:
    """A float32 number as it was meant: 1/6 for 0.16666667."""
    sixth = 1 / 6
    return sixth if np.float32(number) == np.float32(sixth) else float(f"{number:.8g}")


def clip(b: Builder, op: Operator) -> list[Tensor]:
    """Bounds are attributes before opset 11 and inputs since."""
    bounds = []
    for number, (name, default) in enumerate((("min", -INFINITY), ("max", INFINITY)), 1):
        bound = op.attributes.get(name, default)
        if op.opset >= 11 and op.input(number):
            found = b.known(op, number, "bounds")
            if found.size != 1:
                refuse(op, f"its bounds have the shape {found.shape}; numbers are supported")
            bound = float(found.reshape(-1)[0])
        bounds.append(float(bound))
    return [_clipped(b, op, b.view(op), bounds[0], bounds[1])]


def _clipped(b: Builder, op: Operator, view: View, low: float, high: float) -> View:
    most = float(np.finfo(np.float32).max)
    low, high = (-INFINITY if low <= -most else low), (INFINITY if high >= most else high)
    if math.isnan(low) or math.isnan(high):
        refuse(op, "a bound is NaN")
    if (low, high) == (0.0, INFINITY):
        return act(b, op, view, Activation("relu"))
    return act(b, op, view, Activation("clip", min(low, high), high))


def prelu(b: Builder, op: Operator) -> list[Tensor]:
    """One slope a channel."""
    view, slope = b.view(op), b.weights(op, 1, "slopes")
    found = _over_image(b, op, view, slope)
    shape = b.shapes[view.value]
    if found.shape[:2] != (1, 1):
        refuse(op, f"its slopes {slope.shape} change over the image; one a channel is supported")
    slopes = np.broadcast_to(found.reshape(-1), shape[2:]).astype(np.float32)
    return [act(b, op, view, Activation("prelu", slope=slopes))]


# --------------------------------------------------------------------------------------- arithmetic


def arithmetic(b: Builder, op: Operator) -> list[Tensor]:
    """Add, Sub, Mul, Div, Max, Min, Sum of tensors and constants, two or more."""
    kind = KINDS[op.kind]
    made = b.tensor(op, 0)
    for number in range(1, len(op.inputs)):
        made = _two(b, op, kind, made, b.tensor(op, number), number)
    return [made]


def _two(b: Builder, op: Operator, kind: Kind, x: Tensor, y: Tensor, number: int) -> Tensor:
    if isinstance(x, View) and isinstance(y, View):
        return _binary(b, op, kind, x, y)
    view, constant = (x, y) if isinstance(x, View) else (y, x)
    if not isinstance(view, View) or isinstance(constant, View):
        # Constants before the first image of a long sum.
        function = {"add": np.add, "max": np.maximum, "min": np.minimum}.get(kind)
        if function is None or isinstance(x, View) or isinstance(y, View):
            refuse(op, "it holds constants only")
        return np.asarray(function(x, y))
    if constant.dtype.kind not in "fiu":
        refuse(op, f"it mixes images with {constant.dtype} numbers; floats are supported")
    if kind in ("max", "min"):
        return _bounded(b, op, kind, view, constant)
    b.check_finite(op.input(number if view is x else 0), constant)
    if _grows(view, constant):
        return _binary(b, op, kind, *((view, b.constant(op, constant))[:: 1 if view is x else -1]))
    return _with_constant(b, op, kind, view, constant.astype(np.float64), first=view is x)


def _grows(view: View, constant: np.ndarray) -> bool:
    dims = (1,) * (constant.ndim - len(view.dims)) + view.dims
    sizes = (1,) * (len(dims) - constant.ndim) + constant.shape
    return any(n > 1 and d == 1 for n, d in zip(sizes, dims, strict=True))


def _with_constant(
    b: Builder, op: Operator, kind: Kind, view: View, k: np.ndarray, *, first: bool
) -> View:
    """An image and a constant; `first` is True where the image stands on the left."""
    one, none = np.ones(1), np.zeros(1)
    if kind == "add" or (kind == "sub" and first):
        return affine(b, op, view, one, k if kind == "add" else -k)
    if kind == "sub":
        return affine(b, op, view, -one, k)
    if kind == "mul":
        return affine(b, op, view, k, none)
    if first:
        if not k.all():
            refuse(op, "it divides by zero")
        return affine(b, op, view, 1 / k, none)
    over = np.broadcast_to(_over_image(b, op, view, k), b.shapes[view.value])
    value = b.add(op, Constant, value=over.astype(np.float32))
    return replaced(view, b.add(op, Binary, kind="div", x=value, y=view.value))


def affine(b: Builder, op: Operator, view: View, scale: np.ndarray, bias: np.ndarray) -> View:
    """x * scale + bias, constants as the file broadcasts them."""
    shape = b.shapes[view.value]
    rows = [_over_image(b, op, view, k) for k in (scale, bias)]
    if all(r.shape[:2] == (1, 1) for r in rows):
        s, t = (np.broadcast_to(r.reshape(-1), shape[2:]) for r in rows)
        return replaced(view, b.add(op, Affine, x=view.value, scale=s, bias=t))
    for kind, r, idle in (("mul", rows[0], 1.0), ("add", rows[1], 0.0)):
        if (r != idle).any():
            value = b.add(op, Constant, value=_repeatable(r, shape))
            view = replaced(view, b.add(op, Binary, kind=kind, x=view.value, y=value))
    return view


def _repeatable(k: np.ndarray, shape: Shape) -> np.ndarray:
    """The constant in a shape that Binary repeats: (h, w, 1) or the whole."""
    per_pixel = k.shape[2] == 1
    return np.broadcast_to(k, (*shape[:2], 1 if per_pixel else shape[2])).astype(np.float32)


def _bounded(b: Builder, op: Operator, kind: Kind, view: View, constant: np.ndarray) -> View:
    """Max and Min with a number are a Clip; with a number a channel or pixel they stay."""
    if constant.size == 1 and constant.ndim <= len(view.dims):
        bound = float(constant.reshape(-1)[0])
        low, high = (bound, INFINITY) if kind == "max" else (-INFINITY, bound)
        return _clipped(b, op, view, low, high)
    b.check_finite("a bound", constant)
    k = _over_image(b, op, view, constant)
    shape = b.shapes[view.value]
    k = k if k.shape[:2] == (1, 1) else _repeatable(k, shape)
    k = np.broadcast_to(k, (*k.shape[:2], shape[2])) if k.shape[:2] == (1, 1) else k
    value = b.add(op, Constant, value=k.astype(np.float32))
    return replaced(view, b.add(op, Binary, kind=kind, x=view.value, y=value))


def _over_image(b: Builder, op: Operator, view: View, constant: np.ndarray) -> np.ndarray:
    found = views.in_image_order(constant, view, b.shapes[view.value])
    if found is None:
        refuse(op, f"a constant of shape {constant.shape} does not fit its input {view.dims}")
    return found


def power(b: Builder, op: Operator) -> list[Tensor]:
    """Exponents 1, 2, 3, 0.5 and -1."""
    view, exponent = b.view(op), b.known(op, 1, "exponents")
    number = float(exponent.reshape(-1)[0]) if exponent.size == 1 else math.nan
    if number == 1:
        return [view]
    if number == 0.5:
        return [act(b, op, view, Activation("sqrt"))]
    if number == -1:
        return [_with_constant(b, op, "div", view, np.ones(1), first=False)]
    if number not in (2, 3):
        refuse(op, f"its exponent is {exponent.tolist() if exponent.size < 5 else '...'}; "
                   f"-1, 0.5, 1, 2 and 3 are supported")  # fmt: skip
    value = view.value
    for _ in range(int(number) - 1):
        value = b.add(op, Binary, kind="mul", x=value, y=view.value)
    return [replaced(view, value)]


def reciprocal(b: Builder, op: Operator) -> list[Tensor]:
    """1 / x."""
    return [_with_constant(b, op, "div", b.view(op), np.ones(1), first=False)]


def _binary(b: Builder, op: Operator, kind: Kind, x: View, y: View) -> View:
    rank = max(len(x.axes), len(y.axes))
    x, y = (View(v.value, ((),) * (rank - len(v.axes)) + v.axes) for v in (x, y))
    if (found := _matched(b, x, y)) is None:
        x, y = (b.tidied(op, v) for v in (x, y))
        found = _matched(b, x, y)
    if found == "xy":
        return replaced(x, b.add(op, Binary, kind=kind, x=x.value, y=y.value))
    if found == "yx" and kind != "div":
        first = x.value
        if kind == "sub":
            kind, negative = "add", act(b, op, y, Activation("neg"))
            return replaced(y, b.add(op, Binary, kind=kind, x=negative.value, y=first))
        return replaced(y, b.add(op, Binary, kind=kind, x=y.value, y=first))
    return refuse(
        op, f"{x.dims} and {y.dims} do not fit: equal shapes, or one number a channel, a pixel or "
        f"an image on the {'right' if kind == 'div' else 'other'} side are supported",
    )  # fmt: skip


def _matched(b: Builder, x: View, y: View) -> Literal["xy", "yx"] | None:
    """Which of two tensors has the shape of both together, if the other can be repeated to it."""
    for large, small, found in ((x, y, "xy"), (y, x, "yx")):
        if _repeats(b, large, small):
            return found  # type: ignore[return-value]
    return None


def _repeats(b: Builder, large: View, small: View) -> bool:
    for axis, other in zip(large.axes, small.axes, strict=True):
        one, two = joined(axis), joined(other)
        if two and one != two:
            return False
    shape, beside = b.shapes[large.value], b.shapes[small.value]
    # Digits alone do not tell the sizes of the image they count through.
    return beside in (shape, (1, 1, shape[2]), (*shape[:2], 1), (1, 1, 1)) and (
        beside == shape or _kept_whole(large, small, shape, beside)
    )


def _kept_whole(large: View, small: View, shape: Shape, beside: Shape) -> bool:
    """True where every axis that `small` has is counted in full, so the digits mean the same."""
    have = {x for axis in small.axes for x in views.letters(axis)}
    need = {letter for letter, n in zip("hwc", beside, strict=True) if n > 1}
    return need == have - {"n"} and all(
        n == m or n == 1 for n, m in zip(beside, shape, strict=True)
    )


def softmax(b: Builder, op: Operator, *, log: bool = False) -> list[Tensor]:
    """Over the channels. Before opset 13 it runs over all axes from `axis` on."""
    from pocketvision.compiler.graph import Softmax

    view = b.tidied(op, b.view(op))
    rank = len(view.dims)
    old = op.opset < 13
    axis = int(op.attributes.get("axis", 1 if old else -1))
    if not -rank <= axis < rank:
        refuse(op, f"axis is {axis} of {rank} axes")
    axis %= rank
    run = tuple(range(axis, rank)) if old else (axis,)
    used = {x for i in run for x in views.letters(view.axes[i])}
    if old and used - {"c"}:
        view = b.flattened(op, view)
        used = {x for i in run for x in views.letters(view.axes[i])}
    outside = {x for i, a in enumerate(view.axes) if i not in run for x in views.letters(a)}
    if used - {"c"} or "c" in outside:
        refuse(op, f"it runs over axis {axis} of {view.dims}; over the channels is supported")
    return [replaced(view, b.add(op, Softmax, x=view.value, log=log))]


HANDLERS: dict[str, Handler] = {
    "Relu": plain("relu"), "Sigmoid": plain("sigmoid"), "Tanh": plain("tanh"),
    "Exp": plain("exp"), "Sqrt": plain("sqrt"), "Abs": plain("abs"), "Neg": plain("neg"),
    "HardSwish": plain("hard_swish"), "HardSigmoid": hard_sigmoid, "LeakyRelu": leaky_relu,
    "PRelu": prelu, "Clip": clip, "Pow": power, "Reciprocal": reciprocal,
    "Softmax": softmax, "LogSoftmax": partial(softmax, log=True),
    **dict.fromkeys(KINDS, arithmetic),
}  # fmt: skip
