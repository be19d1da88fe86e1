"""Writes small .tflite files field by field, for tests of the reader: a second, independent route
through the schema (the flatbuffers package, not our reader).
"""

import flatbuffers
import numpy as np

CODES = {"ADD": 0, "AVERAGE_POOL_2D": 1, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6,
         "FULLY_CONNECTED": 9, "LOGISTIC": 14, "MUL": 18, "RELU6": 21, "RESHAPE": 22,
         "SOFTMAX": 25, "PAD": 34, "MEAN": 40, "HARD_SWISH": 117}  # fmt: skip
# Union tags of the options tables (schema.fbs, BuiltinOptions).
OPTIONS = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "AVERAGE_POOL_2D": 5, "FULLY_CONNECTED": 8,
           "SOFTMAX": 9, "ADD": 11, "RESHAPE": 17, "MUL": 21, "PAD": 22, "MEAN": 27,
           "HARD_SWISH": 92}  # fmt: skip
TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int8": 9}


class Writer:
    """Tensors and operators collected, then written as one file."""

    def __init__(self):
        self.tensors, self.operators = [], []

    def tensor(self, shape, dtype="float32", data=None, scale=None, zero=0, axis=0):
        """The index of a new tensor; `data` makes it a constant."""
        raw = None if data is None else np.ascontiguousarray(data, dtype).tobytes()
        self.tensors.append((list(shape), TYPES[dtype], raw, scale, zero, axis))
        return len(self.tensors) - 1

    def constant(self, values, **grid):
        values = np.asarray(values)
        return self.tensor(values.shape, str(values.dtype), values, **grid)

    def add(self, name, inputs, output, options=()):
        """One operator; options are (field, struct letter, value)."""
        self.operators.append((name, inputs, output, options))
        return output

    def conv(self, x, w, b, out, *, stride=1, act=0, padding=0, deep=False, dilation=1):
        options = [(0, "b", padding), (1, "i", stride), (2, "i", stride)]
        if deep:
            options += [(3, "i", 1), (4, "b", act), (5, "i", dilation), (6, "i", dilation)]
        else:
            options += [(3, "b", act), (4, "i", dilation), (5, "i", dilation)]
        name = "DEPTHWISE_CONV_2D" if deep else "CONV_2D"
        return self.add(name, [x, w, b], out, options)

    def bytes(self, inputs, outputs):
        b = flatbuffers.Builder(1 << 16)
        codes = sorted({name for name, *_ in self.operators}, key=CODES.get)
        buffers = [b""] + [raw for _, _, raw, *_ in self.tensors if raw is not None]
        made = [table(b, [(0, "offset", vector_u8(b, raw))] if raw else []) for raw in buffers]
        places = iter(range(1, len(buffers)))
        tensors = [self._tensor(b, i, row, places) for i, row in enumerate(self.tensors)]
        operators = [self._operator(b, row, codes) for row in self.operators]
        graph = table(
            b,
            [(0, "offset", vector(b, tensors)), (1, "offset", vector_i32(b, inputs)),
             (2, "offset", vector_i32(b, outputs)), (3, "offset", vector(b, operators))],
        )  # fmt: skip
        names = [table(b, [(0, "b", CODES[c]), (2, "i", 1), (3, "i", CODES[c])]) for c in codes]
        model = table(
            b,
            [(0, "I", 3), (1, "offset", vector(b, names)), (2, "offset", vector(b, [graph])),
             (4, "offset", vector(b, made))],
        )  # fmt: skip
        b.Finish(model, b"TFL3")
        return bytes(b.Output())

    def _tensor(self, b, i, row, places):
        shape, kind, raw, scale, zero, axis = row
        name, fields = b.CreateString(f"tensor {i}"), []
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            zeros = np.broadcast_to(np.asarray(zero, np.int64), scales.shape)
            grid = table(
                b,
                [(2, "offset", b.CreateNumpyVector(scales)),
                 (3, "offset", b.CreateNumpyVector(np.ascontiguousarray(zeros))), (6, "i", axis)],
            )  # fmt: skip
            fields = [(4, "offset", grid)]
        buffer = 0 if raw is None else next(places)
        return table(
            b,
            [(0, "offset", vector_i32(b, shape)), (1, "b", kind), (2, "I", buffer),
             (3, "offset", name), *fields],
        )  # fmt: skip

    def _operator(self, b, row, codes):
        name, inputs, output, options = row
        fields = [(0, "I", codes.index(name)), (1, "offset", vector_i32(b, inputs)),
                  (2, "offset", vector_i32(b, [output]))]  # fmt: skip
        if name in OPTIONS:
            fields += [(3, "B", OPTIONS[name]), (4, "offset", table(b, list(options)))]
        return table(b, fields)


def table(b, fields):
    """One table; all it refers to was written before."""
    b.StartObject(max([f for f, _, _ in fields], default=-1) + 1)
    for field, kind, value in fields:
        if kind == "offset":
            b.PrependUOffsetTRelativeSlot(field, value, 0)
        elif kind == "b":
            b.PrependInt8Slot(field, value, 0)
        elif kind == "B":
            b.PrependUint8Slot(field, value, 0)
        elif kind == "I":
            b.PrependUint32Slot(field, value, 0)
        elif kind == "f":
            b.PrependFloat32Slot(field, value, 0.0)
        else:
            b.PrependInt32Slot(field, value, 0)
    return b.EndObject()


def vector(b, offsets):
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return b.EndVector()


def vector_i32(b, values):
    return b.CreateNumpyVector(np.asarray(values, np.int32))


def vector_u8(b, raw):
    return b.CreateNumpyVector(np.frombuffer(raw, np.uint8))


# ----------------------------------------------------------------------------------- small networks


def small_float(*, swish=False, padded=False, seed=0):
    """A stem, a separable block with a gate, an inverted residual with a shortcut, a classifier.

    `swish`: hard-swish written out (x + 3, cut to 0..6, times x, over 6) and gates likewise;
    `padded`: the stride of the stem by PAD and no padding, one pixel all around.
    """
    rng = np.random.default_rng(seed)
    w = Writer()
    image = w.tensor((1, 16, 16, 3))
    x = image
    if padded:
        pads = w.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        x = w.add("PAD", [x, pads], w.tensor((1, 18, 18, 3)))
    x = w.conv(x, f32(w, rng, 8, 3, 3, 3), f32(w, rng, 8), w.tensor((1, 8, 8, 8)), stride=2,
               padding=int(padded), act=0 if swish else 3)  # fmt: skip
    if swish:
        x = hard_swish(w, x, (1, 8, 8, 8))
    y = w.conv(x, f32(w, rng, 1, 3, 3, 8), f32(w, rng, 8), w.tensor((1, 8, 8, 8)), act=1, deep=True)
    if swish:
        y = gate(w, rng, y, 8, 4)
    x = w.conv(y, f32(w, rng, 12, 1, 1, 8), f32(w, rng, 12), w.tensor((1, 8, 8, 12)))
    y = w.conv(x, f32(w, rng, 24, 1, 1, 12), f32(w, rng, 24), w.tensor((1, 8, 8, 24)), act=3)
    y = w.conv(y, f32(w, rng, 1, 3, 3, 24), f32(w, rng, 24), w.tensor((1, 8, 8, 24)), act=3,
               deep=True)  # fmt: skip
    y = w.conv(y, f32(w, rng, 12, 1, 1, 24), f32(w, rng, 12), w.tensor((1, 8, 8, 12)))
    x = w.add("ADD", [x, y], w.tensor((1, 8, 8, 12)))
    return ended(w, rng, image, x, 12, (8, 8))


def f32(w, rng, *shape):
    fan_in = int(np.prod(shape[1:])) or 1
    return w.constant((rng.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32))


def number(w, value):
    return w.constant(np.float32(value))


def hard_swish(w, x, shape):
    y = w.add("ADD", [x, number(w, 3)], w.tensor(shape))
    y = w.add("RELU6", [y], w.tensor(shape))
    y = w.add("MUL", [x, y], w.tensor(shape))
    return w.add("MUL", [y, number(w, 0.16667)], w.tensor(shape))


def gate(w, rng, x, c, squeeze):
    axes = w.constant(np.array([1, 2], np.int32))
    y = w.add("MEAN", [x, axes], w.tensor((1, 1, 1, c)), [(0, "b", 1)])
    y = w.conv(y, f32(w, rng, squeeze, 1, 1, c), f32(w, rng, squeeze), w.tensor((1, 1, 1, squeeze)),
               act=1)  # fmt: skip
    y = w.conv(y, f32(w, rng, c, 1, 1, squeeze), f32(w, rng, c), w.tensor((1, 1, 1, c)))
    y = w.add("ADD", [y, number(w, 3)], w.tensor((1, 1, 1, c)))
    y = w.add("RELU6", [y], w.tensor((1, 1, 1, c)))
    y = w.add("MUL", [y, number(w, 1 / 6)], w.tensor((1, 1, 1, c)))
    return w.add("MUL", [x, y], w.tensor((1, 8, 8, c)))


def ended(w, rng, image, x, c, size):
    options = [(0, "b", 1), (1, "i", 1), (2, "i", 1), (3, "i", size[1]), (4, "i", size[0])]
    y = w.add("AVERAGE_POOL_2D", [x], w.tensor((1, 1, 1, c)), options)
    shape = w.constant(np.array([1, c], np.int32))
    y = w.add("RESHAPE", [y, shape], w.tensor((1, c)))
    y = w.add("FULLY_CONNECTED", [y, f32(w, rng, 5, c), f32(w, rng, 5)], w.tensor((1, 5)))
    y = w.add("SOFTMAX", [y], w.tensor((1, 5)), [(0, "f", 1.0)])
    return w.bytes([image], [y])


def small_quantized(*, signed, seed=0):
    """Stem, separable block with a shortcut, classifier; uint8 per tensor or int8 per channel."""
    rng = np.random.default_rng(seed)
    w, kind = Writer(), "int8" if signed else "uint8"
    low = -128 if signed else 0
    image = w.tensor((1, 16, 16, 3), kind, scale=1 / 128, zero=low + 128)
    six = {"scale": 6 / 255, "zero": low}
    x, s = w.tensor((1, 8, 8, 8), kind, **six), 6 / 255
    w.conv(image, *whole(w, rng, (8, 3, 3, 3), 1 / 128, signed, 0), x, stride=2, act=3)
    y = w.tensor((1, 8, 8, 8), kind, **six)
    w.conv(x, *whole(w, rng, (1, 3, 3, 8), s, signed, 3), y, act=3, deep=True)
    z = w.tensor((1, 8, 8, 8), kind, scale=0.05, zero=low + 120)
    w.conv(y, *whole(w, rng, (8, 1, 1, 8), s, signed, 0), z)
    x2 = w.add("ADD", [x, z], w.tensor((1, 8, 8, 8), kind, scale=0.06, zero=low + 100))
    options = [(0, "b", 1), (1, "i", 1), (2, "i", 1), (3, "i", 8), (4, "i", 8)]
    p = w.add("AVERAGE_POOL_2D", [x2], w.tensor((1, 1, 1, 8), kind, scale=0.06, zero=low + 100),
              options)  # fmt: skip
    out = w.tensor((1, 1, 1, 5), kind, scale=0.03, zero=low + 128)
    w.conv(p, *whole(w, rng, (5, 1, 1, 8), 0.06, signed, 0), out)
    return w.bytes([image], [out])


def whole(w, rng, shape, s_in, per_channel, axis):
    """(weight, bias) in whole numbers: int8 per channel along `axis`, or uint8 per tensor."""
    count = shape[axis]
    fan_in = np.prod(shape) / count
    if per_channel:
        scale = (rng.uniform(0.5, 1.5, count) * 2 / np.sqrt(fan_in) / 127).astype(np.float32)
        q = rng.integers(-127, 128, shape).astype(np.int8)
        weight = w.constant(q, scale=scale, zero=np.zeros(count, np.int64), axis=axis)
    else:
        scale = np.float32(2 / np.sqrt(fan_in) / 127)
        weight = w.constant(rng.integers(0, 256, shape).astype(np.uint8), scale=scale, zero=131)
    both = np.float32(s_in) * np.broadcast_to(scale, (count,))
    bias = np.round(rng.normal(0, 0.5, count) / both).astype(np.int32)
    grid = both if per_channel else both[0]
    return weight, w.constant(bias, scale=grid, zero=np.zeros(np.size(grid), np.int64))
