"""Which network of the zoo this is: by its blocks, or by the sizes of its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import product
from typing import Any

from pocketvision.errors import SpecError
from pocketvision.spec import NetSpec
from pocketvision.zoo import MODELS
from pocketvision.zoo.lookup import options_of

# Widths that papers, libraries and weight files use.
WIDTHS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2, 1.25, 1.3,
          1.4, 1.5, 1.6, 1.75, 2.0, 2.2, 2.4, 2.5, 3.0)  # fmt: skip
# Options that change shapes, and the values that exist beside the default.
SWITCHES: Mapping[str, tuple[Any, ...]] = {
    "minimalistic": (False, True),
    "head_conv": (False, True),
    "reduced_tail": (False, True),
    "divisor": (8, 4),
}
# Names of numerics that differ in how a width becomes channels, in the order in which they count.
NUMERICS = ("tf", "keras", "torchvision", "timm", "torch")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A network of the zoo with options; `whole` is False for one without its last blocks."""

    model: str
    options: Mapping[str, Any]
    whole: bool = True

    @property
    def text(self) -> str:
        """The name with the options that people give."""
        shown = [f"{k} {v}" for k, v in self.options.items() if k not in ("numerics", "classes")]
        return " ".join([self.model, *shown])


def named(spec: NetSpec, *, numerics: tuple[str, ...] = NUMERICS) -> Named | None:
    """The zoo's network with the blocks of `spec`, whatever its norms, padding and head.

    The first `len(spec.blocks)` blocks count, for a trunk may stop early; None when there is none.
    """
    wanted = _shape(spec)
    for model in MODELS:
        for options in _likely(model, spec, numerics):
            found = _made(model, options)
            if found is not None and _shape(found)[: len(wanted)] == wanted:
                whole = len(found.blocks) == len(spec.blocks)
                return Named(model=model, options=options, whole=whole)
    return None


def _likely(model: str, spec: NetSpec, numerics: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Options under which a model starts with blocks of these kinds, at least half of its own."""
    kinds = tuple(type(b) for b in spec.blocks)
    for options, theirs in _kinds(model, numerics):
        if theirs[: len(kinds)] != kinds or 2 * len(kinds) < len(theirs):
            continue
        for width in _widths(model):
            scaled = {**options, **width}
            if (made := _made(model, scaled)) is not None and made.stem.c_out == spec.stem.c_out:
                yield scaled


@cache
def _kinds(
    model: str, numerics: tuple[str, ...]
) -> tuple[tuple[dict[str, Any], tuple[type, ...]], ...]:
    """(options, kinds of its blocks) of every variant of a model; widths do not change kinds."""
    rows = [(options, _made(model, options)) for options in variants(model, numerics)]
    return tuple((o, tuple(type(b) for b in s.blocks)) for o, s in rows if s is not None)


def _widths(model: str) -> list[dict[str, Any]]:
    if "width" not in options_of(model):
        return [{}]
    return [{"width": w} for w in sorted(WIDTHS, key=lambda w: w != 1.0)]


def variants(model: str, numerics: tuple[str, ...] = NUMERICS) -> Iterator[dict[str, Any]]:
    """Every combination of a model's switches and of the numerics that it has, by preference."""
    known = options_of(model)
    names = [n for n in SWITCHES if n in known]
    for values in product(*(SWITCHES[n] for n in names)):
        on = {n: v for n, v in zip(names, values, strict=True) if v != known[n]}
        for name in numerics:
            if _made(model, {**on, "numerics": name}) is not None:
                yield {**on, "numerics": name}


def _made(model: str, options: Mapping[str, Any]) -> NetSpec | None:
    try:
        return MODELS[model](**options)
    except (SpecError, TypeError):
        return None


def _shape(spec: NetSpec) -> list[Any]:
    """What decides the sizes of stem and blocks, without norms and dilations.

    A stage that is dilated instead of strided has the same tensors: strides do not count either.
    """
    return [_plain(spec.stem), *(_plain(b) for b in spec.blocks)]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    skipped = {"norm", "bias", "stride", "stride_w", "dilation", "inputs", "act"}
    rows = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name not in skipped}
    return type(value).__name__, tuple(sorted(rows.items(), key=lambda r: r[0]))


def with_name(spec: NetSpec, found: Named | None, *, otherwise: str = "imported") -> NetSpec:
    """The spec under the zoo's name for it."""
    return replace(spec, name=found.model if found else otherwise)
