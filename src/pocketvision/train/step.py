"""One optimizer step: its images, forward, backward, update. A function of the state and the step.

Order, augmentation and dropout follow from (seed, epoch, image) and (seed, step) alone, so that a
step taken again after a resume is the same step.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pocketvision.errors import PocketvisionError
from pocketvision.nn.rows import see
from pocketvision.train import schedule
from pocketvision.train.batches import batch
from pocketvision.train.clock import Clock
from pocketvision.train.device import forked
from pocketvision.train.job import Batch, Job, parts
from pocketvision.train.optim import set_lr
from pocketvision.train.state import State
from pocketvision.train.thaw import thaw_, thawed

PARTS = 2  # sets seeds of a step's later parts apart from what else it draws
# The mean loss of so many steps, over so many times that of guessing, counts as exploded.
EXPLODED_STEPS = 20
EXPLODED_TIMES = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A step that was taken: its mean loss, its images, and the seconds of its parts."""

    loss: float
    images: int
    seconds: Mapping[str, float]


def taken(state: State, job: Job, *, hw: tuple[int, int] | None = None) -> Taken:
    """Take the state's next step. Raises PocketvisionError where the loss is not finite, before
    any weight has moved. `hw` overrides the plan's image size.
    """
    step, plan, clock = state.step, job.plan, Clock()
    size = hw or schedule.size(step, plan)
    seen = batch(step, job, hw=size) if state.ahead is None else state.ahead.batch(step, size)
    clock.mark("augment")
    set_lr(state.optimizer, schedule.lr(step, plan))
    _thaw(state, job)
    # Dropout and drop-path draw from the global generator: lend it this step's seed, give it back.
    with forked(job.device):
        value = accumulated(state.runner, seen, job, step, clock)
    value = _summed(state.network, value, job)
    clock.mark("exchange")
    _update(state, job)
    clock.mark("update")
    state.step += 1
    state.loss_sum += value * seen.images
    state.seen += seen.images
    return Taken(loss=value, images=seen.images, seconds=clock.seconds)


def _thaw(state: State, job: Job) -> None:
    """Let the parts move that do so at this step; without --freeze all of them do, always."""
    config, spec = job.config, state.network.spec
    if config.freeze is None and config.norms is None:
        return
    count = thawed(state.step, job.plan.steps, config, spec)
    if count != state.thawed:
        thaw_(state.network, count, config)
        state.thawed = count


def step_seed(seed: int, step: int, part: int = 0) -> int:
    """A seed for one part of a step, far from those of its neighbours."""
    words = (seed, step, PARTS, part) if part else (seed, step)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def accumulated(network: nn.Module, seen: Batch, job: Job, step: int, clock: Clock) -> float:
    """Gradients of the mean loss over a step's images, or of what this process's share adds to it,
    which comes back; a part of them at a time with --accumulate, the global generator is seeded for
    each part.
    """
    value = 0.0
    for k, part in enumerate(parts(seen, job.config.accumulate, job.ranks)):
        torch.manual_seed(step_seed(job.config.seed, step, k))
        see(network, part.first, part.whole)
        value += _backward(network, part, job, clock, share=len(part) / seen.images)
    return value


def _backward(network: nn.Module, seen: Batch, job: Job, clock: Clock, *, share: float) -> float:
    """Add the gradients of `share` times the mean loss over a batch, which comes back."""
    low = job.config.precision == "bfloat16"
    with torch.autocast(job.device.type, dtype=torch.bfloat16) if low else nullcontext():
        loss = job.objective(network, seen)
    loss = loss if share == 1 else loss * share
    clock.mark("forward")
    loss.backward()
    value = loss.item()  # a GPU is waited for here, so its time counts as backward
    clock.mark("backward")
    return value


def _summed(network: nn.Module, value: float, job: Job) -> float:
    """The mean loss over the whole batch, with its gradients in place of this process's share.
    Raises PocketvisionError where it is not finite: on all processes, whichever one's is not.
    """
    if job.ranks.count > 1:
        value = _exchanged(network, value, job)
    if not math.isfinite(value):
        raise PocketvisionError(f"the loss became {value}")
    return value


def _exchanged(network: nn.Module, value: float, job: Job) -> float:
    """The loss summed over all processes, and their gradients, in place."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    if not gradients:
        return value
    total = gradients[0].new_tensor(value)
    job.ranks.sum_([*gradients, total])
    return float(total.item())


def _update(state: State, job: Job) -> None:
    config = job.config
    if config.grad_clip is not None:
        nn.utils.clip_grad_norm_(state.network.parameters(), config.grad_clip)
    state.optimizer.step()
    state.optimizer.zero_grad()
    if state.average:
        state.average.update(schedule.ema_decay(state.step, config.ema, job.plan))


class Watch:
    """Looks for a loss that stays far above that of guessing among k classes, or above `guess`
    where the objective holds more than that.
    """

    def __init__(self, classes: int, *, guess: float = 0.0) -> None:
        self.limit = EXPLODED_TIMES * max(math.log(classes), 1.0, guess)
        self.losses: deque[float] = deque(maxlen=EXPLODED_STEPS)

    @property
    def mean(self) -> float:
        """Of the last losses; 0 before the first."""
        return sum(self.losses) / max(len(self.losses), 1)

    @property
    def calm(self) -> bool:
        """Nothing points at an explosion: a state worth keeping."""
        return self.mean <= self.limit

    def see(self, loss: float) -> None:
        """Take note of a step's loss. Raises PocketvisionError where the last ones exploded."""
        self.losses.append(loss)
        if len(self.losses) == EXPLODED_STEPS and not self.calm:
            raise PocketvisionError(
                f"the loss exploded (mean {self.mean:.3g} over {EXPLODED_STEPS} steps, where "
                f"guessing costs {self.limit / EXPLODED_TIMES:.3g})"
            )
