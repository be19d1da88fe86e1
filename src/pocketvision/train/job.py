"""Everything a run works on, as one frozen value, and the trace that says whether it changed."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision import spec_json
from pocketvision.data.cache import Cache
from pocketvision.data.order import Quota
from pocketvision.labels import Labels
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess
from pocketvision.train.config import TrainConfig, digest
from pocketvision.train.device import CPU, words
from pocketvision.train.hashes import PROCESSES
from pocketvision.train.ranks import ALONE, Ranks
from pocketvision.train.rules import flag
from pocketvision.train.schedule import Plan
from pocketvision.train.start import Start

# (uint8 (b, c, h, w), indices (b,), epoch, size) -> values 0..255 (b, c, *size), uint8 or float
Augment = Callable[[Tensor, np.ndarray, int, tuple[int, int]], Tensor]
# (network, batch) -> the loss of a batch, a scalar: a mean in which every image counts the same, so
# that the parts of a batch, and the shares of processes, add up
Objective = Callable[[nn.Module, "Batch"], Tensor]
BESIDE = "beside"
LENGTH = ("epochs", "time", "steps")  # the plan holds what they came to
MOST_HASHED_BYTES = 2**30


@dataclass(frozen=True, kw_only=True)
class Images:
    """Prepared images uint8 (n, h, w, c), in memory, mapped from disk or a ShardedPixels, and
    classes int64 (n,). `identity` stands for pixels that are too many to read; `groups` are the
    sizes of shards, of which few are at hand at a time.
    """

    pixels: Any
    truth: np.ndarray
    identity: str = ""
    groups: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.truth)

    def digest(self) -> str:
        """sha256 of pixels and classes; of evenly spaced images where there is over a gigabyte."""
        return self.identity or self._digest

    @functools.cached_property
    def _digest(self) -> str:
        total = hashlib.sha256(repr((self.pixels.shape, str(self.pixels.dtype))).encode())
        total.update(np.ascontiguousarray(self.truth, np.int64).tobytes())
        gap = -(-self.pixels.nbytes // MOST_HASHED_BYTES) or 1
        for start in range(0, len(self.pixels), gap * 64):
            total.update(np.ascontiguousarray(self.pixels[start : start + gap * 64 : gap]).data)
        return total.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a step sees: inputs float32 (b, c, h, w); classes int64 (b,), or where images are mixed
    the shares of all classes float32 (b, k); and which training images they are, (b,).

    Of several processes each holds some rows of the batch, which has `whole`: in a part of it those
    from `first` on. `view`: which of the images' augmented views these are.
    """

    x: Tensor
    truth: Tensor
    indices: np.ndarray
    whole: int = 0
    first: int = 0
    view: int = 0

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def images(self) -> int:
        """Of the whole batch."""
        return self.whole or len(self)


def parts(batch: Batch, count: int, ranks: Ranks = ALONE) -> Iterator[Batch]:
    """A batch cut into `count` parts as even as can be, none of one image alone."""
    done = 0
    for first, own, size in shares(batch.images, count, ranks):
        at = slice(done, done + len(own))
        done = at.stop
        yield replace(
            batch,
            x=batch.x[at],
            truth=batch.truth[at],
            indices=batch.indices[at],
            whole=size,
            first=first,
        )


def shares(n: int, count: int, ranks: Ranks) -> Iterator[tuple[int, range, int]]:
    """For each of `count` parts of a batch of n: (the first row of it that is this process's, which
    rows of the whole batch are, how many the part has).
    """
    count = max(min(count, n // 2), 1)
    for k in range(count):
        start, stop = k * n // count, (k + 1) * n // count
        own = ranks.part(stop - start)
        yield own.start, range(start + own.start, start + own.stop), stop - start


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What a run with teachers has beside its objective.

    beside    layers that train with the network and are no part of the result; its child BESIDE
    guess     about what guessing costs by the objective, where that is not log k
    records   where each teacher is from, and how good it is
    """

    beside: nn.Module | None = None
    guess: float = 0.0
    records: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What `fit` trains: a network in its first state, on images, by a config and its plan.

    The network is never changed; the run works on a copy. `objective` is what steps make smaller;
    all that decides it is in the config or in `about`, which joins the trace. `start` says what its
    first values were taken from; `cache` keeps what a frozen trunk gives of each image; `quota`
    says how often each class comes where not as often as it has images. `ranks` are the processes
    that share the work: how many there are decides nothing but rounding. `device` is where steps
    are taken; network and images are the processor's, the run's copy is moved there.
    """

    network: Network
    train: Images
    val: Images
    config: TrainConfig
    plan: Plan
    preprocess: Preprocess
    labels: Labels
    augment: Augment
    objective: Objective
    start: Start | None = None
    cache: Cache | None = None
    quota: Quota | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    taught: Taught | None = None
    ranks: Ranks = ALONE
    device: torch.device = CPU

    def trace(self) -> dict[str, Any]:
        """All that decides the losses, as JSON values: must match to resume. Reads every image."""
        settings = {k: v for k, v in self.config.trace().items() if k not in LENGTH}
        return {
            **{flag(name): value for name, value in settings.items()},
            "plan": json.loads(json.dumps(self.plan.to_dict())),
            "network": digest(json.loads(spec_json.dumps(self.network.spec))),
            "preprocessing": digest(asdict(self.preprocess)),
            "classes": list(self.labels.names),
            "training images": self.train.digest(),
            "validation images": self.val.digest(),
            **({} if self.start is None else {"weights to start from": self.start.digest()}),
            **arithmetic(self.device),
            **({} if self.ranks.count == 1 else {PROCESSES: self.ranks.count}),
            **self.about,
        }


def arithmetic(device: torch.device = CPU) -> dict[str, str]:
    """What decides the last bits of sums beside the threads: the version of torch, and which
    kernels it picks on this processor or GPU.
    """
    kernels = f"{platform.machine()} {words(device)}"
    return {"torch": str(torch.__version__), "processor": kernels}
