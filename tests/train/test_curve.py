import numpy as np
import pytest

from pocketvision.train.curve import EXPONENTS, Curve, fitted, gained

SIZES = np.array([50, 100, 200, 400])


@pytest.mark.parametrize(("a", "b", "c"), [(0.1, 2.0, 0.5), (0.0, 1.0, 0.25), (0.3, 5.0, 1.0)])
def test_points_on_a_curve_give_it_back(a, b, c):
    found = fitted(SIZES, a + b * SIZES**-c)
    assert (found.a, found.b, found.c) == pytest.approx((a, b, c), abs=1e-6)
    assert found.error(800) == pytest.approx(a + b * 800**-c)


def test_an_error_that_does_not_fall_stays():
    assert fitted(SIZES, np.full(4, 0.2)) == Curve(0.2, 0.0, 0.5)
    rising = fitted(SIZES, np.array([0.1, 0.1, 0.2, 0.2]))
    assert (rising.a, rising.b) == (pytest.approx(0.15), 0.0)


def test_no_curve_falls_below_zero():
    found = fitted(SIZES, np.array([0.9, 0.5, 0.2, 0.0]))  # steeper than any exponent of the grid
    assert found.a == 0.0
    assert found.error(1e9) >= 0


@pytest.mark.parametrize("seed", range(4))
def test_no_other_curve_of_the_grid_is_nearer(seed):
    draw = np.random.default_rng(seed)
    errors = 0.2 + 3 * SIZES**-0.6 + draw.normal(0, 0.02, 4)

    def rest(a, b, c):
        return np.square(errors - a - b * SIZES**-c).sum()

    found = fitted(SIZES, errors)
    least = rest(found.a, found.b, found.c)
    for c in EXPONENTS:
        for a in np.linspace(0, 0.6, 61):
            for b in np.geomspace(0.01, 30, 60):
                assert rest(a, b, c) >= least - 1e-12


def test_gains_lie_on_the_curve_that_a_part_and_the_whole_lie_on():
    a, b, c, n = 0.1, 2.0, 0.4, 60

    def error(m):
        return a + b * m**-c

    for left in (2, 4):
        drop = error(n / left) - error(n)
        for more in (1, 60, 600):
            found = gained(drop, n, more, left=left, c=c)
            assert found == pytest.approx(error(n) - error(n + more))
