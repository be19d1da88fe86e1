"""How fast a run goes, and how many steps therefore fit into the time it was given."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from time import perf_counter

from pocketvision.errors import UsageError
from pocketvision.train import head, schedule, step
from pocketvision.train import state as states
from pocketvision.train.job import Images, Job
from pocketvision.train.judge import logits_of
from pocketvision.train.schedule import Plan
from pocketvision.train.thaw import THAW_SHARE

RECENT_STEPS = 30
WARMUP_STEPS = 3  # memory is claimed and kernels are chosen in the first ones
PROBE_SHARE = 0.015  # of the time given, spent on measuring
PROBE_LEAST_S, PROBE_MOST_S = 0.5, 6.0
PROBE_IMAGES = 128
# What comes after the last step: figures, files, plots, the report; and what a step costs more on
# a machine that has become busier.
RESERVE_S, RESERVE_SHARE = 5.0, 0.02


class Pace:
    """The speed over the last steps."""

    def __init__(self) -> None:
        self.recent: deque[tuple[int, float]] = deque(maxlen=RECENT_STEPS)

    def add(self, images: int, seconds: float) -> None:
        """Take note of a step."""
        self.recent.append((images, seconds))

    @property
    def images_per_s(self) -> float:
        """Images a second."""
        return sum(n for n, _ in self.recent) / max(sum(s for _, s in self.recent), 1e-9)


def fitted(job: Job, *, time_s: float, since: float) -> Plan:
    """The job's plan with as many steps as fit into `time_s` from the moment `since` (of
    perf_counter), measured on a copy. Raises UsageError where none does.
    """
    probe_s = min(max(PROBE_SHARE * time_s, PROBE_LEAST_S), PROBE_MOST_S)
    plan = job.plan
    first_s = step_seconds(job, hw=plan.first_hw, budget_s=probe_s)
    alike = plan.first_hw == plan.last_hw
    last_s = first_s if alike else step_seconds(job, hw=plan.last_hw, budget_s=probe_s)
    spent_s = perf_counter() - since
    evaluation_s = evaluation_seconds(job)
    head_s = 0.0 if job.config.freeze is None else head_seconds(job, evaluation_s)
    steps = schedule.steps_within(
        time_s * (1 - RESERVE_SHARE) - RESERVE_S - spent_s - evaluation_s - head_s,
        plan,
        first_s=first_s,
        last_s=last_s,
        evaluation_s=evaluation_s,
    )
    steps = job.ranks.said(lambda: steps)  # each process has a clock of its own
    if steps < 1:
        raise UsageError(
            f"--time {job.config.time} leaves no time to train: reading the data took "
            f"{spent_s:.0f} s and a step takes {last_s:.1f} s; give more time"
        )
    longest = job.config.epochs and job.config.epochs * plan.per_epoch
    return schedule.lengthened(plan, job.config, min(steps, longest or steps))


def step_seconds(job: Job, *, hw: tuple[int, int], budget_s: float) -> float:
    """Mean seconds of a step with images of size `hw`, on a copy of the network.

    A gradual run is quick at first: stages come in evenly over a share of the steps, which on the
    mean go at half way between the first step's pace and that of the whole network.
    """
    first_s = _measured(job, hw, budget_s)
    if job.config.freeze != "gradual":
        return first_s
    whole = replace(job, config=replace(job.config, freeze="none"))
    return THAW_SHARE / 2 * first_s + (1 - THAW_SHARE / 2) * _measured(whole, hw, budget_s)


def _measured(job: Job, hw: tuple[int, int], budget_s: float) -> float:
    """Mean seconds of the first steps."""
    state = states.fresh(job)
    for _ in range(WARMUP_STEPS):
        step.taken(state, job, hw=hw)
    begin, first = perf_counter(), state.step
    while not job.ranks.agreed(perf_counter() - begin >= budget_s):
        step.taken(state, job, hw=hw)
    return (perf_counter() - begin) / (state.step - first)


def evaluation_seconds(job: Job) -> float:
    """Seconds that an evaluation takes, from a part of the images; processes share it."""
    part = Images(pixels=job.val.pixels[:PROBE_IMAGES], truth=job.val.truth[:PROBE_IMAGES])
    network = states.fresh(job).network
    logits_of(network, part.pixels[:16], job.preprocess)
    begin = perf_counter()
    logits_of(network, part.pixels, job.preprocess)
    return (perf_counter() - begin) * len(job.val) / len(part) / job.ranks.count


def head_seconds(job: Job, evaluation_s: float) -> float:
    """Seconds that it takes to run the trunk over every image and to fit the last layer."""
    n, n_val = len(job.train), len(job.val)
    width, classes = job.network.spec.head().features, len(job.labels.names)
    return evaluation_s * (n + n_val) / n_val + head.seconds(n, width, classes)


def timed(job: Job, *, since: float) -> Job:
    """The job with its plan fixed by --time, where that is given and no number of steps is."""
    fixed = job.config.steps is not None or job.config.freeze == "trunk"
    if job.config.time_s is None or fixed:
        return job
    return replace(job, plan=fitted(job, time_s=job.config.time_s, since=since))
