"""Tests and intervals of two shares: worked by hand, published, or by another route."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.report import significance


def test_mcnemar_worked_by_hand():
    # 13 images, 10 and 3: 2 (1 + 13 + 78 + 286) / 8192.
    assert significance.mcnemar(10, 3) == pytest.approx(756 / 8192, rel=1e-12)
    assert significance.mcnemar(0, 5) == pytest.approx(2 / 32, rel=1e-12)
    assert significance.mcnemar(0, 0) == 1
    assert significance.mcnemar(4, 4) == 1


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_whole_number_arithmetic(a, b):
    n = a + b
    exact = Fraction(2 * sum(math.comb(n, i) for i in range(min(a, b) + 1)), 2**n)
    assert significance.mcnemar(a, b) == pytest.approx(float(min(exact, 1)), rel=1e-9)
    assert significance.mcnemar(a, b) == significance.mcnemar(b, a)


def test_thousands_of_images_do_not_overflow():
    # Far out the binomial is normal: z = (|b - a| - 1) / sqrt(n).
    p = significance.mcnemar(5100, 4900)
    assert p == pytest.approx(math.erfc(199 / 100 / math.sqrt(2)), rel=0.01)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))
def test_the_paired_interval_is_that_of_a_mean_of_differences(only_a, only_b, same):
    n = only_a + only_b + same
    # Half an image in each of the four cells, doubled so that images stay whole.
    d = np.repeat([-1.0, 1.0, 0.0], [2 * only_a + 1, 2 * only_b + 1, 2 * same + 2])
    assert len(d) == 2 * (n + 2)
    half = significance.Z_95 * math.sqrt(d.var() / (n + 2))
    low, high = significance.paired_interval(only_a, only_b, n)
    assert low == pytest.approx(max(d.mean() - half, -1), abs=1e-12)
    assert high == pytest.approx(min(d.mean() + half, 1), abs=1e-12)


def test_the_unpaired_interval_is_the_published_one():
    # Newcombe 1998, table II, contrast (a), method 10: 56/70 minus 48/80.
    low, high = significance.unpaired_interval(48, 80, 56, 70)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_two_shares_worked_by_hand():
    # p = 104/150, sqrt(p (1 - p) (1/70 + 1/80)) = 0.0754673, z = 2.65016.
    p = significance.two_shares(56, 70, 48, 80)
    assert p == pytest.approx(math.erfc(2.65016 / math.sqrt(2)), rel=1e-4)
    assert significance.two_shares(5, 5, 7, 7) == 1
    assert significance.two_shares(0, 5, 0, 7) == 1
