"""The contract: its fields, its JSON, its three steps."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from pocketvision import preprocess as contract
from pocketvision.errors import BundleError, UsageError
from pocketvision.preprocess import Preprocess, prepare, reference, to_tensor, to_uint8


def picture(height=75, width=100, seed=0):
    draw = np.random.Generator(np.random.PCG64(seed))
    coarse = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image)


def jpeg(image, **options):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def test_round_trip():
    p = Preprocess(
        size=(96, 128), channels=1, resize="letterbox", mean=(0.5,), std=(0.25,), scaled_decode=True
    )
    assert contract.loads(contract.dumps(p)) == p
    assert json.loads(contract.dumps(p))["format"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resise": "crop"}, "no field 'resise'; did you mean 'resize'"),
        ({"resize": "letterbx"}, "resize is 'letterbx'.*did you mean 'letterbox'"),
        ({"format": 2}, "format is 2; this version reads 1"),
        ({"size": [224]}, r"size is \(224,\), must be \(height, width\)"),
        ({"size": [224, 0]}, "whole numbers from 1"),
        ({"mean": [0.5]}, "mean is .*3 numbers, one per channel"),
        ({"std": [1, 1, 0]}, "std is .*over 0"),
        ({"crop_fraction": 1.5}, "crop_fraction is 1.5, must be over 0"),
        ({"crop_fraction": float("nan")}, "crop_fraction is nan"),
        ({"fill": 256}, "fill is 256"),
        ({"antialias": False}, "antialias is False"),
        ({"channels": True}, "channels is True"),
        ({"channels": [3]}, "channels is"),
        ({"scaled_decode": 1}, "scaled_decode is 1"),
        ({"mean": ["a", 0, 0]}, "mean is"),
    ],
)
def test_wrong_files_are_named_by_field(change, words):
    row = json.loads(contract.dumps(Preprocess(size=(224, 224)))) | change
    with pytest.raises(BundleError, match=words):
        contract.loads(json.dumps(row))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": 1}', "[" * 100_000])
def test_foreign_files_are_errors(text):
    with pytest.raises(BundleError):
        contract.loads(text)


def test_a_wrong_call_is_a_usage_error():
    with pytest.raises(UsageError, match=r"interpolation is 'linear'.*did you mean 'bilinear'"):
        Preprocess(size=(32, 32), interpolation="linear")


def test_tensor_by_hand():
    p = Preprocess(size=(1, 2), mean=(0, 0.5, 0), std=(1, 0.5, 2))
    pixels = np.array([[[255, 255, 255], [0, 0, 51]]], np.uint8)
    expected = [[[1, 0]], [[1, -1]], [[0.5, 0.1]]]
    np.testing.assert_allclose(to_tensor(pixels, p), expected, rtol=1e-6)
    batch = to_tensor(np.stack([pixels, pixels]), p)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch[1], to_tensor(pixels, p))


@pytest.mark.parametrize("how", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("kind", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
def test_prepared_within_one_step_of_the_reference(how, kind, channels):
    p = Preprocess(
        size=(48, 64),
        channels=channels,
        resize=how,
        interpolation=kind,
        mean=(0.4,) * channels,
        std=(0.2,) * channels,
    )
    data = jpeg(picture(151, 203))
    difference = np.abs(prepare(data, p) - reference(data, p)) * 0.2
    assert difference.max() <= 1.0001 / 255


def test_prepare_is_its_three_steps():
    p = Preprocess(size=(32, 32))
    data = jpeg(picture())
    image = contract.decode(data)
    np.testing.assert_array_equal(prepare(data, p), to_tensor(to_uint8(image, p), p))
    np.testing.assert_array_equal(prepare(data, p), prepare(image, p))


def test_nothing_shares_memory_with_the_image():
    image = picture(32, 32)
    p = Preprocess(size=(32, 32), crop_fraction=1.0)
    out = to_uint8(image, p)
    np.testing.assert_array_equal(out, image)
    out[:] = 0
    assert image.any()


def test_grey_stays_grey():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    p = Preprocess(size=(16, 16), channels=1, crop_fraction=1.0, mean=(0.5,), std=(0.5,))
    np.testing.assert_array_equal(to_uint8(levels, p)[..., 0], levels[..., 0])


def test_grey_is_what_pillow_calls_luma():
    image = picture(16, 16)
    p = Preprocess(size=(16, 16), channels=1, crop_fraction=1.0, mean=(0.5,), std=(0.5,))
    expected = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(to_uint8(image, p)[..., 0], expected)


@pytest.mark.parametrize("orientation", [1, 6])
def test_scaled_decode_is_one_of_the_allowed_scales_and_never_enlarges(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(picture(601, 803), exif=exif)
    upright = (601, 803) if orientation == 1 else (803, 601)
    # The largest sides that 601 serves: 601 / 8 * 0.875 = 65.7, / 4: 131.5, / 2: 262.9.
    for side, divisor in ((10, 8), (65, 8), (66, 4), (131, 4), (132, 2), (262, 2), (263, 1)):
        p = Preprocess(size=(side, side), scaled_decode=True)
        pixels = contract.pixels_of(data, p)
        assert pixels.shape == (-(-upright[0] // divisor), -(-upright[1] // divisor), 3)


def test_scaled_decode_changes_values_and_is_off_by_default():
    data = jpeg(picture(600, 800))
    full, scaled = Preprocess(size=(64, 64)), Preprocess(size=(64, 64), scaled_decode=True)
    assert contract.pixels_of(data, full).shape == (600, 800, 3)
    assert contract.pixels_of(data, scaled).shape == (75, 100, 3)
    np.testing.assert_allclose(prepare(data, scaled), prepare(data, full), atol=0.5)
