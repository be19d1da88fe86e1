import pytest
import torch
from torch import nn

from pocketvision.train import optim
from pocketvision.train.config import TrainConfig
from pocketvision.train.ema import Average
from pocketvision.train.losses import cross_entropy


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


def run(network, opt, steps, start=0):
    for k in range(start, start + steps):
        x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(k))
        network(x).square().mean().backward()
        opt.step()
        opt.zero_grad()


def test_norms_and_biases_are_never_decayed():
    assert optim.decayed(net()) == {"0.weight", "2.weight", "4.weight"}
    assert optim.decayed(net(), depthwise=False) == {"0.weight", "4.weight"}


def test_biases_are_decayed_where_only_norms_are_left_out():
    """MnasNet's rule: every trainable value but those of batch-norm."""
    network, norm = net(), {"1.weight", "1.bias"}
    everything = {name for name, _ in network.named_parameters()}
    assert optim.decayed(network, biases=True) == everything - norm
    assert optim.decayed(network, biases=True, depthwise=False) == everything - norm - {"2.weight"}
    opt = optim.optimizer(network, TrainConfig(weight_decay=0.3, decay_biases=True))
    assert sum(p.numel() for p in opt.param_groups[0]["params"]) == sum(
        p.numel() for name, p in network.named_parameters() if name not in norm
    )


def test_options_reach_the_optimizer():
    def group(**settings):
        return optim.optimizer(net(), TrainConfig(**settings)).param_groups[0]

    plain = group(optimizer="sgd")
    assert (plain["momentum"], plain["nesterov"]) == (0.9, True)
    assert group(optimizer="sgd", nesterov=False)["nesterov"] is False
    none = group(optimizer="sgd", momentum=0.0)
    assert (none["momentum"], none["nesterov"]) == (0.0, False)
    tf = group(optimizer="rmsprop")
    assert (tf["decay"], tf["momentum"], tf["epsilon"]) == (0.9, 0.9, 1e-3)
    slim = group(optimizer="rmsprop", rmsprop_epsilon=1.0, rmsprop_decay=0.99, momentum=0.5)
    assert (slim["decay"], slim["momentum"], slim["epsilon"]) == (0.99, 0.5, 1.0)


def test_groups_hold_every_parameter_once():
    network = net()
    opt = optim.optimizer(network, TrainConfig(weight_decay=0.3))
    decayed, others = opt.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    held = [id(p) for g in opt.param_groups for p in g["params"]]
    assert sorted(held) == sorted(id(p) for p in network.parameters())


def test_decay_alone_shrinks_only_what_it_should():
    network = net()
    opt = optim.optimizer(network, TrainConfig(weight_decay=0.5, lr=0.1))
    before = {n: p.clone() for n, p in network.named_parameters()}
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    opt.step()
    for name, p in network.named_parameters():
        factor = 0.95 if name in optim.decayed(network) else 1.0  # 1 - lr * decay
        torch.testing.assert_close(p, before[name] * factor)


@pytest.mark.parametrize("name", ["adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_state_put_back_goes_on_bit_for_bit(name, memory):
    config = TrainConfig(optimizer=name)
    whole = net().to(memory_format=memory)
    opt = optim.optimizer(whole, config)
    run(whole, opt, 6)

    half = net().to(memory_format=memory)
    first = optim.optimizer(half, config)
    run(half, first, 3)
    rows = {k: v.clone().contiguous() for k, v in optim.state_of(first, half).items()}
    again = net().to(memory_format=memory)
    again.load_state_dict(half.state_dict())
    second = optim.optimizer(again, config)
    optim.load_state(second, again, rows)
    run(again, second, 3, start=3)
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_average_follows_its_formula_with_the_statistics():
    network = net()
    average = Average(network)
    start = {k: v.clone() for k, v in network.state_dict().items()}
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.add_(1)
    average.update(0.75)
    for name, value in average.network.state_dict().items():
        moved = 0.25 if value.is_floating_point() else 1
        torch.testing.assert_close(value, start[name] + moved)
    assert not average.network.training
    average.update(0.0)
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name])


def test_smoothed_loss_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    plain = -torch.log(torch.tensor(0.7))
    torch.testing.assert_close(cross_entropy(logits, torch.tensor([0])), plain)
    log_p = logits[0]
    smooth = -(0.9 * log_p[0] + 0.1 / 3 * log_p.sum())
    torch.testing.assert_close(cross_entropy(logits, torch.tensor([0]), smoothing=0.1), smooth)
