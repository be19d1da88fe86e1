"""The same images through the original and through an exported file: how far apart are they?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from pocketvision.errors import UsageError
from pocketvision.export.runtime import Runtime

# Allowed largest difference over the largest magnitude of the original's output. float32 runtimes
# differ by 1e-6 to 3e-6 on networks with random weights, bfloat16 by 2e-2 to 4e-2.
TOLERANCE = {"f32": 1e-4, "f16": 1e-2, "bf16": 1e-1}
# Two classes of the original closer than this (relative as above) are one answer: float32 rounding
# alone may swap them.
TIE = 1e-5
BATCH = 16
TINY = 1e-30  # for an original that answers zero everywhere

Outputs = dict[str, np.ndarray]
Indices = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How `b` differs from `a` over `n` images; the worst head counts.

    max_rel: largest difference over the largest magnitude of a's output. top1_agreement: share of
    images with the same first class; a class that ties with the first in `a` (TIE) counts as equal.
    metric_a, metric_b: top-1 accuracy where labels were given. input_max_abs: largest difference of
    the input tensors; above zero, the two prepare images differently.
    """

    a: str
    b: str
    n: int
    max_abs: float
    mean_abs: float
    max_rel: float
    top1_agreement: float
    metric_a: float | None = None
    metric_b: float | None = None
    input_max_abs: float = 0.0

    def row(self) -> dict[str, object]:
        """The figures as they go into parity.json."""
        return asdict(self)


def compare(
    a: Runtime,
    b: Runtime,
    inputs: Iterable[np.ndarray],
    *,
    labels: Sequence[int] | Indices | None = None,
) -> Parity:
    """Both runtimes on the same (c, h, w) inputs, in batches. Raises UsageError without inputs."""
    return compare_pairs(a, b, ((x, x) for x in inputs), labels=labels)


def compare_pairs(
    a: Runtime,
    b: Runtime,
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    labels: Sequence[int] | Indices | None = None,
) -> Parity:
    """Each runtime on its own preparation of the same images: pairs of (c, h, w) inputs."""
    apart, answers_a, answers_b = 0.0, [], []
    for batch in _batches(pairs):
        x_a, x_b = (np.stack(side) for side in zip(*batch, strict=True))
        apart = max(apart, _largest(x_a - x_b))
        answers_a.append(a(x_a))
        answers_b.append(b(x_b))
    if not answers_a:
        raise UsageError("no image to compare with: give some, or a bundle with golden images")
    y_a, y_b = _joined(answers_a), _joined(answers_b)
    return Parity(
        a=f"{a.name} {a.precision}",
        b=f"{b.name} {b.precision}",
        input_max_abs=apart,
        **figures(y_a, y_b, labels),
    )


def _batches(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """One image alone first, then batches: a file must serve both."""
    source, size = iter(pairs), 1
    while batch := list(islice(source, size)):
        yield batch
        size = BATCH


def _joined(answers: list[Outputs]) -> Outputs:
    return {head: np.concatenate([y[head] for y in answers]) for head in answers[0]}


def figures(
    y_a: Outputs, y_b: Outputs, labels: Sequence[int] | Indices | None = None
) -> dict[str, Any]:
    """The fields of a Parity that outputs alone decide."""
    if y_a.keys() != y_b.keys():
        raise UsageError(f"outputs differ: {', '.join(y_a)} against {', '.join(y_b)}")
    heads = list(y_a)
    found: dict[str, Any] = {
        "n": len(y_a[heads[0]]),
        "max_abs": max(_largest(y_b[h] - y_a[h]) for h in heads),
        "mean_abs": max(_finite(np.abs(y_b[h] - y_a[h]).mean()) for h in heads),
        "max_rel": max(relative(y_a[h], y_b[h]) for h in heads),
        "top1_agreement": min(agreement(y_a[h], y_b[h]) for h in heads),
    }
    if labels is None:
        return found
    truth = labels if isinstance(labels, Mapping) else {heads[0]: labels}
    return found | {"metric_a": accuracy(y_a, truth), "metric_b": accuracy(y_b, truth)}


def relative(a_nk: np.ndarray, b_nk: np.ndarray) -> float:
    """Largest |b - a| over the largest |a|."""
    return _largest(b_nk - a_nk) / max(_largest(a_nk), TINY)


def agreement(a_nk: np.ndarray, b_nk: np.ndarray) -> float:
    """Share of rows where b's first class is a's, or ties with it in a."""
    chosen = np.take_along_axis(a_nk, b_nk.argmax(1)[:, None], axis=1)[:, 0]
    return float(np.mean(chosen >= a_nk.max(1) - TIE * _largest(a_nk)))


def accuracy(outputs: Outputs, labels: Indices) -> float:
    """Share of images whose first class is the label, the mean over the heads with labels.

    An image with a negative label is not counted. Raises UsageError where labels do not fit.
    """
    shares = []
    for head, indices in labels.items():
        if head not in outputs:
            raise UsageError(f"labels for head {head!r}, which the model lacks")
        first, truth = outputs[head].argmax(1), np.asarray(indices)
        if first.shape != truth.shape:
            raise UsageError(f"{len(truth)} labels for {len(first)} images of head {head!r}")
        known = truth >= 0
        shares.append(float(np.mean(first[known] == truth[known])))
    return float(np.mean(shares))


def _largest(x: np.ndarray) -> float:
    return _finite(np.abs(x).max())


def _finite(value: np.floating) -> float:
    """The value; not-a-number becomes infinity, so that no comparison passes it."""
    return float("inf") if np.isnan(value) else float(value)
