"""RMSProp against TensorFlow's formula, number by number."""

import math

import numpy as np
import pytest
import torch

from pocketvision.train.rmsprop import RMSProp


def tensorflow(weights, gradients, *, rates, decay, momentum, epsilon, weight_decay=0.0):
    """The published update in a loop over single float64 numbers; what each step leaves."""
    weights = list(map(float, weights))
    squares, steps = [1.0] * len(weights), [0.0] * len(weights)
    rows = []
    for gradient, rate in zip(gradients, rates, strict=True):
        for i, raw in enumerate(gradient):
            g = float(raw) + weight_decay * weights[i]
            squares[i] = decay * squares[i] + (1 - decay) * g * g
            steps[i] = momentum * steps[i] + rate * g / math.sqrt(squares[i] + epsilon)
            weights[i] -= steps[i]
        rows.append(list(weights))
    return np.array(rows)


SETTINGS = [
    {"decay": 0.9, "momentum": 0.9, "epsilon": 1e-3},
    {"decay": 0.9, "momentum": 0.9, "epsilon": 1.0, "weight_decay": 4e-5},
    {"decay": 0.99, "momentum": 0.0, "epsilon": 1e-10, "weight_decay": 0.1},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_equal_the_formula(settings):
    draw = np.random.default_rng(0)
    start, gradients = draw.normal(size=6), draw.normal(size=(9, 6))
    rates = [0.045 * 0.98**k for k in range(9)]  # the rate changes; momentum keeps the old ones
    expected = tensorflow(start, gradients, rates=rates, **settings)
    parts = [torch.tensor(v, requires_grad=True) for v in (start[:2], start[2:].reshape(2, 2))]
    opt = RMSProp(parts, lr=rates[0], **settings)
    for gradient, rate, row in zip(gradients, rates, expected, strict=True):
        opt.param_groups[0]["lr"] = rate
        for p, g in zip(parts, (gradient[:2], gradient[2:].reshape(2, 2)), strict=True):
            p.grad = torch.tensor(g)
        opt.step()
        ours = torch.cat([p.detach().flatten() for p in parts])
        np.testing.assert_allclose(ours, row, rtol=1e-13)


def test_two_steps_by_hand():
    """g = 2: s = 1 + 0.1 * 3 = 1.3; then s = 1.3 + 0.1 * 2.7 = 1.57. Epsilon 0.06 makes 1.36."""
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    opt = RMSProp([w], lr=0.5, epsilon=0.06)
    first = 0.5 * 2 / math.sqrt(1.36)
    for expected in (1 - first, 1 - first - (0.9 * first + 1 / math.sqrt(1.63))):
        w.grad = torch.tensor([2.0], dtype=torch.float64)
        opt.step()
        assert w.item() == pytest.approx(expected, rel=1e-14)


def test_it_is_not_torchs():
    """The first step is about lr * g, not lr * sign(g) / sqrt(1 - decay)."""
    ours, theirs = (torch.tensor([1.0], requires_grad=True) for _ in range(2))
    for p, opt in ((ours, RMSProp([ours], lr=0.1)), (theirs, torch.optim.RMSprop([theirs], 0.1))):
        p.grad = torch.tensor([0.01])
        opt.step()
    assert 1 - ours.item() == pytest.approx(0.1 * 0.01 / math.sqrt(0.9), rel=1e-2)
    assert 1 - theirs.item() > 0.5


def test_a_weight_without_gradient_stays_and_starts_late():
    a, b = (torch.tensor([1.0], requires_grad=True) for _ in range(2))
    opt = RMSProp([a, b], lr=0.1)
    a.grad = torch.tensor([1.0])
    opt.step()
    assert b.item() == 1
    assert b not in opt.state
    b.grad = torch.tensor([1.0])
    a.grad = None
    before = a.item()
    opt.step()
    assert a.item() == before
    assert b.item() == pytest.approx(before)


def test_a_closure_is_asked_for_gradients():
    w = torch.tensor([3.0], requires_grad=True)
    opt = RMSProp([w], lr=0.1)

    def closure():
        loss = (w**2).sum()
        loss.backward()
        return loss.item()

    assert opt.step(closure) == 9.0
    assert w.item() < 3
