"""NetSpec to JSON text and back: one block a line, unknown fields are errors that name the
field.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from pocketvision.errors import SpecError, closest
from pocketvision.spec import (
    HEAD_TAGS,
    HEADS,
    KINDS,
    TAGS,
    Activation,
    AnyBlock,
    AnyHead,
    Cell,
    Conv,
    Edge,
    Gate,
    Layer,
    MixedConv,
    NetSpec,
    Numerics,
    Pool,
)

FORMAT = 1


def dumps(spec: NetSpec) -> str:
    """The spec as JSON text; `loads` gives back an equal value."""
    return _dump(spec)


def loads(text: str | bytes) -> NetSpec:
    """Read what `dumps` wrote. Raises SpecError naming the field that is wrong."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise SpecError(f"spec is not valid JSON: {e}") from None
    return _net_from(row)


def _block_row(block: Any) -> dict[str, Any]:
    return {"kind": TAGS[type(block)], **asdict(block)}


def _dump(spec: NetSpec) -> str:
    head_rows = [{"name": n, "kind": HEAD_TAGS[type(h)], **asdict(h)} for n, h in spec.heads]
    top = {
        "format": FORMAT,
        "name": spec.name,
        "resolution": list(spec.resolution),
        "numerics": asdict(spec.numerics),
        "stem": asdict(spec.stem),
    }
    lines = [f"  {json.dumps(k)}: {json.dumps(v)}," for k, v in top.items()]
    rows = [f"    {json.dumps(_block_row(b))}" for b in spec.blocks]
    heads = [f"    {json.dumps(h)}" for h in head_rows]
    body = [*lines, '  "blocks": [', ",\n".join(rows), "  ],"]
    return "\n".join(["{", *body, '  "heads": [', ",\n".join(heads), "  ]", "}", ""])


def _take(row: Any, cls: type, where: str) -> dict[str, Any]:
    """The fields of `row` for `cls`: an unknown or missing one is an error that names it."""
    if not isinstance(row, dict):
        raise SpecError(f"{where} must be an object, got {type(row).__name__}")
    known = {f.name for f in fields(cls)}
    if unknown := sorted(row.keys() - known):
        raise SpecError(f"{where} has no field {unknown[0]!r}{closest(unknown[0], known)}")
    return dict(row)


def _make(cls: type, values: dict[str, Any], where: str) -> Any:
    try:
        return cls(**values)
    except SpecError as e:
        raise SpecError(f"{where}: {e}") from None
    except (TypeError, ValueError, AttributeError) as e:
        raise SpecError(f"{where} cannot be made: {e}") from None


def _conv_from(row: Any, where: str) -> Conv:
    values: Conv = _make(Conv, _take(row, Conv, where), where)
    return values


def _layer_from(row: Any, where: str) -> Layer:
    """A layer by its fields: only a MixedConv has parts, a Gate squeezes, a Pool has an op."""
    if not isinstance(row, dict):
        raise SpecError(f"{where} must be an object, got {type(row).__name__}")
    made: Layer
    if "parts" in row:
        values = _take(row, MixedConv, where)
        parts = _list(values["parts"], where)
        values["parts"] = tuple(_conv_from(p, f"{where}.parts.{i}") for i, p in enumerate(parts))
        made = _make(MixedConv, values, where)
    elif "squeeze" in row:
        made = _make(Gate, _take(row, Gate, where), where)
    elif "op" in row:
        made = _make(Pool, _take(row, Pool, where), where)
    elif "channels" in row:
        made = _make(Activation, _take(row, Activation, where), where)
    else:
        made = _conv_from(row, where)
    return made


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise SpecError(f"{where} must be a list, got {type(value).__name__}")
    return value


def _cell_values(values: dict[str, Any], where: str) -> dict[str, Any]:
    nodes = _list(values.get("nodes"), f"{where}.nodes")
    values["nodes"] = tuple(
        tuple(_make(Edge, _take(e, Edge, where), where) for e in _list(edges, f"{where}.nodes"))
        for edges in nodes
    )
    values["concat"] = tuple(_list(values.get("concat"), f"{where}.concat"))
    return values


def block_from_row(row: Any, where: str = "block") -> AnyBlock:
    """A block from its JSON object (`kind` and fields). Raises SpecError."""
    if not isinstance(row, dict) or row.get("kind") not in list(KINDS):
        kind = row.get("kind") if isinstance(row, dict) else row
        raise SpecError(f"{where}.kind {kind!r} is unknown{closest(str(kind), KINDS)}")
    cls = KINDS[row["kind"]]
    values = _take({k: v for k, v in row.items() if k != "kind"}, cls, where)
    if "inputs" in values:
        values["inputs"] = tuple(_list(values["inputs"], f"{where}.inputs"))
    if cls is Cell:
        values = _cell_values(values, where)
    else:
        for name, value in values.items():
            if isinstance(value, dict):
                values[name] = _layer_from(value, f"{where}.{name}")
    made: AnyBlock = _make(cls, values, where)
    return made


def _head_from(row: Any, where: str) -> tuple[str, AnyHead]:
    if not isinstance(row, dict) or row.get("kind") not in list(HEADS):
        raise SpecError(f"{where}.kind must be one of {', '.join(HEADS)}")
    cls = HEADS[row["kind"]]
    values = _take({k: v for k, v in row.items() if k not in ("kind", "name")}, cls, where)
    if "hidden" in values:
        hidden = _list(values["hidden"], f"{where}.hidden")
        values["hidden"] = tuple(_conv_from(c, f"{where}.hidden.{i}") for i, c in enumerate(hidden))
    return str(row.get("name")), _make(cls, values, where)


def _net_from(row: Any) -> NetSpec:
    if not isinstance(row, dict):
        raise SpecError(f"spec must be an object, got {type(row).__name__}")
    if row.get("format") != FORMAT:
        raise SpecError(f"spec format is {row.get('format')!r}; this version reads {FORMAT}")
    values = _take({k: v for k, v in row.items() if k != "format"}, NetSpec, "spec")
    if missing := [f.name for f in fields(NetSpec) if f.name not in values]:
        raise SpecError(f"spec lacks {missing[0]!r}")
    size = _list(values["resolution"], "resolution")
    if len(size) != 2:
        raise SpecError(f"resolution must be [height, width], got {size}")
    values["resolution"] = (size[0], size[1])
    values["numerics"] = _make(
        Numerics, _take(values["numerics"], Numerics, "numerics"), "numerics"
    )
    values["stem"] = _conv_from(values["stem"], "stem")
    blocks = _list(values["blocks"], "blocks")
    values["blocks"] = tuple(block_from_row(b, f"blocks.{i}") for i, b in enumerate(blocks))
    heads = _list(values["heads"], "heads")
    values["heads"] = tuple(_head_from(h, f"heads.{i}") for i, h in enumerate(heads))
    made: NetSpec = _make(NetSpec, values, "spec")
    return made
