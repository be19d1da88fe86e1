"""Where an image lands in the input, and resampling against exact arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvision.preprocess import Preprocess, placement, reference, to_uint8
from pocketvision.resize import INTERPOLATIONS, PLACEMENTS, nearest, resized

sides = st.integers(1, 300)
sizes = st.tuples(sides, sides)


def inside(box, size):
    top, left, height, width = box
    return (
        top >= 0
        and left >= 0
        and height >= 1
        and width >= 1
        and top + height <= size[0]
        and left + width <= size[1]
    )


@given(
    image=sizes,
    size=sizes,
    how=st.sampled_from(sorted(PLACEMENTS)),
    fraction=st.floats(0.01, 1.0),
)
def test_boxes_lie_inside(image, size, how, fraction):
    at = PLACEMENTS[how](image, size, fraction)
    assert inside(at.source, image)
    assert inside(at.target, size)


def test_crop_by_hand():
    # 1000x750 to 224: the largest square has side 750; 0.875 of it is 656.25.
    p = Preprocess(size=(224, 224))
    assert placement((750, 1000), p).source == (47, 172, 656, 656)
    assert placement((1000, 750), p).source == (172, 47, 656, 656)
    # A wide input: 96x192 out of 100x100 takes the full width and half the height, times 0.875.
    wide = Preprocess(size=(96, 192))
    assert placement((100, 100), wide).source == (28, 6, 44, 88)


def test_letterbox_by_hand():
    p = Preprocess(size=(100, 100), resize="letterbox", fill=7)
    at = placement((50, 200), p)
    assert (at.source, at.target) == ((0, 0, 50, 200), (37, 0, 25, 100))
    out = to_uint8(np.full((50, 200, 3), 200, np.uint8), p)
    assert (out[37:62] == 200).all()
    assert (out[:37] == 7).all()
    assert (out[62:] == 7).all()


@given(
    image=sizes,
    size=sizes,
    how=st.sampled_from(sorted(PLACEMENTS)),
    box=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_boxes_come_back(image, size, how, box):
    at = PLACEMENTS[how](image, size, 0.875)
    boxes = np.array([box]) * np.array([image[1], image[0], image[1], image[0]])
    np.testing.assert_allclose(at.to_source(at.to_input(boxes)), boxes, atol=1e-6)


def test_the_read_part_fills_the_target():
    at = placement((333, 517), Preprocess(size=(224, 160), resize="letterbox"))
    top, left, height, width = at.target
    whole = at.to_input(np.array([[0, 0, 517, 333]]))
    np.testing.assert_allclose(whole, [[left, top, left + width, top + height]])


@settings(max_examples=60, deadline=None)
@given(
    image=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    kind=st.sampled_from(sorted(INTERPOLATIONS)),
    value=st.integers(0, 255),
)
def test_constant_images_stay_constant(image, size, kind, value):
    out = resized(np.full((*image, 3), value, np.uint8), size, kind)
    assert out.shape == (*size, 3)
    # torch's 8-bit weights sum to 1 only within 2^-15 or so: one step of rounding is allowed.
    assert np.abs(out.astype(int) - value).max() <= (1 if kind == "bilinear" else 0)


SHAPES = [((656, 656), (224, 224)), ((40, 31), (96, 64)), ((8, 8), (32, 32)), ((200, 90), (37, 61))]


@pytest.mark.parametrize("kind", sorted(INTERPOLATIONS))
@pytest.mark.parametrize(("image", "size"), SHAPES)
@pytest.mark.parametrize("content", ["noise", "edges", "smooth"])
def test_within_one_step_of_exact_arithmetic(kind, image, size, content):
    p = Preprocess(size=size, resize="squash", interpolation=kind, mean=(0,) * 3, std=(1,) * 3)
    picture = pictures(image)[content]
    exact = np.moveaxis(reference(picture, p), 0, 2) * 255
    assert np.abs(to_uint8(picture, p) - exact).max() <= 1.0


def pictures(size):
    draw = np.random.Generator(np.random.PCG64(1))
    y, x = np.mgrid[: size[0], : size[1]]
    wave = 127 + 120 * np.sin(y / 20) * np.cos(x / 17)
    return {
        "noise": draw.integers(0, 256, (*size, 3), dtype=np.uint8),
        "edges": draw.integers(0, 2, (*size, 3), dtype=np.uint8) * 255,
        "smooth": np.repeat(wave[..., None], 3, axis=2).astype(np.uint8),
    }


def test_nearest_takes_the_pixel_under_the_centre():
    row = np.arange(5, dtype=np.uint8).reshape(1, 5, 1)
    # Centres of 3 outputs over 5 pixels: 0.83, 2.5, 4.17.
    assert nearest(row, (1, 3)).ravel().tolist() == [0, 2, 4]
    assert nearest(row, (1, 10)).ravel().tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_bilinear_by_hand():
    # Two pixels 0 and 200 to four: centres at 0.25, 0.75, 1.25, 1.75 of the source.
    row = np.array([0, 200], np.uint8).reshape(1, 2, 1).repeat(3, axis=2)
    assert resized(row, (1, 4), "bilinear")[0, :, 0].tolist() == [0, 50, 150, 200]


def test_odd_memory_is_read_right():
    image = pictures((50, 70))["noise"]
    expected = resized(image, (20, 30), "bilinear")
    flipped = np.ascontiguousarray(image[::-1])[::-1]
    locked = image.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(resized(flipped, (20, 30), "bilinear"), expected)
    np.testing.assert_array_equal(resized(locked, (20, 30), "bilinear"), expected)
