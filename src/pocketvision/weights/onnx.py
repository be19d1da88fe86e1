"""ONNX operators as a graph: convolutions with their batch-norms, activations however written.

Nothing outside the file is read: tensors kept in other files are refused. Source: the ONNX operator
specification, opsets 7 to 22.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pocketvision.errors import WeightsError
from pocketvision.spec import PADDINGS
from pocketvision.weights.graph import Filter, Graph, Node, Norm, rules_of
from pocketvision.weights.passes import SIXTH

MAX_NODES = 20_000
RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
PASSED = ("Identity", "Dropout", "Cast")
ACTS = {"Relu": "relu", "Sigmoid": "sigmoid", "HardSwish": "hard_swish"}


def graph(data: bytes) -> Graph:
    """The operators of an .onnx file. Raises WeightsError."""
    model = _parsed(data)
    reader = _Reader(_initializers(model))
    for i, node in enumerate(model.graph.node):
        reader.read(i, node)
    constants = reader.constants
    inputs = tuple(i.name for i in model.graph.input if i.name not in constants)
    shapes = {i.name: _size(i) for i in model.graph.input if i.name in inputs}
    return Graph(
        nodes=tuple(reader.nodes),
        inputs=inputs,
        outputs=tuple(o.name for o in model.graph.output),
        shapes={name: size for name, size in shapes.items() if size is not None},
    )


def _parsed(data: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, ValueError, MemoryError) as e:
        raise WeightsError(f"not a whole .onnx file: {' '.join(str(e).split())[:120]}") from None
    if not model.graph.node:
        raise WeightsError("not an .onnx file, or one without any operator")
    if len(model.graph.node) > MAX_NODES:
        raise WeightsError(f"it holds {len(model.graph.node)} operators: damaged or hostile")
    return model


def _initializers(model: Any) -> dict[str, np.ndarray]:
    return {t.name: _array(t) for t in model.graph.initializer}


def _array(tensor: Any) -> np.ndarray:
    """A tensor of the file; its claimed shape must be what its bytes hold."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        raise WeightsError(f"tensor {tensor.name!r} lies in another file, which is not read")
    count = math.prod(tensor.dims) if all(n >= 0 for n in tensor.dims) else -1
    held = max(len(tensor.raw_data), 8 * len(tensor.float_data), 8 * len(tensor.int64_data),
               8 * len(tensor.double_data), 8 * len(tensor.int32_data))  # fmt: skip
    if count < 0 or count > held:
        raise WeightsError(f"tensor {tensor.name!r} {list(tensor.dims)[:8]} holds {held} bytes")
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as e:
        raise WeightsError(f"tensor {tensor.name!r} is damaged: {e}") from None


def _size(value: Any) -> tuple[int, int] | None:
    dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return (dims[2], dims[3]) if len(dims) == 4 and min(dims[2:]) > 0 else None


class _Reader:
    """Nodes so far, the constants by name, and the tensors that only carry sizes."""

    def __init__(self, constants: dict[str, np.ndarray]) -> None:
        self.constants = constants
        self.sizes: set[str] = set()
        self.nodes: list[Node] = []

    def read(self, number: int, node: Any) -> None:
        """One operator: a constant, a computation of sizes, or a node."""
        name, kind = f"operator {number} ({node.op_type})", node.op_type
        if not node.output:
            raise WeightsError(f"{name} has no output: damaged")
        inputs = [i for i in node.input if i]
        attributes = _attributes(node)
        if kind == "Constant" and isinstance(attributes.get("value"), np.ndarray):
            self.constants[node.output[0]] = attributes["value"]
        elif kind in RESHAPES and inputs and inputs[0] in self.constants:
            self.constants[node.output[0]] = self.constants[inputs[0]]
        elif kind == "Shape" or (inputs and all(self._idle(i) for i in inputs)):
            self.sizes.add(node.output[0])
        else:
            try:
                self.nodes.append(self._node(name, node, attributes))
            except (IndexError, KeyError, TypeError, ValueError) as e:
                if isinstance(e, WeightsError):
                    raise
                raise WeightsError(f"{name} is not understood: {e}") from None

    def _idle(self, tensor: str) -> bool:
        return tensor in self.sizes or tensor in self.constants

    def _node(self, name: str, node: Any, attributes: Mapping[str, Any]) -> Node:
        kind, first = node.op_type, node.input[0]
        makers: dict[str, Callable[..., dict[str, Any]]] = {
            "Conv": self._conv, "Gemm": self._gemm, "MatMul": self._matmul, "Clip": self._clip,
            "BatchNormalization": self._norm, "HardSigmoid": self._hard_sigmoid,
            "Add": self._add, "Sub": self._add, "Mul": self._mul, "Div": self._mul,
            "MaxPool": self._max_pool, "ReduceMean": self._mean,
        }  # fmt: skip
        plain: dict[str, dict[str, Any]] = {
            **{k: {"op": "act", "act": act} for k, act in ACTS.items()},
            **{k: {"op": "reshape"} for k in RESHAPES},
            **{k: {"op": "identity"} for k in PASSED},
            "GlobalAveragePool": {"op": "mean"},
            "Softmax": {"op": "softmax"},
        }
        if kind in makers:
            fields = makers[kind](node, attributes, name)
        else:
            fields = plain.get(kind, {"op": kind, "inputs": tuple(i for i in node.input if i)})
        return Node(**{"inputs": (first,), "output": node.output[0], "name": name, **fields})

    # ------------------------------------------------------------------------------ convolutions

    def _conv(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        weight = self._constant(node.input[1], name)
        if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or 0 in weight.shape:
            raise WeightsError(f"{name} has weights {weight.shape}; four axes, square, are read")
        stride = tuple(int(s) for s in a.get("strides", (1, 1)))
        dilation = tuple(int(d) for d in a.get("dilations", (1, 1)))
        groups = int(a.get("group", 1))
        one = len(stride) == 2 and len(set(dilation)) == 1
        if not one or min(*stride, *dilation, groups) < 1 or max(stride) > 8:
            raise WeightsError(f"{name} has stride {stride}, dilation {dilation}: not read")
        bias = self._constant(node.input[2], name) if len(node.input) > 2 else None
        if bias is not None and bias.shape != weight.shape[:1]:
            raise WeightsError(f"{name} has a bias {bias.shape} for {len(weight)} channels")
        made = Filter(
            weight=weight, bias=bias, stride=(stride[0], stride[1]), dilation=dilation[0],
            groups=groups, rules=_rules(a, weight.shape[2], (stride[0], stride[1]), dilation[0]),
        )  # fmt: skip
        return {"op": "conv", "filter": made}

    def _gemm(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        weight = self._constant(node.input[1], name)
        if a.get("transA", 0) or float(a.get("alpha", 1)) != 1 or float(a.get("beta", 1)) != 1:
            raise WeightsError(f"{name} scales or turns its input, which is not read")
        weight = weight if a.get("transB", 0) else weight.T
        bias = self._constant(node.input[2], name) if len(node.input) > 2 else None
        return {"op": "conv", "filter": _linear(weight, bias, name)}

    def _matmul(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        weight = self._constant(node.input[1], name)
        return {"op": "conv", "filter": _linear(weight.T, None, name)}

    def _norm(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        rows = [self._constant(i, name) for i in node.input[1:5]]
        if len(rows) != 4 or len({r.shape for r in rows}) != 1 or rows[0].ndim != 1:
            raise WeightsError(f"{name} needs four vectors of one length")
        scale, shift, mean, variance = rows
        epsilon = float(a.get("epsilon", 1e-5))
        # Written in float32, 1e-5 comes back as 9.999999747e-06.
        made = Norm(scale=scale, shift=shift, mean=mean, variance=variance,
                    epsilon=float(f"{epsilon:.6g}"))  # fmt: skip
        return {"op": "norm", "norm": made}

    # ----------------------------------------------------------------------------------- numbers

    def _clip(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        low, high = a.get("min", -np.inf), a.get("max", np.inf)
        if len(node.input) > 1 and node.input[1]:
            low = self._constant(node.input[1], name).item()
        if len(node.input) > 2 and node.input[2]:
            high = self._constant(node.input[2], name).item()
        acts = {(0.0, 6.0): "relu6", (0.0, float("inf")): "relu"}
        act = acts.get((float(low), float(high)))
        return {"op": "act", "act": act} if act else {"op": f"Clip to {low}..{high}"}

    def _hard_sigmoid(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        slope, middle = float(a.get("alpha", 0.2)), float(a.get("beta", 0.5))
        if abs(middle - 0.5) > 1e-6 or slope <= 0:
            raise WeightsError(f"{name} has slope {slope}, middle {middle}: not read")
        slope = float(f"{slope:.6g}")
        ours = abs(slope - SIXTH) < 1e-5
        return {"op": "act", "act": "hard_sigmoid", "value": None if ours else slope}

    def _add(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        x, value = self._with_constant(node)
        sign = -1.0 if node.op_type == "Sub" else 1.0
        if value is None:
            return {"op": "add" if sign > 0 else "Sub", "inputs": tuple(node.input)}
        if value.size == 1:
            return {"op": "shift", "inputs": (x,), "value": sign * float(value.reshape(()))}
        return {"op": "bias", "inputs": (x,), "value": sign * value.reshape(-1)}

    def _mul(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        x, value = self._with_constant(node)
        if value is None:
            return {"op": node.op_type.lower(), "inputs": tuple(node.input)}
        if value.size != 1:
            return {"op": f"{node.op_type} with a constant", "inputs": (x,)}
        number = float(value.reshape(()))
        if node.op_type == "Div":
            if not number or x != node.input[0]:
                raise WeightsError(f"{name} divides by nothing known")
            number = 1 / number
        return {"op": "scale", "inputs": (x,), "value": number}

    def _with_constant(self, node: Any) -> tuple[str, np.ndarray | None]:
        """(the tensor, the constant) of an operator with two inputs."""
        a, b = node.input[0], node.input[1]
        if b in self.constants:
            return a, self.constants[b]
        if a in self.constants:
            return b, self.constants[a]
        return a, None

    def _max_pool(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        kernel, stride = list(a["kernel_shape"]), list(a.get("strides", [1, 1]))
        plain = not any(a.get("pads", [0])) and not a.get("ceil_mode", 0)
        if not plain or len(set(kernel)) != 1 or len(set(stride)) != 1:
            return {"op": "MaxPool with padding"}
        return {"op": "max_pool", "value": (int(kernel[0]), int(stride[0]))}

    def _mean(self, node: Any, a: Mapping[str, Any], name: str) -> dict[str, Any]:
        axes = a.get("axes")
        if axes is None and len(node.input) > 1:
            axes = self._constant(node.input[1], name).reshape(-1)
        whole = axes is not None and sorted(int(x) % 4 for x in axes) == [2, 3]
        return {"op": "mean"} if whole else {"op": "ReduceMean over other axes"}

    def _constant(self, name: str, owner: str) -> np.ndarray:
        if name not in self.constants:
            raise WeightsError(f"{owner} reads {name!r}, which is computed and no stored weight")
        return self.constants[name]


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import AttributeProto, helper

    found: dict[str, Any] = {}
    for a in node.attribute:
        if a.type == AttributeProto.TENSOR:
            found[a.name] = _array(a.t)
        elif a.type in (AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING,
                        AttributeProto.FLOATS, AttributeProto.INTS):  # fmt: skip
            found[a.name] = helper.get_attribute_value(a)
    return found


def _linear(weight: np.ndarray, bias: np.ndarray | None, name: str) -> Filter:
    if weight.ndim != 2 or 0 in weight.shape:
        raise WeightsError(f"{name} has weights {weight.shape}; a matrix is read")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise WeightsError(f"{name} has a bias {bias.shape} for {len(weight)} outputs")
    return Filter(weight=np.ascontiguousarray(weight)[:, :, None, None], bias=bias)


def _rules(
    a: Mapping[str, Any], kernel: int, stride: tuple[int, int], dilation: int
) -> frozenset[str]:
    auto = a.get("auto_pad", b"NOTSET")
    if auto == b"SAME_UPPER":
        return frozenset(PADDINGS) if stride == (1, 1) else frozenset({"same"})
    pads = [int(p) for p in a.get("pads", (0, 0, 0, 0))] if auto == b"NOTSET" else [0] * 4
    if len(pads) != 4:
        return frozenset()
    top, left, bottom, right = pads
    return rules_of(((top, bottom), (left, right)), kernel, stride, dilation, None)
