"""Reading FlatBuffers without trusting them: every offset and length is checked against the file.

A table is a position whose signed offset leads back to its vtable; the vtable says where in the
table each field lies (0: absent). Vectors and strings lie behind unsigned forward offsets.
Source: the FlatBuffers internals document, "Encoding".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import WeightsError

MAX_ITEMS = 20_000  # tables in one vector; the largest network here has under a thousand


@dataclass(frozen=True, slots=True)
class Table:
    """One table at `at` of the file `data`; fields go by their number in the schema."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes, identifier: bytes) -> Table:
        """The file's outermost table. Raises WeightsError when the identifier is another."""
        if data[4:8] != identifier:
            raise WeightsError(f"not a {identifier.decode()} file: bytes 4 to 8 are {data[4:8]!r}")
        return cls(data, _number(data, 0, "<I"))

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A scalar of struct letter `kind` ("i", "I", "b", ...)."""
        place = self._field(field)
        return default if place is None else _number(self.data, place, f"<{kind}")

    def table(self, field: int) -> Table | None:
        """The table that a field refers to."""
        place = self._field(field)
        return None if place is None else Table(self.data, self._target(place))

    def tables(self, field: int) -> list[Table]:
        """The tables of a vector of tables."""
        start, count = self._vector(field, 4)
        if count > MAX_ITEMS:
            raise WeightsError(f"the file lists {count} items, more than {MAX_ITEMS}: damaged")
        return [Table(self.data, self._target(start + 4 * i)) for i in range(count)]

    def array(self, field: int, dtype: str) -> np.ndarray:
        """A vector of scalars, as a view of the file."""
        kind = np.dtype(dtype)
        start, count = self._vector(field, kind.itemsize)
        return np.frombuffer(self.data, kind, count, start)

    def text(self, field: int) -> str:
        """A string; bytes that are no UTF-8 are replaced, because names are only shown."""
        start, count = self._vector(field, 1)
        return self.data[start : start + count].decode("utf-8", "replace")

    def _field(self, field: int) -> int | None:
        """Where a field's value lies, or None when the file leaves it out."""
        vtable = self.at - _number(self.data, self.at, "<i")
        size = _number(self.data, vtable, "<H")
        slot = 4 + 2 * field
        if slot + 2 > size:
            return None
        offset = _number(self.data, vtable + slot, "<H")
        return self.at + offset if offset else None

    def _target(self, place: int) -> int:
        target = place + _number(self.data, place, "<I")
        if not place < target < len(self.data):
            raise _outside(target)
        return target

    def _vector(self, field: int, item_bytes: int) -> tuple[int, int]:
        """(start, count) of a vector, (0, 0) when it is absent."""
        place = self._field(field)
        if place is None:
            return 0, 0
        target = self._target(place)
        count = _number(self.data, target, "<I")
        if target + 4 + count * item_bytes > len(self.data):
            raise WeightsError(f"a list of {count} items reaches over the end of the file: damaged")
        return target + 4, count


def _number(data: bytes, place: int, kind: str) -> int:
    if not 0 <= place <= len(data) - struct.calcsize(kind):
        raise _outside(place)
    value: int = struct.unpack_from(kind, data, place)[0]
    return value


def _outside(place: int) -> WeightsError:
    return WeightsError(f"an offset leads to byte {place}, outside the file: damaged or cut short")
