"""How a depth multiplier changes the repeats of a stage."""

from __future__ import annotations

import math
from collections.abc import Sequence


def deepened(repeats: Sequence[int], depth: float, *, up: bool = True) -> tuple[int, ...]:
    """Repeats of the row groups of one stage, multiplied by `depth`: at least one each.

    The stage's total is rounded up (`up`) or to the nearest, then shared out from the last group to
    the first in proportion to what is left. Source: the rule of timm's MobileNet entries
    (`mobilenetv2_110d`, `mixnet_xl`), after EfficientNet's, arXiv:1905.11946.
    """
    left = sum(repeats)
    budget = math.ceil(left * depth) if up else max(1, round(left * depth))
    shares = []
    for n in reversed(repeats):
        share = max(1, round(n / left * budget)) if left else 1
        shares.append(share)
        left, budget = left - n, budget - share
    return tuple(reversed(shares))
