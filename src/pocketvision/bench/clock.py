"""Time several candidates side by side, so that one machine's noise falls on all of them.

A candidate is a function without arguments. After a warm-up that lasts until times are stable,
each round times every candidate once, in an order that changes from round to round; rounds make
pairs, so two candidates are compared within rounds and never across minutes. Before its timed call
a candidate runs once untimed: threads of the one before still spin for some milliseconds, which
slowed OpenVINO behind PyTorch from 4.3 to 7.4 ms. Standard library only.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns, sleep

from pocketvision.errors import UsageError

Candidate = Callable[[], object]

# Two neighbouring windows of this many calls must agree for a candidate to count as warm.
WINDOW = 3
STABLE_WITHIN = 0.05
WARMUP_SECONDS = 10.0  # on a crowded machine no window is stable, and waiting does not help
LEAST_ROUNDS = 6  # with fewer pairs no 95% interval for a median exists
METHOD = (
    "warm-up until two windows of 3 agree to 5%; in each round one untimed and one timed call of"
    " each candidate, order balanced over rounds; garbage collection off; p95 is the nearest rank,"
    " spread the median absolute deviation"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of one candidate; `samples_ms` in the order of rounds."""

    name: str
    samples_ms: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many calls were timed."""
        return len(self.samples_ms)

    @property
    def median_ms(self) -> float:
        """The middle time."""
        return statistics.median(self.samples_ms)

    @property
    def p95_ms(self) -> float:
        """The time that 95% of the calls did not exceed: one that really occurred (nearest
        rank).
        """
        return percentile(self.samples_ms, 95)

    @property
    def spread_ms(self) -> float:
        """Median absolute deviation from the median: a spread that one slow call cannot move."""
        middle = self.median_ms
        return statistics.median(abs(t - middle) for t in self.samples_ms)

    @property
    def min_ms(self) -> float:
        """The fastest call."""
        return min(self.samples_ms)

    @property
    def drift(self) -> float:
        """Median of the last quarter over that of the first: above 1, the machine became slower."""
        quarter = max(1, self.n // 4)
        first, last = self.samples_ms[:quarter], self.samples_ms[-quarter:]
        return statistics.median(last) / max(statistics.median(first), 1e-9)

    def row(self) -> dict[str, object]:
        """The figures without the samples, for tables and JSON."""
        return {
            "name": self.name,
            "median_ms": self.median_ms,
            "p95_ms": self.p95_ms,
            "spread_ms": self.spread_ms,
            "min_ms": self.min_ms,
            "drift": self.drift,
            "n": self.n,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What `interleaved` measured; `stable` is False where warm-up ended at its bound."""

    rows: Mapping[str, Timing]
    warmup_rounds: int
    stable: bool
    seconds: float

    def compare(self, a: str, b: str, *, confidence: float = 0.95) -> Comparison:
        """`a` against `b` within rounds: is the difference more than noise?"""
        pairs = zip(self.rows[a].samples_ms, self.rows[b].samples_ms, strict=True)
        ratios = [tb / max(ta, 1e-9) for ta, tb in pairs]
        low, high = median_interval(ratios, confidence=confidence)
        return Comparison(a=a, b=b, ratio=statistics.median(ratios), low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Median over rounds of time(b) / time(a), with its interval from order statistics.

    A claim is made only where the interval leaves 1 out; it takes rounds as independent, so noise
    that lasts for many rounds makes it too bold.
    """

    a: str
    b: str
    ratio: float
    low: float
    high: float

    @property
    def faster(self) -> str | None:
        """The name of the faster one, or None where this measurement cannot tell."""
        if self.low > 1.0:
            return self.a
        return self.b if self.high < 1.0 else None

    def __str__(self) -> str:
        if self.faster is None:
            return f"no difference shown between {self.a} and {self.b} (ratio {self._figures})"
        slower = self.b if self.faster == self.a else self.a
        return f"{self.faster} is faster than {slower} (time {self.b} / {self.a} {self._figures})"

    @property
    def _figures(self) -> str:
        return f"{self.ratio:.3f}, 95% interval {self.low:.3f} to {self.high:.3f}"


def percentile(samples: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile: the ceil(percent/100 * n)-th smallest sample."""
    rank = math.ceil(percent / 100 * len(samples) - 1e-9)
    return sorted(samples)[max(rank, 1) - 1]


def median_interval(samples: Sequence[float], *, confidence: float) -> tuple[float, float]:
    """Interval for the median of whatever gave `samples`, from two order statistics.

    The k-th smallest and k-th largest, k the largest with 2 * P(Binomial(n, 1/2) < k) <= 1 -
    confidence: the interval that belongs to the sign test. Too few samples give (0, infinity).
    """
    n, k, tail = len(samples), 0, 0
    limit = (1.0 - confidence) / 2.0
    while k <= n // 2 and (tail + math.comb(n, k)) / 2**n <= limit:
        tail += math.comb(n, k)
        k += 1
    if k == 0:
        return 0.0, math.inf
    ranked = sorted(samples)
    return ranked[k - 1], ranked[n - k]


def turn(count: int, number: int) -> list[int]:
    """The order of `count` candidates in round `number`: 0, 1, count-1, 2, ... turned by `number`.

    Over `count` rounds everyone stands once in each place, and follows each other one equally often
    (for an odd count over twice as many, every second square mirrored): a candidate whose threads
    linger slows all others alike. Source: Williams, Aust. J. Sci. Res. 2 (1949) 149.
    """
    zigzag = [(i + 1) // 2 if i % 2 else -(i // 2) for i in range(count)]
    row = [(place + number) % count for place in zigzag]
    mirrored = count % 2 == 1 and (number // count) % 2 == 1
    return row[::-1] if mirrored else row


def interleaved(
    candidates: Mapping[str, Candidate],
    *,
    warmup: int = 30,
    rounds: int = 50,
    seconds: float | None = None,
    rest_s: float = 0.0,
    settle_s: float = 0.0,
    on_progress: Callable[[float], None] | None = None,
    clock: Callable[[], int] = perf_counter_ns,
) -> Timings:
    """Times of all candidates over the same rounds.

    Warm-up takes at most `warmup` rounds and `WARMUP_SECONDS`. With `seconds`, rounds go on for
    that long (at least `LEAST_ROUNDS`) and `rounds` is not read. `rest_s` is slept before each
    untimed call, where threads of some candidate spin on for longer than such a call takes, and
    untimed calls go on for `settle_s`, since processors that slept are slow at first.
    `on_progress` gets the share done, between rounds; `clock` gives nanoseconds. Raises UsageError.
    """
    _check(candidates, warmup, rounds, seconds)
    started = clock()
    with _no_collection():
        warm = _warm_up(candidates, warmup, clock)
        budget = _Budget(rounds, seconds)
        samples = _timed_rounds(candidates, budget, on_progress, clock, (rest_s, settle_s))
    rows = {name: Timing(name=name, samples_ms=tuple(s)) for name, s in samples.items()}
    return Timings(
        rows=rows,
        warmup_rounds=max((len(w) for w in warm.values()), default=0),
        stable=all(_stable(w) for w in warm.values()),
        seconds=(clock() - started) / 1e9,
    )


def _check(candidates: Mapping[str, Candidate], warmup: int, rounds: int, s: float | None) -> None:
    if not candidates:
        raise UsageError("nothing to time: give one candidate or more")
    if rounds < 1 or warmup < 0:
        raise UsageError(f"rounds must be >= 1 and warmup >= 0, got {rounds} and {warmup}")
    if s is not None and not 0 < s < math.inf:
        raise UsageError(f"seconds must be above 0, got {s}")


@contextmanager
def _no_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _round(
    candidates: Mapping[str, Candidate],
    number: int,
    clock: Callable[[], int],
    *,
    settle: bool,
    quiet: tuple[float, float] = (0.0, 0.0),
) -> dict[str, float]:
    names, times = list(candidates), {}
    for place in turn(len(names), number):
        run = candidates[names[place]]
        rest_s, settle_s = quiet
        if rest_s:
            sleep(rest_s)
        begin = clock() if settle_s else 0
        if settle:
            run()
        while settle_s and clock() - begin < 1e9 * settle_s:
            run()
        start = clock()
        run()
        times[names[place]] = (clock() - start) / 1e6
    return times


def _stable(times: Sequence[float]) -> bool:
    if len(times) < 2 * WINDOW:
        return False
    before = statistics.median(times[-2 * WINDOW : -WINDOW])
    return abs(statistics.median(times[-WINDOW:]) - before) <= STABLE_WITHIN * before


def _warm_up(
    candidates: Mapping[str, Candidate], most: int, clock: Callable[[], int]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in candidates}
    started = clock()
    for number in range(most):
        for name, t in _round(candidates, number, clock, settle=False).items():
            times[name].append(t)
        late = (clock() - started) / 1e9 >= WARMUP_SECONDS
        if late or all(_stable(t) for t in times.values()):
            break
    return times


@dataclass(frozen=True, slots=True)
class _Budget:
    rounds: int
    seconds: float | None

    def done(self, rounds: int, elapsed_s: float) -> float:
        """The share of the work that is done; 1 or more ends it."""
        if self.seconds is None:
            return rounds / self.rounds
        return min(elapsed_s / self.seconds, rounds / LEAST_ROUNDS)


def _timed_rounds(
    candidates: Mapping[str, Candidate],
    budget: _Budget,
    on_progress: Callable[[float], None] | None,
    clock: Callable[[], int],
    quiet: tuple[float, float],
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    started, number = clock(), 0
    while (share := budget.done(number, (clock() - started) / 1e9)) < 1:
        if on_progress:
            on_progress(share)
        for name, t in _round(candidates, number, clock, settle=True, quiet=quiet).items():
            samples[name].append(t)
        number += 1
    return samples
