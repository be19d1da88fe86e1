import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pocketvision.errors import Interrupted
from pocketvision.train.head import DECAYS, Layer, fitted


def zero(classes, width):
    return Layer(weight=torch.zeros(classes, width), bias=torch.zeros(classes))


def clouds(n=90, width=12, classes=3, spread=1.0, seed=0):
    """Features around a point for each class, some of them large, one constant."""
    draw = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    points = 4 * np.random.default_rng(99).standard_normal((classes, width))
    x = points[truth] + spread * draw.standard_normal((n, width))
    x[:, 0] *= 100
    x[:, 1] = 5
    return x.astype(np.float32), truth


def accuracy(layer, x, truth):
    return (layer.logits(torch.from_numpy(x)).argmax(1).numpy() == truth).mean()


def test_the_layer_answers_held_out_rows_and_is_the_same_each_time():
    x, truth = clouds()
    a, b = fitted(x, truth, zero(3, 12)), fitted(x, truth, zero(3, 12))
    assert accuracy(a.layer, *clouds(seed=1)) > 0.95
    assert torch.equal(a.layer.weight, b.layer.weight)
    assert a.decay in DECAYS
    logits = a.layer.logits(torch.from_numpy(x))
    assert a.loss == pytest.approx(
        F.cross_entropy(logits, torch.from_numpy(truth)).item(), rel=1e-4
    )


def test_the_minimum_is_one():
    """At the minimum the gradient of loss + decay / 2 |w|^2 vanishes, in standardised features."""
    x, truth = clouds(spread=4.0)
    end = fitted(x, truth, zero(3, 12))
    t = torch.from_numpy(x).double()
    mean, deviation = t.mean(0), t.std(0, correction=0).clamp_min(1e-3)
    z = (t - mean) / deviation
    w = (end.layer.weight.double() * deviation).requires_grad_()
    b = (end.layer.bias.double() + end.layer.weight.double() @ mean).requires_grad_()
    loss = F.cross_entropy(F.linear(z, w, b), torch.from_numpy(truth))
    (loss + 0.5 * end.decay * w.square().sum()).backward()
    assert w.grad.abs().max() < 2e-3
    assert b.grad.abs().max() < 2e-3


def test_noise_asks_for_more_decay():
    easy, noisy = (fitted(*clouds(spread=s), zero(3, 12)).decay for s in (0.3, 30.0))
    assert noisy > easy


def test_a_layer_that_knew_the_classes_learns_less_from_a_few_odd_rows():
    known = fitted(*clouds(n=900, spread=6.0), zero(3, 12)).layer
    few, truth = clouds(n=9, spread=6.0, seed=2)
    x, y = (torch.from_numpy(v) for v in clouds(n=300, spread=6.0, seed=3))
    near = fitted(few, truth, known, anchored=True).layer
    fresh = fitted(few, truth, zero(3, 12)).layer
    assert F.cross_entropy(near.logits(x), y) < F.cross_entropy(fresh.logits(x), y)


def test_a_layer_without_bias_keeps_none():
    x, truth = clouds()
    end = fitted(x, truth, Layer(weight=torch.zeros(3, 12), bias=torch.zeros(3), biased=False))
    assert not end.layer.bias.any()
    assert accuracy(end.layer, x, truth) > 0.95


def test_maps_are_answered_at_every_pixel():
    x, truth = clouds()
    maps = np.broadcast_to(x[:, :, None, None], (*x.shape, 2, 2)).copy()
    first = Layer(weight=0.01 * torch.ones(3, 12), bias=torch.zeros(3), act=torch.relu)
    assert accuracy(fitted(maps, truth, first).layer, maps, truth) > 0.9


def test_few_images_and_a_stop():
    x, truth = clouds(n=3)
    assert accuracy(fitted(x, truth, zero(3, 12)).layer, x, truth) == 1.0
    with pytest.raises(Interrupted):
        fitted(x, truth, zero(3, 12), should_stop=lambda: True)
