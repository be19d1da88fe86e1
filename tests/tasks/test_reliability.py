import math

import numpy as np
import pytest

from pocketvision.tasks.reliability import (
    Answers,
    adaptive_ece,
    aurc,
    bins,
    coverage_rows,
    ece,
    noise,
)


def answers(confidence, right):
    return Answers(np.array(confidence, float), np.array(right, bool), 0.0)


def test_the_error_by_hand():
    # Bins of 1/15: 0.95 and 0.97 share the last, 0.5 and 0.52 lie in (7/15, 8/15], 0.6 is the end
    # of (8/15, 9/15].
    a = answers([0.95, 0.97, 0.50, 0.52, 0.60], [1, 0, 1, 0, 1])
    assert [(b["n"], b["accuracy"]) for b in bins(a)] == [(2, 0.5), (1, 1.0), (2, 0.5)]
    by_hand = 2 / 5 * abs(0.5 - 0.51) + 1 / 5 * abs(1 - 0.6) + 2 / 5 * abs(0.5 - 0.96)
    assert ece(a) == pytest.approx(by_hand)


def test_ends_of_the_scale_have_a_bin():
    assert [b["n"] for b in bins(answers([0.0, 1.0], [0, 1]))] == [1, 1]


def test_equal_groups_by_hand():
    # Fewer answers than bins: each is a group of its own.
    assert adaptive_ece(answers([0.9, 0.6], [1, 0])) == pytest.approx((0.1 + 0.6) / 2)
    confidence = np.linspace(0.5, 0.99, 30)
    pairs = confidence.reshape(15, 2).mean(axis=1)
    right = np.tile([True, False], 15)
    expected = np.abs(pairs - 0.5).mean()
    assert adaptive_ece(answers(confidence, right)) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "p"), [(1, 0.3), (7, 0.5), (12, 0.95), (20, 0.66)])
def test_the_noise_is_the_mean_over_all_outcomes(n, p):
    outcomes = [(x, math.comb(n, x) * p**x * (1 - p) ** (n - x)) for x in range(n + 1)]
    mean = sum(share * abs(x / n - p) for x, share in outcomes)
    assert noise(answers([p] * n, [1] * n)) == pytest.approx(mean)


def test_answers_that_are_certain_have_no_noise():
    assert noise(answers([1.0, 1.0, 0.0], [1, 1, 0])) == 0.0


def test_perfect_probabilities_show_about_the_noise():
    draw = np.random.default_rng(0)
    shown, expected = [], []
    for _ in range(40):
        p = draw.uniform(0.3, 1, 300)
        a = answers(p, draw.random(300) < p)
        shown.append(ece(a))
        expected.append(noise(a))
    assert np.mean(shown) == pytest.approx(np.mean(expected), rel=0.05)


def test_area_and_coverage_by_hand():
    score, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, True])
    assert aurc(score, right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    rows = {r["coverage"]: r for r in coverage_rows(score, right)}
    assert rows[1.0]["accuracy"] == 0.75
    assert (rows[0.5]["n"], rows[0.5]["accuracy"]) == (2, 0.5)
    assert rows[0.05]["n"] == 1
    assert rows[0.5]["low"] < 0.5 < rows[0.5]["high"]
