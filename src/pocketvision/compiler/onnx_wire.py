"""How much an .onnx file would unfold to, counted before it is parsed.

A protobuf of a few bytes an entry unfolds to a hundred times its size in memory; what is counted
here is the number of fields on every level, by the format's own description.
"""

from __future__ import annotations

from typing import Any

MAX_FIELDS = 1_500_000
MAX_DEPTH = 24
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Broken(ValueError):
    """The bytes are no protobuf, or one that unfolds beyond all measure."""


def check(data: bytes, description: Any) -> None:
    """Raise Broken unless `data` is a message of that description and of bearable size."""
    waiting = [(0, len(data), description, 0)]
    fields = 0
    while waiting:
        at, end, kind, depth = waiting.pop()
        inner = _inner(kind)
        while at < end:
            fields += 1
            if fields > MAX_FIELDS:
                raise Broken(f"it holds more than {MAX_FIELDS} fields")
            tag, at = _varint(data, at, end)
            start, at = _skip(data, at, end, tag & 7)
            if tag & 7 == BYTES and (message := inner.get(tag >> 3)) is not None:
                if depth == MAX_DEPTH:
                    raise Broken(f"it is nested more than {MAX_DEPTH} deep")
                waiting.append((start, at, message, depth + 1))


def _inner(description: Any) -> dict[int, Any]:
    """Field number -> description, for fields that are messages themselves."""
    found = _KNOWN.get(description.full_name)
    if found is None:
        fields = ((f.number, f.message_type) for f in description.fields)
        found = _KNOWN[description.full_name] = {n: m for n, m in fields if m is not None}
    return found


_KNOWN: dict[str, dict[int, Any]] = {}


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise Broken("it is cut short")


def _skip(data: bytes, at: int, end: int, wire: int) -> tuple[int, int]:
    """Where a field's content starts and ends."""
    if wire == VARINT:
        _, stop = _varint(data, at, end)
    elif wire == BYTES:
        size, at = _varint(data, at, end)
        stop = at + size
    elif wire in (FIXED64, FIXED32):
        stop = at + (8 if wire == FIXED64 else 4)
    else:
        raise Broken("it is no protobuf")
    if stop > end:
        raise Broken("it is cut short")
    return at, stop
