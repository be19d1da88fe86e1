"""What was told and what a recipe filled in, through the command."""

import json
from dataclasses import replace

import pytest

from pocketvision.cli.main import run
from pocketvision.cli.told import Told, filled
from pocketvision.errors import UsageError
from pocketvision.train.config import TrainConfig
from pocketvision.train.recipes import RECIPES
from tests.cli.test_main_job import TRAIN, photos
from tests.train.tiny import dataset_of


def test_a_config_knows_what_was_given():
    told = Told(ema=0.998, batch_size=32)
    assert dict(told.given) == {"ema": 0.998, "batch_size": 32}
    assert type(told.plain()) is TrainConfig
    assert told.plain() == TrainConfig(batch_size=32)
    with pytest.raises(UsageError, match="--batch-size must be"):
        Told(batch_size=1)


def test_the_command_fills_by_data_and_source():
    few = dataset_of()
    small = filled(Told(epochs=3), None, few, from_weights=False)
    assert (small.config, small.recipe) == (TrainConfig(epochs=3), "small-data")
    assert small.line == "recipe: small-data, the default for 43 training images\n"
    named = filled(Told(ema=0.998), "mixnet", few, from_weights=True)
    assert (named.config.ema, named.config.optimizer) == (0.998, "rmsprop")
    assert named.line == "recipe: mixnet, as asked for\n"
    weights = filled(Told(), None, few, from_weights=True)
    assert (weights.config, weights.recipe, weights.line) == (TrainConfig(), None, "")
    rows = few.splits["train"] * 117  # 5031
    many = replace(few, splits={**few.splits, "train": rows})
    found = filled(Told(), None, many, from_weights=False)
    assert (found.recipe, found.config.epochs) == ("modern", RECIPES["modern"].sets["epochs"])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("told") / "photos", each=8)


def trained(data, output, *argv):
    """The run's config.json and setup.json after two steps."""
    call = ["train", str(data), *TRAIN, "--steps", "2", "--output", str(output), *argv]
    assert run(call) == 0
    return [json.loads((output / "photos" / f).read_text()) for f in ("config.json", "setup.json")]


def test_a_recipe_by_its_name(data, tmp_path, capsys):
    config, setup = trained(
        data, tmp_path, "--recipe", "mixnet", "--ema", "0.998", "--lr-decay", "0.9"
    )
    assert "\nrecipe: mixnet, as asked for\nrun folder:" in capsys.readouterr().out
    expected = {"optimizer": "rmsprop", "ema": 0.998, "lr_decay": 0.9, "decay_biases": True}
    assert {k: config[k] for k in expected} == expected
    assert config["lr"] == pytest.approx(0.016 * 16 / 256)
    assert config["steps"] == 2
    assert config["epochs"] is None
    assert setup["recipe"] == "mixnet"
    folder = str(tmp_path / "photos")
    assert run(["train", str(data), "--resume", folder, "--recipe", "mixnet"]) == 2
    assert "settings that the run had; leave --recipe out" in capsys.readouterr().err
    assert run(["train", str(data), "--resume", folder]) == 0


def test_without_a_name_nothing_changes_for_few_images(data, tmp_path, capsys):
    config, setup = trained(data, tmp_path)
    assert "recipe: small-data, the default for 12 training images\n" in capsys.readouterr().out
    told = json.loads(json.dumps(TrainConfig(steps=2, batch_size=16, threads=1).to_dict()))
    assert config | {"compile": None} == told | {"compile": None}  # which a run decides
    assert setup["recipe"] == "small-data"


def test_every_setting_of_this_kind_is_a_flag(data, tmp_path):
    flags = (
        "--optimizer sgd --no-nesterov --momentum 0.8 --schedule exponential --no-staircase "
        "--min-lr 1e-4 --warmup-lr 1e-3 --accumulate 2 --repeats 2 --policy randaugment "
        "--policy-magnitude 5 --policy-deviation 0 --policy-ops 1 --crop-area 0.2 --decay-biases"
    )
    config, _ = trained(data, tmp_path, *flags.split())
    assert (config["nesterov"], config["staircase"], config["policy_ops"]) == (False, False, 1)
    assert (config["accumulate"], config["repeats"], config["crop_area"]) == (2, 2, 0.2)
