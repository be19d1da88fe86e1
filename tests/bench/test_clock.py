"""Timing: order statistics worked by hand, the balance of the order, warm-up and its bound."""

from __future__ import annotations

import gc
import itertools
import math
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.bench.clock import (
    LEAST_ROUNDS,
    Timing,
    Timings,
    interleaved,
    median_interval,
    percentile,
    turn,
)
from pocketvision.errors import UsageError


class Fake:
    """A clock that only candidates move: time is what they say it is."""

    def __init__(self) -> None:
        self.now_ns, self.calls = 0, []

    def __call__(self) -> int:
        return self.now_ns

    def candidate(self, name: str, times_ms):
        times = itertools.cycle(times_ms)

        def run() -> None:
            self.calls.append(name)
            self.now_ns += int(next(times) * 1_000_000)

        return run


def timing(*samples: float) -> Timing:
    return Timing(name="a", samples_ms=samples)


def pair(a, b) -> Timings:
    rows = {"a": Timing(name="a", samples_ms=tuple(a)), "b": Timing(name="b", samples_ms=tuple(b))}
    return Timings(rows=rows, warmup_rounds=0, stable=True, seconds=0.0)


def test_percentiles_by_nearest_rank():
    # The definition's own example: five scores, ranks ceil(p/100 * 5).
    scores = [15, 20, 35, 40, 50]
    assert [percentile(scores, p) for p in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert percentile(list(range(1, 101)), 95) == 95
    assert percentile([7.0], 95) == 7.0


def test_figures_by_hand():
    t = timing(3.0, 1.0, 2.0, 100.0, 2.0)
    # median 2; deviations 1, 1, 0, 98, 0 -> median 1; p95 is the 5th of 5.
    assert (t.median_ms, t.spread_ms, t.p95_ms, t.min_ms, t.n) == (2.0, 1.0, 100.0, 1.0, 5)
    assert timing(1, 1, 9, 9, 9, 9, 2, 2).drift == 2.0


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=60))
def test_p95_occurred_and_lies_between_median_and_maximum(samples):
    t = timing(*samples)
    assert t.p95_ms in samples
    assert t.min_ms <= t.median_ms <= max(samples)
    assert sum(s <= t.p95_ms for s in samples) >= 0.95 * len(samples) - 1e-9


def test_interval_of_the_median_by_hand():
    # n = 10: P(B<=1) = 11/1024, twice is 0.0215; P(B<=2) = 56/1024 is too much, so k = 2.
    assert median_interval(list(range(1, 11)), confidence=0.95) == (2, 9)
    # n = 6: 2/64 = 0.031 allows the extremes; n = 5: 2/32 = 0.0625 allows nothing.
    assert median_interval([5, 1, 2, 4, 3, 6], confidence=0.95) == (1, 6)
    assert median_interval([1, 2, 3, 4, 5], confidence=0.95) == (0.0, math.inf)


@pytest.mark.parametrize("n", [6, 7, 20, 51])
def test_interval_covers_what_it_promises(n):
    """Exact coverage of the chosen ranks: P(k <= Binomial(n, 1/2) <= n - k)."""
    low, high = median_interval(list(range(1, n + 1)), confidence=0.95)
    k = low
    assert high == n + 1 - k
    covered = sum(math.comb(n, i) for i in range(k, n - k + 1)) / 2**n
    tighter = sum(math.comb(n, i) for i in range(k + 1, n - k)) / 2**n
    assert tighter < 0.95 <= covered


def test_faster_is_claimed_only_where_the_interval_leaves_one_out():
    steady = pair([10.0] * 20, [12.0] * 20).compare("a", "b")
    assert (steady.faster, steady.ratio) == ("a", 1.2)
    assert "a is faster than b" in str(steady)
    assert pair([12.0] * 20, [10.0] * 20).compare("a", "b").faster == "b"
    noisy = pair([10.0, 12.0] * 10, [12.0, 10.0] * 10).compare("a", "b")
    assert noisy.faster is None
    assert "no difference shown" in str(noisy)
    assert pair([10.0] * 5, [99.0] * 5).compare("a", "b").faster is None  # too few to say


def test_pairs_cancel_a_slow_machine():
    """Both become four times slower half way; within each round b stays 10% behind."""
    a = [10.0] * 10 + [40.0] * 10
    b = [11.0] * 10 + [44.0] * 10
    assert pair(a, b).compare("a", "b").ratio == pytest.approx(1.1)
    assert pair(a, b).rows["a"].drift == 4.0


@pytest.mark.parametrize("count", range(1, 8))
def test_order_is_balanced(count):
    """Everyone stands equally often in each place and follows each other one equally often."""
    rounds = count if count % 2 == 0 else 2 * count
    rows = [turn(count, r) for r in range(rounds)]
    assert all(sorted(row) == list(range(count)) for row in rows)
    places = Counter((place, who) for row in rows for place, who in enumerate(row))
    assert len(set(places.values())) == 1
    followers = Counter(p for row in rows for p in itertools.pairwise(row))
    assert len(followers) == count * (count - 1)
    assert len(set(followers.values())) <= 1


def test_each_round_times_every_candidate_once_after_an_untimed_call():
    clock = Fake()
    names = {n: clock.candidate(n, [1.0]) for n in "abc"}
    got = interleaved(names, warmup=0, rounds=6, clock=clock)
    assert clock.calls[0::2] == clock.calls[1::2]  # settled, then timed
    timed = clock.calls[1::2]
    rounds = [timed[i : i + 3] for i in range(0, 18, 3)]
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert {tuple(r) for r in rounds} == set(itertools.permutations("abc"))
    assert [t.n for t in got.rows.values()] == [6, 6, 6]


def test_times_are_the_clock_s():
    clock = Fake()
    got = interleaved({"a": clock.candidate("a", [2.5])}, warmup=0, rounds=4, clock=clock)
    assert got.rows["a"].samples_ms == (2.5, 2.5, 2.5, 2.5)
    assert got.rows["a"].row()["median_ms"] == 2.5


def test_warm_up_ends_when_windows_agree_and_is_bounded():
    clock = Fake()
    cooling = [90, 50, 30, 20, 10, 10, 10] + [10] * 50
    got = interleaved({"a": clock.candidate("a", cooling)}, rounds=5, clock=clock)
    # Round 8 compares the medians of (30 20 10) and (10 10 10); round 9 of (20 10 10): equal.
    assert (got.warmup_rounds, got.stable) == (9, True)
    assert set(got.rows["a"].samples_ms) == {10.0}
    restless = Fake()
    never = interleaved(
        {"a": restless.candidate("a", [1, 2, 4, 8, 16, 32])}, warmup=12, rounds=2, clock=restless
    )
    assert (never.warmup_rounds, never.stable) == (12, False)
    crawling = Fake()
    slow = crawling.candidate("a", [4000, 6000])
    late = interleaved({"a": slow}, warmup=12, rounds=1, clock=crawling)
    assert (late.warmup_rounds, late.stable) == (2, False)  # 10 seconds are over


def test_seconds_are_a_budget_with_a_least_number_of_rounds():
    clock = Fake()
    shares = []
    got = interleaved(
        {"a": clock.candidate("a", [100.0])},
        warmup=0,
        seconds=2.0,
        on_progress=shares.append,
        clock=clock,
    )
    assert got.rows["a"].n == 10  # a round is an untimed and a timed call
    assert shares[:7] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    slow = Fake()
    few = interleaved({"a": slow.candidate("a", [9000.0])}, warmup=0, seconds=1.0, clock=slow)
    assert few.rows["a"].n == LEAST_ROUNDS


def test_garbage_collection_is_off_while_timing_and_back_after_an_error():
    seen = []
    interleaved({"a": lambda: seen.append(gc.isenabled())}, warmup=1, rounds=3)
    assert set(seen) == {False}
    assert gc.isenabled()

    def broken() -> None:
        raise RuntimeError("candidate failed")

    with pytest.raises(RuntimeError, match="candidate failed"):
        interleaved({"a": broken}, rounds=1)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 0}, "rounds must be >= 1"),
        ({"warmup": -1}, "warmup >= 0"),
        ({"seconds": 0.0}, "seconds must be above 0"),
        ({"seconds": float("nan")}, "seconds must be above 0"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(UsageError, match=words):
        interleaved({"a": lambda: None}, **options)


def test_nothing_to_time():
    with pytest.raises(UsageError, match="nothing to time"):
        interleaved({})


def test_real_clock_orders_real_work():
    """A candidate that does ten times the work is found slower, without asserting any time."""
    work = {"short": lambda: sum(range(2_000)), "long": lambda: sum(range(20_000))}
    got = interleaved(work, rounds=21)
    assert got.compare("short", "long").faster == "short"
    assert statistics.median(got.rows["long"].samples_ms) == got.rows["long"].median_ms
