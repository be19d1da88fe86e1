"""What the end of a run says beside its accuracy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pocketvision.data.dataset import Dataset
    from pocketvision.tasks.classify import Metrics


def uneven(metrics: Metrics, dataset: Dataset) -> str:
    """Mean recall over classes and the worst class, as a line; nothing where all classes have about
    as many training images, for then the accuracy tells as much.
    """
    from pocketvision.train.balance import AUTO_RATIO

    counts = [n for n in dataset.counts()["train"] if n]
    if max(counts) <= AUTO_RATIO * min(counts):
        return ""
    worst = min((c for c in metrics.per_class if c.n), key=lambda c: c.recall)
    low, high = worst.recall_interval
    return (
        f"mean recall over classes {metrics.macro_recall:.2%}; worst class {worst.name!r}: "
        f"{worst.recall:.1%}, {worst.correct} of {worst.n} (95% interval {low:.1%} to {high:.1%})\n"
    )


def trust(summary: Mapping[str, Any]) -> str:
    """How far the run's probabilities go, and what is unknown, as two lines."""
    decision = summary["decision"]
    found = decision["figures"]
    e, unknown = found["ece"], found["unknown"]
    lines = [
        f"calibration error {e['before']:.2%} before, {e['after']:.2%} at temperature "
        f"{decision['temperature']:.2f} (perfect probabilities: about {e['noise']:.2%})"
    ]
    if unknown["accuracy_known"] is not None and decision["threshold"] is not None:
        lines.append(
            f"unknown: {unknown['rejected']:.1%} of the images; of the others "
            f"{unknown['accuracy_known']:.2%} are right"
        )
    return "\n".join(lines)


def weak(metrics: Metrics, folder: Path, data: str) -> str:
    """The command that says what more images would bring, where a class is recognised less often
    than all are, by more than chance; else nothing.
    """
    low = [c for c in metrics.per_class if c.n and c.recall_interval[1] < metrics.accuracy]
    if not low:
        return ""
    worst = min(low, key=lambda c: c.recall)
    command = shlex.join(["pocketvision", "forecast", str(folder), "--data", data])
    share = f"{worst.name!r} is recognised in {worst.recall:.1%} only"
    return f"{share}; would more images help? {command}"
