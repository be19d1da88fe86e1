"""Fit foreign tensors to a spec, module by module in running order.

Every source that we read stores, for each convolution, norm and linear layer, a few tensors under
one prefix. Put those prefixes in the order in which the network runs, and they must meet our
modules one by one, with equal kind and size; anything else is reported by both names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

import torch
from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.model import Network
from pocketvision.spec import NetSpec

LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which `features.10` comes after `features.9`."""
    pieces = re.split(r"(\d+)", text)
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in pieces if p)


def modules(tensors: Iterable[str]) -> dict[str, set[str]]:
    """prefix -> leaf names ("weight", "bias", ...), in the order met. Raises WeightsError."""
    found: dict[str, set[str]] = {}
    for name in tensors:
        prefix, _, leaf = name.rpartition(".")
        if leaf not in LEAVES or not prefix:
            raise WeightsError(f"tensor {name!r} is none of {', '.join(LEAVES)} of a module")
        found.setdefault(prefix, set()).add(leaf)
    return found


def fit(
    spec: NetSpec, tensors: Mapping[str, Tensor], order: list[str], *, heads: bool = True
) -> dict[str, Tensor]:
    """Our weights from foreign `tensors` whose module prefixes run in `order`.

    `heads=False` fits stem and blocks alone. 1x1 convolutions stored as linear layers (or the
    reverse) are reshaped. Raises Mismatch that lists what is missing, unexpected or of another
    shape, ours beside theirs.
    """
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in Network(spec).state_dict().items()}
    ours = {k: s for k, s in shapes.items() if heads or not k.startswith("heads.")}
    wanted = modules(ours)
    problems = [""] if len(order) != len(wanted) else []
    result: dict[str, Tensor] = {}
    for mine, theirs in zip(wanted, order, strict=False):
        for leaf in sorted(wanted[mine]):
            name, shape = f"{mine}.{leaf}", ours[f"{mine}.{leaf}"]
            source = tensors.get(f"{theirs}.{leaf}")
            if source is None and leaf == "num_batches_tracked":
                source = torch.zeros((), dtype=torch.long)
            problem, value = _shaped(name, shape, f"{theirs}.{leaf}", source)
            problems += problem
            result |= {name: value} if value is not None else {}
    if problems:
        found = differences(ours, tensors, order) or problems
        raise Mismatch(spec.name, found)
    return result


class Mismatch(WeightsError):
    """Weights that do not fit a network; `differences` has a line for every tensor."""

    def __init__(self, network: str, lines: Sequence[str]) -> None:
        more = f"; and {len(lines) - 5} more" if len(lines) > 5 else ""
        super().__init__(f"weights do not fit {network}: {'; '.join(lines[:5])}{more}")
        self.network, self.differences = network, tuple(lines)

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        return type(self), (self.network, self.differences)


def differences(
    ours: Mapping[str, tuple[int, ...]], tensors: Mapping[str, Tensor], order: list[str]
) -> list[str]:
    """One line for each tensor that is missing, unexpected or of another shape.

    Where the kinds of modules do not go side by side, they are aligned by their sizes, so that one
    that is missing does not spoil the rest.
    """
    mine = _signatures({k: _bare(s) for k, s in ours.items()}, list(modules(ours)))
    shapes = {k: _bare(tuple(t.shape)) for k, t in tensors.items() if t is not None}
    theirs = _signatures(shapes, order)
    if len(mine) == len(theirs) and all(map(_alike, mine.values(), theirs.values())):
        return _unequal(list(mine.items()), list(theirs.items()))
    pairs = SequenceMatcher(None, list(mine.values()), list(theirs.values()), autojunk=False)
    lines = []
    for kind, i, i_end, j, j_end in pairs.get_opcodes():
        if kind != "equal":
            lines += _unequal(list(mine.items())[i:i_end], list(theirs.items())[j:j_end])
    return lines


Signature = tuple[tuple[str, tuple[int, ...]], ...]


def _signatures(
    shapes: Mapping[str, tuple[int, ...]], prefixes: Iterable[str]
) -> dict[str, Signature]:
    """prefix -> its leaves with their shapes."""
    leaves = [leaf for leaf in LEAVES if leaf != "num_batches_tracked"]
    return {
        p: tuple((leaf, shapes[f"{p}.{leaf}"]) for leaf in leaves if f"{p}.{leaf}" in shapes)
        for p in prefixes
    }


def _unequal(mine: list[tuple[str, Signature]], theirs: list[tuple[str, Signature]]) -> list[str]:
    """Lines for two stretches that differ: leaf by leaf where their modules pair, or one-sided."""
    if len(mine) == len(theirs) and all(map(_pair, mine, theirs)):
        return [line for a, b in zip(mine, theirs, strict=True) for line in _leaves(*a, *b)]
    missing = [f"missing {p}.{leaf} {a}" for p, rows in mine for leaf, a in rows]
    return missing + [f"unexpected {q}.{leaf} {b}" for q, rows in theirs for leaf, b in rows]


def _alike(mine: Signature, theirs: Signature) -> bool:
    """True for two modules of one kind, whatever their sizes."""
    return [(leaf, len(a)) for leaf, a in mine] == [(leaf, len(b)) for leaf, b in theirs]


def _pair(mine: tuple[str, Signature], theirs: tuple[str, Signature]) -> bool:
    """True where two modules are of one kind: a tensor in common, or the same names."""
    names = [leaf for leaf, _ in mine[1]] == [leaf for leaf, _ in theirs[1]]
    return names or bool(set(mine[1]) & set(theirs[1]))


def _leaves(p: str, rows: Signature, q: str, others: Signature) -> list[str]:
    """Lines for two modules of one kind."""
    a, b = dict(rows), dict(others)
    shapes = [
        f"shape {p}.{leaf} {a[leaf]} does not fit {q}.{leaf} {b[leaf]}"
        for leaf in a
        if leaf in b and a[leaf] != b[leaf]
    ]
    missing = [f"missing {p}.{leaf} {a[leaf]}, as {q}.{leaf}" for leaf in a if leaf not in b]
    return missing + [f"unexpected {q}.{leaf} {b[leaf]}" for leaf in b if leaf not in a] + shapes


def _shaped(
    name: str, shape: tuple[int, ...], theirs: str, source: Tensor | None
) -> tuple[list[str], Tensor | None]:
    """(problems, tensor of `shape`): only trailing axes of size one may differ."""
    if source is None:
        return [f"{name} needs {theirs}, which is missing"], None
    got = tuple(source.shape)
    if _bare(got) != _bare(shape):
        return [f"{name} {shape} does not fit {theirs} {got}"], None
    return [], source.reshape(shape)


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A linear (o, i) and a 1x1 convolution (o, i, 1, 1) are the same product."""
    return shape[:2] if shape[2:] == (1, 1) else shape
