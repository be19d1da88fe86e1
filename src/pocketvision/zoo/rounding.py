"""How a width multiplier becomes a whole number of channels."""

from __future__ import annotations


def make_divisible(value: float, divisor: int = 8, *, minimum: int | None = None) -> int:
    """The multiple of `divisor` nearest to `value`, never below `minimum` nor under 90% of `value`.

    Ties go up; 18 gives 24, because 16 would lose over a tenth. `minimum` defaults to `divisor`.
    Source: TF-slim's MobileNetV2 and V3 (`_make_divisible`), shared by timm, torchvision and Keras.
    """
    floor = divisor if minimum is None else minimum
    nearest = max(floor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest
