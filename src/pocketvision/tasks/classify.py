"""Classification on numpy arrays: answers with their names, and how good they are.

Nothing here knows what made the logits: any runtime that maps a batch to {head: (n, classes)}
serves. Legend of shapes: n images, k classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketvision.errors import LabelError, PocketvisionError, UsageError, closest
from pocketvision.labels import Labels
from pocketvision.preprocess import Preprocess, to_tensor

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]
Z_95 = 1.959963984540054  # the normal quantile of 0.975
BATCH_SIZE = 64


def wilson(correct: int, n: int, *, z: float = Z_95) -> tuple[float, float]:
    """(low, high), the 95% score interval of a share; (0, 1) when n is 0.

    centre = (p + z^2/2n) / (1 + z^2/n), half = z sqrt(p(1-p)/n + z^2/4n^2) / (1 + z^2/n)
    Source: Wilson 1927, JASA 22, 209-212.
    """
    if n == 0:
        return 0.0, 1.0
    p, scale = correct / n, 1 + z * z / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


# ---------------------------------------------------------------------------------------- figures


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """One class: `n` images are of it, `answered` were given its name, `correct` both.

    A share whose denominator is 0 is NaN, and its interval (0, 1).
    """

    name: str
    n: int
    answered: int
    correct: int

    @property
    def recall(self) -> float:
        """Share of the class's images that were recognized."""
        return self.correct / self.n if self.n else math.nan

    @property
    def recall_interval(self) -> tuple[float, float]:
        """95% Wilson interval of the recall."""
        return wilson(self.correct, self.n)

    @property
    def precision(self) -> float:
        """Share of the answers with this name that were right."""
        return self.correct / self.answered if self.answered else math.nan

    @property
    def precision_interval(self) -> tuple[float, float]:
        """95% Wilson interval of the precision."""
        return wilson(self.correct, self.answered)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 2 correct / (n + answered)."""
        total = self.n + self.answered
        return 2 * self.correct / total if total else math.nan


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How good the answers to n images were. `confusion[true, answered]` counts images, (k, k)."""

    names: tuple[str, ...]
    confusion: np.ndarray
    loss: float
    top5: float | None

    @property
    def n(self) -> int:
        """Images."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Images whose first answer was right."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of images whose first answer was right."""
        return self.correct / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval of the accuracy."""
        return wilson(self.correct, self.n)

    @property
    def per_class(self) -> tuple[ClassFigures, ...]:
        """The figures of every class, in the order of the names."""
        truth, answers = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return tuple(
            ClassFigures(
                name=name,
                n=int(truth[i]),
                answered=int(answers[i]),
                correct=int(self.confusion[i, i]),
            )
            for i, name in enumerate(self.names)
        )

    @property
    def macro_recall(self) -> float:
        """Mean recall over the classes that have images: every class weighs the same."""
        return float(np.mean([c.recall for c in self.per_class if c.n]))

    def to_dict(self) -> dict[str, object]:
        """The figures of the whole as JSON values."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "top5": self.top5,
            "loss": self.loss,
            "macro_recall": self.macro_recall,
        }


def measure(logits_nk: np.ndarray, truth_n: np.ndarray, *, labels: Labels) -> Metrics:
    """Metrics of logits (n, k) against class indices (n,).

    Hidden entries (background, ignore) are never answered. `top5` is None with five answers or
    fewer, where it says nothing; `loss` is the mean cross-entropy over the entries that may be
    answered. Raises LabelError where shapes or indices do not fit, PocketvisionError for NaN.
    """
    truth = _checked(logits_nk, truth_n, labels)
    log_p = log_softmax(logits_nk, hidden=labels.hidden)
    own = log_p[np.arange(len(truth)), truth]
    k = len(labels.names)
    counts = np.bincount(truth * k + log_p.argmax(axis=1), minlength=k * k)
    answers = k - len(set(labels.hidden))
    return Metrics(
        names=labels.names,
        confusion=counts.reshape(k, k),
        loss=float(-own.mean()),
        top5=_share_within(log_p, truth, 5) if answers > 5 else None,
    )


def _checked(logits_nk: np.ndarray, truth_n: np.ndarray, labels: Labels) -> np.ndarray:
    truth = np.asarray(truth_n)
    k = len(labels.names)
    _check_width(logits_nk, k)
    if len(truth) != len(logits_nk) or truth.ndim != 1:
        raise LabelError(f"{len(logits_nk)} answers but labels of shape {truth.shape}")
    if len(truth) == 0:
        raise UsageError("no image to measure on; give at least one")
    if truth.min() < 0 or truth.max() >= k:
        raise LabelError(f"labels run from {truth.min()} to {truth.max()}; there are {k} classes")
    if hidden := sorted(set(labels.hidden) & set(truth.tolist())):
        raise LabelError(
            f"images are labelled {labels.names[hidden[0]]!r}, which is never answered"
        )
    return truth.astype(np.int64)


def _check_width(logits_nk: np.ndarray, k: int) -> None:
    if logits_nk.ndim != 2 or logits_nk.shape[1] != k:
        raise LabelError(f"the outputs have shape {logits_nk.shape}, but there are {k} labels")
    if np.isnan(logits_nk).any():
        bad = int(np.isnan(logits_nk).any(axis=1).sum())
        raise PocketvisionError(f"the outputs are not numbers (NaN) for {bad} of {len(logits_nk)}"
                                " images; the weights or the runtime are broken")  # fmt: skip


def _share_within(scores_nk: np.ndarray, truth_n: np.ndarray, most: int) -> float:
    """Share of rows whose true entry is among the `most` highest."""
    own = scores_nk[np.arange(len(truth_n)), truth_n][:, None]
    return float(((scores_nk > own).sum(axis=1) < most).mean())


# ---------------------------------------------------------------------------------------- answers


def log_softmax(logits_nk: np.ndarray, *, hidden: Sequence[int] = ()) -> np.ndarray:
    """float64 (n, k): log of softmax along k; hidden entries get -inf and take no share."""
    x = np.array(logits_nk, np.float64)
    x[:, list(hidden)] = -np.inf
    x -= x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def softmax(logits_nk: np.ndarray, *, hidden: Sequence[int] = ()) -> np.ndarray:
    """float64 (n, k): rows that sum to 1; hidden entries are 0."""
    return np.exp(log_softmax(logits_nk, hidden=hidden))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer to one image: the most probable name, and the first few (name, probability).

    `known` is False where the answer is not sure enough to be given, None where nothing decides.
    """

    path: str
    top: tuple[tuple[str, float], ...]
    known: bool | None = None

    @property
    def label(self) -> str:
        """The most probable name."""
        return self.top[0][0]

    @property
    def probability(self) -> float:
        """The probability of the most probable name."""
        return self.top[0][1]


def decode(
    logits_nk: np.ndarray, paths: Sequence[str], *, labels: Labels, most: int = 5
) -> list[Prediction]:
    """The answers to n images, each with its `most` best names; hidden entries are never named.

    Raises LabelError where the outputs do not fit the labels, UsageError for `most` < 1.
    """
    if most < 1:
        raise UsageError(f"--top must be at least 1, got {most}")
    _check_width(logits_nk, len(labels.names))
    p = softmax(logits_nk, hidden=labels.hidden)
    shown = min(most, len(labels.names) - len(set(labels.hidden)))
    order = np.argsort(-p, axis=1, kind="stable")[:, :shown]
    return [
        Prediction(path=path, top=tuple((labels.names[i], float(row[i])) for i in best))
        for path, row, best in zip(paths, p, order, strict=True)
    ]


# --------------------------------------------------------------------------------------- over data


def batches(
    images_nhwc: np.ndarray, preprocess: Preprocess, *, batch_size: int = BATCH_SIZE
) -> Iterator[np.ndarray]:
    """float32 (b, c, h, w) inputs from uint8 (n, h, w, c) images, b <= batch_size."""
    for start in range(0, len(images_nhwc), batch_size):
        yield to_tensor(np.asarray(images_nhwc[start : start + batch_size]), preprocess)


def answers(run: Run, inputs: Iterable[np.ndarray], *, head: str | None = None) -> np.ndarray:
    """Logits (n, k) of a runtime over batches; `head` may be left out where there is one.

    Raises UsageError without a batch, or for a head that the runtime does not have.
    """
    rows = [_head(run(x), head) for x in inputs]
    if not rows:
        raise UsageError("no image to run on; give at least one")
    return np.concatenate(rows)


def _head(outputs: Mapping[str, np.ndarray], head: str | None) -> np.ndarray:
    if head is None and len(outputs) == 1:
        return next(iter(outputs.values()))
    if head is None or head not in outputs:
        known = ", ".join(outputs)
        asked = "name one of its heads" if head is None else f"it has no head {head!r}"
        raise UsageError(f"{asked}{closest(head or '', outputs)} (heads: {known})")
    return outputs[head]


def evaluate(
    run: Run,
    inputs: Iterable[np.ndarray],
    truth_n: np.ndarray,
    *,
    labels: Labels,
    head: str | None = None,
) -> Metrics:
    """Metrics of any runtime over batches (b, c, h, w) whose classes are `truth_n`, in order."""
    return measure(answers(run, inputs, head=head), truth_n, labels=labels)
