"""TFLite operators as a graph: float32, uint8 per tensor, int8 per channel (made real).

Source: TensorFlow Lite's `schema.fbs` and its operators' reference kernels: SAME padding puts the
odd pixel at the bottom and right; convolution weights lie OHWI, depthwise ones 1HWC.
"""

from __future__ import annotations

import numpy as np

from pocketvision.errors import WeightsError
from pocketvision.spec import PADDINGS
from pocketvision.weights.graph import Filter, Graph, Node, Pads, rules_of
from pocketvision.weights.tflite_file import GRIDS, Operator, Tensor, TFLiteFile

ACTS = {0: "none", 1: "relu", 3: "relu6"}
# Where the options of each operator with a fused activation keep it.
FUSED = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "FULLY_CONNECTED": 0, "ADD": 0, "MUL": 0, "SUB": 0,
         "AVERAGE_POOL_2D": 5, "MAX_POOL_2D": 5}  # fmt: skip
ALONE = {"RELU": "relu", "RELU6": "relu6", "LOGISTIC": "sigmoid", "HARD_SWISH": "hard_swish"}
SAME = 0
EVERY = frozenset(PADDINGS)


def graph(file: TFLiteFile) -> Graph:
    """The file's operators; constants become real, an operator that is unknown keeps its name."""
    reader = _Reader(file)
    nodes = [node for i, op in enumerate(file.operators) for node in reader.nodes(i, op)]
    return Graph(
        nodes=tuple(nodes),
        inputs=tuple(_key(i) for i in file.inputs),
        outputs=tuple(_key(i) for i in file.outputs),
        shapes={_key(i): _size(t) for i, t in enumerate(file.tensors) if len(t.shape) == 4},
        grids={_key(i): _grid(t) for i, t in enumerate(file.tensors) if _gridded(t)},
        stored={_key(i): _stored(t) for i, t in enumerate(file.tensors) if t.constant and t.grid},
    )


def _key(index: int) -> str:
    return f"t{index}"


def _size(t: Tensor) -> tuple[int, int]:
    return t.shape[1], t.shape[2]


def _gridded(t: Tensor) -> bool:
    return t.grid is not None and len(t.grid.scale) == 1 and t.type in GRIDS and not t.constant


def _grid(t: Tensor) -> tuple[float, int, int, int]:
    assert t.grid is not None
    return float(t.grid.scale[0]), int(t.grid.zero_point[0]), *GRIDS[t.type]


def _cut_by_grid(t: Tensor) -> str:
    """The activation that a grid alone performs: one from 0 cuts below, one up to 6 above too."""
    if t.grid is None or not _gridded(t):
        return "none"
    scale, zero, lowest, highest = _grid(t)
    if zero != lowest:
        return "none"
    return "relu6" if abs(scale * (highest - lowest) - 6) < 0.01 else "relu"


def _stored(t: Tensor) -> tuple[str, int | None, np.ndarray, np.ndarray]:
    """(scheme, axis of the channels in our layout, scales, zero points) of a constant."""
    assert t.grid is not None
    scheme = {3: "uint8", 9: "int8", 2: "int32", 7: "int16"}.get(t.type, f"type {t.type}")
    return scheme, 0 if len(t.grid.scale) > 1 else None, t.grid.scale, t.grid.zero_point


class _Reader:
    """What the operators of one file become."""

    def __init__(self, file: TFLiteFile) -> None:
        self.file = file
        self.sources: dict[int, int] = {}  # outputs of DEQUANTIZE on constants
        self.padded: dict[int, tuple[int, Pads]] = {}  # outputs of PAD: what and by how much

    def nodes(self, number: int, op: Operator) -> list[Node]:
        """One operator as nodes; several where an activation stands alone behind it."""
        name = f"operator {number} ({op.name})"
        if not op.outputs or not op.inputs:
            raise WeightsError(f"{name} has no input or no output: damaged")
        if op.name == "DEQUANTIZE" and self._constant(op.inputs[0]):
            self.sources[op.outputs[0]] = op.inputs[0]
            return []
        if op.name == "PAD" and self._pad(op):
            return []
        try:
            return [self._node(op, name)]
        except IndexError:
            raise WeightsError(f"{name} has too few inputs: damaged") from None

    def _node(self, op: Operator, name: str) -> Node:
        if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            return self._convolution(op, name)
        if op.name == "FULLY_CONNECTED":
            weight = self._real(op.inputs[1])
            weight = self._matrix(weight, name)
            filter_ = Filter(weight=weight, bias=self._bias(op, len(weight)), tensors=_names(op))
            return self._made("conv", op, name, filter=filter_)
        if op.name in ("ADD", "SUB", "MUL", "DIV"):
            return self._arithmetic(op, name)
        if op.name in ALONE:
            return self._made("act", op, name, act=ALONE[op.name])
        kinds = {"RESHAPE": "reshape", "SQUEEZE": "reshape", "SOFTMAX": "softmax",
                 "QUANTIZE": "quantize", "DEQUANTIZE": "quantize"}  # fmt: skip
        if op.name in kinds:
            return self._made(kinds[op.name], op, name)
        if self._over_space(op):
            return self._made("mean", op, name)
        square = (op.number(3), op.number(1)) == (op.number(4), op.number(2))
        if op.name == "MAX_POOL_2D" and square and op.number(0, kind="b") != SAME:
            return self._made("max_pool", op, name, value=(op.number(3), op.number(1)))
        every = tuple(_key(i) for i in op.inputs if i >= 0)
        return Node(op=op.name, inputs=every, output=_key(op.outputs[0]), name=name)

    def _made(self, kind: str, op: Operator, name: str, **more: object) -> Node:
        """A node that reads the operator's first input, with its fused activation."""
        act = more.pop("act", None) or self._act(op, name)
        inputs = more.pop("inputs", (_key(op.inputs[0]),))
        out = _key(op.outputs[0])
        return Node(op=kind, inputs=inputs, output=out, name=name, act=act, **more)  # type: ignore[arg-type]

    def _act(self, op: Operator, name: str) -> str:
        if op.name not in FUSED:
            return "none"
        code = op.number(FUSED[op.name], kind="b")
        if code not in ACTS:
            raise WeightsError(f"{name} has activation {code}, which is not read (none, relu, 6)")
        if ACTS[code] == "none" and op.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            return _cut_by_grid(self.file.tensors[op.outputs[0]])
        return ACTS[code]

    # ------------------------------------------------------------------------------ convolutions

    def _convolution(self, op: Operator, name: str) -> Node:
        deep = op.name == "DEPTHWISE_CONV_2D"
        stored = self._real(op.inputs[1])
        if stored.ndim != 4 or stored.shape[1] != stored.shape[2] or 0 in stored.shape:
            raise WeightsError(f"{name} has weights {stored.shape}; four axes, square, are read")
        weight = stored.transpose(3, 0, 1, 2) if deep else stored.transpose(0, 3, 1, 2)
        source, explicit = self.padded.get(op.inputs[0], (op.inputs[0], None))
        c_in = self._channels(source, name)
        groups = c_in if deep else max(1, c_in // weight.shape[1])
        if weight.shape[1] * groups != c_in or (deep and len(weight) != c_in):
            raise WeightsError(f"{name} has weights {stored.shape} for {c_in} channels: damaged")
        dilations = (op.number(6 if deep else 5, 1), op.number(5 if deep else 4, 1))
        stride = (op.number(2), op.number(1))
        if min(*stride, *dilations) < 1 or dilations[0] != dilations[1] or max(stride) > 8:
            raise WeightsError(f"{name} has stride {stride}, dilation {dilations}: not read")
        rules = self._rules(op, source, explicit, weight.shape[2], stride, dilations[0])
        made = Filter(
            weight=np.ascontiguousarray(weight), bias=self._bias(op, len(weight)), stride=stride,
            dilation=dilations[0], groups=groups, rules=rules, tensors=_names(op),
        )  # fmt: skip
        return self._made("conv", op, name, filter=made, inputs=(_key(source),))

    def _rules(
        self,
        op: Operator,
        source: int,
        explicit: Pads | None,
        kernel: int,
        stride: tuple[int, int],
        dilation: int,
    ) -> frozenset[str]:
        if explicit is None and op.number(0, kind="b") == SAME:
            # At stride 1 every rule pads alike.
            return EVERY if stride == (1, 1) else frozenset({"same"})
        explicit = explicit or ((0, 0), (0, 0))
        return rules_of(explicit, kernel, stride, dilation, _size(self.file.tensors[source]))

    def _channels(self, index: int, name: str) -> int:
        shape = self.file.tensors[index].shape
        if len(shape) != 4 or min(shape[1:]) < 1:
            raise WeightsError(f"{name} reads a tensor of shape {shape}: damaged")
        return shape[3]

    def _pad(self, op: Operator) -> bool:
        """Remember a PAD over height and width; the convolution behind it takes it in."""
        if len(op.inputs) < 2 or not self._constant(op.inputs[1]):
            return False
        pads = self.file.tensors[op.inputs[1]].raw
        if pads.shape != (4, 2) or pads[0].any() or pads[3].any():
            return False
        top, left = (int(pads[1][0]), int(pads[1][1])), (int(pads[2][0]), int(pads[2][1]))
        self.padded[op.outputs[0]] = (op.inputs[0], (top, left))
        return True

    def _bias(self, op: Operator, count: int) -> np.ndarray:
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return np.zeros(count, np.float32)
        bias = self._real(op.inputs[2])
        if bias.shape != (count,):
            raise WeightsError(f"a bias has shape {bias.shape}, needs ({count},): damaged")
        return bias

    def _matrix(self, weight: np.ndarray, name: str) -> np.ndarray:
        if weight.ndim != 2 or 0 in weight.shape:
            raise WeightsError(f"{name} has weights {weight.shape}; a matrix is read")
        return weight[:, :, None, None]

    # --------------------------------------------------------------------------------- the rest

    def _arithmetic(self, op: Operator, name: str) -> Node:
        """Two tensors, or a tensor and a constant number."""
        a, b = op.inputs[0], op.inputs[1]
        if self._constant(a) and op.name in ("ADD", "MUL"):
            a, b = b, a
        kind = op.name.lower()
        if not self._constant(b):
            return self._made(kind, op, name, inputs=(_key(a), _key(b)))
        values = self._real(b)
        if values.size != 1:
            return self._made(f"{op.name} with a constant", op, name, inputs=(_key(a),))
        number = float(values.reshape(()))
        number = -number if kind == "sub" else 1 / number if kind == "div" and number else number
        word = "shift" if kind in ("add", "sub") else "scale"
        return self._made(word, op, name, inputs=(_key(a),), value=number)

    def _over_space(self, op: Operator) -> bool:
        """A mean over the whole map, as MEAN or as a pool with a window of its size."""
        shape = self.file.tensors[op.inputs[0]].shape
        if len(shape) != 4:
            return False
        if op.name == "AVERAGE_POOL_2D":
            return (op.number(4), op.number(3)) == _size(self.file.tensors[op.inputs[0]])
        if op.name == "MEAN" and self._constant(op.inputs[1]):
            axes = {int(v) % 4 for v in self.file.tensors[op.inputs[1]].raw.reshape(-1)}
            return axes == {1, 2}
        return False

    def _constant(self, index: int) -> bool:
        index = self.sources.get(index, index)
        return index >= 0 and self.file.tensors[index].constant

    def _real(self, index: int) -> np.ndarray:
        index = self.sources.get(index, index)
        if index < 0 or not self.file.tensors[index].constant:
            raise WeightsError("weights are computed while the network runs, which is not read")
        return self.file.real(index)


def _names(op: Operator) -> tuple[str, ...]:
    """Keys of weight and bias, for the record of how they were stored."""
    return tuple(_key(i) for i in op.inputs[1:3])
