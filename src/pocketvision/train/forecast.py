"""What more images would bring, from what fewer of them cost.

Nested parts of the training images, the same share of each class, give error over number of images;
leaving out three quarters of one class gives what that class's images are worth. All is judged on
the same validation images, every class weighing the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from pocketvision.errors import UsageError
from pocketvision.tasks.classify import Z_95
from pocketvision.train import curve
from pocketvision.train.curve import Curve
from pocketvision.train.head import Layer
from pocketvision.train.refit import DRAWS, PARTS, Features, Refits, begun

RESAMPLED = 300
MOST_CLASSES = 30
LEAST_IMAGES = 8  # training images, below which there is no curve
LEAST_MORE = 10
# Measured: each of five kinds of flowers starved to 20, 40 and 80 photos and given 80 and 250 more,
# twice each. 0.75 told 0.94 points on average where 0.93 came; 0.5 told 1.4, 0.25 told 2.0.
CLASS_EXPONENT = 0.75


@dataclass(frozen=True, kw_only=True)
class ClassValue:
    """One class: its training images, its recall now, what `more` of its images would bring to it,
    and to the mean recall over classes (`gain`, with a 95% interval). `clear`: the gain lies above
    0 and above the mean of the other classes' by more than chance, with as many classes looked at.
    """

    name: str
    images: int
    recall: float
    recall_gain: float
    gain: float
    low: float
    high: float
    clear: bool = False


@dataclass(frozen=True, kw_only=True)
class Twice:
    """The error with twice the images of every class, and the gain with its 95% interval."""

    error: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """`points` are (images, mean error over classes, draws). `classes` come with the largest gain
    first; `too_few` have fewer than two training images, so that none can be left out;
    `unjudged` counts those without validation images, or beyond the 30 of lowest recall.
    """

    images: int
    val_images: int
    accuracy: float
    points: tuple[tuple[int, float, int], ...]
    curve: Curve
    twice: Twice
    more: int
    classes: tuple[ClassValue, ...]
    too_few: tuple[str, ...]
    unjudged: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def fits(features: Features) -> int:
    """How many layers `forecast` will fit, at most."""
    return 1 + DRAWS * (len(PARTS) + min(len(features.classes), MOST_CLASSES))


def forecast(
    features: Features,
    layer: Layer,
    *,
    more: int | None = None,
    seed: int = 0,
    on_fit: Callable[[], None] = lambda: None,
) -> Forecast:
    """The forecast for `more` images of a class (by default what a class has on average); `layer`
    gives the last layer's shape. `on_fit` is called after each fit.

    Raises UsageError for too few images.
    """
    n, k = len(features.truth), len(features.classes)
    if n < max(LEAST_IMAGES, 2 * k):
        raise UsageError(
            f"a forecast leaves training images out and needs at least {max(LEAST_IMAGES, 2 * k)} "
            f"for {k} classes, got {n}"
        )
    refits = begun(features, layer, seed=seed, on_fit=on_fit)
    parts = [*(refits.nested(p) for p in PARTS), (n, refits.right[None])]
    line = _curve(parts, features.weights())
    more = more or _round(n / k)
    judged, too_few = _judged(refits)
    values = [_value(refits, c, more=more) for c in judged]
    return Forecast(
        images=n,
        val_images=len(refits.right),
        accuracy=float(refits.right.mean()),
        points=tuple(
            (size, _error(right, features.weights()), len(right)) for size, right in parts
        ),
        curve=line,
        twice=_twice(parts, features, line),
        more=more,
        classes=_ranked(values),
        too_few=tuple(features.classes[c] for c in too_few),
        unjudged=k - len(judged) - len(too_few),
    )


def _round(count: float) -> int:
    """A number of images as people say it: one digit, at least 10."""
    scale = 10 ** (len(str(int(count))) - 1)
    return max(round(count / scale) * scale, LEAST_MORE)


def _error(right: np.ndarray, weights: np.ndarray) -> float:
    """Mean error over classes of right answers (draws, m)."""
    return float(1 - right.mean(axis=0) @ weights)


def _curve(parts: list[tuple[int, np.ndarray]], weights: np.ndarray) -> Curve:
    sizes = np.array([size for size, _ in parts])
    return curve.fitted(sizes, np.array([_error(right, weights) for _, right in parts]))


def _twice(parts: list[tuple[int, np.ndarray]], features: Features, line: Curve) -> Twice:
    """Twice the images, the interval from validation images drawn again within their classes and
    parts drawn again among theirs.
    """
    n, draw = parts[-1][0], np.random.Generator(np.random.PCG64(0))
    by_class = [np.flatnonzero(features.val_truth == c) for c in np.unique(features.val_truth)]
    weights, gains = features.weights(), []
    for _ in range(RESAMPLED):
        picks = np.concatenate([rows[draw.integers(0, len(rows), len(rows))] for rows in by_class])
        again = [(s, r[draw.integers(0, len(r), len(r))][:, picks]) for s, r in parts]
        found = _curve(again, weights[picks])
        gains.append(found.error(n) - found.error(2 * n))
    low, high = np.percentile(gains, (2.5, 97.5))
    gain = line.error(n) - line.error(2 * n)
    return Twice(error=line.error(2 * n), gain=gain, low=float(low), high=float(high))


# ----------------------------------------------------------------------------------------- classes


def _judged(refits: Refits) -> tuple[list[int], list[int]]:
    """(classes to judge, those with too few images): at most 30, those of the lowest recall."""
    f = refits.features
    k = len(f.classes)
    counts, seen = np.bincount(f.truth, minlength=k), np.bincount(f.val_truth, minlength=k)
    hits = np.bincount(f.val_truth, weights=refits.right, minlength=k)
    able = [c for c in range(k) if seen[c] and counts[c] >= 2]
    able.sort(key=lambda c: (hits[c] / seen[c], counts[c], c))
    return able[:MOST_CLASSES], [c for c in range(k) if counts[c] < 2]


def _ranked(values: list[ClassValue]) -> tuple[ClassValue, ...]:
    """The largest gain first; each held against the others at 95% for all of them together (an
    interval of 1 - 0.05 / k each, Bonferroni).
    """
    k = len(values)
    wider = NormalDist().inv_cdf(1 - 0.025 / max(k, 1)) / Z_95
    total, rows = sum(v.gain for v in values), []
    for v in values:
        others = (total - v.gain) / (k - 1) if k > 1 else 0.0
        least = v.gain - wider * (v.gain - v.low)
        rows.append(replace(v, clear=least > max(others, 0.0)))
    return tuple(sorted(rows, key=lambda v: -v.gain))


def _value(refits: Refits, c: int, *, more: int) -> ClassValue:
    """What images of class c are worth: the loss with a quarter of them, carried on by c."""
    f = refits.features
    left, right = refits.quarters(c)
    lost = refits.right.astype(float) - right
    drop, error = _drop(lost, f)
    have, own = int((f.truth == c).sum()), f.val_truth == c
    scale = curve.gained(1.0, have, more, left=left, c=CLASS_EXPONENT)
    recall = float(refits.right[own].mean())
    return ClassValue(
        name=f.classes[c],
        images=have,
        recall=recall,
        recall_gain=min(float(lost[:, own].mean()) * scale, 1 - recall),
        gain=drop * scale,
        low=(drop - Z_95 * error) * scale,
        high=(drop + Z_95 * error) * scale,
    )


def _drop(lost: np.ndarray, features: Features) -> tuple[float, float]:
    """(mean, standard error) of the loss of mean recall from (draws, m) in -1..1.

    Images scatter within their class, with one win and one loss beside what was seen, so that few
    images without a change are not taken for certainty (Agresti & Min 2005, Statistics in Medicine
    24, 729-740); draws scatter about their mean.
    """
    mean, by_draw = lost.mean(axis=0), lost @ features.weights()
    classes = np.unique(features.val_truth)
    variance = float(by_draw.var(ddof=1)) / len(lost)
    for c in classes:
        d = mean[features.val_truth == c]
        n = len(d) + 2
        spread = (np.square(d).sum() + 1) / n - (d.sum() / n) ** 2
        variance += float(spread) / n / len(classes) ** 2
    return float(by_draw.mean()), float(np.sqrt(variance))
