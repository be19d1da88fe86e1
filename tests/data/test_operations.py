"""Each image operation against numbers worked out by hand or another way to them."""

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.operations import GREY, OPERATIONS, Limits, apply

LIMITS = Limits(shear=1.0, rotate_deg=90, translate=0.5, factor=1.0, bits=8 - 1)
WITHOUT_LEVEL = {"autocontrast", "equalize", "invert"}
RAMP = np.arange(16, dtype=np.uint8).reshape(4, 4)


def run(name, values, level, *, sign=1, limits=LIMITS):
    return np.asarray(apply(Image.fromarray(values), name, level, sign=sign, limits=limits))


def colours(seed=0, height=6, width=8):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - WITHOUT_LEVEL))
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_level_0_changes_nothing(name, channels, sign):
    values = colours() if channels == 3 else colours()[..., 0].copy()
    np.testing.assert_array_equal(run(name, values, 0.0, sign=sign), values)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_colour_and_grey_keep_their_shape_and_a_grey_picture_its_grey(name):
    grey = colours()[..., 0].copy()
    flat = run(name, grey, 0.6)
    full = run(name, np.repeat(grey[..., None], 3, axis=2), 0.6)
    assert flat.shape == grey.shape
    assert full.shape == (*grey.shape, 3)
    for channel in range(3):
        np.testing.assert_array_equal(full[..., channel], flat)


def test_shift_by_half_the_side():
    right = run("translate_x", RAMP, 1.0)
    np.testing.assert_array_equal(right[:, :2], RAMP[:, 2:])
    assert (right[:, 2:] == GREY).all()
    down = run("translate_y", RAMP, 1.0, sign=-1)
    np.testing.assert_array_equal(down[2:], RAMP[:2])
    assert (down[:2] == GREY).all()
    np.testing.assert_array_equal(run("translate_x", RAMP, 0.49), RAMP)  # 0.98 of a pixel: none


def test_a_shear_of_1_moves_each_row_by_one_more_pixel():
    """The centre of row y lies y + 1/2 below the edge, so that it moves by y + 1/2 pixels."""
    values = np.zeros((4, 8), np.uint8)
    values[:, 4:] = 200  # an edge at x = 4
    sheared = run("shear_x", values, 1.0)
    for y in range(3):
        expected = [200 if x + y + 1 > 4 else 0 for x in range(8 - y - 1)]
        expected[3 - y] = 100  # half-way across the edge
        np.testing.assert_array_equal(sheared[y, : 7 - y], expected)
    np.testing.assert_array_equal(run("shear_y", np.ascontiguousarray(values.T), 1.0), sheared.T)


def test_a_quarter_turn():
    np.testing.assert_array_equal(run("rotate", RAMP, 1.0), np.rot90(RAMP))
    np.testing.assert_array_equal(run("rotate", RAMP, 1.0, sign=-1), np.rot90(RAMP, -1))


def test_factors_by_their_definition():
    values = colours()
    x = values.astype(float)
    grey = x @ [0.299, 0.587, 0.114]
    mean = round(float(np.round(grey).mean()))
    cases = {
        "brightness": x * 1.5,
        "contrast": mean + (x - mean) * 1.5,
        "color": grey[..., None] + (x - grey[..., None]) * 1.5,
    }
    for name, expected in cases.items():
        got = run(name, values, 0.5)
        np.testing.assert_allclose(got, np.clip(expected, 0, 255), atol=1.6)  # of a rounded grey
    assert (run("brightness", values, 1.0, sign=-1) == 0).all()
    np.testing.assert_array_equal(np.ptp(run("color", values, 1.0, sign=-1), axis=2), 0)
    assert np.ptp(run("contrast", values, 1.0, sign=-1)) == 0


def test_sharpness_is_a_distance_from_the_smoothed():
    """Smoothing weighs the middle 5 and its eight neighbours 1, over 13; edges stay."""
    values = colours()[..., 0].copy()
    x = values.astype(float)
    smooth = x.copy()
    for i in range(1, 5):
        for j in range(1, 7):
            smooth[i, j] = (x[i - 1 : i + 2, j - 1 : j + 2].sum() + 4 * x[i, j]) / 13
    np.testing.assert_allclose(run("sharpness", values, 1.0, sign=-1), smooth, atol=0.51)
    expected = np.clip(smooth + (x - smooth) * 2, 0, 255)
    np.testing.assert_allclose(run("sharpness", values, 1.0), expected, atol=1.01)


def test_values_by_hand():
    values = np.array([[0, 100], [130, 255]], np.uint8)
    cases = [
        ("invert", 0.0, [[255, 155], [125, 0]]),
        ("posterize", 4 / 7, [[0, 96], [128, 240]]),  # 4 bits of 8
        ("posterize", 1.0, [[0, 0], [128, 128]]),
        ("solarize", 0.5, [[0, 100], [125, 0]]),  # from 128 on
        ("solarize", 1.0, [[255, 155], [125, 0]]),
        ("solarize_add", 1.0, [[110, 210], [130, 255]]),
        ("solarize_add", 0.5, [[55, 155], [130, 255]]),
        ("identity", 1.0, [[0, 100], [130, 255]]),
    ]
    for name, level, expected in cases:
        np.testing.assert_array_equal(run(name, values, level), expected, err_msg=name)


def test_autocontrast_stretches_each_channel():
    values = np.zeros((2, 2, 3), np.uint8)
    values[..., 0] = [[50, 100], [100, 150]]
    values[..., 1] = [[0, 255], [7, 9]]
    values[..., 2] = 33  # nothing to stretch
    out = run("autocontrast", values, 0.0)
    np.testing.assert_array_equal(out[..., 0], [[0, 127], [127, 255]])
    np.testing.assert_array_equal(out[..., 1:], values[..., 1:])


def test_equalize_evens_the_histogram():
    draw = np.random.default_rng(1)
    values = (draw.normal(120, 10, (64, 64))).clip(0, 255).astype(np.uint8)
    out = run("equalize", values, 0.0)
    # Ranks are kept, and shares of values fall close to evenly on quarters of the range.
    assert (np.diff(out.ravel()[np.argsort(values, axis=None)].astype(int)) >= 0).all()
    shares = np.histogram(out, bins=4, range=(0, 256))[0] / out.size
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
