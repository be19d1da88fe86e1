"""A dry run over a pickle: what it would build, with nothing of it built.

A .pth file is a pickle and its numbers. Before PyTorch reads one, the pickle runs here in a machine
whose every name is a stand-in: foreign names are refused by name, tensors are checked against the
bytes that the file really has, and nothing is allocated or called.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from pocketvision.errors import WeightsError

MAX_PICKLE_BYTES = 2 << 20  # of a thousand tensors: a few hundred kilobytes
ITEM_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1,
}  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    """A block of numbers that the pickle refers to."""

    key: str
    items: int
    item_bytes: int


@dataclass
class Storages:
    """Sizes of all blocks by key, in bytes."""

    sizes: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all blocks together."""
        return sum(self.sizes.values())


class _Kind:
    """Stands for a storage class of PyTorch: only its item size is kept."""

    def __init__(self, name: str) -> None:
        self.name, self.item_bytes = name, ITEM_BYTES[name]


def check(data: bytes, *, several: bool = False) -> Storages:
    """Run one pickle, or `several` that follow each other, dry. Raises WeightsError.

    Gives the sizes of the blocks that the tensors lie in.
    """
    if len(data) > MAX_PICKLE_BYTES and not several:
        raise WeightsError(
            f"its description takes {len(data)} bytes, more than {MAX_PICKLE_BYTES}: no weight file"
        )
    stream, storages = io.BytesIO(data[:MAX_PICKLE_BYTES]), Storages({})
    # The old format: magic number, protocol, machine, the object, the keys of its storages.
    for _ in range(5 if several else 1):
        _run(stream, storages)
    return storages


def _run(stream: io.BytesIO, storages: Storages) -> None:
    try:
        _DryRun(stream, storages).load()
    except WeightsError:
        raise
    except RecursionError:
        raise WeightsError("the pickle is nested too deeply: damaged or hostile") from None
    except Exception as e:  # a pickle can fail in any way that its bytes like
        what = " ".join(f"{type(e).__name__} {e}".split())[:120]
        raise WeightsError(f"not a pickle that PyTorch wrote: {what}") from None


class _DryRun(pickle._Unpickler):
    """Python's own pickle machine, written in Python: its memo grows with the pickle only."""

    def __init__(self, stream: io.BytesIO, storages: Storages) -> None:
        super().__init__(stream, encoding="utf-8", errors="replace")
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for one of the names that a state dictionary needs."""
        if module in ("torch", "torch.storage") and name in ITEM_BYTES:
            return _Kind(name)
        found = STAND_INS.get((module, name))
        if found is None:
            raise WeightsError(
                f"it wants {module}.{name}, which is no part of a table of weights: it may run "
                "code and is not loaded; save the weights alone (torch.save(model.state_dict()))"
            )
        return found

    def persistent_load(self, pid: Any) -> _Storage:
        """A reference to a block: ("storage", kind, key, device, items[, view])."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise WeightsError("it refers to something that is no block of numbers")
        _, kind, key, _, items = pid[:5]
        whole = type(items) is int and 0 <= items < 1 << 62
        if not isinstance(kind, _Kind) or not whole or not isinstance(key, str):
            raise WeightsError("it refers to a block of numbers in a way that is not understood")
        made = _Storage(key, items, kind.item_bytes)
        self.storages.sizes[key] = max(self.storages.sizes.get(key, 0), items * kind.item_bytes)
        return made


class _Dictionary(OrderedDict[Any, Any]):
    """An OrderedDict made empty: filling it from a list would copy that list."""

    def __init__(self, *given: Any) -> None:
        if given and any(given):
            raise WeightsError("a dictionary is filled in a way that PyTorch does not write")
        super().__init__()


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> tuple[int, ...]:
    """Check one tensor against its block; its numbers are not looked at."""
    numbers = [offset, *size, *stride]
    whole = all(type(n) is int and 0 <= n < 1 << 62 for n in numbers)
    if not isinstance(storage, _Storage) or not whole or len(size) != len(stride) or len(size) > 8:
        raise WeightsError("a tensor is described in a way that is not understood")
    count = math.prod(size)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if count else 0
    if count and last >= storage.items:
        raise WeightsError(f"a tensor {tuple(size)} reaches over its {storage.items} numbers")
    if count > storage.items:
        raise WeightsError(f"a tensor {tuple(size)} repeats its {storage.items} numbers: hostile")
    return tuple(size)


def _parameter(data: Any, *_rest: Any) -> Any:
    return data


STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dictionary,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
