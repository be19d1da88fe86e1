"""Graphs of one kind of node each, over odd shapes; every case has its own input and output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pocketvision.compiler import graph as g
from pocketvision.compiler.shapes import shape_of

SHAPES = ((1, 1, 1), (1, 1, 40), (5, 7, 3), (7, 5, 16), (4, 3, 33), (1, 9, 18))
ACTS = {
    "clip": g.Activation("clip", -0.5, 0.75),
    "hard_sigmoid": g.Activation("hard_sigmoid", 0.3, 0.4),
    "leaky_relu": g.Activation("leaky_relu", 0.2),
}


def activation(kind: str, c: int = 1) -> g.Activation:
    """One of every kind, with numbers."""
    if kind == "prelu":
        return g.Activation("prelu", slope=numbers(c))
    return ACTS.get(kind, g.Activation(kind))


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Weights of a shape."""
    rng = np.random.default_rng([seed, *shape])
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


class Cases:
    """A graph that grows by cases that know nothing of each other."""

    def __init__(self) -> None:
        self.inputs: list[g.Input] = []
        self.nodes: list[g.Node] = []
        self.outputs: list[g.Output] = []
        self.shapes: dict[str, g.Shape] = {}

    def input(self, shape: g.Shape, layout: Any = "nhwc") -> str:
        """A new input."""
        name = f"x{len(self.inputs)}"
        self.inputs.append(g.Input(name=name, shape=shape, layout=layout))
        self.shapes[name] = shape
        return name

    def node(self, of: type[g.Node], /, **fields: Any) -> str:
        """A new node; its value."""
        name = f"v{len(self.nodes)}"
        node = of(name=f"{of.__name__} {name}", output=name, **fields)
        self.shapes[name] = shape_of(node, self.shapes)
        self.nodes.append(node)
        return name

    def output(self, value: str, layout: Any = "nhwc") -> None:
        """A value that is asked for."""
        h, w, c = self.shapes[value]
        shape = {"nhwc": (h, w, c), "nchw": (c, h, w), "nc": (c,)}[layout]
        name = f"y{len(self.outputs)}"
        self.outputs.append(g.Output(name=name, value=value, shape=shape, layout=layout))

    def graph(self) -> g.Graph:
        """All cases."""
        return g.Graph(
            inputs=tuple(self.inputs),
            nodes=tuple(self.nodes),
            outputs=tuple(self.outputs),
            shapes=self.shapes,
        )


def each(kind: type[g.Node], cases: Iterable[tuple[g.Shape, dict[str, Any]]]) -> g.Graph:
    """A graph of (shape of x, fields) of nodes of one kind."""
    made = Cases()
    for shape, fields in cases:
        made.output(made.node(kind, x=made.input(shape), **fields))
    return made.graph()


def acts() -> g.Graph:
    """Activations on their own."""
    kinds = [k for k in g.ACTIVATIONS if k != "sqrt"]
    made = Cases()
    for i, kind in enumerate(kinds):
        shape = SHAPES[i % len(SHAPES)]
        x = made.input(shape)
        made.output(made.node(g.Act, x=x, act=activation(kind, shape[2])))
    for shape in SHAPES:
        x = made.node(g.Act, x=made.input(shape), act=activation("abs"))
        made.output(made.node(g.Act, x=x, act=activation("sqrt")))
        x = made.input(shape)
        made.output(made.node(g.Act, x=x, act=activation("prelu", shape[2])))
    return made.graph()


def affines() -> g.Graph:
    """Scales and biases, with activations."""
    kinds = [k for k in g.ACTIVATIONS if k != "sqrt"]
    return each(
        g.Affine,
        (
            (
                s,
                {
                    "scale": numbers(s[2]),
                    "bias": numbers(s[2], seed=1),
                    "act": activation(kinds[i], s[2]),
                },
            )
            for i, s in enumerate(SHAPES * 2)
        ),
    )


def binaries() -> g.Graph:
    """Every operation with every way to repeat y."""
    made = Cases()
    kinds = ("none", "relu", "sigmoid", "clip", "hard_swish", "prelu")
    for i, kind in enumerate(("add", "mul", "sub", "div", "max", "min")):
        for j, shape in enumerate(SHAPES[1:]):
            h, w, c = shape
            y = [(h, w, c), (1, 1, c), (h, w, 1), (1, 1, 1)][(i + j) % 4]
            x, other = made.input(shape), made.input(y)
            if kind == "div":  # away from zero
                other = made.node(g.Act, x=other, act=g.Activation("exp"))
            act = activation(kinds[(i + 2 * j) % len(kinds)], c)
            made.output(made.node(g.Binary, kind=kind, x=x, y=other, act=act))
        x = made.input((3, 4, 5))
        made.output(made.node(g.Binary, kind=kind, x=x, y=x))
    return made.graph()


def pools() -> g.Graph:
    """Windows of many sizes, that hang out or not."""
    made = Cases()
    windows = (
        ((2, 2), (2, 2), (0, 0, 0, 0)),
        ((3, 3), (2, 2), (1, 1, 1, 1)),
        ((3, 2), (1, 2), (0, 1, 2, 0)),
        ((3, 3), (2, 2), (0, 0, 2, 2)),
        ((1, 1), (3, 2), (0, 0, 0, 0)),
        ((5, 5), (1, 1), (2, 2, 2, 2)),
        ((4, 4), (3, 3), (1, 0, 2, 3)),
    )
    for kind, counted in (("max", False), ("mean", False), ("mean", True)):
        for i, (kernel, stride, pads) in enumerate(windows):
            shape = ((7, 8, 5), (6, 5, 16), (5, 5, 33), (3, 9, 20))[i % 4]
            x = made.input(shape)
            fields = {"kind": kind, "kernel": kernel, "stride": stride, "pads": pads}
            made.output(made.node(g.Pool, x=x, count_padding=counted, **fields))
        x = made.input((6, 9, 17))
        made.output(made.node(g.Pool, x=x, kind=kind, kernel=(6, 9), stride=(6, 9)))
        x = made.input((1, 1, 3))
        pads = (1, 1, 1, 1)
        made.output(made.node(g.Pool, x=x, kind=kind, kernel=(3, 3), stride=(1, 1), pads=pads))
    return made.graph()


def means() -> g.Graph:
    """Means over space; of one, with borders around the result."""
    made = Cases()
    for shape in (*SHAPES, (23, 31, 19)):
        made.output(made.node(g.GlobalMean, x=made.input(shape)))
    for c in (20, 32):
        x = made.input((6, 7, c))
        if c == 32:
            x = depthwise(made, x, 3)
        mean = made.node(g.GlobalMean, x=x)
        conv(made, mean, 9, 3, pads=(1, 1, 1, 1))
        made.output(mean)
    return made.graph()


def conv(made: Cases, x: str, c: int, k: int = 1, *, asked: bool = True, **fields: Any) -> str:
    """A convolution of a value, asked for."""
    per = made.shapes[x][2] // fields.get("groups", 1)
    weight = numbers(c, k, k, per) / np.float32(np.sqrt(k * k * per) / 2)
    value = made.node(g.Conv, x=x, weight=weight, bias=numbers(c), **fields)
    if asked:
        made.output(value)
    return value


def depthwise(made: Cases, x: str, k: int, **fields: Any) -> str:
    """A depthwise convolution of the same size."""
    c = made.shapes[x][2]
    fields = {"pads": (k // 2,) * 4, **fields}
    return made.node(g.Depthwise, x=x, weight=numbers(k, k, c), bias=numbers(c), **fields)


def concats() -> g.Graph:
    """Along every axis; channels that begin anywhere."""
    made = Cases()
    for counts in ((16, 32), (3, 5, 7), (16, 4, 40), (17, 31, 1), (1, 1), (58, 58), (20,)):
        parts = tuple(made.input((4, 5, c)) for c in counts)
        made.output(made.node(g.Concat, parts=parts))
    for axis in (0, 1):
        for c in (1, 20):
            sizes = [(3, 4, c), (3, 4, c), (3, 4, c)]
            sizes[1] = (2, 4, c) if axis == 0 else (3, 1, c)
            parts = tuple(made.input(s) for s in sizes)
            value = made.node(g.Concat, parts=parts, axis=axis)
            conv(made, value, 5, 3, pads=(1, 1, 1, 1))
            made.output(value)
    x = made.input((2, 3, 10))
    made.output(made.node(g.Concat, parts=(x, x, x)))
    return made.graph()


def channels() -> g.Graph:
    """Slices, splits, shuffles, repeats."""
    made = Cases()
    shuffle = np.arange(40).reshape(2, 20).T.ravel()
    index: tuple[Any, ...] = (
        np.arange(16, 32), np.arange(3, 37), np.arange(39, -1, -1), shuffle,
        np.array([5]), np.array([0, 0, 39, 1, 1]), np.arange(0, 40, 2), np.arange(40),
        np.arange(20, 40),
    )  # fmt: skip
    for i, some in enumerate(index):
        x = made.input(((3, 5, 40), (1, 1, 40), (4, 1, 40))[i % 3])
        made.output(made.node(g.Channels, x=x, index=some))
    return made.graph()


def crops() -> g.Graph:
    """Windows, with steps."""
    windows = ((0, 0, 2, 3, 1, 1), (1, 2, 4, 3, 1, 1), (0, 0, 3, 4, 2, 2), (2, 1, 2, 2, 1, 3))
    return each(
        g.Crop,
        (
            ((5, 7, c), {"top": t, "left": left, "shape": (h, w, c), "step": (sy, sx)})
            for c in (3, 16, 35)
            for t, left, h, w, sy, sx in windows
        ),
    )


def pads() -> g.Graph:
    """Borders of every kind."""
    return each(
        g.Pad,
        (
            (shape, {"pads": some, "kind": kind, "value": 0.5 if kind == "constant" else 0.0})
            for kind in ("constant", "reflect", "edge")
            for shape, some in (
                ((3, 4, 5), (1, 2, 2, 3)),
                ((5, 3, 32), (0, 1, 4, 0)),
                ((4, 4, 17), (0, 0, 0, 3)),
            )
        ),
    )


def resizes() -> g.Graph:
    """All rules of coordinates and rounding, up and down."""
    made = Cases()
    sizes = (
        ((3, 4), (6, 8)),
        ((5, 7), (8, 3)),
        ((1, 1), (3, 2)),
        ((6, 5), (1, 1)),
        ((4, 4), (7, 9)),
    )
    for coordinates in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        for i, (size, new) in enumerate(sizes):
            scales = (new[0] / size[0], new[1] / size[1])
            common = {"size": new, "scales": scales, "coordinates": coordinates}
            x = made.input((*size, (5, 16, 33)[i % 3]))
            made.output(made.node(g.Resize, x=x, kind="linear", **common))
            for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
                made.output(made.node(g.Resize, x=x, kind="nearest", rounding=rounding, **common))
    return made.graph()


def softmaxes() -> g.Graph:
    """Of few channels and many, and of large numbers."""
    made = Cases()
    for shape in (*SHAPES, (1, 1, 1000), (3, 5, 21)):
        for log in (False, True):
            x = made.input(shape)
            large = made.node(
                g.Affine, x=x, scale=np.full(shape[2], 30.0), bias=np.full(shape[2], 200.0)
            )
            made.output(made.node(g.Softmax, x=large if shape[2] == 33 else x, log=log))
    return made.graph()


def flattens() -> g.Graph:
    """Channels first or last; the vector read by a convolution with borders."""
    made = Cases()
    for shape in SHAPES:
        for order in ("chw", "hwc"):
            value = made.node(g.Flatten, x=made.input(shape), order=order)
            made.output(value, "nc")
            if shape == (5, 7, 3):
                conv(made, value, 4, 3, pads=(1, 1, 1, 1))
                conv(made, value, 6)
    return made.graph()


def constants() -> g.Graph:
    """Beside an image, as an output, and read with borders."""
    made = Cases()
    for shape in SHAPES:
        value = made.node(g.Constant, value=numbers(*shape))
        made.output(made.node(g.Binary, kind="add", x=made.input(shape), y=value))
    made.output(value)
    conv(made, value, 7, 3, pads=(1, 1, 1, 1))
    return made.graph()


def transposes() -> g.Graph:
    """Transposed convolutions of all strides, pads, dilations and groups."""
    made = Cases()
    rows: tuple[tuple[Any, ...], ...] = (
        # shape, c_out, kernel, stride, pads, dilation, groups
        ((3, 5, 20), 7, (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), 1),
        ((3, 5, 20), 16, (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), 1),
        ((4, 3, 33), 1, (2, 2), (2, 2), (0, 0, 0, 0), (1, 1), 1),
        ((4, 3, 6), 24, (4, 4), (2, 2), (1, 1, 1, 1), (1, 1), 1),
        ((4, 3, 6), 5, (3, 3), (2, 2), (1, 1, 0, 0), (1, 1), 1),
        ((4, 3, 6), 40, (3, 3), (2, 2), (1, 1, 0, 0), (1, 1), 2),
        ((5, 4, 8), 9, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
        ((5, 4, 8), 12, (3, 2), (2, 3), (0, 1, 1, 0), (2, 1), 4),
        ((5, 4, 18), 18, (4, 4), (2, 2), (1, 1, 1, 1), (1, 1), 18),
        ((5, 4, 18), 18, (3, 3), (1, 1), (2, 0, 0, 1), (1, 1), 18),
        ((2, 3, 5), 6, (1, 1), (3, 2), (0, 0, 0, 0), (1, 1), 1),
        ((1, 1, 5), 6, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1),
        ((2, 2, 4), 20, (9, 9), (5, 5), (2, 2, 2, 2), (1, 1), 1),
        ((3, 2, 4), 20, (3, 3), (2, 2), (0, 0, 0, 0), (3, 2), 1),
        ((3, 3, 4), 3, (4, 4), (2, 2), (3, 1, 0, 2), (1, 1), 1),
        ((3, 4, 16), 16, (5, 5), (4, 4), (1, 3, 2, 0), (1, 1), 16),
        # 3x3 parts that are large enough for Winograd, with pads of all signs
        ((9, 8, 20), 20, (3, 3), (1, 1), (3, 1, 0, 2), (1, 1), 1),
        ((8, 9, 20), 17, (6, 6), (2, 2), (5, 0, 1, 3), (1, 1), 1),
    )
    for i, (shape, c, kernel, stride, some, dilation, groups) in enumerate(rows):
        weight = numbers(shape[2], *kernel, c // groups)
        act = activation(("none", "prelu", "sigmoid", "relu", "prelu")[i % 5], c)
        value = made.node(
            g.ConvTranspose, x=made.input(shape), weight=weight, bias=numbers(c), stride=stride,
            pads=some, dilation=dilation, groups=groups, act=act,
        )  # fmt: skip
        made.output(value)
    return made.graph()


def convolutions() -> g.Graph:
    """Gates, activations before and slopes after, in every combination; few and many channels."""
    made = Cases()
    for i, (c, k, stride) in enumerate(((3, 3, 1), (20, 1, 1), (32, 3, 2), (18, 1, 2), (5, 2, 1))):
        for gated in (False, True):
            for before in ("none", "hard_swish", "prelu"):
                x = made.input((6, 5, c))
                fields: dict[str, Any] = {"in_act": activation(before, c)}
                if gated:
                    fields["gate"] = made.input((1, 1, c))
                value = conv(
                    made, x, 19, k, stride=(stride, stride), pads=(k // 2,) * 4, asked=False,
                    act=activation(("none", "relu", "prelu", "silu")[i % 4], 19), **fields,
                )  # fmt: skip
                made.output(value)
    x = made.input((4, 4, 8))
    residual = made.input((4, 4, 5))
    conv(made, x, 20, 3, pads=(1,) * 4, residual=residual, act=activation("prelu", 20))
    made.output(depthwise(made, x, 5, residual=residual, act=activation("prelu", 8)))
    conv(made, x, 6, 3, groups=2, dilation=(2, 1), pads=(2, 1, 2, 1))
    conv(made, made.input((1, 1, 50)), 11, act=activation("tanh"))
    conv(made, made.input((5, 4, 3), "nchw"), 8, 5, pads=(3, 2, 0, 4), stride=(1, 3))
    conv(made, made.input((7, 7, 2)), 8, 3, pads=(0, 1, 2, 0))
    gate = made.node(g.GlobalMean, x=x)
    conv(made, gate, 9, 3, pads=(1,) * 4)
    conv(made, x, 6, gate=gate)
    return made.graph()


def wiring() -> g.Graph:
    """Inputs that are outputs, outputs that are read, values read twice, layouts."""
    made = Cases()
    x, y = made.input((5, 6, 3), "nchw"), made.input((1, 1, 24), "nc")
    made.output(x)
    made.output(x, "nchw")
    made.output(y, "nc")
    a = conv(made, x, 24, 3, pads=(1,) * 4)
    b = made.node(g.Act, x=a, act=activation("relu"))
    made.output(b, "nchw")
    c = made.node(g.Binary, kind="mul", x=a, y=y)
    made.output(made.node(g.Binary, kind="add", x=b, y=c))
    made.output(a)
    made.output(made.node(g.GlobalMean, x=c), "nc")
    made.input((2, 2, 2))  # nobody reads it
    return made.graph()


def chain() -> g.Graph:
    """Large enough that everything runs in bands."""
    made = Cases()
    x = made.input((97, 90, 3), "nchw")
    kept = made.input((24, 22, 48))
    x = conv(made, x, 48, 3, pads=(1,) * 4, stride=(2, 2), act=activation("prelu", 48), asked=False)
    x = made.node(g.Affine, x=x, scale=numbers(48), bias=numbers(48, seed=2))
    x = depthwise(made, x, 3, act=activation("silu"))
    x = made.node(g.Act, x=x, act=activation("hard_swish"))
    x = made.node(g.Binary, kind="mul", x=x, y=made.node(g.Constant, value=numbers(1, 1, 48)))
    x = made.node(g.Pool, x=x, kind="max", kernel=(3, 3), stride=(2, 2), pads=(0, 0, 0, 0))
    x = made.node(g.Binary, kind="add", x=x, y=kept, act=activation("prelu", 48))
    x = conv(made, x, 100, asked=False)
    x = made.node(g.Pool, x=x, kind="mean", kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1))
    conv(made, x, 20, 3, pads=(1, 1, 1, 1), act=activation("relu"))
    return made.graph()


GRAPHS: dict[str, Callable[[], g.Graph]] = {
    f.__name__: f
    for f in (
        acts, affines, binaries, pools, means, concats, channels, crops, pads, resizes,
        softmaxes, flattens, constants, transposes, convolutions, wiring, chain,
    )
}  # fmt: skip
