"""Accumulated and repeated images: what a step sees and what its gradients are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pocketvision.data.augment import augment
from pocketvision.data.config import PHOTO
from pocketvision.data.order import order, repeated
from pocketvision.train import schedule, step
from pocketvision.train import state as states
from pocketvision.train.augmenting import bound
from pocketvision.train.batches import batch, indices_of, normalised, numbers_of
from pocketvision.train.clock import Clock
from pocketvision.train.config import TrainConfig
from pocketvision.train.job import parts
from pocketvision.train.loop import fit
from pocketvision.train.step import step_seed
from tests.train.test_loop import interrupted_after
from tests.train.tiny import SIZE, job_of, losses

EXACT = {"norms": "kept", "dropout": 0.0, "drop_path": 0.0, "ema": 0.0}


def in_double(network, seen):
    """The plain objective without its step back to float32."""
    return F.cross_entropy(network(seen.x.double()), seen.truth, label_smoothing=0.1)


def gradients(**settings):
    """Those of a run's second step, in float64, with the loss."""
    job = replace(job_of(**EXACT, **settings), objective=in_double)
    network = job.network.double().eval()  # norms kept, no dropout
    network.zero_grad()
    value = step.accumulated(network, batch(1, job, hw=(SIZE, SIZE)), job, 1, Clock())
    return value, {n: p.grad for n, p in network.named_parameters()}


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}, {"cutmix": 1.0}])
def test_k_batches_give_the_gradients_of_one_k_times_as_large(mixing):
    whole, at_once = gradients(batch_size=20, **mixing)  # 14 and 15 images a step
    for settings in ({"batch_size": 10, "accumulate": 2}, {"batch_size": 4, "accumulate": 5}):
        value, in_parts = gradients(**settings, **mixing)
        assert value == pytest.approx(whole, rel=1e-12)
        for name, expected in at_once.items():
            scale = expected.abs().max()
            assert (in_parts[name] - expected).abs().max() <= 1e-10 * scale, name


def test_parts_hold_every_image_once_and_none_alone():
    seen = batch(0, job_of(batch_size=20), hw=(SIZE, SIZE))
    assert len(seen) == 14
    for count in (1, 2, 3, 5, 7, 14, 99):
        cut = list(parts(seen, count))
        assert len(cut) == min(count, 7)
        assert min(len(p) for p in cut) >= 2
        assert np.concatenate([p.indices for p in cut]).tolist() == seen.indices.tolist()
        assert torch.equal(torch.cat([p.x for p in cut]), seen.x)
        assert torch.equal(torch.cat([p.truth for p in cut]), seen.truth)


def test_steps_are_the_optimizers():
    small, large = job_of(batch_size=4, accumulate=5), job_of(batch_size=20)
    assert small.plan == large.plan
    assert small.plan.per_epoch == 3  # of 43 images
    for at in range(4):
        assert indices_of(at, small).tolist() == indices_of(at, large).tolist()
    rates = {TrainConfig(batch_size=b, accumulate=256 // b).peak_lr for b in (16, 64, 256)}
    assert len(rates) == 1


def test_each_part_has_dropout_of_its_own():
    seeds = {step_seed(3, at, part) for at in range(20) for part in range(8)}
    assert len(seeds) == 160
    assert step_seed(3, 5, 0) == step_seed(3, 5)


def test_batch_norms_memory_is_that_of_what_runs_at_once():
    def momentum(**settings):
        network = states.fresh(job_of(**settings)).network
        return {m.momentum for m in network.modules() if hasattr(m, "momentum")}

    assert momentum(batch_size=8, accumulate=4) == momentum(batch_size=8) == {0.025}


def test_an_accumulated_run_learns_and_goes_on_bit_for_bit(tmp_path):
    job = job_of(batch_size=4, accumulate=2, repeats=2, optimizer="rmsprop", epochs=3)
    whole = losses(fit(job, tmp_path / "whole"))
    first = interrupted_after(job, tmp_path / "cut", 7)
    assert first + losses(fit(job, tmp_path / "cut", resume=True)) == whole
    assert np.mean(whole[-3:]) < np.mean(whole[:3])


# Repeats ------------------------------------------------------------------------------------------


def test_repeats_by_hand():
    shuffled = np.array([3, 0, 4, 1, 2])
    assert repeated(shuffled, 1).tolist() == [3, 0, 4, 1, 2]
    assert repeated(shuffled, 2).tolist() == [3, 8, 0, 5, 4]  # 4 comes once: the epoch is over
    assert repeated(shuffled, 3).tolist() == [3, 8, 13, 0, 5]


@pytest.mark.parametrize("repeats", [1, 2, 4, 50])
def test_an_epoch_keeps_its_length_and_its_numbers_differ(repeats):
    n = 43
    numbers = repeated(order(n, seed=1, epoch=2), repeats)
    assert len(numbers) == len(set(numbers.tolist())) == n
    counts = np.bincount(numbers % n)
    assert sorted({*counts.tolist()} - {0})[-1] == min(repeats, n)
    assert (counts > 0).sum() == -(-n // repeats)


def test_copies_meet_in_a_batch_and_are_augmented_differently():
    job = replace(job_of(repeats=4), augment=bound(PHOTO, 0))
    numbers, indices = numbers_of(0, job), indices_of(0, job)
    assert numbers.tolist() == [i + 43 * (k % 4) for k, i in enumerate(indices)]
    assert len(set(indices.tolist())) == 2  # 7 images: 4 and 3 copies
    seen = batch(0, job, hw=(SIZE, SIZE))
    assert seen.indices.tolist() == indices.tolist()
    assert seen.truth.tolist() == job.train.truth[indices].tolist()
    for a in range(7):
        for b in range(a):
            assert not torch.equal(seen.x[a], seen.x[b])


def test_the_first_copy_is_what_comes_without_repeats():
    job = replace(job_of(repeats=2), augment=bound(PHOTO, 0))
    number = numbers_of(0, job)[0]
    image = torch.from_numpy(job.train.pixels[number : number + 1]).permute(0, 3, 1, 2)
    expected = augment(image, indices=[number], epoch=0, seed=0, config=PHOTO)
    ours = batch(0, job, hw=(SIZE, SIZE)).x[:1]
    assert torch.equal(ours, normalised(expected, job.preprocess))


def test_a_plan_does_not_know_of_repeats():
    assert job_of(repeats=3).plan == job_of().plan
    assert schedule.batches_in(43, 8) == 6
