"""Which network of the zoo a table of tensors is: by its count of numbers, then tensor by tensor.

Counting is arithmetic on specs, so that hundreds of candidates cost little; the few whose count is
right are tried by the importer of their library.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pocketvision.cost import cost
from pocketvision.errors import PocketvisionError, SpecError, UsageError, WeightsError
from pocketvision.spec import NetSpec
from pocketvision.weights.libraries import (
    LIBRARIES,
    Window,
    classes_of,
    converted,
    in_channels_of,
    learnable,
    likely,
    windows_of,
)
from pocketvision.weights.match import Mismatch
from pocketvision.weights.recognise import NUMERICS, WIDTHS, variants
from pocketvision.zoo import MODELS
from pocketvision.zoo import aliases as zoo_aliases
from pocketvision.zoo.lookup import options_of, resolve

NEAR = 2  # layers that a damaged table may have too many or too few
WHOLE = ("1x1", "dense", "fully_connected")  # operations that read every channel


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that may be the one: whose name it has, and what the zoo makes of it."""

    library: str
    name: str
    spec: NetSpec


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A candidate whose tensors all fit, our weights, and the others that fit as well."""

    chosen: Candidate
    weights: Mapping[str, Tensor]
    others: tuple[Candidate, ...] = ()


def recognised(tensors: Mapping[str, Tensor], *, hint: str = "") -> Fit:
    """The network whose tensors these are. `hint` (a file's name) decides between equals.

    Raises Mismatch against the nearest network, WeightsError where no library has such names.
    """
    libraries = likely(tensors)
    if not libraries:
        some = ", ".join(list(tensors)[:3])
        raise WeightsError(
            f"its tensors are named as no library that is read ({', '.join(LIBRARIES)}) names "
            f"them: {some}, ..."
        )
    count, changes = learnable(tensors), _changes(tensors)
    tried: list[Candidate] = []
    for candidates in (
        _listed(libraries, changes),
        _widened(libraries, changes, windows_of(tensors).total()),
    ):
        kept = list(candidates)
        tried += kept
        fits = _fitting(iter(kept), tensors, count)
        if fits:
            best = min(fits, key=lambda f: _rank(f.chosen, hint))
            others = tuple(f.chosen for f in fits if _differs(f.chosen.spec, best.chosen.spec))
            return replace(best, others=others)
    raise _nothing_fits(tried, tensors, count)


def named(tensors: Mapping[str, Tensor], model: str) -> Fit:
    """The tensors as those of the network `model`, a name of the zoo or of a library.

    Raises Mismatch with the differences, UnknownName.
    """
    changes = _changes(tensors)
    spec = resolve(model)  # for the error about the name itself
    spec = _headless(spec) if changes is None else resolve(model, **changes)
    libraries = [lib for lib in likely(tensors) if model.startswith(f"{lib}/")] or likely(tensors)
    errors: list[WeightsError] = []
    for library in libraries:
        candidate = Candidate(library=library, name=model, spec=spec)
        try:
            return Fit(chosen=candidate, weights=converted(library, spec, tensors))
        except WeightsError as e:
            errors.append(e)
    if errors:
        raise min(errors, key=_badness)
    some = next(iter(tensors))
    raise WeightsError(f"its tensors are named as no library names them that is read: {some}, ...")


def _changes(tensors: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Options that the tensors decide; None when there is no last layer."""
    classes = classes_of(tensors)
    if classes is None:
        return None
    channels = in_channels_of(tensors)
    return {"classes": classes} | ({"in_channels": channels} if channels != 3 else {})


def _listed(libraries: list[str], changes: dict[str, Any] | None) -> Iterator[Candidate]:
    """The networks that the libraries themselves list."""
    for library in libraries:
        for name, (model, fixed) in zoo_aliases.LIBRARIES[library].items():
            made = _made(model, fixed, changes)
            if made is not None:
                yield Candidate(library=library, name=f"{library}/{name}", spec=made)


def _widened(
    libraries: list[str], changes: dict[str, Any] | None, count: int
) -> Iterator[Candidate]:
    """The same networks at other widths and with their switches, of about `count` layers."""
    for library in libraries:
        table = zoo_aliases.LIBRARIES[library].values()
        rules = {(model, fixed.get("numerics", "torch")) for model, fixed in table}
        for model, numerics in sorted(rules, key=lambda r: NUMERICS.index(r[1])
                                      if r[1] in NUMERICS else 9):  # fmt: skip
            for options in variants(model, (numerics,)):
                if abs(_windows(_made(model, options, changes)).total() - count) > NEAR:
                    continue
                for width in WIDTHS if "width" in options_of(model) else (1.0,):
                    scaled = {**options, "width": width} if width != 1.0 else options
                    made = _made(model, scaled, changes)
                    if made is not None:
                        yield Candidate(library=library, name=_text(model, scaled), spec=made)


def _text(model: str, options: Mapping[str, Any]) -> str:
    shown = [f"{k} {v}" for k, v in options.items() if k != "numerics"]
    return " ".join([model, *shown])


def _made(model: str, options: Mapping[str, Any], changes: dict[str, Any] | None) -> NetSpec | None:
    try:
        spec = MODELS[model](**{**options, **(changes or {})})
    except (SpecError, UsageError, TypeError):
        return None
    return _headless(spec) if changes is None else spec


def _headless(spec: NetSpec) -> NetSpec:
    return replace(spec, heads=())


def _fitting(
    candidates: Iterator[Candidate], tensors: Mapping[str, Tensor], count: int
) -> list[Fit]:
    """Those whose count is right and whose importer finds every tensor."""
    fits = []
    for c in candidates:
        if _count(c.spec) != count:
            continue
        try:
            weights = converted(c.library, c.spec, tensors)
        except WeightsError:
            continue
        fits.append(Fit(chosen=c, weights=weights))
    return fits


def _count(spec: NetSpec) -> int:
    try:
        return cost(spec).params
    except PocketvisionError:
        return -1


def _windows(spec: NetSpec | None) -> Counter[Window]:
    """The convolutions and matrices of a spec by their sizes; empty for no spec."""
    try:
        rows = () if spec is None else cost(spec).rows
    except PocketvisionError:
        rows = ()
    return Counter(
        (row.out[0], row.kernel, row.c_in if row.operation in WHOLE else 1)
        for row in rows
        if row.params > 0
    )


def _rank(candidate: Candidate, hint: str) -> tuple[int, int]:
    """Candidates that the hint names come first, the longest name before the others."""
    name, plain = candidate.name.partition("/")[2] or candidate.name, _plain(hint)
    said = bool(hint) and _plain(name) in plain
    # "mobilenetv3_large_100" stands in "tf_mobilenetv3_large_100" too.
    ported = candidate.spec.numerics.name == "tf" and not said
    return (-len(name) if said else int(ported)), 0


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def _differs(a: NetSpec, b: NetSpec) -> bool:
    """True where the same tensors would compute something else."""
    return replace(a, name=b.name, numerics=replace(a.numerics, name="", bn_momentum=0.1)) != (
        replace(b, numerics=replace(b.numerics, name="", bn_momentum=0.1))
    )


def _nothing_fits(
    tried: list[Candidate], tensors: Mapping[str, Tensor], count: int
) -> WeightsError:
    """The error against the network with the fewest differences among those of a like size."""
    windows = windows_of(tensors)
    alike = {id(c): (windows & _windows(c.spec)).total() for c in tried}
    near = sorted(tried, key=lambda c: (-alike[id(c)], abs(_count(c.spec) - count)))[:6]
    found: list[tuple[float, Candidate, WeightsError]] = []
    for c in near:
        try:
            converted(c.library, c.spec, tensors)
        except WeightsError as e:
            found.append((_badness(e), c, e))
    if not found:
        return WeightsError(f"no network of the zoo has these {len(tensors)} tensors")
    _, nearest, error = min(found, key=lambda row: row[0])
    if isinstance(error, Mismatch):
        return Mismatch(f"{nearest.name}, the nearest of the zoo", error.differences)
    return error


def _badness(error: WeightsError) -> float:
    return len(error.differences) if isinstance(error, Mismatch) else float("inf")
