"""What all families share: options checked by the same words, and a spec put together."""

from __future__ import annotations

from collections.abc import Sequence

from pocketvision.errors import SpecError
from pocketvision.spec import AnyBlock, Classifier, Conv, NetSpec
from pocketvision.zoo.numerics import numerics as numerics_of

# All families halve the image five times; below this the last map has no whole pixel.
SMALLEST = 32
LARGEST = 8192

Resolution = int | tuple[int, int]


def checked_width(width: float, *, low: float = 0.05, high: float = 8.0) -> float:
    """The width multiplier itself. Raises SpecError if it is no number in [low, high]."""
    ok = isinstance(width, int | float) and not isinstance(width, bool) and low <= width <= high
    if not ok:
        raise SpecError(f"width must be a number from {low} to {high}, got {width!r}")
    return float(width)


def checked_resolution(resolution: Resolution) -> tuple[int, int]:
    """(height, width). Raises SpecError for anything below 32 pixels a side."""
    pair = (resolution, resolution) if isinstance(resolution, int) else tuple(resolution)
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not SMALLEST <= min(pair) <= max(pair) <= LARGEST:
        raise SpecError(
            f"resolution must be one or two whole numbers (height, width) from {SMALLEST} to "
            f"{LARGEST}, because the network halves the image five times; got {resolution!r}"
        )
    return pair[0], pair[1]


def checked_choice(name: str, value: float, allowed: Sequence[float]) -> float:
    """The value itself. Raises SpecError if it is not one of `allowed`."""
    if value not in allowed:
        choices = ", ".join(str(a) for a in allowed)
        raise SpecError(f"{name} must be one of {choices}, got {value!r}")
    return value


def assemble(
    name: str,
    family: str,
    *,
    stem: Conv,
    blocks: Sequence[AnyBlock],
    resolution: Resolution,
    classes: int,
    dropout: float,
    numerics: str,
    hidden: tuple[Conv, ...] = (),
) -> NetSpec:
    """The spec of a classifier with one head called "label". Raises SpecError."""
    head = Classifier(c_in=blocks[-1].c_out, classes=classes, hidden=hidden, dropout=dropout)
    return NetSpec(
        name=name,
        resolution=checked_resolution(resolution),
        stem=stem,
        blocks=tuple(blocks),
        heads=(("label", head),),
        numerics=numerics_of(family, numerics),
    )
