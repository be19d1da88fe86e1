"""When an answer counts, as a value that travels: how sure it is, and from where on it is given.

decision.json, fitted on validation images once training has ended; a bundle may be without.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pocketvision.errors import DataError, UsageError

FORMAT = 1
SCORES = ("probability", "energy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Of one head. Probabilities are softmax(logits / temperature); an answer is given where the
    score is at least `threshold` (None: always), and "unknown" is said below.

    score        "probability": the largest one; "energy": temperature * logsumexp(logits /
                 temperature), arXiv:2010.03759
    known_share  share of right answers that the threshold was to keep
    images       how many it was fitted on
    figures      what was measured then
    """

    temperature: float = 1.0
    score: str = "probability"
    threshold: float | None = None
    known_share: float | None = None
    images: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _finite(self.temperature) or self.temperature <= 0:
            raise DataError(f"a temperature must be a number over 0, got {self.temperature!r}")
        if self.score not in SCORES:
            raise DataError(f"a score is one of {', '.join(SCORES)}, got {self.score!r}")
        if self.threshold is not None and not _finite(self.threshold):
            raise DataError(f"a threshold must be a finite number, got {self.threshold!r}")
        if self.known_share is not None and not _finite(self.known_share):
            raise DataError(f"known_share must be a share from 0 to 1, got {self.known_share!r}")
        if type(self.images) is not int or not isinstance(self.figures, Mapping):
            raise DataError("a decision needs 'images' as a count and 'figures' as an object")

    def row(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def at_threshold(decision: Decision | None, probability: float | None) -> Decision | None:
    """The decision with a person's own threshold on the probability: 0 answers always, None keeps
    what is. Raises UsageError for what is no share.
    """
    if probability is None:
        return decision
    if not 0 <= probability <= 1:
        raise UsageError(
            f"--threshold is a probability from 0 to 1 (0: never say unknown), got {probability}"
        )
    return Decision(
        temperature=decision.temperature if decision else 1.0,
        threshold=probability or None,
    )


def dumps(decisions: Mapping[str, Decision]) -> str:
    """decision.json: the decision of every head."""
    heads = {name: d.row() for name, d in decisions.items()}
    return json.dumps({"format": FORMAT, "heads": heads}, indent=1, allow_nan=False) + "\n"


def loads(text: str | bytes) -> dict[str, Decision]:
    """Read what `dumps` wrote. Raises DataError."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise DataError(f"the decision is not valid JSON: {e}") from None
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        raise DataError(f"a decision must be an object of format {FORMAT}")
    heads = row.get("heads")
    if not isinstance(heads, dict) or row.keys() != {"format", "heads"}:
        raise DataError("a decision must hold 'format' and 'heads' and nothing else")
    return {name: _from_row(name, value) for name, value in heads.items()}


def _from_row(name: str, row: Any) -> Decision:
    wanted = {f.name for f in fields(Decision)}
    if not isinstance(row, dict) or row.keys() != wanted:
        raise DataError(f"the decision of head {name!r} must hold {', '.join(sorted(wanted))}")
    return Decision(**row)
