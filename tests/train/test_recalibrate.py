"""Statistics measured anew equal a second pass in float64, and bring a spoiled network back."""

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.model import build
from pocketvision.train.modes import by_batch, norms_of
from pocketvision.train.recalibrate import Moments, recalibrated_, shuffled_inputs
from tests.train.tiny import CONTRACT, images_of, small_spec
from tests.weights.files import network as of_zoo


def test_pooling_by_hand():
    """Two parts, {1, 3} and {8}: mean 4, population variance (9 + 1 + 16) / 3."""
    moments = Moments(1)
    moments.add(torch.tensor([[[[1.0, 3.0]]]]))
    moments.add(torch.tensor([[[[8.0]]]]))
    assert moments.mean.item() == pytest.approx(4)
    assert moments.variance.item() == pytest.approx(26 / 3)


def test_a_far_mean_costs_no_digits():
    """Mean 1e4 and deviation 1: a difference of two sums of squares in float32 would be noise."""
    draw = torch.Generator().manual_seed(0)
    x = 1e4 + torch.randn((50, 3, 8, 8), generator=draw)
    moments = Moments(3)
    for part in x.split(7):
        moments.add(part)
    exact = x.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(moments.mean, exact.mean(1), rtol=1e-14, atol=0)
    torch.testing.assert_close(moments.variance, exact.var(1, correction=0), rtol=1e-10, atol=0)


@pytest.mark.parametrize("batch_size", [8, 16, 43])
def test_statistics_equal_two_passes_in_float64(batch_size):
    network, images = build(small_spec(), seed=0).eval(), images_of(43)
    inputs = list(shuffled_inputs(images.pixels, CONTRACT, batch_size=batch_size))
    assert sum(map(len, inputs)) == 43
    seen = {name: [] for name in norms_of(network)}
    handles = [
        norm.register_forward_pre_hook(lambda _m, x, s=seen[name]: s.append(x[0]))
        for name, norm in norms_of(network).items()
    ]
    with torch.no_grad(), by_batch(network):
        for x in inputs:
            network(x)
    for handle in handles:
        handle.remove()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert recalibrated_(network, inputs) == len(seen) == 5
    for name, norm in norms_of(network).items():
        values = torch.cat(seen[name]).double().transpose(0, 1).flatten(1)
        mean = values.sum(1) / values.shape[1]
        variance = (values - mean[:, None]).square().sum(1) / values.shape[1]
        torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-6, atol=0)
        assert norm.num_batches_tracked == len(inputs)
        assert not norm.training
    for name, value in network.state_dict().items():  # weights stay
        if "running" not in name and "tracked" not in name:
            assert torch.equal(value, before[name])


def test_what_the_statistics_were_plays_no_part():
    images = images_of(24)
    states = []
    for spoil in (0.0, 1e3):
        network = build(small_spec(), seed=1).eval()
        for norm in norms_of(network).values():
            norm.running_mean.fill_(spoil)
            norm.running_var.fill_(1 + spoil)
        recalibrated_(network, shuffled_inputs(images.pixels, CONTRACT, batch_size=8))
        states.append(network.state_dict())
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())


def test_one_batch_makes_both_modes_answer_alike():
    network, images = build(small_spec(), seed=2).eval(), images_of(20)
    (x,) = inputs = list(shuffled_inputs(images.pixels, CONTRACT, batch_size=20))
    recalibrated_(network, inputs)
    with torch.no_grad():
        kept = network(x)
        with by_batch(network):
            batch = network(x)
    torch.testing.assert_close(kept, batch, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(UsageError, match="squeezenet_1_1 has no batch-norm to recalibrate"):
        recalibrated_(of_zoo("squeezenet_1_1", resolution=32, classes=3), [])
    with pytest.raises(UsageError, match="need at least 2 images, got 1"):
        next(shuffled_inputs(np.zeros((1, 16, 16, 3), np.uint8), CONTRACT, batch_size=8))
