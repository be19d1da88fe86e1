import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.errors import DataError
from pocketvision.train import schedule
from pocketvision.train.config import TrainConfig


def plan_of(n=100, n_val=20, size_hw=(128, 128), **settings):
    return schedule.planned(TrainConfig(**settings), n=n, n_val=n_val, size_hw=size_hw)


@given(st.integers(2, 500), st.integers(2, 70))
def test_batches_hold_every_image_once_and_never_one_alone(n, batch_size):
    per_epoch = schedule.batches_in(n, batch_size)
    shuffled = np.random.default_rng(n).permutation(n)
    pieces = [schedule.batch_of(shuffled, 7 * per_epoch + k, per_epoch) for k in range(per_epoch)]
    assert np.concatenate(pieces).tolist() == shuffled.tolist()
    sizes = [len(p) for p in pieces]
    assert min(sizes) >= 2
    assert max(sizes) <= max(batch_size + 1, 3)
    assert max(sizes) - min(sizes) <= 1


def test_an_epoch_worked_by_hand():
    assert schedule.batches_in(130, 64) == 3  # 43 + 43 + 44
    assert schedule.batches_in(64, 64) == 1
    assert schedule.batches_in(65, 64) == 2  # 32 + 33, not 64 + 1
    assert schedule.batches_in(3, 2) == 1  # 2 + 1 would leave one alone
    with pytest.raises(DataError, match="at least 2 images, got 1"):
        schedule.batches_in(1, 64)


def test_length_of_a_run():
    assert plan_of(n=130, epochs=4).steps == 12
    assert plan_of(n=130).steps == 180
    assert plan_of(n=130, steps=5).steps == 5
    assert plan_of(n=130, steps=50, epochs=4).steps == 12
    assert plan_of(n=130, steps=5).epochs == 2


def test_the_rate_rises_in_a_line_and_falls_in_a_cosine():
    p = plan_of(n=100, batch_size=10, epochs=10, warmup_epochs=1, lr=1.0)
    rates = [schedule.lr(s, p) for s in range(p.steps)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)  # the middle of the 90 that fall
    assert rates[25] == pytest.approx(0.5 * (1 + math.cos(math.pi / 6)))
    assert rates[-1] == pytest.approx(0.5 * (1 - math.cos(math.pi / 90)), rel=1e-6)
    flat = plan_of(n=100, epochs=10, warmup_epochs=0, lr=1.0, schedule="constant")
    assert {schedule.lr(s, flat) for s in range(flat.steps)} == {1.0}


def test_an_exponential_rate_by_hand():
    """97% of the rate every 2.4 epochs of 10 steps: at step 24, 48, ... of the whole run."""
    settings = {"schedule": "exponential", "warmup_epochs": 1, "lr": 1.0, "batch_size": 10}
    stairs = plan_of(n=100, epochs=20, **settings)
    rates = [schedule.lr(s, stairs) for s in range(200)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10:24] == [1.0] * 14
    assert rates[24:48] == [0.97] * 24
    assert rates[191] == 0.97**7  # the division is exact: 192 = 8 * 24
    assert rates[192] == 0.97**8
    smooth = plan_of(n=100, epochs=20, staircase=False, lr_decay=0.5, decay_epochs=3, **settings)
    assert schedule.lr(60, smooth) == pytest.approx(0.25)
    assert schedule.lr(45, smooth) == pytest.approx(0.5**1.5)


@pytest.mark.parametrize("name", ["exponential", "constant"])
@pytest.mark.parametrize("epochs", [1, 3, 40])
def test_some_rates_do_not_know_how_long_a_run_is(name, epochs):
    settings = {"n": 100, "batch_size": 10, "schedule": name, "lr": 1.0}
    short, long = plan_of(epochs=epochs, **settings), plan_of(epochs=100, **settings)
    assert all(schedule.lr(s, short) == schedule.lr(s, long) for s in range(10 * epochs))
    cosine = {**settings, "schedule": "cosine"}
    short, long = plan_of(epochs=epochs, **cosine), plan_of(epochs=100, **cosine)
    assert any(schedule.lr(s, short) != schedule.lr(s, long) for s in range(10 * epochs))


def test_least_and_first_rates():
    """MobileNeXt's own run: 3 epochs up from 1e-4 to 0.1, then down to 1e-5."""
    settings = {"n": 100, "batch_size": 10, "epochs": 20, "lr": 0.1, "warmup_lr": 1e-4}
    p = plan_of(min_lr=1e-5, warmup_epochs=3, **settings)
    assert schedule.lr(0, p) == pytest.approx(1e-4 + (0.1 - 1e-4) / 30)
    assert schedule.lr(14, p) == pytest.approx((0.1 + 1e-4) / 2)
    assert schedule.lr(29, p) == schedule.lr(30, p) == pytest.approx(0.1)
    assert schedule.lr(115, p) == pytest.approx((0.1 + 1e-5) / 2)
    assert schedule.lr(200, p) == pytest.approx(1e-5)
    fallen = plan_of(schedule="exponential", lr_decay=0.1, min_lr=0.005, **settings)
    assert schedule.lr(190, fallen) == 0.005


def test_a_plan_of_an_older_run_is_the_same_on_disk():
    assert plan_of().to_dict().keys() == {
        "steps", "per_epoch", "eval_every", "warmup", "peak_lr", "schedule", "first_hw", "last_hw"
    }  # fmt: skip


def test_the_warm_up_is_at_most_a_fifth():
    assert plan_of(n=100, batch_size=10, epochs=5, warmup_epochs=3).warmup == 10
    longer = schedule.lengthened(plan_of(n=100, batch_size=10), TrainConfig(), 1000)
    assert (longer.steps, longer.warmup) == (1000, 30)


def test_images_grow_in_multiples_of_16():
    p = plan_of(n=100, batch_size=10, epochs=30, train_scale=0.875, start_scale=0.75)
    sizes = [schedule.size(s, p) for s in range(p.steps)]
    assert (p.first_hw, p.last_hw) == ((96, 96), (112, 112))
    assert sizes == sorted(sizes)
    assert set(sizes) == {(96, 96), (112, 112)}
    assert sizes[200] == (112, 112)  # two thirds of 300
    assert sizes.index((112, 112)) == 101  # step 100 is half-way there, and the half rounds down


@given(
    st.tuples(st.integers(16, 400), st.integers(16, 400)),
    st.floats(0.25, 1),
    st.floats(0.25, 1),
    st.integers(1, 40),
)
def test_sizes_stay_within_the_input(size_hw, a, b, epochs):
    p = plan_of(size_hw=size_hw, epochs=epochs, train_scale=max(a, b), start_scale=min(a, b), n=50)
    for s in range(p.steps):
        height, width = schedule.size(s, p)
        assert p.first_hw[0] <= height <= p.last_hw[0] <= size_hw[0]
        assert p.first_hw[1] <= width <= p.last_hw[1] <= size_hw[1]
    assert schedule.size(p.steps, p) == p.last_hw


def test_scale_one_is_the_input_itself_whatever_its_size():
    assert schedule.scaled((97, 130), 1.0) == (97, 130)


@pytest.mark.parametrize("settings", [{}, {"schedule": "exponential", "min_lr": 1e-5}])
def test_a_plan_survives_the_disk(settings):
    p = plan_of(train_scale=0.75, **settings)
    assert schedule.from_dict(json.loads(json.dumps(p.to_dict()))) == p


def test_memory_of_the_average():
    long, short = (plan_of(steps=steps) for steps in (10_000, 1_000))
    assert schedule.ema_decay(0, 0.998, long) == pytest.approx(0.1)
    assert schedule.ema_decay(90, 0.998, long) == pytest.approx(0.91)
    assert schedule.ema_decay(9_999, 0.998, long) == 0.998
    assert schedule.ema_decay(999, 0.998, short) == pytest.approx(0.99)  # a tenth: 100 steps
    # A run that may go on for ever does not know how long it is: (1 + 999) / (10 + 999).
    flat = plan_of(steps=1_000, schedule="constant")
    assert schedule.ema_decay(999, 0.998, flat) == pytest.approx(1000 / 1009)


def test_evaluations_take_a_few_percent():
    # 900 validation images cost what 300 training images do: 9% of an epoch of 3400.
    assert schedule.evaluation_gap(3400, 900) == 3
    assert schedule.evaluation_gap(100_000, 5_000) == 1


def test_steps_that_fit_a_time_by_hand():
    p = plan_of(n=100, batch_size=10, epochs=3, eval_every=2)
    # A step takes 0.5 s and every 20 steps an evaluation of 2 s: 0.6 s a step.
    steps = schedule.steps_within(60.0, p, first_s=0.5, last_s=0.5, evaluation_s=2.0)
    assert steps == 100


def test_growing_images_are_counted_by_their_pixels():
    p = plan_of(
        n=100, batch_size=10, epochs=300, train_scale=1.0, start_scale=0.5, size_hw=(64, 64),
        eval_every=1000,
    )  # fmt: skip
    whole = schedule.lengthened(p, TrainConfig(), 3000)
    steps = schedule.steps_within(1000.0, whole, first_s=0.25, last_s=1.0, evaluation_s=0.0)
    # Seconds are pixels / 4096: summing them one by one over that many steps is another way.
    again = schedule.lengthened(p, TrainConfig(), steps)
    spent = sum(math.prod(schedule.size(s, again)) / 4096 for s in range(steps))
    assert spent == pytest.approx(1000, rel=5e-3)
