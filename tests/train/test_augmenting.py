"""Which augmentation a run uses: its preset, and what flags say instead."""

from dataclasses import replace

import pytest

from pocketvision.data.config import NONE, PHOTO, PolicyConfig
from pocketvision.train.augmenting import chosen, policy
from pocketvision.train.config import TrainConfig
from tests.train.tiny import dataset_of


def of(**settings):
    return chosen(TrainConfig(**settings), dataset_of())


def test_flags_left_out_leave_the_preset():
    assert of() is PHOTO
    assert of(augment="none") is NONE


def test_color_jitter_is_brightness_contrast_and_saturation():
    assert of(color_jitter=0.5) == replace(PHOTO, brightness=0.5, contrast=0.5, saturation=0.5)
    off = of(color_jitter=0.0)
    assert (off.flip, off.recolours) == (PHOTO.flip, False)


def test_erasing_is_a_share_of_images():
    assert of(erasing=0.25) == replace(PHOTO, erase=0.25)
    assert of(augment="none", erasing=0.1, color_jitter=0.2).erase == 0.1


@pytest.mark.parametrize("name", ["mixup", "cutmix", "color_jitter", "erasing"])
def test_the_trace_holds_each(name):
    assert TrainConfig(**{name: 0.5}).trace()[name] == 0.5


def test_crop_area_brings_an_aspect_where_the_preset_has_none():
    assert of(crop_area=0.08) == replace(PHOTO, crop_area=0.08)
    assert of(augment="none", crop_area=0.5) == replace(NONE, crop_area=0.5, crop_aspect=4 / 3)


def test_a_policy_brings_its_own_colours():
    assert not of(policy="autoaugment").recolours
    assert of(policy="autoaugment").crop_area == PHOTO.crop_area
    assert of(policy="autoaugment", color_jitter=0.1).brightness == 0.1
    assert policy(TrainConfig()) is None
    assert policy(TrainConfig(policy="none")) is None
    assert of(policy="none") is PHOTO
    assert policy(TrainConfig(policy="randaugment")) == PolicyConfig(name="randaugment")
    weak = TrainConfig(policy="randaugment", policy_magnitude=5.0, policy_deviation=0.0)
    assert policy(weak) == PolicyConfig(name="randaugment", magnitude=5.0, deviation=0.0)
