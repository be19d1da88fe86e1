"""Where the time of a run goes: seconds by part."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

# In the order of a step, then what comes between steps.
PARTS = ("augment", "forward", "backward", "exchange", "update", "evaluation", "checkpoints")


class Clock:
    """Splits the time since it was made, or since the last mark, into named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def mark(self, part: str) -> None:
        """What passed since the last mark was spent on `part`."""
        now = perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now


def add_(total: dict[str, float], more: Mapping[str, float]) -> None:
    """Add seconds by part to a sum, in place."""
    for part, seconds in more.items():
        total[part] = total.get(part, 0.0) + seconds


def in_words(seconds: Mapping[str, float]) -> str:
    """ "augment 5%, forward 30%, ...": shares of the whole, parts of nothing left out."""
    whole = sum(seconds.values()) or 1.0
    shares = {part: seconds.get(part, 0.0) / whole for part in PARTS}
    return ", ".join(f"{part} {share:.0%}" for part, share in shares.items() if share >= 0.005)
