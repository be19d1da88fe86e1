"""What all families share: options checked by the same words, and a spec put together."""

from __future__ import annotations

from collections.abc import Sequence

from pocketvision.errors import SpecError
from pocketvision.spec import AnyBlock, AnyHead, Classifier, Conv, NetSpec
from pocketvision.zoo.numerics import numerics as numerics_of

# All families halve the image five times; below this the last map has no whole pixel.
SMALLEST = 32
LARGEST = 8192

Resolution = int | tuple[int, int]


def checked_width(width: float) -> float:
    """The width multiplier itself. Raises SpecError if it is no number from 0.05 to 8."""
    return _number("width", width, low=0.05, high=8.0)


def checked_depth(depth: float) -> float:
    """The depth multiplier itself. Raises SpecError if it is no number from 0.1 to 8."""
    return _number("depth", depth, low=0.1, high=8.0)


def checked_divisor(divisor: int) -> int:
    """What channels are multiples of. Raises SpecError if it is no whole number from 1 to 64."""
    whole = isinstance(divisor, int) and not isinstance(divisor, bool)
    if not whole or not 1 <= divisor <= 64:
        raise SpecError(f"divisor must be a whole number from 1 to 64, got {divisor!r}")
    return divisor


def checked_resolution(resolution: Resolution) -> tuple[int, int]:
    """(height, width). Raises SpecError for anything below 32 pixels a side."""
    pair = resolution if isinstance(resolution, tuple | list) else (resolution, resolution)
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not SMALLEST <= min(pair) <= max(pair) <= LARGEST:
        raise SpecError(
            f"resolution must be one or two whole numbers (height, width) from {SMALLEST} to "
            f"{LARGEST}, because the network halves the image five times; got {resolution!r}"
        )
    return pair[0], pair[1]


def _number(name: str, value: float, *, low: float, high: float) -> float:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not low <= value <= high:
        raise SpecError(f"{name} must be a number from {low} to {high}, got {value!r}")
    return float(value)


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
    head: AnyHead | None = None,
) -> NetSpec:
    """The spec of a classifier with one head called "label": `head`, or the usual one.

    Raises SpecError.
    """
    if head is None:
        c_in = blocks[-1].c_out
        head = Classifier(c_in=c_in, classes=classes, hidden=hidden, dropout=dropout)
    return NetSpec(
        name=name,
        resolution=checked_resolution(resolution),
        stem=stem,
        blocks=tuple(blocks),
        heads=(("label", head),),
        numerics=numerics_of(family, numerics),
    )
