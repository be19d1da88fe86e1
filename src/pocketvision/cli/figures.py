"""What the end of a run says beside its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
