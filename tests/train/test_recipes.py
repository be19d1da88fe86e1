"""Recipes: their tables against the published numbers, and what a flag does to them."""

import math
import subprocess
import sys
from dataclasses import fields

import pytest

from pocketvision.errors import UnknownName
from pocketvision.train import schedule
from pocketvision.train.config import TrainConfig
from pocketvision.train.defaults import from_weights
from pocketvision.train.recipes import RECIPES, SMALL, default, filled, in_flags

PAPERS = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "mobilenext", "rexnet", "mixnet")
FIELDS = {f.name for f in fields(TrainConfig)}


def test_the_directory_holds_each_under_its_name():
    assert [*RECIPES] == ["small-data", "modern", *PAPERS]
    assert all(recipe.name == name for name, recipe in RECIPES.items())
    for recipe in RECIPES.values():
        assert recipe.sets.keys() <= FIELDS - {"lr", "batch_size", "accumulate", "seed"}
        assert all(
            getattr(recipe, f.name) for f in fields(recipe) if f.name[:2] not in ("lr", "se")
        )


@pytest.mark.parametrize(
    ("name", "images", "published"),
    [
        # The rate of a step over all devices of the published run.
        ("mobilenet_v1", 64, 0.045),
        ("mobilenet_v2", 8 * 96, 8 * 0.045),
        ("mobilenet_v3", 4096, 0.1),
        ("mobilenext", 4 * 64, 0.1),
        ("rexnet", 4 * 128, 0.5),
        ("mixnet", 1024, 4 * 0.016),
    ],
)
def test_the_published_batch_gets_the_published_rate(name, images, published):
    config = filled(name, {"batch_size": images // 2, "accumulate": 2})
    assert config.step_images == images
    assert config.peak_lr == pytest.approx(published, rel=1e-12)


def test_published_rates_at_the_end_of_published_lengths():
    """By the sources' own arithmetic: a factor to the number of whole intervals."""
    for name, factor, interval in (
        ("mobilenet_v1", 0.94, 2.5), ("mobilenet_v2", 0.98, 2.5),
        ("mobilenet_v3", 0.99, 3), ("mixnet", 0.97, 2.4),
    ):  # fmt: skip
        config = filled(name, {"batch_size": 64})
        plan = schedule.planned(config, n=640, n_val=10, size_hw=(64, 64))
        expected = config.peak_lr * factor ** math.floor((config.epochs * 10 - 1) / (interval * 10))
        assert schedule.lr(plan.steps - 1, plan) == pytest.approx(expected, rel=1e-9)
        assert plan.epochs == config.epochs


def test_lengths_are_those_of_the_published_steps():
    """ImageNet's 1,281,167 images: 437,898 steps of 1024 for MixNet, 700,000 of 8 x 96 for V2."""
    for name, steps, batch in (("mixnet", 437_898, 1024), ("mobilenet_v2", 700_000, 8 * 96)):
        assert filled(name, {}).epochs == pytest.approx(steps * batch / 1_281_167, abs=0.5)


def test_weight_decay_reaches_what_each_source_says():
    scope = {n: filled(n, {}) for n in PAPERS}
    assert [n for n, c in scope.items() if not c.decay_depthwise] == [
        "mobilenet_v1", "mobilenet_v2", "mobilenet_v3",
    ]  # fmt: skip
    assert [n for n, c in scope.items() if c.decay_biases] == ["mixnet"]
    assert {n: c.decay for n, c in scope.items()} == {
        "mobilenet_v1": 4e-5, "mobilenet_v2": 4e-5, "mobilenet_v3": 1e-5,
        "mobilenext": 1e-4, "rexnet": 1e-5, "mixnet": 1e-5,
    }  # fmt: skip


def test_small_data_is_the_defaults_and_what_was_given():
    assert filled("small-data", {}) == TrainConfig()
    given = {"optimizer": "sgd", "time": "5m", "augment": "none", "batch_size": 7}
    assert filled("small-data", given) == TrainConfig(**given)


def test_the_default_follows_the_number_of_images():
    assert SMALL == 5000
    assert default(0).name == default(4999).name == "small-data"
    assert default(5000).name == default(10**7).name == "modern"


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UnknownName, match=r"no recipe 'mobilenetv2'; did you mean 'mobilenet_v2'"):
        filled("mobilenetv2", {})
    with pytest.raises(UnknownName, match=r"--recipe takes: small-data, modern, mobilenet_v1"):
        filled("best", {})


@pytest.mark.parametrize("name", RECIPES)
def test_a_flag_wins_even_at_its_default(name):
    given = {f.name: f.default for f in fields(TrainConfig) if f.default is not None}
    config = filled(name, given)
    assert {k: getattr(config, k) for k in given} == given
    assert filled(name, {"lr": 0.5}).peak_lr == 0.5
    assert filled(name, {"weight_decay": 0.3}).decay == 0.3


def test_what_belongs_together_goes_together():
    v2, next_ = RECIPES["mobilenet_v2"].sets, RECIPES["mobilenext"].sets
    timed = filled("mobilenet_v2", {"time": "5m"})
    assert (timed.epochs, timed.lr_decay) == (None, v2["lr_decay"])
    assert filled("mobilenet_v2", {"steps": 5}).epochs is None
    # Another optimizer brings its own rate, decay and momentum.
    adam = filled("mobilenext", {"optimizer": "adamw"})
    plain = TrainConfig(optimizer="adamw")
    assert (adam.peak_lr, adam.decay, adam.momentum) == (plain.peak_lr, plain.decay, None)
    assert (adam.min_lr, adam.warmup_lr, adam.epochs) == (None, None, next_["epochs"])
    cosine = filled("mobilenet_v2", {"schedule": "cosine"})
    assert (cosine.lr_decay, cosine.decay_epochs) == (None, None)
    assert cosine.peak_lr == filled("mobilenet_v2", {}).peak_lr
    rate = filled("mobilenext", {"lr": 1e-6})
    assert (rate.min_lr, rate.warmup_lr) == (None, None)
    other = filled("rexnet", {"policy": "none"})
    assert (other.policy, other.policy_magnitude, other.erasing) == ("none", None, 0.2)
    bare = filled("rexnet", {"augment": "none"})
    assert (bare.policy, bare.crop_area, bare.erasing) == (None, None, None)
    assert filled("modern", {"start_scale": 0.9}).train_scale == 1.0


def test_companion_rates_follow_the_batch():
    small, large = (filled("mobilenext", {"batch_size": b}) for b in (64, 256))
    assert (large.min_lr, large.warmup_lr) == pytest.approx((1e-5, 1e-4))
    assert (small.min_lr, small.warmup_lr) == pytest.approx((2.5e-6, 2.5e-5))
    adam = [filled("modern", {"batch_size": b}).peak_lr for b in (64, 256)]
    assert adam == pytest.approx([2e-3, 4e-3])  # by the square root


@pytest.mark.parametrize("name", PAPERS)
def test_signs_are_not_treated_like_photos(name):
    config = filled(name, {}, photos=False)
    assert (config.policy, config.policy_ops, config.crop_area, config.color_jitter) == (None,) * 4
    assert config.peak_lr == filled(name, {}).peak_lr


def test_weights_fill_what_a_recipe_leaves_open():
    v2 = filled("mobilenet_v2", {"freeze": "gradual"})
    config = from_weights(v2)
    assert (config.freeze, config.trunk_lr, config.stage_lr, config.norms) == (
        "gradual", 0.1, 0.7, "batch",
    )  # fmt: skip
    assert (config.lr, config.epochs, config.optimizer) == (v2.lr, v2.epochs, "rmsprop")
    assert from_weights(filled("rexnet", {"freeze": "trunk"})).epochs is None


def test_flags_of_a_recipe_are_flags():
    text = in_flags(RECIPES["mixnet"])
    assert text.startswith("--lr 0.016 --optimizer rmsprop --momentum 0.9")
    assert "--decay-biases" in text.split()
    assert "--no-decay-depthwise" in in_flags(RECIPES["mobilenet_v1"]).split()
    assert in_flags(RECIPES["small-data"]) == ""


def test_recipes_need_no_torch():
    code = "import sys, pocketvision.train.recipes; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
