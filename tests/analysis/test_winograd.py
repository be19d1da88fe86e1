"""Winograd's minimal filtering: published counts, and equality with direct convolution."""

import numpy as np
import pytest

from pocketvision.analysis import winograd
from pocketvision.errors import UsageError


@pytest.mark.parametrize(("m", "fewer"), [(2, 2.25), (4, 4.0)])
def test_multiplications_fall_as_published(m: int, fewer: float) -> None:
    """Lavin and Gray, sections 4.1 and 4.3: 36 / 16 and 144 / 36 on maps of whole tiles."""
    direct = winograd.multiplications(56, 56, c_in=64, c_out=64, m=0)
    assert direct / winograd.multiplications(56, 56, c_in=64, c_out=64, m=m) == fewer


def test_tiles_that_hang_out_count_whole() -> None:
    """7 x 7 by hand: 16 tiles of 16 products, and 4 of 36."""
    assert winograd.multiplications(7, 7, c_in=1, c_out=1, m=2) == 16 * 16
    assert winograd.multiplications(7, 7, c_in=1, c_out=1, m=4) == 4 * 36


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (7, 5), (9, 12)])
def test_tiles_equal_direct_convolution_in_float64(m: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(m)
    x = rng.standard_normal((size[0] + 2, size[1] + 2, 5))
    kernel = rng.standard_normal((3, 3, 3, 5))
    direct = winograd.convolve(x, kernel, 0)
    assert np.abs(winograd.convolve(x, kernel, m) - direct).max() < 1e-12 * np.abs(direct).max() * 9


def test_direct_is_a_convolution_by_hand() -> None:
    x = np.arange(16, dtype=float).reshape(4, 4, 1)
    kernel = np.zeros((1, 3, 3, 1))
    kernel[0, 0, 2, 0], kernel[0, 2, 1, 0] = 2.0, -1.0
    assert winograd.convolve(x, kernel, 0)[0, 0, 0] == 2 * 2 - 9


def test_errors_grow_with_the_tile_and_stay_small() -> None:
    direct, two, four = winograd.compare(14, 14, c_in=64, c_out=64)
    assert 0 < direct.error < 1e-5
    assert two.error < 1e-5
    assert two.error < four.error < 1e-4


def test_another_tile_is_refused() -> None:
    with pytest.raises(UsageError, match="2 or 4, got 3"):
        winograd.multiplications(4, 4, c_in=1, c_out=1, m=3)
