"""The norm over several processes in one: they are threads that wait for each other."""

import copy
import threading

import pytest
import torch
from torch import nn

from pocketvision.nn.sync import SyncNorm, moments, plain_, sync_

SHARES = ((0, 1), (1, 4), (4, 8))


class Alone:
    """One process."""

    def each(self, value):
        return value[None]

    def sum_(self, values):
        pass


class Threads:
    """What each of several threads says, once all have said it."""

    def __init__(self, count):
        self.barrier, self.said = threading.Barrier(count), [None] * count
        self.own = threading.local()

    def each(self, value):
        self.said[self.own.rank] = value
        self.barrier.wait(30)
        rows = torch.stack(list(self.said))
        self.barrier.wait(30)
        return rows

    def sum_(self, values):
        for value in values:
            value.copy_(self.each(value.clone()).sum(0))


def in_threads(norms, together, xs, grads):
    """(output, gradient of the input) of each; parameters keep their gradients."""
    found = [None] * len(xs)

    def run(rank):
        together.own.rank = rank
        x = xs[rank].detach().clone().requires_grad_()
        y = norms[rank](x)
        y.backward(grads[rank])
        found[rank] = y.detach(), x.grad

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(xs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return found


def norm(c=5, **kwargs):
    made = nn.BatchNorm2d(c, **kwargs)
    with torch.no_grad():
        made.weight.uniform_(0.5, 2.0)
        made.bias.normal_()
    return made


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_three_shares_are_normalised_as_the_whole_batch(order, momentum):
    torch.manual_seed(0)
    plain = norm(momentum=momentum).double()
    x = torch.randn(8, 5, 4, 3, dtype=torch.float64).contiguous(memory_format=order)
    grad = torch.randn_like(x)
    together, nets = Threads(3), []
    for _ in SHARES:
        nets.append(nn.Sequential(copy.deepcopy(plain)))
        sync_(nets[-1], together)
    for _ in range(2):  # twice, for what is kept
        whole = x.clone().requires_grad_()
        plain.zero_grad()
        y = plain(whole)
        y.backward(grad)
        for net in nets:
            net.zero_grad()
        found = in_threads(nets, together, [x[a:b] for a, b in SHARES],
                           [grad[a:b] for a, b in SHARES])  # fmt: skip
        for (a, b), (got, got_grad) in zip(SHARES, found, strict=True):
            assert torch.allclose(got, y[a:b], rtol=1e-12, atol=1e-13)
            assert torch.allclose(got_grad, whole.grad[a:b], rtol=1e-11, atol=1e-13)
        for name, p in plain.named_parameters():
            total = sum(dict(net[0].named_parameters())[name].grad for net in nets)
            assert torch.allclose(total, p.grad, rtol=1e-12)
    for net in nets:
        assert net[0].state_dict().keys() == plain.state_dict().keys()
        for key, value in plain.state_dict().items():
            assert torch.allclose(net[0].state_dict()[key].double(), value.double(), rtol=1e-12)


def test_moments_do_not_cancel():
    torch.manual_seed(0)
    x = 3e4 + torch.randn(16, 2, 6, 6)  # squares of which float32 cannot tell apart
    total, mean, variance = moments(x, Alone())
    exact = x.double()
    assert total == 16 * 36
    assert torch.allclose(mean.double(), exact.mean((0, 2, 3)), rtol=1e-7)
    assert torch.allclose(variance.double(), exact.var((0, 2, 3), correction=0), rtol=1e-4)


def test_low_precision_goes_through():
    torch.manual_seed(0)
    net = nn.Sequential(norm())
    plain = copy.deepcopy(net)
    sync_(net, Alone())
    x = torch.randn(4, 5, 3, 3)
    low = x.bfloat16().requires_grad_()
    y = net(low)
    y.sum().backward()
    assert y.dtype == low.grad.dtype == torch.bfloat16
    assert torch.allclose(y.float(), plain(x), atol=0.05)
    assert net[0].weight.grad.dtype == torch.float32


def test_kept_statistics_serve_in_eval_mode_and_after_all():
    torch.manual_seed(0)
    net = nn.Sequential(norm(), nn.Sequential(nn.ReLU(), norm()))
    net(torch.randn(4, 5, 3, 3))
    shared, x = copy.deepcopy(net), torch.randn(2, 5, 3, 3)
    sync_(shared, Alone())
    assert [type(m) for m in shared[1]] == [nn.ReLU, SyncNorm]
    assert torch.equal(shared.eval()(x), net.eval()(x))
    plain_(shared)
    assert not any(isinstance(m, SyncNorm) for m in shared.modules())
    assert torch.equal(shared.train()(x), net.train()(x))


def test_frozen_parts_get_no_gradient():
    net = nn.Sequential(norm())
    sync_(net, Alone())
    net.requires_grad_(False)
    x = torch.randn(4, 5, 3, 3, requires_grad=True)
    net(x).square().sum().backward()
    assert x.grad is not None
    assert net[0].weight.grad is None
