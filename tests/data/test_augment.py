"""Augmentation depends on (seed, epoch, index) alone, and each change is what its name says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.data.augment import DRAWS, augment, changed, planned
from pocketvision.data.config import BOUNDS, DIGITS, NONE, PHOTO, PRESETS, AugmentConfig
from pocketvision.data.counter import bits, uniforms
from pocketvision.data.order import order
from pocketvision.errors import UsageError

EVERYTHING = AugmentConfig(
    flip=0.5,
    crop_area=0.4,
    crop_aspect=1.5,
    rotate_deg=20,
    shift=0.1,
    zoom=0.2,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    erase=0.5,
    fill=50,
)


def pictures(n=6, channels=3, height=24, width=32, seed=0):
    draw = np.random.Generator(np.random.PCG64(seed))
    coarse = draw.integers(0, 256, (n, channels, height // 4, width // 4), dtype=np.uint8)
    return torch.from_numpy(coarse.repeat(4, axis=2).repeat(4, axis=3))


def run(images, config, *, indices=None, epoch=0, seed=0, size=None):
    indices = range(len(images)) if indices is None else indices
    return augment(images, indices=list(indices), epoch=epoch, seed=seed, config=config, size=size)


# Randomness ---------------------------------------------------------------------------------------


def test_splitmix64_by_its_published_first_output():
    # The generator's first output for state 0 is the mix of the golden gamma alone.
    from pocketvision.data.counter import GOLDEN, mixed

    assert int(mixed(np.array([GOLDEN]))[0]) == 0xE220A8397B1DCDAF


def test_draws_are_even_and_unrelated():
    u = uniforms(seed=1, epoch=2, indices=np.arange(20_000), count=3)
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.histogram(u[:, 0], bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 60  # chi-square, 19 degrees of freedom
    others = [
        u[:, 1],
        np.roll(u[:, 0], 1),
        uniforms(seed=2, epoch=2, indices=np.arange(20_000), count=1)[:, 0],
        uniforms(seed=1, epoch=3, indices=np.arange(20_000), count=1)[:, 0],
        uniforms(seed=2, epoch=1, indices=np.arange(20_000), count=1)[:, 0],
    ]
    for other in others:
        assert abs(np.corrcoef(u[:, 0], other)[0, 1]) < 0.03


def test_draws_follow_from_whole_number_arithmetic():
    """The same chain in Python's unbounded integers: the numbers are fixed for ever."""
    full, golden = 2**64, 0x9E3779B97F4A7C15

    def mix(x):
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % full
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % full
        return x ^ (x >> 31)

    x = 0
    for part in (3, 5, 7):
        x = mix(((x + part) * golden + golden) % full)
    expected = [mix(((x + k) * golden + golden) % full) for k in range(2)]
    assert bits(seed=3, epoch=5, indices=np.array([7]), count=2)[0].tolist() == expected


@given(n=st.integers(0, 200), seed=st.integers(-5, 2**64), epoch=st.integers(0, 1000))
def test_order_is_a_permutation(n, seed, epoch):
    assert sorted(order(n, seed=seed, epoch=epoch).tolist()) == list(range(n))


def test_order_changes_with_seed_and_epoch_only():
    first = order(100, seed=0, epoch=0)
    np.testing.assert_array_equal(first, order(100, seed=0, epoch=0))
    assert (first != order(100, seed=0, epoch=1)).sum() > 80
    assert (first != order(100, seed=1, epoch=0)).sum() > 80


@pytest.mark.parametrize("config", [PHOTO, DIGITS, EVERYTHING])
def test_a_sample_does_not_depend_on_its_batch(config):
    images = pictures(6)
    whole = run(images, config, epoch=3, seed=9)
    shuffled = [4, 1, 5, 0, 3, 2]
    np.testing.assert_array_equal(
        run(images[shuffled], config, indices=shuffled, epoch=3, seed=9), whole[shuffled]
    )
    for i in range(6):
        alone = run(images[i : i + 1], config, indices=[i], epoch=3, seed=9)
        np.testing.assert_array_equal(alone[0], whole[i])


@pytest.mark.parametrize("config", [PHOTO, DIGITS, EVERYTHING])
def test_seed_epoch_and_index_each_matter(config):
    images = pictures(1).repeat(6, 1, 1, 1)
    first = run(images, config)
    assert not torch.equal(first, run(images, config, epoch=1))
    assert not torch.equal(first, run(images, config, seed=1))
    assert len(torch.unique(first, dim=0)) > 3


def test_memory_layout_does_not_matter():
    images = pictures()
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(run(images, PHOTO), run(last, PHOTO), atol=1, rtol=0)


# Each change --------------------------------------------------------------------------------------


def test_nothing_by_default():
    images = pictures()
    out = run(images, NONE)
    assert torch.equal(out, images)
    out.zero_()
    assert images.any()


def test_flip_is_exact_and_as_frequent_as_asked():
    images = pictures(400)
    out = run(images, AugmentConfig(flip=0.25))
    flipped = (out == images.flip(-1)).flatten(1).all(1)
    assert ((out == images).flatten(1).all(1) ^ flipped).all()
    assert 70 <= flipped.sum() <= 130
    assert torch.equal(run(images, AugmentConfig(flip=1.0)), images.flip(-1))


@given(
    u=st.tuples(*[st.floats(0, 1, exclude_max=True)] * len(DRAWS)),
    image=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_boxes_lie_inside(u, image, size):
    config = AugmentConfig(crop_area=0.05, crop_aspect=3, erase=1, erase_area=1)
    change = planned(dict(zip(DRAWS, u, strict=True)), config, image, size)
    for (top, left, height, width), outer in ((change.crop, image), (change.erased, size)):
        assert top >= 0
        assert left >= 0
        assert height >= 1
        assert width >= 1
        assert top + height <= outer[0]
        assert left + width <= outer[1]


def test_crops_have_the_area_and_aspect_asked_for():
    config = AugmentConfig(crop_area=0.3, crop_aspect=4 / 3)
    rows = uniforms(seed=0, epoch=0, indices=np.arange(500), count=len(DRAWS)).tolist()
    crops = [
        planned(dict(zip(DRAWS, r, strict=True)), config, (200, 200), (8, 8)).crop for r in rows
    ]
    areas = np.array([h * w / 200**2 for _, _, h, w in crops])
    aspects = np.array([w / h for _, _, h, w in crops])
    assert areas.min() > 0.28
    assert areas.max() > 0.95
    assert aspects.min() > 0.74
    assert aspects.max() < 1.35


def test_crop_is_the_contracts_resampling_of_the_box():
    from pocketvision.resize import resized

    images = pictures(4)
    config = AugmentConfig(crop_area=0.3)
    out = run(images, config, size=(20, 20))
    rows = uniforms(seed=0, epoch=0, indices=np.arange(4), count=len(DRAWS)).tolist()
    for image, row, ours in zip(images, rows, out, strict=True):
        change = planned(dict(zip(DRAWS, row, strict=True)), config, (24, 32), (20, 20))
        top, left, height, width = change.crop
        part = np.ascontiguousarray(image.permute(1, 2, 0)[top : top + height, left : left + width])
        expected = resized(part, (20, 20), "bilinear")
        np.testing.assert_allclose(ours.permute(1, 2, 0), expected, atol=1)


def forced(images, config, **numbers):
    """One image changed by chosen numbers instead of drawn ones; 0.5 is the neutral middle."""
    u = dict.fromkeys(DRAWS, 0.5) | numbers
    shape = tuple(images.shape[2:])
    out = changed(images[:1], [planned(u, config, shape, shape)], config, shape)
    return out[0].transpose(2, 0, 1)


END = 1 - 2**-53


def test_rotation_by_a_quarter_turn():
    image = pictures(1, height=24, width=24)
    # u = 1 turns by +90 degrees; the picture turns with the output's y axis pointing down.
    out = forced(image, AugmentConfig(rotate_deg=90), angle=END)
    np.testing.assert_allclose(out, np.rot90(image[0].numpy(), axes=(1, 2)), atol=1)


def test_rotation_keeps_angles_in_oblong_pictures():
    image = pictures(1, height=24, width=32)
    out = forced(image, AugmentConfig(rotate_deg=180), angle=END)
    np.testing.assert_allclose(out, image[0].numpy()[:, ::-1, ::-1], atol=1)
    bar = torch.zeros(1, 1, 40, 80, dtype=torch.uint8)
    bar[:, :, 18:22, 30:50] = 255  # 20 wide, 4 high
    turned = forced(bar, AugmentConfig(rotate_deg=90), angle=END)[0]
    rows, columns = np.nonzero(turned > 128)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 4)


def test_shift_moves_by_whole_pixels_and_fills():
    image = pictures(1, height=24, width=32)
    out = forced(image, AugmentConfig(shift=0.25, fill=9), down=END, right=END)
    # +25% down and right: 6 rows and 8 columns come from outside.
    np.testing.assert_allclose(out[:, 6:, 8:], image[0, :, :-6, :-8], atol=1)
    assert (out[:, :6] == 9).all()
    assert (out[:, :, :8] == 9).all()


def test_zoom_doubles_a_block():
    image = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    image[:, :, 16:24, 14:26] = 255
    out = forced(image, AugmentConfig(zoom=0.5), zoom=END)[0]
    rows, columns = np.nonzero(out > 128)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (12, 18)


def test_brightness_contrast_and_saturation_by_hand():
    pixels = np.array([[[100, 60]], [[50, 60]], [[20, 60]]], np.uint8)
    image = torch.from_numpy(pixels)[None]
    grey = 0.299 * 100 + 0.587 * 50 + 0.114 * 20
    mean = (grey + 60) / 2
    cases = {
        "brightness": pixels * 1.5,
        "contrast": mean + (pixels - mean) * 1.5,
        "saturation": grey + (pixels[:, 0, 0] - grey) * 1.5,
    }
    for name, expected in cases.items():
        out = forced(image, AugmentConfig(**{name: 0.5}), **{name: END})
        out = out[:, 0, 0] if name == "saturation" else out
        np.testing.assert_array_equal(out, np.clip(np.floor(expected + 0.5), 0, 255))


def test_the_three_factors_follow_one_another():
    image = pictures(1)
    config = AugmentConfig(brightness=0.3, contrast=0.3, saturation=0.3)
    x = image[0].numpy().astype(np.float64)
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    x = x * 0.7
    x = (x * weights).sum(0).mean() + (x - (x * weights).sum(0).mean()) * 1.3
    x = (x * weights).sum(0) + (x - (x * weights).sum(0)) * 0.7
    out = forced(image, config, brightness=0, contrast=END, saturation=0)
    np.testing.assert_allclose(out, np.clip(x, 0, 255), atol=0.51)


def test_grey_pictures_have_no_saturation():
    image = pictures(1, channels=1)
    out = forced(image, AugmentConfig(saturation=1.0), saturation=END)
    np.testing.assert_array_equal(out, image[0])


def holes(erased, plain):
    """The box (top, left, height, width) around what differs in any channel, None for nothing."""
    rows, columns = np.nonzero((erased != plain).any(0).numpy())
    if not len(rows):
        return None
    return rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1


def test_an_erased_box_by_hand():
    """0.4 of 100 x 100 as a square has sides of 63.2; 10/3 as wide as high, 34.6 and 115: cut."""
    config = AugmentConfig(erase=1.0)

    def box(**numbers):
        u = dict.fromkeys(DRAWS, 0.5) | {"erase_area": END, "erase": 0.0} | numbers
        return planned(u, config, (100, 100), (100, 100)).erased

    assert box() == (19, 19, 63, 63)
    assert box(erase_top=0.0, erase_left=END) == (0, 37, 63, 63)
    assert box(erase_aspect=END) == (33, 0, 35, 100)
    assert box(erase_area=0.0)[2:] == (14, 14)  # the least: 0.02
    assert box(erase=END) == box()  # a probability of 1 leaves none out
    assert planned(dict.fromkeys(DRAWS, 0.5), NONE, (9, 9), (9, 9)).erased == (0, 0, 0, 0)


def test_erasing_leaves_noise_in_one_rectangle_and_the_rest_alone():
    images = pictures(300, height=32)
    out = run(images, AugmentConfig(erase=1.0, erase_area=0.25))
    noise = []
    for image, ours in zip(images, out, strict=True):
        top, left, height, width = holes(ours, image)
        assert height * width <= 0.27 * 32 * 32  # sides are rounded to whole pixels
        assert max(height / width, width / height) <= 10 / 3 * 1.25
        noise.append(ours[:, top : top + height, left : left + width].numpy().ravel())
    values = np.concatenate(noise)
    assert values.mean() == pytest.approx(127.5, abs=1)
    assert np.bincount(values, minlength=256).std() < 0.05 * len(values) / 256 * 2
    assert noise[0].tobytes() != noise[1].tobytes()


def test_erasing_reaches_its_share_of_images_anew_in_each_epoch():
    images = pictures(400, channels=1)
    first, again = (run(images, AugmentConfig(erase=0.25), epoch=e) for e in (0, 1))
    found = [holes(ours, image) for image, ours in zip(images, first, strict=True)]
    assert sum(box is not None for box in found) == pytest.approx(100, abs=35)
    assert not torch.equal(first, again)
    assert torch.equal(run(images, AugmentConfig(erase=0.0)), images)


def test_output_size_and_type():
    out = run(pictures(3, channels=1), EVERYTHING, size=(10, 14))
    assert out.shape == (3, 1, 10, 14)
    assert out.dtype == torch.uint8
    assert run(pictures(0), PHOTO).shape == (0, 3, 24, 32)


def test_turning_mixes_with_crops():
    """A half turn of a crop is the crop turned by half."""
    image = pictures(1, height=40, width=40)
    config = AugmentConfig(rotate_deg=180, crop_area=0.25)
    u = {"area": 0.0, "angle": END, "top": 0.0, "left": 0.0}
    turned = forced(image, config, **u)
    plain = forced(image, config, **u | {"angle": 0.5})
    np.testing.assert_allclose(turned, plain[:, ::-1, ::-1], atol=1)


# Config -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("value", [-1, 1000, math.nan, "x", True])
def test_values_out_of_bounds_are_named(name, value):
    with pytest.raises(UsageError, match=f"augment.{name} is"):
        AugmentConfig(**{name: value})


def test_every_field_has_help_and_bounds():
    from dataclasses import fields

    assert {f.name for f in fields(AugmentConfig)} == BOUNDS.keys()
    assert all(f.metadata["help"] for f in fields(AugmentConfig))


def test_digits_are_never_mirrored():
    assert PRESETS["digits"] is DIGITS
    assert DIGITS.flip == 0
    assert PRESETS["none"] == AugmentConfig()
