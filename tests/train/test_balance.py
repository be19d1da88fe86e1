"""Unequal classes: weights and losses by hand, orders by counting, and a set of 100 to 1."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvision.bundle import bundle_of
from pocketvision.data.dataset import Dataset, Sample
from pocketvision.data.order import balanced_order, numbered, order, quota_of
from pocketvision.errors import LabelError, UsageError
from pocketvision.labels import Labels
from pocketvision.model import build
from pocketvision.train import balance
from pocketvision.train.batches import batch, indices_of, numbers_of
from pocketvision.train.config import TrainConfig, from_dict
from pocketvision.train.defaults import with_teachers
from pocketvision.train.events import Note
from pocketvision.train.head import Layer, fitted
from pocketvision.train.loop import fit
from pocketvision.train.losses import adjusted, cross_entropy, hard, plain, weighted
from pocketvision.train.run import train_run
from pocketvision.train.source import Source
from tests.train.test_loop import interrupted_after
from tests.train.tiny import CONTRACT, SIZE, job_of, losses, small_spec

COUNTS = np.array([800, 80, 8])
counts_of_two_or_more = st.lists(st.integers(1, 60), min_size=2, max_size=6)


def truth_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


# By hand ------------------------------------------------------------------------------------------


def test_weights_of_two_classes():
    """(1 - b^n) / (1 - b) of 1 and 2 images at b = 0.999: 1 and 1.999; 3 images, mean weight 1."""
    rare, common = balance.class_weights(np.array([1, 2]))
    assert rare / common == pytest.approx(1.999)
    assert rare + 2 * common == pytest.approx(3)


@given(counts_of_two_or_more)
def test_weights_have_a_mean_of_one_and_fall_with_the_count(counts):
    counts = np.array(counts)
    for weights in (balance.class_weights(counts), balance.draw_weights(counts)):
        assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
        ranked = weights[np.argsort(counts, kind="stable")]
        assert (np.diff(ranked) <= 1e-12).all()


def test_a_weighted_loss():
    """Classes 0 and 1 with weights 2 and 1/2, p = 1/4 and 1/2: (2 log 4 + 1/2 log 2) / 2."""
    logits = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    loss = weighted(logits, torch.tensor([0, 1]), torch.tensor([2.0, 0.5]))
    assert loss.item() == pytest.approx((2 * math.log(4) + 0.5 * math.log(2)) / 2, rel=1e-6)


def test_an_adjusted_loss():
    """Logits 0, shares 3/4 and 1/4: softmax(log prior) is the prior itself, so that a rare image
    costs log 4 and a common one log 4/3.
    """
    prior, zero = torch.tensor([0.75, 0.25]), torch.zeros(1, 2)
    assert adjusted(zero, torch.tensor([1]), prior).item() == pytest.approx(math.log(4))
    assert adjusted(zero, torch.tensor([0]), prior).item() == pytest.approx(math.log(4 / 3))


@settings(deadline=None)
@given(st.floats(0, 0.9), st.integers(0, 99))
def test_an_adjusted_loss_is_least_where_bare_logits_know_no_rare_class(smoothing, seed):
    """Its minimum over logits is at log(wanted / prior): what is not the class stays equal."""
    draw = np.random.default_rng(seed)
    prior = torch.from_numpy(draw.dirichlet(np.ones(4))).float().clamp_min(1e-3)
    prior = prior / prior.sum()
    truth = torch.tensor([int(prior.argmax())])
    wanted = (1 - smoothing) * torch.nn.functional.one_hot(truth, 4) + smoothing * prior
    logits = (wanted / prior).clamp_min(1e-6).log().requires_grad_()
    adjusted(logits, truth, prior, smoothing=smoothing).backward()
    assert logits.grad.abs().max() < 1e-5
    assert logits[0].argmax() == truth
    others = torch.cat([logits[0, : truth.item()], logits[0, truth.item() + 1 :]])
    torch.testing.assert_close(others, others[:1].expand(3))


@settings(deadline=None)
@given(st.floats(0, 0.9), st.floats(0, 1), st.integers(0, 99))
@pytest.mark.parametrize("kind", ["loss", "logit-adjust"])
def test_a_mixed_image_has_the_mix_of_two_losses(kind, smoothing, share, seed):
    draw = np.random.default_rng(seed)
    logits = torch.from_numpy(draw.normal(size=(6, 3))).float()
    a, b = (torch.from_numpy(draw.integers(0, 3, 6)) for _ in range(2))
    loss = hard(TrainConfig(balance=kind, label_smoothing=smoothing), COUNTS)
    one = torch.nn.functional.one_hot
    mixed = share * one(a, 3).float() + (1 - share) * one(b, 3).float()
    expected = share * loss(logits, a) + (1 - share) * loss(logits, b)
    torch.testing.assert_close(loss(logits, mixed), expected)


@pytest.mark.parametrize("kind", ["loss", "logit-adjust", "sampler", "none", None])
def test_equal_classes_have_the_plain_loss(kind):
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([0, 1, 2, 2, 0])
    loss = hard(TrainConfig(balance=kind), np.array([7, 7, 7]))
    torch.testing.assert_close(loss(logits, truth), cross_entropy(logits, truth, smoothing=0.1))


def test_counts_are_asked_for():
    with pytest.raises(UsageError, match="--balance loss needs the number of images"):
        hard(TrainConfig(balance="loss"))


# Order --------------------------------------------------------------------------------------------


@given(counts_of_two_or_more, st.floats(0, 1), st.integers(0, 9))
def test_each_class_comes_as_often_as_its_share_says(counts, power, epoch):
    truth = truth_of(counts)
    quota = quota_of(truth, len(counts), power=power)
    shares = np.array(counts) ** power / (np.array(counts) ** power).sum()
    assert quota.draws.sum() == len(truth)
    assert (np.abs(quota.draws - shares * len(truth)) < 1 + 1e-9).all()
    drawn = balanced_order(quota, seed=1, epoch=epoch)
    assert np.bincount(truth[drawn], minlength=len(counts)).tolist() == quota.draws.tolist()


def test_a_hundred_to_one_comes_ten_to_one():
    assert quota_of(truth_of([1000, 10]), 2, power=0.5).draws.tolist() == [918, 92]  # 1010 * 10/11
    assert quota_of(truth_of([1000, 10]), 2, power=0).draws.tolist() == [505, 505]
    assert quota_of(truth_of([1000, 10]), 2, power=1).draws.tolist() == [1000, 10]


@given(counts_of_two_or_more, st.integers(0, 3))
def test_images_of_a_class_take_turns(counts, seed):
    """Over epochs none of a class was drawn twice more often than another."""
    truth = truth_of(counts)
    quota = quota_of(truth, len(counts), power=0.5)
    seen = np.zeros(len(truth), int)
    for epoch in range(5):
        seen += np.bincount(balanced_order(quota, seed=seed, epoch=epoch), minlength=len(truth))
        for label in range(len(counts)):
            own = seen[truth == label]
            assert own.max() - own.min() <= 1


def test_the_order_follows_from_seed_and_epoch():
    quota = quota_of(truth_of([50, 5]), 2, power=0.5)
    again = quota_of(truth_of([50, 5]), 2, power=0.5)
    one = balanced_order(quota, seed=1, epoch=2)
    assert np.array_equal(one, balanced_order(again, seed=1, epoch=2))
    assert not np.array_equal(one, balanced_order(quota, seed=2, epoch=2))
    assert not np.array_equal(one, balanced_order(quota, seed=1, epoch=3))
    assert len(one) == len(order(55, seed=1, epoch=2))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_copies_have_numbers_of_their_own(indices):
    numbers = numbered(np.array(indices), 7)
    assert len(set(numbers.tolist())) == len(indices)
    assert (numbers % 7).tolist() == indices
    seen: dict[int, int] = {}
    for number, index in zip(numbers.tolist(), indices, strict=True):
        assert number // 7 == seen.get(index, 0)
        seen[index] = number // 7 + 1


# Choice -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "kind", "resolved", "words"),
    [
        ([300, 100], "auto", "none", "not over 3:1"),
        ([301, 100], "auto", "logit-adjust", "(auto: over 3:1)"),
        ([1010, 100], None, None, "--balance auto would train with logit-adjust"),
        ([1000, 100], None, None, None),
        ([1010, 10], "none", "none", None),
        ([200, 100], "sampler", "sampler", "--balance sampler"),
    ],
)
def test_what_is_chosen_is_said(counts, kind, resolved, words):
    config, notes = balance.decided(TrainConfig(balance=kind), np.array(counts), ("cat", "dog"))
    assert config.balance == resolved
    assert len(notes) == (words is not None)
    if words:
        assert words in notes[0]
        assert f"(cat {counts[0]} training images, dog {counts[1]})" in notes[0]


def test_a_class_without_images_cannot_be_balanced():
    with pytest.raises(LabelError, match="no training image of 'dog'"):
        balance.decided(TrainConfig(balance="auto"), np.array([5, 0]), ("cat", "dog"))


def test_an_unknown_balance_is_named():
    with pytest.raises(UsageError, match=r"--balance must be none or .*'samplr'; did you mean"):
        TrainConfig(balance="samplr")


# In a run -----------------------------------------------------------------------------------------


def uneven(kind, **settings):
    """A job on 17 images of one class and three of each of the others."""
    job = job_of(**settings)
    config, images = replace(job.config, balance=kind), job.train
    keep = np.flatnonzero((images.truth == 0) | (np.arange(len(images)) < 9))
    pixels, truth = np.ascontiguousarray(images.pixels[keep]), images.truth[keep]
    return replace(
        job,
        config=config,
        train=replace(images, pixels=pixels, truth=truth),
        objective=plain(config, balance.counts_of(truth, 3)),
        quota=quota_of(truth, 3, power=balance.POWER) if kind == "sampler" else None,
    )


def test_a_step_sees_what_the_order_says_and_copies_differ():
    job = uneven("sampler")
    steps = range(job.plan.per_epoch)
    seen = np.concatenate([indices_of(s, job) for s in steps])
    assert np.bincount(job.train.truth[seen]).tolist() == job.quota.draws.tolist()
    numbers = np.concatenate([numbers_of(s, job) for s in steps])
    assert len(set(numbers.tolist())) == len(job.train)
    assert numbers.max() >= len(job.train)
    given = []
    job = replace(job, augment=lambda x, n, e, hw: given.append(n) or x)
    seen = batch(0, job, hw=(SIZE, SIZE))
    assert given[0].tolist() == numbers_of(0, job).tolist()
    assert seen.truth.tolist() == job.train.truth[seen.indices].tolist()


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {}])
@pytest.mark.parametrize("kind", ["sampler", "loss", "logit-adjust"])
def test_an_interrupted_run_ends_like_the_whole_one(tmp_path, kind, settings):
    job = uneven(kind, **settings)
    whole = losses(fit(job, tmp_path / "whole"))
    cut = interrupted_after(job, tmp_path / "cut", 5)
    rest = losses(fit(job, tmp_path / "cut", resume=True))
    assert cut + rest == whole


def lopsided(sizes, seed=0, val=40):
    """Noise with a stripe of uneven strength at the height of its class."""
    draw = np.random.default_rng(seed)

    def image(label):
        pixels = draw.integers(0, 160, (SIZE, SIZE, 3), dtype=np.uint8)
        pixels[4 * label : 4 * label + 3] += np.uint8(draw.integers(10, 60))
        return pixels

    def rows(split, counts):
        return tuple(
            Sample(None, c, f"{split}/{c}/{i}", image(c))
            for c, n in enumerate(counts)
            for i in range(n)
        )

    splits = {"train": rows("train", sizes), "val": rows("val", [val] * len(sizes))}
    return Dataset("lopsided", None, ("a", "b", "c")[: len(sizes)], splits, "made for a test")


def trained(folder, kind, on_event=lambda event: None):
    config = TrainConfig(
        epochs=10, batch_size=32, lr=0.02, threads=1, augment="none", ema=0.9, balance=kind, seed=1
    )
    return train_run(
        lopsided(COUNTS, seed=1), small_spec(), config, CONTRACT, folder, on_event=on_event
    )


def test_a_hundred_to_one_set_is_learned_more_evenly(tmp_path):
    found, notes = {}, {}
    for kind in (None, "sampler", "loss", "logit-adjust"):
        events = []
        run = trained(tmp_path / str(kind), kind, events.append)
        found[kind] = run.metrics.macro_recall
        notes[kind] = [e.text for e in events if isinstance(e, Note) and "imbalance" in e.text]
        saved = from_dict(json.loads((run.folder / "config.json").read_text()))
        summary = json.loads((run.folder / "summary.json").read_text())
        assert saved.balance == kind
        assert (summary["balance"], summary["imbalance"]) == (kind or "none", 100)
    assert min(found["sampler"], found["loss"], found["logit-adjust"]) > found[None] + 0.03
    assert "class imbalance 100:1 (a 800 training images, c 8)" in notes[None][0]
    assert all(f"--balance {kind}" in notes[kind][0] for kind in ("sampler", "loss"))


def test_what_auto_chose_is_kept(tmp_path):
    events = []

    config = TrainConfig(epochs=1, batch_size=32, threads=1, balance="auto")
    train_run(
        lopsided((40, 4)), small_spec(classes=2), config, CONTRACT, tmp_path, on_event=events.append
    )
    saved = from_dict(json.loads((tmp_path / "config.json").read_text()))
    assert saved.balance == "logit-adjust"
    assert any("--balance logit-adjust (auto: over 3:1)" in e.text for e in events
               if isinstance(e, Note))  # fmt: skip


@pytest.mark.parametrize("kind", ["loss", "logit-adjust", "sampler"])
def test_a_teacher_that_is_not_listened_to_changes_nothing(tmp_path, kind):
    """The loss against labels is the balanced one beside a teacher too: with none of the weight on
    the teacher the losses are those of a run without.
    """
    data, spec = lopsided((30, 12, 4)), small_spec()
    config = TrainConfig(steps=6, batch_size=8, threads=1, balance=kind)
    made = bundle_of(
        build(spec, seed=9).eval(), CONTRACT, {"label": Labels(names=data.classes)}, manifest={}
    )
    teacher = Source(bundle=made, record={"name": "t", "model": "small", "sha256": "0"})
    alone, taught = [], []
    train_run(data, spec, config, CONTRACT, tmp_path / "a", on_event=alone.append)
    config = with_teachers(replace(config, distill="kd", distill_weight=0.0), 1)
    train_run(
        data, spec, config, CONTRACT, tmp_path / "b", on_event=taught.append, teachers=[teacher]
    )
    assert losses(alone) == losses(taught)


# Last layer ---------------------------------------------------------------------------------------


def two_clouds(common=400, rare=8, shift=1.5):
    draw = np.random.default_rng(3)
    x = draw.normal(size=(common + rare, 4)).astype(np.float32)
    x[common:, 0] += shift
    return x, truth_of([common, rare])


def answered(x, layer):
    return layer.logits(torch.from_numpy(x)).argmax(1).numpy()


def test_the_last_layer_leans_as_it_is_told():
    x, truth = two_clouds()
    start = Layer(weight=torch.zeros(2, 4), bias=torch.zeros(2))
    counts = balance.counts_of(truth, 2)
    bare = fitted(x, truth, start).layer
    prior = fitted(x, truth, start, prior=np.log(balance.prior(counts))).layer
    heavy = fitted(x, truth, start, weights=balance.class_weights(counts)).layer
    new, labels = two_clouds(300, 300)
    recalls = [
        np.mean([(answered(new, layer) == labels)[labels == c].mean() for c in (0, 1)])
        for layer in (bare, prior, heavy)
    ]
    assert min(recalls[1:]) > recalls[0] + 0.1


def test_even_weights_and_an_even_prior_change_no_fit():
    x, truth = two_clouds(20, 10)
    start = Layer(weight=torch.zeros(2, 4), bias=torch.zeros(2))
    bare = fitted(x, truth, start)
    even = fitted(x, truth, start, weights=np.ones(2), prior=np.log([0.5, 0.5]))
    assert even.decay == bare.decay
    torch.testing.assert_close(even.layer.weight, bare.layer.weight, rtol=1e-3, atol=1e-3)
