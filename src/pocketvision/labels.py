"""The names that a head's outputs stand for; they travel with every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketvision.errors import LabelError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Names of a head's outputs in order; `background` and `ignore` are indices never answered."""

    names: tuple[str, ...]
    background: int | None = None
    ignore: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise LabelError("labels hold no name; a head needs one name for each output")
        if not all(isinstance(n, str) for n in self.names):
            raise LabelError("labels must be text, one name for each output")
        if twice := sorted({n for n in self.names if self.names.count(n) > 1}):
            raise LabelError(f"labels have a name twice: {', '.join(twice[:5])}")
        special = [*self.ignore, *([] if self.background is None else [self.background])]
        if bad := [i for i in special if not isinstance(i, int) or not 0 <= i < len(self.names)]:
            raise LabelError(f"labels mark index {bad[0]!r} but there are {len(self.names)} names")

    @property
    def hidden(self) -> tuple[int, ...]:
        """Indices that are never an answer."""
        return self.ignore if self.background is None else (self.background, *self.ignore)


def dumps(labels: Mapping[str, Labels]) -> str:
    """labels.json: the labels of every head."""
    heads = {
        name: {"names": list(x.names), "background": x.background, "ignore": list(x.ignore)}
        for name, x in labels.items()
    }
    return json.dumps({"format": FORMAT, "heads": heads}, indent=1, ensure_ascii=False) + "\n"


def loads(text: str | bytes) -> dict[str, Labels]:
    """Read what `dumps` wrote. Raises LabelError."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise LabelError(f"labels are not valid JSON: {e}") from None
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        raise LabelError(f"labels must be an object of format {FORMAT}")
    heads = row.get("heads")
    if not isinstance(heads, dict) or row.keys() != {"format", "heads"}:
        raise LabelError("labels must hold 'format' and 'heads' and nothing else")
    return {name: _from_row(name, value) for name, value in heads.items()}


def _from_row(name: str, row: Any) -> Labels:
    if not isinstance(row, dict) or row.keys() != {"names", "background", "ignore"}:
        raise LabelError(f"labels of head {name!r} must hold names, background and ignore")
    if not isinstance(row["names"], list) or not isinstance(row["ignore"], list):
        raise LabelError(f"labels of head {name!r}: names and ignore must be lists")
    return Labels(
        names=tuple(row["names"]), background=row["background"], ignore=tuple(row["ignore"])
    )
