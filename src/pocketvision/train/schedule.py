"""How long a run is, and what each step uses: learning rate, image size, share of the data.

Everything is a function of the step and of a `Plan`, which is fixed once and saved: a resumed or
replayed run does at step 1234 what the first one did. No torch.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pocketvision.errors import DataError
from pocketvision.train.config import EPOCHS, WARMUP_EPOCHS, TrainConfig

SIZE_MULTIPLE_PX = 16  # sizes in between shrink unevenly through five strides of 2
GROWTH = 2 / 3  # share of the run over which images grow to their last size
WARMUP_MOST = 0.2
LR_DECAY, DECAY_EPOCHS = 0.97, 2.4  # MnasNet's, which EfficientNet and MixNet share
# A forward pass costs about a third of a training step; evaluation may take this share of a run.
FORWARD_SHARE = 1 / 3
EVAL_SHARE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The length of a run and its steps; sizes are (h, w).

    An exponential rate falls by the factor `fall` every `fall_steps`, at once with `stairs`.
    """

    steps: int
    per_epoch: int
    eval_every: int
    warmup: int
    peak_lr: float
    schedule: str
    first_hw: tuple[int, int]
    last_hw: tuple[int, int]
    # None where there is none, and then not on disk: plans of older runs stay the same.
    fall: float | None = None
    fall_steps: float | None = None
    stairs: bool | None = None
    least_lr: float | None = None
    first_lr: float | None = None

    @property
    def epochs(self) -> int:
        """Passes over the data, the last of which may be cut short."""
        return -(-self.steps // self.per_epoch)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {k: v for k, v in asdict(self).items() if v is not None}


def from_dict(row: dict[str, Any]) -> Plan:
    """Read what `Plan.to_dict` gave."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Plan(**values)


def planned(config: TrainConfig, *, n: int, n_val: int, size_hw: tuple[int, int]) -> Plan:
    """The plan for n training images of a network that takes (h, w) images.

    Length: the config's steps or epochs, the fewer where both are given; none at all where only the
    last layer is fitted.
    """
    per_epoch = batches_in(n, config.step_images)
    lengths = [config.steps, config.epochs and config.epochs * per_epoch]
    total = min([length for length in lengths if length] or [EPOCHS * per_epoch])
    if config.freeze == "trunk":
        total = 0
    scale = config.train_scale
    start = scale if config.start_scale is None else config.start_scale
    return Plan(
        steps=total,
        per_epoch=per_epoch,
        eval_every=config.eval_every or evaluation_gap(n, n_val),
        warmup=_warmup(config, per_epoch, total),
        peak_lr=config.peak_lr,
        schedule=config.schedule,
        first_hw=scaled(size_hw, start),
        last_hw=scaled(size_hw, scale),
        least_lr=config.min_lr,
        first_lr=config.warmup_lr,
        **_falling(config, per_epoch),
    )


def _falling(config: TrainConfig, per_epoch: int) -> dict[str, Any]:
    """How an exponential rate falls; nothing for others."""
    if config.schedule != "exponential":
        return {}
    return {
        "fall": LR_DECAY if config.lr_decay is None else config.lr_decay,
        "fall_steps": per_epoch * (config.decay_epochs or DECAY_EPOCHS),
        "stairs": config.staircase is not False,
    }


def lengthened(plan: Plan, config: TrainConfig, steps: int) -> Plan:
    """The plan with another number of steps."""
    return replace(plan, steps=steps, warmup=_warmup(config, plan.per_epoch, steps))


def _warmup(config: TrainConfig, per_epoch: int, steps: int) -> int:
    epochs = WARMUP_EPOCHS if config.warmup_epochs is None else config.warmup_epochs
    if config.schedule != "cosine":
        return round(epochs * per_epoch)  # these must not know how long the run is
    return round(min(epochs * per_epoch, WARMUP_MOST * steps))


# ---------------------------------------------------------------------------------------- batches


def batches_in(n: int, batch_size: int) -> int:
    """Steps in an epoch over n images: none left out, none of one image alone.

    A batch of one has no variance over itself, and breaks batch-norm where the map is 1x1. Raises
    DataError under two images.
    """
    if n < 2:
        raise DataError(f"training needs at least 2 images, got {n}; add images to the train split")
    return max(min(-(-n // batch_size), n // 2), 1)


def batch_of(order: np.ndarray, step: int, per_epoch: int) -> np.ndarray:
    """Indices of a step's images: `order` cut into `per_epoch` pieces as even as can be."""
    k = step % per_epoch
    n = len(order)
    return order[k * n // per_epoch : (k + 1) * n // per_epoch]


# ------------------------------------------------------------------------------------ along a run


def lr(step: int, plan: Plan) -> float:
    """The learning rate of a step: a line up, then half a cosine down to the least rate, flat, or
    falling by a factor for equal times, which are counted from the first step of the run.

    Sources: arXiv:1608.03983, equation 5, without restarts; tf.train.exponential_decay, with the
    warm-up laid over it as in the code of MnasNet and EfficientNet.
    """
    least, first = plan.least_lr or 0.0, plan.first_lr or 0.0
    if step < plan.warmup:
        return first + (plan.peak_lr - first) * (step + 1) / plan.warmup
    if plan.schedule == "constant":
        return plan.peak_lr
    if plan.schedule == "exponential":
        return max(_fallen(step, plan), least)
    done = (step - plan.warmup) / max(plan.steps - plan.warmup, 1)
    return least + (plan.peak_lr - least) * 0.5 * (1 + math.cos(math.pi * done))


def _fallen(step: int, plan: Plan) -> float:
    assert plan.fall is not None
    assert plan.fall_steps is not None
    times = step / plan.fall_steps
    return plan.peak_lr * plan.fall ** (math.floor(times) if plan.stairs else times)


def size(step: int, plan: Plan) -> tuple[int, int]:
    """(h, w) of a step's images, growing from the first size to the last in multiples of 16."""
    grown = min(step / (GROWTH * plan.steps), 1.0)
    sides = zip(plan.first_hw, plan.last_hw, strict=True)
    height, width = (_between(first, last, grown) for first, last in sides)
    return height, width


def _between(first: int, last: int, grown: float) -> int:
    if grown >= 1.0:
        return last
    return min(first + _multiple((last - first) * grown), last)


def _multiple(px: float) -> int:
    return round(px / SIZE_MULTIPLE_PX) * SIZE_MULTIPLE_PX


def scaled(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """(h, w) times `scale`, each a multiple of 16; exactly the size itself at scale 1."""
    if scale == 1:
        return size_hw
    least = SIZE_MULTIPLE_PX
    height, width = (min(max(_multiple(side * scale), least), side) for side in size_hw)
    return height, width


def ema_decay(step: int, decay: float, plan: Plan) -> float:
    """Decay of the averaged weights at a step: short memory at first, never over a tenth of a run
    whose rate knows its end either.

    Source of (1 + t) / (10 + t): TensorFlow's ExponentialMovingAverage, `num_updates`.
    """
    so_far = min(decay, (1 + step) / (10 + step))
    if plan.schedule != "cosine":
        return so_far  # a run that may go on for ever must not know how long it is
    return min(so_far, 1 - 1 / max(plan.steps / 10, 2))


def evaluation_gap(n: int, n_val: int) -> int:
    """Epochs between evaluations, so that these take a few percent of the time."""
    return max(math.ceil(FORWARD_SHARE * n_val / (EVAL_SHARE * n)), 1)


# ------------------------------------------------------------------------------------------- time


def steps_within(
    available_s: float, plan: Plan, *, first_s: float, last_s: float, evaluation_s: float
) -> int:
    """Steps that fit in `available_s`, when one takes `first_s` at the plan's first image size and
    `last_s` at its last, in proportion to the pixels in between, and evaluations come as planned.
    """
    a, b = math.prod(plan.first_hw), math.prod(plan.last_hw)
    slope = (last_s - first_s) / (b - a) if b != a else 0.0
    # The mix of sizes is the same whatever the length, up to rounding: take it at this one.
    pixels = np.mean([math.prod(size(s, plan)) for s in range(plan.steps)])
    mean_s = first_s + slope * (float(pixels) - a)
    return int(available_s / (mean_s + evaluation_s / (plan.eval_every * plan.per_epoch)))
