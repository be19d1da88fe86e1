"""The two modes of batch-norm: what differs, what stays, and when it is worth a word."""

import numpy as np
import pytest
import torch

from pocketvision.decision import Decision
from pocketvision.model import build
from pocketvision.train.batches import normalised
from pocketvision.train.closing import Closing
from pocketvision.train.judge import logits_of
from pocketvision.train.modes import Modes, by_batch, mixed_batches, modes, norms_of
from tests.train.tiny import CONTRACT, images_of, small_spec
from tests.weights.files import network as of_zoo


def state(network):
    return {k: v.clone() for k, v in network.state_dict().items()}


def test_batch_statistics_are_those_of_train_mode_and_nothing_is_kept():
    network = build(small_spec(), seed=0).eval()
    before = state(network)
    x = normalised(torch.from_numpy(images_of(12).pixels).permute(0, 3, 1, 2), CONTRACT)
    with torch.no_grad(), by_batch(network):
        first, second = network(x), network(x)
    assert torch.equal(first, second)  # no dropout
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert not any(m.training for m in network.modules())
    assert all(m.track_running_stats for m in norms_of(network).values())
    network.train()
    for head in network.heads.values():
        head.eval()
    with torch.no_grad():
        plain = network(x)
    assert torch.equal(plain, first)


def test_the_mode_of_every_part_comes_back():
    network = build(small_spec(), seed=0).train()
    network.stem.eval()
    with by_batch(network):
        pass
    assert network.training
    assert not network.stem.training


def test_batches_hold_every_image_once_and_mix_the_classes():
    parts = mixed_batches(70, 16)
    assert sorted(np.concatenate(parts)) == list(range(70))
    assert min(map(len, parts)) >= 16
    assert len(set(parts[0] // 18)) > 1
    assert [len(p) for p in mixed_batches(5, 16)] == [5]


@pytest.mark.parametrize(
    ("n", "gained", "lost", "differ"),
    [
        (100, 20, 2, True),
        (100, 5, 0, False),  # 5 points are not over 5
        (400, 21, 0, True),
        (100, 40, 32, False),  # 8 points, but 8 < 1.96 sqrt(72) = 16.6
        (100, 2, 20, False),
    ],
)
def test_what_counts_as_a_difference(n, gained, lost, differ):
    row = Modes(n=n, kept=0.5, batch=0.5 + (gained - lost) / n, gained=gained, lost=lost)
    assert row.differ is differ
    notes = Closing(decision=Decision(), modes=row).notes()
    assert len(notes) == differ
    assert all("pocketvision recalibrate-bn BUNDLE --data DATA" in text for text in notes)


def test_spoiled_statistics_are_found():
    """A network that tells the stripes apart by batch statistics, and by kept ones no more."""
    network, val = build(small_spec(), seed=3).eval(), images_of(96)
    for norm in norms_of(network).values():
        norm.running_mean.fill_(30.0)
    with torch.no_grad(), by_batch(network):  # teach it: the classes' mean answers
        x = normalised(torch.from_numpy(val.pixels).permute(0, 3, 1, 2), CONTRACT)
        answers = network.trunk(x).mean((2, 3))
        rows = torch.stack([answers[val.truth == c].mean(0) for c in range(3)])
        layer = network.heads["label"].classifier
        scale = answers.std(0)
        layer.weight.copy_((rows - answers.mean(0)) / scale**2)
        layer.bias.copy_(-(layer.weight * (rows + answers.mean(0))).sum(1) / 2)
    logits = logits_of(network, val.pixels, CONTRACT)
    found = modes(network, val.pixels, val.truth, CONTRACT, kept_logits=logits, batch_size=32)
    assert found.n == 96
    assert found.kept == (logits.argmax(1) == val.truth).mean()
    assert found.kept < 0.5 < found.batch
    assert found.batch - found.kept == pytest.approx((found.gained - found.lost) / 96)
    assert found.differ


def test_at_most_512_images_are_looked_at():
    network, val = build(small_spec(), seed=0).eval(), images_of(600)
    logits = np.zeros((600, 3), np.float32)
    found = modes(network, val.pixels, val.truth, CONTRACT, kept_logits=logits, batch_size=50)
    assert found.n == 500


def test_networks_without_batch_norm_have_one_mode():
    network, val = of_zoo("squeezenet_1_1", resolution=32, classes=3), images_of(4)
    assert not norms_of(network)
    logits = np.zeros((4, 3), np.float32)
    assert modes(network, val.pixels, val.truth, CONTRACT, kept_logits=logits, batch_size=2) is None
    assert Closing(decision=Decision(), modes=None).notes() == ()
