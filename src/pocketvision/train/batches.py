"""What a step sees: which images, in which order, augmented, mixed and scaled.

All of it follows from (seed, epoch, image) and (seed, step) alone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pocketvision.data.order import Quota, balanced_order, numbered, order, repeated, windowed_order
from pocketvision.data.sharded import ShardedPixels
from pocketvision.preprocess import Preprocess, scale_and_bias
from pocketvision.train import mixing, schedule
from pocketvision.train.job import Batch, Job, shares


def indices_of(step: int, job: Job) -> np.ndarray:
    """Which training images a step sees, (b,)."""
    return numbers_of(step, job) % len(job.train)


def numbers_of(step: int, job: Job) -> np.ndarray:
    """The numbers of a step's samples, (b,): an image's index, plus n for each time that it came
    before in this epoch. Augmentation draws by them, so that copies differ.
    """
    per_epoch, config = job.plan.per_epoch, job.config
    groups = job.train.groups or len(job.train)
    numbers = _order(groups, config.seed, step // per_epoch, config.repeats, job.quota)
    return schedule.batch_of(numbers, step, per_epoch)


@functools.lru_cache(maxsize=2)
def _order(
    groups: int | tuple[int, ...], seed: int, epoch: int, repeats: int, quota: Quota | None
) -> np.ndarray:
    """The order of so many images, or of those in shards of such sizes, or with a quota."""
    if quota is not None:
        n = len(quota.truth)
        return numbered(repeated(balanced_order(quota, seed=seed, epoch=epoch), repeats) % n, n)
    if isinstance(groups, int):
        return repeated(order(groups, seed=seed, epoch=epoch), repeats)
    return repeated(windowed_order(groups, seed=seed, epoch=epoch), repeats)


def _expect(step: int, job: Job) -> None:
    """Have the shards prepared that come a shard's worth of images later."""
    pixels, groups = job.train.pixels, job.train.groups
    if isinstance(pixels, ShardedPixels):
        samples = max(groups) * job.config.repeats
        pixels.expect(indices_of(step + -(-samples // job.config.step_images), job))


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A batch before it is scaled and mixed: values 0..255 (m, c, h, w), uint8 where augmentation
    leaves them so, truth as in `Batch`, sample indices (m,). The first `own` are this process's.
    """

    values: Tensor
    truth: Tensor
    indices: np.ndarray
    mix: mixing.Mix | None
    own: int
    whole: int
    view: int


def batch(step: int, job: Job, *, hw: tuple[int, int]) -> Batch:
    """What a step sees at size `hw`: of the whole batch the rows that are this process's."""
    return ready(prepared(step, job, hw=hw), job)


def prepared(step: int, job: Job, *, hw: tuple[int, int]) -> Prepared:
    """The processor's part of `batch`: images chosen and augmented."""
    config, numbers = job.config, numbers_of(step, job)
    n, own = len(numbers), _own(len(numbers), job)
    strengths = {"mixup": config.mixup or 0.0, "cutmix": config.cutmix or 0.0}
    mix = mixing.planned(n, hw, **strengths, seed=config.seed, step=step)
    needed, mix = mixing.within(mix, own)
    view = view_of(step, job)
    values = augmented(numbers[needed], job, view=view, hw=hw)
    _expect(step, job)
    indices = numbers[needed] % len(job.train)
    truth = torch.from_numpy(job.train.truth[indices])
    if mix is not None:
        truth = mixing.targets(truth, mix, len(job.labels.names))
    return Prepared(
        values=values,
        truth=truth,
        indices=indices,
        mix=mix,
        own=len(own),
        whole=n,
        view=view,
    )


def view_of(step: int, job: Job) -> int:
    """Which of its augmented views an image shows at a step: a new one in each epoch, or those of
    the first --views epochs again and again.
    """
    epoch = step // job.plan.per_epoch
    return epoch if job.config.views is None else epoch % job.config.views


def ready(seen: Prepared, job: Job) -> Batch:
    """The rest of `batch`, where steps are taken: 8 bits go there, a quarter of the bytes."""
    x = normalised(seen.values.to(job.device), job.preprocess)
    if seen.mix is not None:
        x = mixing.mixed_(x, seen.mix)
    b = seen.own
    truth = seen.truth[:b].to(job.device)
    indices = seen.indices[:b]
    return Batch(x=x[:b], truth=truth, indices=indices, whole=seen.whole, view=seen.view)


def _own(n: int, job: Job) -> np.ndarray:
    """Which rows of a batch of n this process sees: its share of each part of it."""
    rows = [own for _, own, _ in shares(n, job.config.accumulate, job.ranks)]
    return np.concatenate(rows)


def augmented(numbers: np.ndarray, job: Job, *, view: int, hw: tuple[int, int]) -> Tensor:
    """0..255 (b, c, h, w): that view of the samples of `numbers_of`, at size `hw`."""
    pixels = torch.from_numpy(np.ascontiguousarray(job.train.pixels[numbers % len(job.train)]))
    x = job.augment(pixels.permute(0, 3, 1, 2), numbers, view, hw)
    memory = torch.channels_last if job.config.channels_last else torch.contiguous_format
    # Put in order while still in 8 bits, a quarter of the bytes.
    return x.contiguous(memory_format=memory)


def normalised(x: Tensor, preprocess: Preprocess) -> Tensor:
    """Pixels 0..255 (n, c, h, w) -> the network's input, as the contract's last step does."""
    scale, bias = (torch.from_numpy(v).to(x.device) for v in scale_and_bias(preprocess))
    y = x.float() if x.dtype == torch.uint8 else x.clone()
    if y.is_contiguous(memory_format=torch.channels_last):
        # Rows of w * c numbers are vectors as long as can be; c alone would be read three by three.
        width = y.shape[3]
        rows = y.permute(0, 2, 3, 1).view(-1, width * y.shape[1])
        rows.mul_(scale.repeat(width)).add_(bias.repeat(width))
        return y
    return y.mul_(scale[:, None, None]).add_(bias[:, None, None])
