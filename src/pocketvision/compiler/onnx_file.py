"""An .onnx file as plain records: operators in computable order, tensors as arrays.

Whatever a file claims is checked before memory is spent on it. Source: the ONNX specification,
https://onnx.ai/onnx/repo-docs/IR.html and ExternalData.html.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.compiler import onnx_wire
from pocketvision.compiler.onnx_tensor import MAX_BYTES, array, initializers
from pocketvision.errors import DataError

MAX_NODES = 20_000
OPSETS = (9, 21)
FLOATS = ("float32", "float16", "float64", "bfloat16")


@dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """One node of the file. An optional input that is left out is an empty name."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"

    def input(self, number: int) -> str:
        """The name of an input, empty where it is left out."""
        return self.inputs[number] if number < len(self.inputs) else ""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """An input or output as the file declares it. `dims` is None where it says nothing of shape;
    a size it leaves open is None.
    """

    name: str
    dims: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What a file holds. Only operators that an output needs are listed."""

    operators: tuple[Operator, ...]
    tensors: Mapping[str, np.ndarray]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]


def read(path: Path) -> Model:
    """The records of a file. Raises DataError, one line, for anything damaged or foreign."""
    proto = _parsed(path, _bytes(path))
    graph, opset = proto.graph, _opset(path, proto)
    tensors = initializers(graph, path)
    inputs = tuple(_declared(v) for v in graph.input if v.name not in tensors)
    outputs = tuple(_declared(v) for v in graph.output)
    if not outputs:
        raise DataError(f"{path} has no output")
    for group, what in ((inputs, "input"), (outputs, "output")):
        if len({v.name for v in group}) < len(group):
            raise DataError(f"{path} has two {what}s of one name")
    rows = [_operator(i, n, opset, path) for i, n in enumerate(graph.node)]
    given = {i.name for i in inputs} | set(tensors)
    return Model(
        operators=tuple(_in_order(rows, given, [o.name for o in outputs])),
        tensors=tensors,
        inputs=inputs,
        outputs=outputs,
    )


# ------------------------------------------------------------------------------------- the message


def _bytes(path: Path) -> bytes:
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise DataError(f"cannot read {path}: it is not a file")
        if info.st_size > MAX_BYTES:
            raise DataError(
                f"{path} has {info.st_size >> 20} MiB; up to {MAX_BYTES >> 20} MiB are read"
            )
        return path.read_bytes()
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror or e}") from None


def _parsed(path: Path, data: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        onnx_wire.check(data, onnx.ModelProto.DESCRIPTOR)
        proto = onnx.ModelProto.FromString(data)
    except (DecodeError, ValueError, MemoryError, RecursionError) as e:
        reason = " ".join(str(e).split())[:120]
        raise DataError(f"{path} is not a whole .onnx file: {reason}") from None
    if not proto.graph.node and not proto.graph.output:
        raise DataError(f"{path} is not an .onnx file, or one without any operator")
    if len(proto.graph.node) > MAX_NODES:
        raise DataError(
            f"{path} holds {len(proto.graph.node)} operators; up to {MAX_NODES} are read"
        )
    return proto


def _opset(path: Path, proto: Any) -> int:
    """The version of the standard operators."""
    found = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    low, high = OPSETS
    if not found:
        raise DataError(f"{path} does not say which opset of ONNX's own operators it uses")
    if not low <= found[0] <= high:
        raise DataError(
            f"{path} uses opset {found[0]}; opsets {low} to {high} are read "
            f"(onnx.version_converter changes it, or export again)"
        )
    return int(found[0])


def _declared(value: Any) -> Declared:
    import onnx

    tensor = value.type.tensor_type
    dims: tuple[int | None, ...] | None = None
    if tensor.HasField("shape"):
        dims = tuple(
            d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
            for d in tensor.shape.dim
        )
    try:
        dtype = (
            onnx.TensorProto.DataType.Name(tensor.elem_type).lower().replace("double", "float64")
        )
    except ValueError:
        dtype = f"type {tensor.elem_type}"
    dtype = {"float": "float32", "undefined": "something that is no tensor"}.get(dtype, dtype)
    return Declared(name=value.name, dims=dims, dtype=dtype)


# ----------------------------------------------------------------------------------- the operators


def _operator(number: int, node: Any, opset: int, path: Path) -> Operator:
    name = node.name or next((o for o in node.output if o), f"number {number}")
    if node.domain not in ("", "ai.onnx"):
        raise DataError(
            f"{node.op_type} {name!r} is of the domain {node.domain!r}; "
            f"ONNX's own operators are supported"
        )
    if not any(node.output):
        raise DataError(f"{node.op_type} {name!r} has no output: {path} is damaged")
    return Operator(
        name=name,
        kind=node.op_type,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes=_attributes(node, path, f"{node.op_type} {name!r}"),
        opset=opset,
    )


def _attributes(node: Any, path: Path, owner: str) -> dict[str, Any]:
    from onnx import AttributeProto as Kind

    found: dict[str, Any] = {}
    for a in node.attribute:
        if a.ref_attr_name:
            raise DataError(f"{owner} refers to an attribute of a function, which is not supported")
        if a.type == Kind.TENSOR:
            found[a.name] = array(a.t, path)
        elif a.type == Kind.STRING:
            found[a.name] = a.s.decode("utf-8", "replace")
        elif a.type == Kind.FLOAT:
            found[a.name] = a.f
        elif a.type == Kind.INT:
            found[a.name] = a.i
        elif a.type == Kind.FLOATS:
            found[a.name] = tuple(a.floats)
        elif a.type == Kind.INTS:
            found[a.name] = tuple(a.ints)
        else:
            found[a.name] = None  # graphs and the like: no supported operator has such
    return found


def _in_order(rows: list[Operator], given: set[str], outputs: Iterable[str]) -> list[Operator]:
    """The operators that `outputs` need, each after what it reads."""
    maker: dict[str, Operator] = {}
    for row in rows:
        for made in filter(None, row.outputs):
            if made in maker or made in given:
                raise DataError(f"{row} makes {made!r} a second time")
            maker[made] = row
    order: list[Operator] = []
    state: dict[int, str] = {}  # by id of the operator: open while what it reads is looked for
    for output in outputs:
        if output not in maker and output not in given:
            raise DataError(f"output {output!r} is made by no operator")
        waiting = [maker[output]] if output in maker else []
        while waiting:
            row = waiting[-1]
            if state.get(id(row)) == "done":
                waiting.pop()
                continue
            state[id(row)] = "open"
            ahead = [_made_by(v, row, maker, given) for v in row.inputs if v]
            missing = [m for m in ahead if m is not None and state.get(id(m)) != "done"]
            if any(state.get(id(m)) == "open" for m in missing):
                raise DataError(f"{row} needs its own output: the graph goes in a circle")
            waiting += missing
            if not missing:
                state[id(row)] = "done"
                order.append(waiting.pop())
    return order


def _made_by(
    value: str, row: Operator, maker: Mapping[str, Operator], given: set[str]
) -> Operator | None:
    if value in given:
        return None
    if value not in maker:
        raise DataError(f"{row} reads {value!r}, which no operator makes")
    return maker[value]
