"""Lengths of time as people write them: 90s, 10m, 1h30m."""

from __future__ import annotations

import re

from pocketvision.errors import UsageError

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0}
_SHAPE = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def seconds(text: str, *, flag: str = "--time") -> float:
    """600.0 from "10m"; hours, minutes and seconds in that order. Raises UsageError naming `flag`.

    A bare number is refused: 10 may mean minutes to one person and seconds to the next.
    """
    plain = str(text).strip().lower().replace(" ", "")
    found = _SHAPE.fullmatch(plain)
    if not plain or not found:
        hint = f"; did you mean {plain}m?" if re.fullmatch(r"\d+(\.\d+)?", plain) else ""
        raise UsageError(f"{flag} must be a time such as 90s, 10m or 1h30m, got {text!r}{hint}")
    parts = zip(_UNITS_S.values(), found.groups(), strict=True)
    total = sum(unit * float(value) for unit, value in parts if value)
    if total <= 0:
        raise UsageError(f"{flag} must be over 0 seconds, got {text!r}")
    return total
