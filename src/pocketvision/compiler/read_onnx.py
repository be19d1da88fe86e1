"""An .onnx file as a graph for one image.

Each tensor of the file is either known, a numpy array, or a view of an image; operators of known
tensors are computed, the others become nodes. Source: the ONNX operator specification, opsets 9 to
21, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from pocketvision.compiler import (
    onnx_conv,
    onnx_fold,
    onnx_layout,
    onnx_math,
    onnx_pad,
    onnx_parts,
    onnx_pool,
    onnx_resize,
)
from pocketvision.compiler import onnx_view as views
from pocketvision.compiler.graph import Constant, Graph, Input, Output, Shape
from pocketvision.compiler.onnx_build import Builder, Tensor
from pocketvision.compiler.onnx_file import (
    FLOATS,
    Declared,
    Model,
    Operator,
    read,
)
from pocketvision.compiler.onnx_tensor import MAX_ELEMENTS
from pocketvision.compiler.onnx_view import View, digits, joined
from pocketvision.errors import DataError, PocketvisionError, UsageError, closest

Layout = Literal["nchw", "nhwc", "nc"]
MAX_FOLDED = 1 << 27  # numbers computed from constants, all together
HANDLERS: dict[str, Callable[[Builder, Operator], list[Tensor]]] = {
    "Conv": onnx_conv.conv,
    "ConvTranspose": onnx_conv.conv_transpose,
    "Gemm": onnx_conv.gemm,
    "MatMul": onnx_conv.matmul,
    "BatchNormalization": onnx_conv.batch_norm,
    **onnx_math.HANDLERS,
    **onnx_pool.HANDLERS,
    **onnx_layout.HANDLERS,
    **onnx_parts.HANDLERS,
    **onnx_pad.HANDLERS,
    **onnx_resize.HANDLERS,
}


def read_onnx(
    path: str | Path, *, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Graph:
    """The network in a file, for one image.

    `input_shapes` gives the file's own shape of inputs that leave it open. Raises DataError for a
    file that cannot be read or holds what is not supported, UsageError for a shape
    that is missing or wrong.
    """
    try:
        return _read(Path(path), dict(input_shapes or {}))
    except (DataError, UsageError) as e:
        if (text := str(e)).isprintable():
            raise
        # Names in files may hold anything; a message is one line.
        clean = "".join(c if c.isprintable() else " " for c in text)
        raise type(e)(" ".join(clean.split())) from None


def _read(path: Path, given: dict[str, tuple[int, ...]]) -> Graph:
    model = read(path)
    shapes = _input_shapes(model, given)
    try:
        return _graph(model, shapes, channels_last=True)
    except DataError as e:
        # Where nothing tells rows from channels, few of them at the end are taken for channels.
        first = e
    try:
        return _graph(model, shapes, channels_last=False)
    except DataError:
        raise first from None


def _graph(model: Model, shapes: dict[str, tuple[int, ...]], *, channels_last: bool) -> Graph:
    """The graph, `channels_last` where an input's layout is open and its shape looks like it."""
    batches = {dims[0] for dims in shapes.values()}
    if len(batches) > 1:
        raise DataError(f"its inputs have different batches: {sorted(batches)[:4]}")
    b = Builder(batch=next(iter(batches), 1))
    b.tensors.update(model.tensors)
    layouts = {name: _layout(name, dims, model) for name, dims in shapes.items()}
    if not channels_last and "open" not in layouts.values():
        raise DataError("no layout is open")
    inputs = tuple(
        _input(b, name, dims, _decided(layouts[name], dims, channels_last=channels_last))
        for name, dims in shapes.items()
    )
    folded = 0
    for op in model.operators:
        made = _made(b, op)
        folded += sum(t.size for t in made if isinstance(t, np.ndarray))
        if folded > MAX_FOLDED:
            raise DataError(f"{op}: more than {MAX_FOLDED} numbers are computed from constants")
        b.tensors.update((n, t) for n, t in zip(op.outputs, made, strict=False) if n)
    outputs = tuple(_output(b, declared.name) for declared in model.outputs)
    return Graph(inputs=inputs, nodes=tuple(b.nodes), outputs=outputs, shapes=dict(b.shapes))


def _made(b: Builder, op: Operator) -> list[Tensor]:
    """What an operator makes. Raises DataError."""
    given = [b.tensors[name] for name in op.inputs if name]
    known = [t for t in given if isinstance(t, np.ndarray)]
    if len(known) == len(given) and onnx_fold.is_foldable(op):
        return [*onnx_fold.fold(op, known)]
    handler = _shape_of if op.kind in ("Shape", "Size") else HANDLERS.get(op.kind)
    if handler is None:
        raise DataError(
            f"{op}: this operator is not supported{closest(op.kind, HANDLERS)} "
            f"({len(HANDLERS)} are: {', '.join(sorted(HANDLERS))})"
        )
    try:
        made = handler(b, op)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as e:
        if isinstance(e, PocketvisionError):
            raise
        # An attribute or input of a kind that no exporter writes.
        raise DataError(f"{op}: it is not understood: {' '.join(str(e).split())[:120]}") from None
    for tensor in made:
        if isinstance(tensor, View) and math.prod(tensor.dims) >= MAX_ELEMENTS:
            raise DataError(f"{op}: its output would have the shape {tensor.dims}")
    return made


def _shape_of(b: Builder, op: Operator) -> list[Tensor]:
    dims = b.view(op).dims
    if op.kind == "Size":
        return [np.asarray(math.prod(dims), np.int64)]
    return [onnx_fold.shape_numbers(op, dims)]


# ------------------------------------------------------------------------------------------- inputs


def _input_shapes(model: Model, given: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The file's shape of every input, with what the caller said."""
    names = [i.name for i in model.inputs]
    for name in given:
        if name not in names:
            raise UsageError(
                f"no input called {name!r}{closest(name, names)} (inputs: {', '.join(names)})"
            )
    return {i.name: _input_shape(i, given.get(i.name)) for i in model.inputs}


def _input_shape(declared: Declared, given: tuple[int, ...] | None) -> tuple[int, ...]:
    name, dims = declared.name, declared.dims
    if declared.dtype not in FLOATS:
        raise DataError(f"input {name!r} is {declared.dtype}; floats are supported")
    if given is None:
        if dims is None or None in dims[1:]:
            said = "of no shape" if dims is None else f"({', '.join(str(d or '?') for d in dims)})"
            raise UsageError(
                f"input {name!r} is {said} in the file: say which, as in "
                f"--input-shape {name}={_example(dims)}"
            )
        given = tuple(d or 1 for d in dims)
    elif dims is not None:
        fits = len(dims) == len(given) and all(
            d in (None, g) for d, g in zip(dims, given, strict=False)
        )
        if not fits:
            raise UsageError(
                f"input {name!r} is ({', '.join(str(d or '?') for d in dims)}) in the file, which "
                f"({', '.join(map(str, given))}) does not fit"
            )
    if len(given) not in (2, 4):
        raise DataError(
            f"input {name!r} has {len(given)} axes; images (4 axes) and vectors (2) are supported"
        )
    if min(given) < 1 or math.prod(given) >= MAX_ELEMENTS:
        raise UsageError(f"input {name!r} cannot have the shape ({', '.join(map(str, given))})")
    return given


def _example(dims: tuple[int | None, ...] | None) -> str:
    usual = (1, 3, 48, 192) if dims is None or len(dims) == 4 else (1,) * len(dims)
    known = dims or (None,) * 4
    return ",".join(str(d or u) for d, u in zip(known, usual, strict=True))


def _input(b: Builder, name: str, dims: tuple[int, ...], layout: Layout) -> Input:
    h, w, c = {
        "nc": (1, 1, dims[-1]),
        "nchw": (*dims[2:], dims[1]),
        "nhwc": dims[1:],
    }[layout]
    shape: Shape = (h, w, c)
    b.shapes[name] = shape
    n, row = digits("n", b.batch), {k: digits(k, v) for k, v in zip("hwc", shape, strict=True)}
    order = {"nc": "c", "nchw": "chw", "nhwc": "hwc"}[layout]
    b.tensors[name] = View(name, (n, *(row[k] for k in order)))
    return Input(name=name, shape=shape, layout=layout)


ELEMENTWISE = {
    "Identity", "Cast", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Max", "Min", "Pow", "Pad",
    "Dropout", "Neg", "Sqrt", "Abs", "Exp", "Sigmoid", "Tanh", "Resize", "Slice", "Concat",
}  # fmt: skip


def _layout(name: str, dims: tuple[int, ...], model: Model) -> Layout | Literal["open"]:
    """Whether channels come last: where the first that cares turns them to the front."""
    if len(dims) == 2:
        return "nc"
    reached = {name}
    for op in model.operators:
        if not reached.intersection(op.inputs):
            continue
        if op.kind == "Transpose":
            return "nhwc" if op.attributes.get("perm") == (0, 3, 1, 2) else "nchw"
        if op.kind not in ELEMENTWISE:
            return "nhwc" if op.kind == "MatMul" else "nchw"
        reached.update(op.outputs)
    return "open"


def _decided(
    layout: Layout | Literal["open"], dims: tuple[int, ...], *, channels_last: bool
) -> Layout:
    few = (1, 3, 4)
    if layout == "open":
        return "nhwc" if channels_last and dims[3] in few and dims[1] not in few else "nchw"
    return layout


# ------------------------------------------------------------------------------------------ outputs


def _output(b: Builder, name: str) -> Output:
    op = Operator(name=name, kind="output", inputs=(name,), outputs=(f"{name}.out",),
                  attributes={}, opset=0)  # fmt: skip
    found = b.tensors[name]
    if isinstance(found, np.ndarray):
        return _constant_output(b, op, found)
    view = found
    b.check_batch(op, view)
    dims = view.dims[1:]
    if _order(b, view) is None:
        view = b.tidied(op, view)
    if (layout := _order(b, view)) is None:
        view = b.flattened(op, view)
        layout = "nc"
    if len(dims) == 1 and b.shapes[view.value][:2] == (1, 1):
        layout = "nc"
    return Output(name=name, value=view.value, shape=dims, layout=layout)


def _order(b: Builder, view: View) -> Layout | None:
    """The layout in which the numbers of the value are the numbers of the tensor."""
    h, w, c = (digits(k, n) for k, n in zip("hwc", b.shapes[view.value], strict=True))
    row = joined(d for axis in view.axes[1:] for d in axis)
    found: dict[Layout, views.Axis] = {"nchw": joined((*c, *h, *w)), "nhwc": joined((*h, *w, *c))}
    fits = [layout for layout, order in found.items() if order == row]
    return (
        ("nhwc" if "nhwc" in fits and views.sign(view.axes[-1]) == "c" else fits[0])
        if fits
        else None
    )


def _constant_output(b: Builder, op: Operator, found: np.ndarray) -> Output:
    if found.ndim < 1 or found.shape[0] != 1 or found.size == 0 or found.dtype.kind != "f":
        raise DataError(f"{op}: it is a constant of {found.dtype} {found.shape}; floats with a "
                        f"batch of 1 are supported")  # fmt: skip
    value = b.add(op, Constant, value=found.reshape(1, 1, -1).astype(np.float32))
    return Output(name=op.name, value=value, shape=found.shape[1:], layout="nc")
