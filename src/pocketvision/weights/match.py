"""Fit foreign tensors to a spec, module by module in running order.

Every source that we read stores, for each convolution, norm and linear layer, a few tensors under
one prefix. Put those prefixes in the order in which the network runs, and they must meet our
modules one by one, with equal kind and size; anything else is reported by both names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

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
    reverse) are reshaped. Raises WeightsError that lists each module that does not fit, ours beside
    theirs.
    """
    with torch.device("meta"):
        ours = {k: tuple(v.shape) for k, v in Network(spec).state_dict().items()}
    wanted = modules(k for k in ours if heads or not k.startswith("heads."))
    problems = _missing(list(wanted), order)
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
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise WeightsError(f"weights do not fit {spec.name}: {'; '.join(problems[:5])}{more}")
    return result


def _missing(wanted: list[str], order: list[str]) -> list[str]:
    if len(order) < len(wanted):
        return [f"missing {name}" for name in wanted[len(order) :]]
    return [f"unexpected {name}" for name in order[len(wanted) :]]


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
