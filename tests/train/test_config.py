import json
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.errors import UsageError
from pocketvision.train.config import TrainConfig, digest, from_dict
from pocketvision.train.duration import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2m30s", 150), (" 10 M ", 600)],
)
def test_times_as_people_write_them(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "ten", "10x", "30s10m", "-5m", "1e3s", "m"])
def test_what_is_no_time_is_refused_with_examples(text):
    with pytest.raises(UsageError, match="--time must be a time such as 90s, 10m or 1h30m"):
        seconds(text)


def test_a_bare_number_is_asked_for_its_unit():
    with pytest.raises(UsageError, match="got '10'; did you mean 10m"):
        seconds("10")
    with pytest.raises(UsageError, match="over 0 seconds"):
        seconds("0m")


@given(st.integers(0, 5), st.integers(0, 59), st.integers(1, 59))
def test_hours_minutes_and_seconds_add_up(h, m, s):
    assert seconds(f"{h}h{m}m{s}s") == 3600 * h + 60 * m + s


def test_every_field_has_help():
    assert all(f.metadata["help"] for f in fields(TrainConfig))


def test_json_round_trip():
    config = TrainConfig(epochs=3, time="10m", optimizer="sgd", lr=0.1, augment="strong")
    assert from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_field_suggests_the_nearest():
    with pytest.raises(UsageError, match="no field 'batchsize'; did you mean 'batch_size'"):
        from_dict({"batchsize": 3})
    with pytest.raises(UsageError, match="format 1"):
        from_dict({"format": 2})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch_size": 1}, "--batch-size must be at least 2, got 1"),
        ({"batch_size": 2.5}, "--batch-size must be a whole number, got 2.5"),
        ({"batch_size": True}, "--batch-size must be a whole number, got True"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        (
            {"optimizer": "adam"},
            "--optimizer must be adamw or sgd or rmsprop, got 'adam'; did you mean",
        ),
        ({"lr": -1.0}, "--lr must be at least 1e-08 and at most 100, got -1.0"),
        ({"lr": float("nan")}, "--lr must be a number, got nan"),
        ({"ema": 1.0}, "--ema must be at least 0 and at most 0.99999"),
        ({"time": "soon"}, "--time must be a time"),
        ({"channels_last": "yes"}, "--channels-last must be true or false"),
        ({"min_lr": 0.5, "lr": 0.1}, "--min-lr 0.5 must not be over the rate itself, 0.1"),
        ({"start_scale": 0.9, "train_scale": 0.8}, "--start-scale 0.9 must not be over"),
    ],
)
def test_a_wrong_value_names_its_flag(values, words):
    with pytest.raises(UsageError, match=words):
        TrainConfig(**values)


def test_the_rate_grows_with_the_batch_as_its_optimizer_wants():
    adam = TrainConfig(batch_size=64)
    assert TrainConfig(batch_size=256).peak_lr == pytest.approx(2 * adam.peak_lr)
    sgd = TrainConfig(batch_size=64, optimizer="sgd")
    assert replace(sgd, batch_size=256).peak_lr == pytest.approx(4 * sgd.peak_lr)
    assert TrainConfig(lr=0.5, batch_size=256).peak_lr == 0.5


def test_rmsprops_rate_is_mnasnets():
    """0.016 for 256 images, in proportion."""
    assert TrainConfig(batch_size=256, optimizer="rmsprop").peak_lr == pytest.approx(0.016)
    assert TrainConfig(batch_size=1024, optimizer="rmsprop").peak_lr == pytest.approx(0.064)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"momentum": 0.9}, "--momentum belongs to --optimizer sgd or --optimizer rmsprop, "
                            "--optimizer is adamw"),
        ({"nesterov": False, "optimizer": "rmsprop"}, "--nesterov belongs to --optimizer sgd"),
        ({"rmsprop_epsilon": 1.0, "optimizer": "sgd"}, "--rmsprop-epsilon belongs to"),
        ({"lr_decay": 0.9}, "--lr-decay belongs to --schedule exponential, --schedule is cosine"),
        ({"policy_magnitude": 5.0}, "--policy is not given; leave --policy-magnitude out"),
        ({"policy": "rand"}, "--policy must be none or autoaugment or randaugment or trivial"),
    ],
)  # fmt: skip
def test_a_setting_that_nothing_would_read_is_refused(values, words):
    with pytest.raises(UsageError, match=words):
        TrainConfig(**values)


def test_context_is_no_part_of_the_trace():
    a = TrainConfig()
    assert digest(a.trace()) == digest(replace(a, checkpoint_minutes=1, workers=3).trace())
    assert digest(a.trace()) != digest(replace(a, seed=1).trace())


def test_configuring_needs_no_torch():
    code = "import sys, pocketvision.train.config; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
