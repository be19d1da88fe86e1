"""Mixup and cutmix: the papers' numbers by hand, targets that sum to 1, nothing where not asked."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvision.errors import UsageError
from pocketvision.train.batches import augmented, batch, indices_of, normalised
from pocketvision.train.config import TrainConfig
from pocketvision.train.events import EpochDone
from pocketvision.train.loop import fit
from pocketvision.train.losses import cross_entropy
from pocketvision.train.mixing import Mix, mixed_, pasted, planned, targets
from tests.train.test_loop import interrupted_after
from tests.train.tiny import SIZE, job_of, losses

HW = (SIZE, SIZE)
SWAPPED = np.array([1, 0])
strengths = st.floats(0, 10, allow_subnormal=False).filter(lambda a: a == 0 or a > 1e-3)


def pair():
    """Two images of 4x4: all 100 and all 200."""
    return torch.full((2, 1, 4, 4), 100.0) + torch.tensor([0.0, 100.0])[:, None, None, None]


# By hand ------------------------------------------------------------------------------------------


def test_mixup_blends_images_and_targets_alike():
    mix = Mix(partner=SWAPPED, share=0.75)
    out = mixed_(pair(), mix)
    assert out[0].unique().tolist() == [125.0]  # 0.75 * 100 + 0.25 * 200
    assert out[1].unique().tolist() == [175.0]
    assert targets(torch.tensor([0, 2]), mix, 3).tolist() == [[0.75, 0, 0.25], [0.25, 0, 0.75]]


def test_cutmix_pastes_its_box_from_the_partner_as_it_was():
    out = mixed_(pair(), Mix(partner=SWAPPED, share=13 / 16, box=(1, 2, 3, 1)))
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[1:4, 2] = True
    assert torch.equal(out[0, 0], torch.where(inside, 200.0, 100.0))
    assert torch.equal(out[1, 0], torch.where(inside, 100.0, 200.0))


def test_a_pasted_box_has_the_sides_that_its_share_asks_for():
    # sqrt(1 - 0.75) = 1/2: 8 of 16 rows and 16 of 32 columns, about the middle.
    assert pasted(0.75, (0.5, 0.5), (16, 32)) == (4, 8, 8, 16)
    # Half of the sides are 2 and 4 to each side of row 0, column 31: the edges leave 4 x 9.
    assert pasted(0.75, (0.0, 31 / 32), (16, 32)) == (0, 23, 4, 9)
    assert pasted(1.0, (0.3, 0.3), (16, 32))[2:] == (0, 0)
    assert pasted(0.0, (0.5, 0.5), (16, 32)) == (0, 0, 16, 32)


def test_an_image_may_meet_itself():
    mix = Mix(partner=np.array([0, 1]), share=0.3)
    assert torch.allclose(mixed_(pair(), mix), pair())
    assert torch.allclose(targets(torch.tensor([1, 0]), mix, 2), torch.tensor([[0.0, 1], [1, 0]]))


def test_smoothing_is_laid_over_mixed_targets():
    """q = (1 - 0.1) t + 0.1 / 4 with t = (0.7, 0.3, 0, 0): 0.655, 0.295, 0.025, 0.025."""
    p = torch.tensor([[0.5, 0.25, 0.125, 0.125]])
    by_hand = (0.655 * 1 + 0.295 * 2 + 0.025 * 3 + 0.025 * 3) * math.log(2)
    loss = cross_entropy(p.log(), torch.tensor([[0.7, 0.3, 0, 0]]), smoothing=0.1)
    assert loss.item() == pytest.approx(by_hand, rel=1e-6)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.9), st.integers(0, 99))
def test_loss_of_mixed_targets_is_the_mix_of_two_losses(share, smoothing, seed):
    """share * loss(own) + (1 - share) * loss(partner), as both papers write it."""
    draw = np.random.default_rng(seed)
    logits = torch.from_numpy(draw.normal(size=(6, 5))).float()
    truth, partner = torch.from_numpy(draw.integers(0, 5, 6)), draw.permutation(6)
    mixed = targets(truth, Mix(partner=partner, share=share), 5)
    own = cross_entropy(logits, truth, smoothing=smoothing)
    other = cross_entropy(logits, truth[torch.from_numpy(partner)], smoothing=smoothing)
    expected = share * own + (1 - share) * other
    torch.testing.assert_close(cross_entropy(logits, mixed, smoothing=smoothing), expected)


# Properties ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(strengths, strengths, st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40))
def test_targets_sum_to_one_and_the_area_is_the_share(mixup, cutmix, step, height, width):
    mix = planned(7, (height, width), mixup=mixup, cutmix=cutmix, seed=3, step=step)
    if mix is None:
        assert mixup == cutmix == 0
        return
    assert 0 <= mix.share <= 1
    assert sorted(mix.partner) == list(range(7))
    shares = targets(torch.arange(7) % 5, mix, 5)
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(7))
    if mix.box is None:
        assert mixup > 0
        return
    assert cutmix > 0
    # Counted in an image whose partner is another: what is pasted, pixel by pixel.
    x = torch.zeros(7, 1, height, width)
    x += torch.arange(7.0)[:, None, None, None]
    out = mixed_(x, mix)
    for i, partner in enumerate(mix.partner):
        kept = (out[i] == i).double().mean().item() if partner != i else mix.share
        assert kept == pytest.approx(mix.share)


def test_shares_follow_their_beta_and_the_two_kinds_take_turns():
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1))."""
    mixes = [planned(8, (64, 64), mixup=0.2, cutmix=1, seed=5, step=s) for s in range(4000)]
    blends = np.array([m.share for m in mixes if m.box is None])
    assert len(blends) == pytest.approx(2000, abs=4 * math.sqrt(1000))
    assert blends.mean() == pytest.approx(0.5, abs=0.04)
    assert blends.var() == pytest.approx(1 / (4 * 1.4), abs=0.012)
    # Cut off at the edges, boxes leave more than the even share that was drawn.
    assert np.mean([m.share for m in mixes if m.box]) > 0.52


def test_a_mix_follows_from_seed_and_step():
    def of(seed, step):
        return planned(16, HW, mixup=0.4, cutmix=1, seed=seed, step=step)

    assert np.array_equal(of(1, 2).partner, of(1, 2).partner)
    assert of(1, 2).share == of(1, 2).share
    assert of(1, 2).share != of(1, 3).share
    assert of(1, 2).share != of(2, 2).share


@pytest.mark.parametrize("hw", [(16, 16), (15, 9)])
@pytest.mark.parametrize("kind", [{"mixup": 0.5}, {"cutmix": 1.0}])
def test_the_memory_order_of_images_is_kept(hw, kind):
    mix = planned(6, hw, **{"mixup": 0, "cutmix": 0, **kind}, seed=0, step=1)
    draw = torch.Generator().manual_seed(0)
    planes = torch.randn(6, 3, *hw, generator=draw)
    last = planes.clone(memory_format=torch.channels_last)
    mixed = mixed_(last, mix)
    assert mixed is last
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(mixed, mixed_(planes, mix))


# In a run -----------------------------------------------------------------------------------------


def test_a_step_sees_the_mix_of_what_it_would_have_seen():
    plain, job = job_of(), job_of(cutmix=1.0)
    seen = batch(4, job, hw=HW)
    x, truth = seen.x, seen.truth
    indices = indices_of(4, job)
    whole = normalised(augmented(indices, plain, view=0, hw=HW), plain.preprocess)
    mix = planned(len(whole), HW, mixup=0, cutmix=1.0, seed=0, step=4)
    assert torch.equal(x, mixed_(whole, mix))
    assert torch.equal(truth, targets(torch.from_numpy(job.train.truth[indices]), mix, 3))


def test_without_strength_nothing_changes(tmp_path):
    seen = batch(2, job_of(mixup=0.0, cutmix=0.0), hw=HW)
    x, truth = seen.x, seen.truth
    assert torch.equal(x, batch(2, job_of(), hw=HW).x)
    assert truth.dtype == torch.int64
    zero = losses(fit(job_of(epochs=2, mixup=0.0, cutmix=0.0), tmp_path / "zero"))
    assert zero == losses(fit(job_of(epochs=2), tmp_path / "none"))


@pytest.mark.parametrize("kind", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
def test_a_mixed_run_goes_on_bit_for_bit(tmp_path, kind):
    job = job_of(epochs=2, **kind)
    whole = losses(fit(job, tmp_path / "whole"))
    cut = interrupted_after(job, tmp_path / "cut", 5)
    assert cut + losses(fit(job, tmp_path / "cut", resume=True)) == whole
    with pytest.raises(UsageError, match=r"--mixup was .*, is 0.9"):
        list(
            fit(replace(job, config=replace(job.config, mixup=0.9)), tmp_path / "cut", resume=True)
        )


def test_a_mixed_run_learns_and_its_loss_has_a_floor(tmp_path):
    """Targets of two classes hold entropy, which the loss cannot go under: read val_loss beside."""
    job = job_of(epochs=30, mixup=1.0, label_smoothing=0.0)
    *_, end = events = list(fit(job, tmp_path))
    last = [e.row for e in events if isinstance(e, EpochDone)][-1]
    entropy = [
        -(t * t.clamp_min(1e-30).log()).sum(1).mean().item()
        for t in (batch(s, job, hw=HW).truth for s in range(job.plan.steps - 6, job.plan.steps))
    ]
    assert end.metrics.accuracy >= 0.9
    assert last.train_loss > np.mean(entropy) > 0.2
    assert last.val_loss < last.train_loss


@pytest.mark.parametrize("name", ["mixup", "cutmix", "color-jitter", "erasing"])
def test_limits_are_named(name):
    with pytest.raises(UsageError, match=f"--{name} must be at least 0"):
        TrainConfig(**{name.replace("-", "_"): -0.1})
