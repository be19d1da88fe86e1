"""The tar file of a shard, written and read: plain files in pairs, an image and its class.

Reading believes nothing: any other kind of entry (links, sparse files, long names), any other order
and any number that does not fit ends it with a DataError. No name of an entry becomes a path.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

from pocketvision.decode import MAX_BYTES, printable
from pocketvision.errors import DataError

BLOCK = 512
CLASS_SUFFIX = "cls"  # as the WebDataset tools name it
MAX_CLASS_BYTES = 8
NAME = re.compile(r"(\d{8,12})\.([a-z0-9]{1,5})", re.ASCII)


class Member(NamedTuple):
    """An image in a shard: the bytes of its file, and its class."""

    key: str
    suffix: str
    data: bytes
    label: int

    @property
    def name(self) -> str:
        """The name of its entry."""
        return f"{self.key}.{self.suffix}"


class Sink(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes, /) -> int:
        """Write all of it."""


def write(f: Sink, member: Member) -> None:
    """Add an image and its class."""
    _write_entry(f, member.name, member.data)
    _write_entry(f, f"{member.key}.{CLASS_SUFFIX}", str(member.label).encode())


def write_end(f: Sink) -> None:
    """The two empty blocks by which a tar file ends."""
    f.write(bytes(2 * BLOCK))


def _write_entry(f: Sink, name: str, data: bytes) -> None:
    """One plain file; no time, no owner: the same images give the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    f.write(info.tobuf(tarfile.USTAR_FORMAT))
    f.write(data)
    f.write(bytes(-len(data) % BLOCK))


def members(f: BinaryIO, where: str) -> Iterator[Member]:
    """Images of the shard `where`, whose file is open, in order. Raises DataError."""
    entries, last = _entries(f, where), ""
    for name, data in entries:
        key, suffix = _parted(name, where)
        if suffix == CLASS_SUFFIX or key <= last:
            raise fault(where, name, "out of order")
        second, text = next(entries, ("", b""))
        if second != f"{key}.{CLASS_SUFFIX}":
            raise fault(where, name, f"not followed by {key}.{CLASS_SUFFIX}")
        if len(text) > MAX_CLASS_BYTES or not re.fullmatch(rb"\d+", text):
            raise fault(where, second, "is not the number of a class")
        last = key
        yield Member(key, suffix, data, int(text))


def fault(where: str, name: str, reason: str) -> DataError:
    """The error for an entry."""
    return DataError(f"{where}, entry {printable(name)[:120]!r}: {reason}")


def _parted(name: str, where: str) -> tuple[str, str]:
    found = NAME.fullmatch(name)
    if not found:
        raise fault(where, name, "not named like 00000000.jpg, as pocketvision data shard does")
    return found[1], found[2]


def _entries(f: BinaryIO, where: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every entry, up to the end mark."""
    while True:
        head = f.read(BLOCK)
        if len(head) < BLOCK:
            raise DataError(f"{where} is cut off: no end of the tar file")
        if not any(head):
            return
        name, size_bytes = _head(head, where)
        data = f.read(size_bytes)
        padding = f.read(-size_bytes % BLOCK)
        if len(data) + len(padding) < size_bytes + (-size_bytes % BLOCK):
            raise fault(where, name, "cut off")
        yield name, data


def _head(head: bytes, where: str) -> tuple[str, int]:
    """(name, size) of a plain file's header. Source: POSIX.1-1988 (ustar), the header block."""
    name = head[:100].rstrip(b"\0").decode("ascii", "replace")
    blank = head[:148] + b" " * 8 + head[156:]
    if _octal(head[148:156]) != sum(blank):
        raise DataError(f"{where} is damaged: a header's checksum is wrong")
    if head[156:157] not in (b"0", b"\0") or any(head[345:500]):
        raise fault(where, name, "not a plain file with a short name")
    size_bytes = _octal(head[124:136])
    if size_bytes is None or size_bytes > MAX_BYTES:
        raise fault(where, name, f"its size is over {MAX_BYTES >> 20} MiB, or no number")
    return name, size_bytes


def _octal(text: bytes) -> int | None:
    """The number in a field of a header; None where there is none."""
    found = re.fullmatch(rb" *([0-7]+)[ \0]*", text)
    return int(found[1], 8) if found else None
