"""How many threads a run goes fastest with, found in its first seconds and remembered.

The number of threads decides the last bits of sums, and so of losses: what was found is written
into the config, a resumed run keeps it, and the next run of the same network on the same machine
takes it from the cache, so that two runs with one seed are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from pocketvision.bench.host import usable_cores
from pocketvision.data.cache import Cache
from pocketvision.train import memo, step
from pocketvision.train import state as states
from pocketvision.train.job import Job

# A step that takes longer has work enough for every core; the trial of another number would cost
# more than it can win.
SHORT_STEP_S = 0.15
TRIAL_S, WARMUP_STEPS = 0.6, 2
# Fewer threads than cores must win by so much: a busy moment must not decide.
CLEARLY = 1.1


@dataclass(frozen=True, kw_only=True)
class Threads:
    """The number to use, and images a second by number of threads where that was measured."""

    count: int
    images_per_s: Mapping[int, float]

    @property
    def words(self) -> str:
        """What was measured."""
        tried = ", ".join(f"{n} {'thread' if n == 1 else 'threads'} {speed:.0f} images/s"
                          for n, speed in self.images_per_s.items())  # fmt: skip
        return f"{tried}: {self.count} used"


def threads_for(job: Job, cache: Cache | None) -> Threads:
    """The threads that the config names, or those remembered for this job and machine, or the
    fastest of a short trial on a copy of the network; of several processes each has its cores.
    """
    if job.config.threads is not None:
        return Threads(count=job.config.threads, images_per_s={})
    if job.ranks.count > 1:
        # A trial would need all of them; cores are dealt out evenly, the first one's for all.
        cores = max(usable_cores() // job.ranks.beside, 1)
        return Threads(count=job.ranks.said(lambda: cores), images_per_s={})
    key = memo.key(job)
    known = memo.recalled(cache, "threads").get(key, 0)
    if 1 <= known <= usable_cores():
        return Threads(count=known, images_per_s={})
    found = _tried(job)
    memo.remember(cache, "threads", key, found.count)
    return found


def _tried(job: Job) -> Threads:
    cores = usable_cores()
    speeds = {cores: _images_per_s(job, cores)}
    for count in _fewer(cores):
        if job.config.batch_size / speeds[cores] > SHORT_STEP_S:
            break
        speeds[count] = _images_per_s(job, count)
    best = max(speeds, key=lambda count: speeds[count])
    clear = speeds[best] >= CLEARLY * speeds[cores]
    return Threads(count=best if clear else cores, images_per_s=speeds)


def _fewer(cores: int) -> Iterator[int]:
    """Halves down to one."""
    while cores > 1:
        cores //= 2
        yield cores


def _images_per_s(job: Job, count: int) -> float:
    """The speed of a copy's first steps, at the size of the last ones."""
    state, images = states.fresh(job), 0
    with using(count):
        for _ in range(WARMUP_STEPS):
            step.taken(state, job, hw=job.plan.last_hw)
        begin = perf_counter()
        while not images or perf_counter() - begin < TRIAL_S:
            images += step.taken(state, job, hw=job.plan.last_hw).images
        return images / (perf_counter() - begin)


@contextmanager
def using(count: int) -> Iterator[None]:
    """Run with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_threads(job: Job, found: Threads) -> Job:
    """The job whose config names the threads."""
    return replace(job, config=replace(job.config, threads=found.count))
