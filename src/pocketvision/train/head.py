"""The last layer alone, fitted to kept features until nothing moves: seconds, no learning rate.

Multinomial logistic regression: the mean cross-entropy plus decay / 2 times the squared distance of
the weights from where they started (0 for a new layer, the kept rows for classes that the source
knew), on features brought to mean 0 and deviation 1. How strong the decay is follows from
cross-validation inside the training images. Convex for a linear layer, so that neither order nor
seed plays a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketvision.data.order import order
from pocketvision.errors import Interrupted

DECAYS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
FOLDS = 5
ITERATIONS = 60
CHUNK_BYTES = 2**26  # of features in hand at a time: bounds the memory of maps
HELD_BYTES = 2**28  # of standardised features that are kept while a layer is fitted
JUDGED = 4000  # rows that cross-validation looks at, at most: enough to choose among a few decays
# Seconds for each number of what is gone through: measured, 1280 features, 5 classes, 3423 rows.
FIT_S, JUDGE_S = 1e-8, 3e-7
LEAST_DEVIATION = 1e-3  # a feature that hardly moves must not be blown up


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A last layer: weight (k, d), bias (k,), which stays 0 unless `biased`. `act` is None for a
    linear one, else what a head that answers at every pixel applies before its mean over space.
    """

    weight: Tensor
    bias: Tensor
    act: Callable[[Tensor], Tensor] | None = None
    biased: bool = True

    def logits(self, x: Tensor) -> Tensor:
        """(n, k) from features (n, d), or from maps (n, d, h, w)."""
        if self.act is None:
            return F.linear(x, self.weight, self.bias)
        y = F.conv2d(x, self.weight[:, :, None, None], self.bias)
        return self.act(y).mean((2, 3))


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The layer, the decay that was chosen, and the mean cross-entropy over the training rows."""

    layer: Layer
    decay: float
    loss: float


def fitted(
    features: np.ndarray,
    truth: np.ndarray,
    start: Layer,
    *,
    anchored: bool = False,
    seed: int = 0,
    decay: float | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    weights: np.ndarray | None = None,
    prior: np.ndarray | None = None,
) -> Fitted:
    """The layer that fits features (n, d) or (n, d, h, w) of classes (n,); `start` holds its first
    values, which it stays near where `anchored`. The classes' `weights` (k,) scale the losses of
    their rows, `prior` (k,) is added to the logits while fitting, and is no part of the layer.
    Without a `decay` cross-validation finds one.

    Raises Interrupted between two iterations once `should_stop` says so.
    """
    x, y = torch.from_numpy(features), torch.from_numpy(truth)
    mean, deviation = _moments(x)
    if not start.biased:
        mean = torch.zeros_like(mean)  # what a shift would need a bias for
    lean = _Lean(*(None if v is None else torch.from_numpy(v).float() for v in (weights, prior)))
    data = _Data(x, y, mean, deviation, anchored, should_stop, lean)
    first = _standardised(start, mean, deviation)
    if decay is None:
        shuffled = order(len(y), seed=seed, epoch=0)
        decay = _chosen(data, first, shuffled) if len(y) > FOLDS else DECAYS[0]
    rows = torch.arange(len(y))
    made = _minimum(data, first, rows, decay)
    return Fitted(layer=_plain(made, mean, deviation), decay=decay, loss=data.loss(made, rows))


def seconds(rows: int, width: int, classes: int) -> float:
    """About how long a fit takes, in seconds."""
    return width * classes * (JUDGE_S * min(rows, JUDGED) + FIT_S * rows)


@dataclass(frozen=True)
class _Lean:
    """How the loss leans to some classes: weights (k,) and what the logits get, (k,), if any."""

    weights: Tensor | None = None
    prior: Tensor | None = None

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Sum of the rows' losses."""
        logits = logits if self.prior is None else logits + self.prior
        if self.weights is None:
            return F.cross_entropy(logits, y, reduction="sum")
        return (F.cross_entropy(logits, y, reduction="none") * self.weights[y]).sum()


@dataclass(frozen=True)
class _Data:
    """Rows with their classes, and what brings them to mean 0 and deviation 1."""

    x: Tensor
    y: Tensor
    mean: Tensor
    deviation: Tensor
    anchored: bool
    should_stop: Callable[[], bool]
    lean: _Lean

    def chunks(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Standardised features and classes of `rows`, some at a time."""
        shape = (1, -1) + (1,) * (self.x.ndim - 2)
        size = max(CHUNK_BYTES // max(self.x[0].nbytes, 1), 1)
        for part in rows.split(size):
            x = (self.x[part] - self.mean.view(shape)) / self.deviation.view(shape)
            yield x, self.y[part]

    def again(self, rows: Tensor) -> Callable[[], Iterable[tuple[Tensor, Tensor]]]:
        """`chunks` for those who go through them many times: standardised once where they fit."""
        if len(rows) * self.x[0].nbytes > HELD_BYTES:
            return lambda: self.chunks(rows)
        held = list(self.chunks(rows))
        return lambda: held

    @torch.no_grad()
    def loss(self, layer: Layer, rows: Tensor) -> float:
        """Mean loss over `rows`."""
        total = sum(self.lean.loss(layer.logits(x), y).item() for x, y in self.chunks(rows))
        return total / len(rows)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (d,) of each feature."""
    over = [i for i in range(x.ndim) if i != 1]
    variance, mean = torch.var_mean(x, dim=over, correction=0)
    return mean, variance.sqrt().clamp_min(LEAST_DEVIATION)


def _standardised(layer: Layer, mean: Tensor, deviation: Tensor) -> Layer:
    """The layer as it reads standardised features, with the same answers."""
    return replace(layer, weight=layer.weight * deviation, bias=layer.bias + layer.weight @ mean)


def _plain(layer: Layer, mean: Tensor, deviation: Tensor) -> Layer:
    """The layer as it reads features as they are."""
    weight = layer.weight / deviation
    return replace(layer, weight=weight, bias=layer.bias - weight @ mean)


def _chosen(data: _Data, first: Layer, shuffled: np.ndarray) -> float:
    """The decay with the lowest loss on held-out parts; weaker ones are not tried once it rises."""
    shuffled = shuffled[:JUDGED]
    parts = [torch.from_numpy(part.copy()) for part in np.array_split(shuffled, FOLDS)]
    losses: list[float] = []
    starts = [first] * FOLDS
    for decay in DECAYS:
        total = 0.0
        for k, held in enumerate(parts):
            rest = torch.cat([p for i, p in enumerate(parts) if i != k])
            starts[k] = _minimum(data, first, rest, decay, near=starts[k])
            total += data.loss(starts[k], held) * len(held)
        if losses and total > losses[-1]:
            break
        losses.append(total)
    return DECAYS[len(losses) - 1]


def _minimum(
    data: _Data, first: Layer, rows: Tensor, decay: float, *, near: Layer | None = None
) -> Layer:
    """The layer of least loss on `rows`, looked for from `near`."""
    begin = near or first
    weight = begin.weight.clone().requires_grad_()
    bias = begin.bias.clone().requires_grad_()
    anchor = first.weight if data.anchored else torch.zeros_like(first.weight)
    chunks = data.again(rows)
    search = torch.optim.LBFGS(
        [weight, bias] if begin.biased else [weight],
        max_iter=ITERATIONS,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        if data.should_stop():
            raise Interrupted("stopped")
        search.zero_grad()
        total = 0.5 * decay * (weight - anchor).square().sum()
        total.backward()
        value = total.item()
        layer = replace(begin, weight=weight, bias=bias)
        for x, y in chunks():
            loss = data.lean.loss(layer.logits(x), y) / len(rows)
            loss.backward()
            value += loss.item()
        return value

    search.step(closure)
    return replace(begin, weight=weight.detach(), bias=bias.detach())
