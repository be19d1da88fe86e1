"""Fields of a config that say what they are for and what they may hold. Standard library only."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from pocketvision.errors import UsageError, closest


def opt(
    default: Any,
    text: str,
    *,
    least: float | None = None,
    most: float | None = None,
    one_of: tuple[str, ...] = (),
    context: bool = False,
) -> Any:
    """A field with its help text and its limits (both included)."""
    rules = {"help": text, "least": least, "most": most, "one_of": one_of, "context": context}
    return field(default=default, metadata=rules)


def flag(name: str) -> str:
    """The flag of a field: --batch-size for batch_size."""
    return "--" + name.replace("_", "-")


def check(f: dataclasses.Field[Any], value: Any) -> None:
    """Raise UsageError, naming the flag, for a value that the field does not take."""
    kinds = str(f.type)
    if value is None and "None" in kinds:
        return
    if one_of := f.metadata["one_of"]:
        if value not in one_of:
            hint = closest(str(value), one_of)
            raise UsageError(f"{flag(f.name)} must be {' or '.join(one_of)}, got {value!r}{hint}")
        return
    if not _is(value, kinds):
        raise UsageError(f"{flag(f.name)} must be {_word(kinds)}, got {value!r}")
    _check_limits(flag(f.name), value, f.metadata["least"], f.metadata["most"])


def check_needs(config: Any, needs: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Raise UsageError where a field is given beside a value of another that ignores it."""
    for name, (other, values) in needs.items():
        if getattr(config, name) is not None and getattr(config, other) not in values:
            wanted = " or ".join(f"{flag(other)} {value}" for value in values)
            held = getattr(config, other)
            raise UsageError(
                f"{flag(name)} belongs to {wanted}, {flag(other)} is {held or 'not given'}; "
                f"leave {flag(name)} out, or add {wanted}"
            )


def _is(value: Any, kinds: str) -> bool:
    if "bool" in kinds:
        return isinstance(value, bool)
    if "str" in kinds:
        return isinstance(value, str)
    if isinstance(value, bool):
        return False
    if "float" in kinds:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, int)


def _word(kinds: str) -> str:
    names = {"bool": "true or false", "str": "text", "float": "a number", "int": "a whole number"}
    return next(word for kind, word in names.items() if kind in kinds)


def _check_limits(name: str, value: Any, least: float | None, most: float | None) -> None:
    low = least is not None and value < least
    high = most is not None and value > most
    if low or high:
        upper = f" and at most {most:g}" if most is not None else ""
        raise UsageError(f"{name} must be at least {least:g}{upper}, got {value!r}")
