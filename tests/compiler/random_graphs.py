"""Random small networks as ONNX models, over every operator that the compiler reads.

`random_model(rng)` draws an opset, an input and 4 to 14 pieces: operators, and the shapes in which
files have them (squeeze-excite, residuals, mixed kernels, shuffles, NHWC passages). Numbers stay
near one, so that float32 runs can be compared with float64 ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = (9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20, 21)


@dataclass(frozen=True)
class Image:
    """A tensor (1, c, h, w) of the model."""

    name: str
    c: int
    h: int
    w: int


class Writer:
    """Nodes and weights so far."""

    def __init__(self, rng: np.random.Generator, opset: int) -> None:
        self.rng, self.opset = rng, opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.count = 0

    def name(self, stem: str = "t") -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        """An initializer, or now and then a Constant node."""
        array = np.asarray(value, dtype)
        if self.rng.random() < 0.3:
            return self.op("Constant", value=numpy_helper.from_array(array))
        name = self.name("w")
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def whole(self, *numbers: int) -> str:
        return self.const(list(numbers), np.int64)

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def upto(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))


Piece = Callable[[Writer, Image, Sequence[Image]], Image | None]

# ----------------------------------------------------------------------------------- convolutions


def conv(
    w: Writer, x: Image, *, c_out: int, kernel: tuple[int, int], stride: int = 1, groups: int = 1,
    dilation: int = 1, pads: Sequence[int] | None = None, bias: bool | None = None,
) -> Image:  # fmt: skip
    fan = x.c // groups * kernel[0] * kernel[1]
    inputs = [x.name, w.const(w.normal(c_out, x.c // groups, *kernel, scale=fan**-0.5))]
    if w.chance(0.6) if bias is None else bias:
        inputs.append(w.const(w.normal(c_out, scale=0.3)))
    more: dict[str, Any] = {"group": groups, "strides": [stride] * 2, "dilations": [dilation] * 2}
    reach = [dilation * (k - 1) for k in kernel]
    if pads is None and w.chance(0.3) and dilation == 1:
        more["auto_pad"] = auto = w.pick("SAME_UPPER", "SAME_LOWER")
        assert auto
        h, v = -(-x.h // stride), -(-x.w // stride)
    else:
        p = [reach[0] // 2, reach[1] // 2, reach[0] - reach[0] // 2, reach[1] - reach[1] // 2]
        p = list(pads) if pads is not None else p
        more["pads"] = p
        h = (x.h + p[0] + p[2] - reach[0] - 1) // stride + 1
        v = (x.w + p[1] + p[3] - reach[1] - 1) // stride + 1
    if w.chance(0.7):
        more["kernel_shape"] = list(kernel)
    return Image(w.op("Conv", *inputs, **more), c_out, h, v)


def any_conv(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    groups = w.pick(*(g for g in (1, 1, 1, 2, 3, x.c) if x.c % g == 0))
    kernel = (w.pick(1, 2, 3, 5), w.pick(1, 3, 3, 4))
    dilation = w.pick(1, 1, 2)
    reach = [dilation * (k - 1) for k in kernel]
    pads = None
    if w.chance(0.5):
        pads = [w.upto(0, 3) for _ in range(4)]
        if x.h + pads[0] + pads[2] <= reach[0] or x.w + pads[1] + pads[3] <= reach[1]:
            pads = None
    c_out = groups * w.upto(1, max(1, 18 // groups))
    return conv(w, x, c_out=c_out, kernel=kernel, stride=w.pick(1, 1, 2, 3), groups=groups,
                dilation=dilation, pads=pads)  # fmt: skip


def pointwise(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    groups = w.pick(1, 1, 1, *(g for g in (2, 3) if x.c % g == 0))
    return conv(w, x, c_out=groups * w.upto(1, 8), kernel=(1, 1), groups=groups, pads=[0] * 4)


def depthwise(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    k = w.pick(3, 5)
    return conv(w, x, c_out=x.c * w.pick(1, 1, 1, 2), kernel=(k, k), stride=w.pick(1, 2),
                groups=x.c)  # fmt: skip


def conv_transpose(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    groups = w.pick(*(g for g in (1, 1, 2, x.c) if x.c % g == 0))
    k, s, d = w.upto(1, 4), w.upto(1, 3), w.pick(1, 1, 2)
    per_out = w.upto(1, 4)
    reach = d * (k - 1) + 1
    most = max(0, min(reach - 1, 2))
    pads = [w.upto(0, most) for _ in range(4)]
    more = [w.upto(0, s - 1), w.upto(0, s - 1)] if w.chance(0.5) else [0, 0]
    h = (x.h - 1) * s + reach - pads[0] - pads[2] + more[0]
    v = (x.w - 1) * s + reach - pads[1] - pads[3] + more[1]
    if min(h, v) < 1:
        return None
    inputs = [x.name, w.const(w.normal(x.c, per_out, k, k, scale=(x.c * k * k / s / s) ** -0.5))]
    if w.chance(0.5):
        inputs.append(w.const(w.normal(per_out * groups, scale=0.3)))
    made = w.op("ConvTranspose", *inputs, group=groups, strides=[s, s], dilations=[d, d],
                pads=pads, output_padding=more)  # fmt: skip
    return Image(made, per_out * groups, h, v)


def norm(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    rows = [w.normal(x.c, scale=0.3) + 1, w.normal(x.c, scale=0.3), w.normal(x.c, scale=0.3)]
    rows.append(np.abs(w.normal(x.c)) + 0.5)
    made = w.op("BatchNormalization", x.name, *(w.const(r) for r in rows), epsilon=1e-3)
    return Image(made, x.c, x.h, x.w)


# ------------------------------------------------------------------------------------ activations


def clip(w: Writer, x: str, low: float, high: float) -> str:
    if w.opset < 11:
        return w.op("Clip", x, min=low, max=high)
    return w.op("Clip", x, w.const(low), w.const(high))


def hard_swish(w: Writer, x: str) -> str:
    way = w.upto(0, 4)
    if way == 0 and w.opset >= 14:
        return w.op("HardSwish", x)
    if way == 1:
        return w.op("Mul", x, w.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))
    six = clip(w, w.op("Add", x, w.const(3.0)), 0.0, 6.0)
    if way == 2:
        return w.op("Mul", w.op("Div", six, w.const([6.0])), x)
    if way == 3:
        return w.op("Div", w.op("Mul", x, six), w.const(6.0))
    return w.op("Mul", w.op("Mul", x, six), w.const(1 / 6))


def act(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    kind = w.pick("relu", "relu6", "clip", "hard_swish", "hard_sigmoid", "sigmoid", "silu", "tanh",
                  "prelu", "leaky", "abs", "neg", "exp", "sqrt", "logistic")  # fmt: skip
    n = x.name
    made = {
        "relu": lambda: w.op("Relu", n),
        "relu6": lambda: clip(w, n, 0.0, 6.0),
        "clip": lambda: clip(w, n, -0.7, 0.9),
        "hard_swish": lambda: hard_swish(w, n),
        "hard_sigmoid": lambda: w.op("HardSigmoid", n, alpha=w.pick(0.2, 1 / 6), beta=0.5),
        "sigmoid": lambda: w.op("Sigmoid", n),
        "silu": lambda: w.op("Mul", *w.pick((n, w.op("Sigmoid", n)), (w.op("Sigmoid", n), n))),
        "tanh": lambda: w.op("Tanh", n),
        "prelu": lambda: w.op("PRelu", n, w.const(w.normal(*w.pick((x.c, 1, 1), (1, 1, 1))))),
        "leaky": lambda: w.op("LeakyRelu", n, alpha=w.pick(0.01, 0.2)),
        "abs": lambda: w.op("Abs", n),
        "neg": lambda: w.op("Neg", n),
        "exp": lambda: w.op("Exp", w.op("Tanh", n)),
        "sqrt": lambda: w.op("Sqrt", w.op("Sigmoid", n)),
        "logistic": lambda: w.op("Reciprocal", w.op("Add", w.const(1.0), w.op(
            "Exp", w.op("Tanh", n)))),
    }[kind]()  # fmt: skip
    return Image(made, x.c, x.h, x.w)


def constant(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    shape = w.pick((), (1,), (1, 1, 1, 1), (x.c, 1, 1), (1, x.c, 1, 1), (1, 1, x.h, x.w), (x.w,),
                   (x.c, x.h, x.w), (1, x.h, 1))  # fmt: skip
    kind = w.pick("Add", "Mul", "Sub", "Div", "Max", "Min", "Pow", "Sum")
    k = w.normal(*shape)
    if kind == "Pow":
        return Image(w.op("Pow", x.name, w.const(w.pick(1.0, 2.0, 3.0))), x.c, x.h, x.w)
    if kind == "Div":
        k = np.where(k < 0, k - 1, k + 1).astype(np.float32)
    first = kind in ("Add", "Mul", "Sub", "Max", "Min") and w.chance(0.3)
    inputs = [x.name, w.const(k)][:: -1 if first else 1]
    if kind == "Sum":
        inputs.append(w.const(1.5))
    return Image(w.op(kind, *inputs), x.c, x.h, x.w)


# --------------------------------------------------------------------------------- over the image


def pool(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    kernel = [w.upto(1, min(4, x.h)), w.upto(1, min(4, x.w))]
    stride = [w.upto(1, 3), w.upto(1, 3)]
    pads = [w.upto(0, k - 1) for k in (*kernel, *kernel)] if w.chance(0.6) else [0] * 4
    kind = w.pick("MaxPool", "AveragePool")
    more: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": pads}
    rows = list(zip((x.h, x.w), kernel, stride, pads[:2], pads[2:], strict=True))
    up = [-((k - n - a - b) // s) + 1 for n, k, s, a, b in rows]
    sizes = [(n + a + b - k) // s + 1 for n, k, s, a, b in rows]
    # A window that would lie in the padding alone is dropped by some checkers and not by others.
    clear = all((m - 1) * s < n + a for m, (n, _, s, a, _) in zip(up, rows, strict=True))
    ceil = w.opset >= 10 and clear and w.chance(0.4)
    if ceil:
        more["ceil_mode"], sizes = 1, up
    if kind == "AveragePool":
        more["count_include_pad"] = w.upto(0, 1)
        # Runtimes disagree on what a window that ceil_mode adds divides by when padding counts.
        if ceil and any(pads):
            more["count_include_pad"] = 0
    return Image(w.op(kind, x.name, **more), x.c, *sizes)


def reduce_axes(w: Writer, kind: str, x: str, axes: Sequence[int], *, keep: bool) -> str:
    first = 18 if kind != "ReduceSum" else 13
    if w.opset < first:
        return w.op(kind, x, axes=list(axes), keepdims=int(keep))
    return w.op(kind, x, w.whole(*axes), keepdims=int(keep))


def reduce_space(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    axes = w.pick([2, 3], [-1, -2], [2], [3], [1])
    kind = w.pick("ReduceMean", "ReduceMean", "ReduceMax") if axes != [1] else "ReduceMean"
    made = reduce_axes(w, kind, x.name, axes, keep=True)
    gone = {a % 4 for a in axes}
    return Image(made, 1 if 1 in gone else x.c, 1 if 2 in gone else x.h, 1 if 3 in gone else x.w)


def mean(w: Writer, x: Image) -> Image:
    if w.chance(0.5):
        return Image(w.op("GlobalAveragePool", x.name), x.c, 1, 1)
    if w.chance(0.5):
        return Image(reduce_axes(w, "ReduceMean", x.name, [2, 3], keep=True), x.c, 1, 1)
    flat = reduce_axes(w, "ReduceMean", x.name, [2, 3], keep=False)
    if w.chance(0.5):
        return Image(w.op("Reshape", flat, w.whole(-1, x.c, 1, 1)), x.c, 1, 1)
    made = w.op("Unsqueeze", flat, axes=[2, 3]) if w.opset < 13 else w.op(
        "Unsqueeze", flat, w.whole(2, 3))  # fmt: skip
    return Image(made, x.c, 1, 1)


def excite(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    small = conv(w, mean(w, x), c_out=w.upto(1, 6), kernel=(1, 1), pads=[0] * 4)
    relu = Image(w.op("Relu", small.name), small.c, 1, 1)
    gate = conv(w, relu, c_out=x.c, kernel=(1, 1), pads=[0] * 4)
    gate_name = w.op(*w.pick(("Sigmoid", gate.name), ("HardSigmoid", gate.name)))
    made = w.op("Mul", *w.pick((x.name, gate_name), (gate_name, x.name)))
    if w.chance(0.4):
        made = clip(w, made, 0.0, 6.0)
    if w.chance(0.6):
        return pointwise(w, Image(made, x.c, x.h, x.w), seen)
    return Image(made, x.c, x.h, x.w)


def resize(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    if x.h * x.w > 400:
        return None
    factors = w.pick((2.0, 2.0), (2.0, 3.0), (1.0, 2.0), (1.5, 2.5), (0.5, 0.5))
    sizes = [int(np.floor(n * f)) for n, f in zip((x.h, x.w), factors, strict=True)]
    if min(sizes) < 1:
        return None
    scales = w.const([1.0, 1.0, *factors])
    mode = w.pick("nearest", "linear")
    if w.opset < 11:
        if min(factors) < 1 and mode == "linear":
            return None
        kind = "Upsample" if w.opset < 10 else "Resize"
        if kind == "Upsample" and min(factors) < 1:
            return None
        return Image(w.op(kind, x.name, scales, mode=mode), x.c, *sizes)
    how = w.pick("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    more: dict[str, Any] = {"coordinate_transformation_mode": how}
    if mode == "nearest":
        more["nearest_mode"] = w.pick("floor", "round_prefer_floor", "ceil", "round_prefer_ceil")
        if how == "align_corners":  # lands on halves that only exact arithmetic finds
            more["coordinate_transformation_mode"] = "asymmetric"
    none = w.const([]) if w.opset < 13 else ""
    if w.chance(0.5):
        sizes = [w.upto(1, 2 * x.h), w.upto(1, 2 * x.w)]
        made = w.op("Resize", x.name, none, none, w.whole(1, x.c, *sizes), mode=mode, **more)
    else:
        made = w.op("Resize", x.name, none, scales, mode=mode, **more)
    return Image(made, x.c, *sizes)


def pad(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    mode = w.pick("constant", "constant", "reflect", "edge")
    most = 3 if mode == "constant" else max(0, min(x.h, x.w) - 1)
    sides = [w.upto(0, min(3, most)) for _ in range(4)]
    value = w.pick(0.0, 0.0, 0.5) if mode == "constant" else 0.0
    full = [0, 0, sides[0], sides[1], 0, 0, sides[2], sides[3]]
    if w.opset < 11:
        made = w.op("Pad", x.name, mode=mode, pads=full, value=value)
    elif w.opset >= 18 and w.chance(0.5):
        made = w.op("Pad", x.name, w.whole(*sides), w.const(value), w.whole(2, 3), mode=mode)
    else:
        made = w.op("Pad", x.name, w.whole(*full), w.const(value), mode=mode)
    out = Image(made, x.c, x.h + sides[0] + sides[2], x.w + sides[1] + sides[3])
    if value or w.chance(0.4):
        return out
    if w.chance(0.5):
        return conv(w, out, c_out=w.upto(1, 8), kernel=(1, 1), stride=2, pads=[0] * 4)
    if min(out.h, out.w) < 3:
        return out
    return conv(w, out, c_out=out.c, kernel=(3, 3), groups=out.c, pads=[0] * 4)


def crop(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    axis = w.pick(2, 3)
    size = x.h if axis == 2 else x.w
    start = w.upto(0, size - 1)
    end = w.upto(start + 1, size)
    step = w.pick(1, 1, 2) if w.opset >= 10 else 1
    made = cut(w, x.name, axis, start, end, step)
    count = -(-(end - start) // step)
    return Image(made, x.c, count if axis == 2 else x.h, count if axis == 3 else x.w)


def cut(w: Writer, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    if w.opset < 10:
        return w.op("Slice", x, starts=[start], ends=[end], axes=[axis])
    more = [w.whole(step)] if step != 1 or w.chance(0.3) else []
    return w.op("Slice", x, w.whole(start), w.whole(end), w.whole(axis), *more)


# ----------------------------------------------------------------------------------- over channels


def split(w: Writer, x: str, sizes: Sequence[int]) -> list[str]:
    if w.opset < 13:
        return w.op("Split", x, outputs=len(sizes), axis=1, split=list(sizes))
    return w.op("Split", x, w.whole(*sizes), outputs=len(sizes), axis=1)


def parted(w: Writer, x: Image) -> list[Image]:
    """Two or three parts of the channels."""
    count = min(x.c, w.pick(2, 3))
    cuts = sorted(w.rng.choice(np.arange(1, x.c), count - 1, replace=False).tolist())
    sizes = np.diff([0, *cuts, x.c]).tolist()
    if w.chance(0.5):
        names = split(w, x.name, sizes)
    else:
        ends = np.cumsum(sizes).tolist()
        names = [cut(w, x.name, 1, e - n, e) for n, e in zip(sizes, ends, strict=True)]
    return [Image(n, c, x.h, x.w) for n, c in zip(names, sizes, strict=True)]


def joined(w: Writer, parts: Sequence[Image]) -> Image:
    made = w.op("Concat", *(p.name for p in parts), axis=w.pick(1, 1, -3))
    return Image(made, sum(p.c for p in parts), parts[0].h, parts[0].w)


def mixed(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    if x.c < 2:
        return None
    parts = parted(w, x)
    stride = w.pick(1, 2)
    if w.chance(0.5):
        kernels = [w.pick(3, 5, 7) for _ in parts]
        made = [
            conv(w, p, c_out=p.c, kernel=(k, k), stride=stride, groups=p.c, pads=[k // 2] * 4)
            for p, k in zip(parts, kernels, strict=True)
        ]
    else:
        made = [conv(w, p, c_out=w.upto(1, 5), kernel=(1, 1), pads=[0] * 4) for p in parts]
    return joined(w, made)


def shuffled(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    groups = next((g for g in (2, 3, 5) if x.c % g == 0), None)
    if groups is None:
        return None
    five = w.op("Reshape", x.name, w.whole(w.pick(1, 0, -1), groups, x.c // groups, x.h, x.w))
    turned = w.op("Transpose", five, perm=[0, 2, 1, 3, 4])
    made = Image(w.op("Reshape", turned, w.whole(1, x.c, x.h, x.w)), x.c, x.h, x.w)
    return pointwise(w, made, seen) if w.chance(0.5) else made


def picked(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    index = w.rng.integers(-x.c, x.c, w.upto(1, x.c + 2))
    made = w.op("Gather", x.name, w.const(index, np.int64), axis=1)
    return Image(made, len(index), x.h, x.w)


def concat(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    others = [s for s in seen if (s.h, s.w) == (x.h, x.w)]
    return joined(w, [x, *(w.pick(*others) for _ in range(w.upto(1, 2)))])


def shortcut(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    """ReXNet's: only the first channels are added to."""
    wide = conv(w, x, c_out=x.c + w.upto(0, 3), kernel=(1, 1), pads=[0] * 4)
    if wide.c == x.c:
        return Image(w.op("Add", *w.pick((wide.name, x.name), (x.name, wide.name))), x.c, x.h, x.w)
    first, rest = cut(w, wide.name, 1, 0, x.c), cut(w, wide.name, 1, x.c, wide.c)
    total = Image(w.op("Add", first, x.name), x.c, x.h, x.w)
    return joined(w, [total, Image(rest, wide.c - x.c, x.h, x.w)])


def together(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    """Two branches into one."""
    fits = [s for s in seen if (s.c, s.h, s.w) == (x.c, x.h, x.w)]
    other = w.pick(*fits)
    if other.name == x.name and w.chance(0.7):
        other = conv(w, x, c_out=x.c, kernel=(3, 3), pads=[1] * 4)
    kind = w.pick("Add", "Add", "Add", "Mul", "Sub", "Max", "Min", "Sum")
    return Image(w.op(kind, x.name, other.name), x.c, x.h, x.w)


# ------------------------------------------------------------------------------------------ layout


def passage(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    """To NHWC and back, with something between."""
    turned = w.op("Transpose", x.name, perm=[0, 2, 3, 1])
    kind = w.pick("Relu", "Mul", "MatMul", "Softmax", "LogSoftmax", "Concat", "Pad", "Cast")
    c = x.c
    if kind == "Relu":
        turned = w.op("Relu", turned)
    elif kind == "Mul":
        turned = w.op("Mul", turned, w.const(w.normal(c)))
    elif kind == "MatMul":
        c_out = w.upto(1, 8)
        turned = w.op("MatMul", turned, w.const(w.normal(c, c_out, scale=c**-0.5)))
        c = c_out
        if w.chance(0.5):
            turned = w.op("Add", turned, w.const(w.normal(c)))
    elif kind in ("Softmax", "LogSoftmax"):
        turned = w.op(kind, turned, axis=w.pick(3, -1))
    elif kind == "Concat":
        turned = w.op("Concat", turned, turned, axis=3)
        c *= 2
    elif kind == "Pad" and w.opset >= 11:
        turned = w.op("Pad", turned, w.whole(0, 0, 0, 1, 0, 0, 0, 2))
        c += 3
    else:
        turned = w.op("Cast", turned, to=TensorProto.FLOAT)
    return Image(w.op("Transpose", turned, perm=[0, 3, 1, 2]), c, x.h, x.w)


def idle(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    kind = w.pick("Identity", "Dropout", "Shape", "Squeeze", "Expand")
    if kind in ("Identity", "Dropout"):
        return Image(w.op(kind, x.name), x.c, x.h, x.w)
    if kind == "Expand" and x.h == x.w == 1:
        h, v = w.upto(1, 4), w.upto(1, 4)
        return Image(w.op("Expand", x.name, w.whole(1, x.c, h, v)), x.c, h, v)
    if kind == "Squeeze" and x.h == 1 and x.w > 1:
        flat = w.op("Squeeze", x.name, axes=[2]) if w.opset < 13 else w.op(
            "Squeeze", x.name, w.whole(2))  # fmt: skip
        return Image(w.op("Reshape", flat, w.whole(0, 0, 1, -1)), x.c, x.h, x.w)
    shape = w.op("Shape", x.name)
    first = w.op("Gather", shape, w.whole(0), axis=0)
    rest = w.op("Mul", w.op("Gather", shape, w.whole(2), axis=0), w.whole(1))
    sizes = w.op("Concat", first, w.whole(x.c), rest, w.whole(-1), axis=0)
    return Image(w.op("Reshape", x.name, sizes), x.c, x.h, x.w)


def softmax(w: Writer, x: Image, seen: Sequence[Image]) -> Image | None:
    if w.opset < 13 and x.h * x.w > 1:
        return None
    return Image(w.op(w.pick("Softmax", "LogSoftmax"), x.name, axis=1), x.c, x.h, x.w)


def head(w: Writer, x: Image) -> tuple[str, tuple[int, ...]]:
    """A vector output."""
    if w.chance(0.5) or x.c * x.h * x.w > 2000:
        x = mean(w, x)
    n, size = x.name, x.c * x.h * x.w
    flat = w.pick(
        lambda: w.op("Flatten", n, axis=1), lambda: w.op("Reshape", n, w.whole(-1, size)),
        lambda: w.op("Reshape", w.op("Transpose", n, perm=[0, 2, 3, 1]), w.whole(1, size)),
    )()  # fmt: skip
    k = w.upto(1, 7)
    weight = w.normal(size, k, scale=size**-0.5)
    if w.chance(0.5):
        made = w.op("Gemm", flat, w.const(weight.T), w.const(w.normal(k)), transB=1)
    else:
        made = w.op("Add", w.op("MatMul", flat, w.const(weight)), w.const(w.normal(k)))
    if w.chance(0.5):
        made = w.op(w.pick("Softmax", "LogSoftmax"), made, axis=1)
    return made, (1, k)


PIECES: tuple[Piece, ...] = (
    any_conv, any_conv, pointwise, pointwise, depthwise, depthwise, conv_transpose, norm, norm, act,
    act, act, act, constant, constant, pool, reduce_space, excite, excite, resize, pad, crop, mixed,
    mixed, shuffled, shuffled, picked, concat, shortcut, shortcut, together, together, passage,
    idle, softmax,
)  # fmt: skip
WORTH = 3000  # numbers that an image may have, and still be worked on


def random_model(rng: np.random.Generator) -> onnx.ModelProto:
    """A checked model with one image input "x" and one to four outputs."""
    w = Writer(rng, int(rng.choice(OPSETS)))
    c, h, v = w.pick(1, 2, 3, 3, 4, 5, 6), w.pick(1, 2, 5, 8, 9, 13), w.pick(1, 3, 7, 8, 11, 12)
    seen = [Image("x", c, h, v)]
    for _ in range(w.upto(4, 14)):
        x = seen[-1] if w.chance(0.75) else w.pick(*seen)
        made = w.pick(*PIECES)(w, x, seen)
        if made is not None and made.c * made.h * made.w <= WORTH:
            seen.append(made)
    ends = {seen[-1].name: seen[-1], **{s.name: s for s in seen[1:] if w.chance(0.12)}}
    outputs = [(e.name, (1, e.c, e.h, e.w)) for e in ends.values() if e.name != "x"][:3]
    if w.chance(0.4) or not outputs:
        outputs.append(head(w, seen[-1]))
    batch = w.pick(1, "N")
    graph = helper.make_graph(
        w.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, c, h, v])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, *s[1:]]) for n, s in outputs],
        w.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", w.opset)])
    model.ir_version = 8
    return model
