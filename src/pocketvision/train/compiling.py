"""Whether a run's steps go through torch.compile: only where that pays back within the run.

Compiling takes a minute or more, and what comes out need not be faster: on processors PyTorch's own
kernels in channels-last order, with freed memory kept, beat it for the networks measured
(docs/log.md). So nothing is assumed: a run that is long enough tries it on a copy, and what was
found is remembered for the next run of that network on that machine.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Literal

from pocketvision.data.cache import Cache
from pocketvision.train import memo, step
from pocketvision.train import state as states
from pocketvision.train.job import Job

# A trial costs 62 to 72 s for MobileNetV2 and V3-Small on 2 cores: a fiftieth of such a run.
LONG_S = 3600.0
MOST_STEP_S = 5.0  # spares short runs even the measurement of a step
PAYS = 1.05  # times faster; less is within the noise
TIMED_S, WARMUP_STEPS = 2.0, 2
Choice = Literal["on", "off"]


def decided(job: Job, cache: Cache | None) -> tuple[Job, str]:
    """The job whose config says whether to compile, and why, in words (nothing where there
    is nothing to say).
    """
    if job.config.compile != "auto":
        return job, ""
    chosen, words = _chosen(job, cache)
    return replace(job, config=replace(job.config, compile=chosen)), words


def _chosen(job: Job, cache: Cache | None) -> tuple[Choice, str]:
    if not _worth_a_trial(job):
        return "off", ""
    key = memo.key(job)
    gain = memo.recalled(cache, "compile").get(key, 0) / 100
    if not gain:
        gain = _tried(job)
        memo.remember(cache, "compile", key, max(round(100 * gain), 1))
    chosen: Choice = "on" if gain >= PAYS else "off"
    return chosen, f"torch.compile makes a step {gain:.2f} times as fast: {chosen}"


def _worth_a_trial(job: Job) -> bool:
    """True for a long run of steps that are all alike."""
    plan, config = job.plan, job.config
    if job.ranks.count > 1:  # what processes exchange inside a step cannot be compiled
        return False
    if plan.first_hw != plan.last_hw or config.freeze is not None or config.distill:
        return False
    if config.time_s is not None and config.steps is None:
        return config.time_s >= LONG_S
    if plan.steps * MOST_STEP_S < LONG_S:
        return False
    return _step_s(replace(job, config=replace(config, compile="off"))) * plan.steps >= LONG_S


def _tried(job: Job) -> float:
    """How many times as fast a compiled copy's steps are; 0 where it cannot be compiled."""
    off = replace(job, config=replace(job.config, compile="off"))
    on = replace(job, config=replace(job.config, compile="on"))
    try:
        return _step_s(off) / _step_s(on)
    except Exception:  # compilers fail in ways of their own; the run goes on without
        return 0.0


def _step_s(job: Job) -> float:
    """Seconds of a copy's fastest step, once it is warm: a busy moment must not decide."""
    state = states.fresh(job)
    times: list[float] = []
    for _ in range(WARMUP_STEPS):
        step.taken(state, job, hw=job.plan.last_hw)
    begin = perf_counter()
    while not times or perf_counter() - begin < TIMED_S:
        times.append(sum(step.taken(state, job, hw=job.plan.last_hw).seconds.values()))
    return min(times)
