"""Optimizers and which weights they decay; their state by parameter name, for checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from pocketvision.train.config import TrainConfig
from pocketvision.train.rmsprop import RMSProp

MOMENTUM = 0.9
RMSPROP_DECAY, RMSPROP_EPSILON = 0.9, 1e-3


def decayed(network: nn.Module, *, depthwise: bool = True, biases: bool = False) -> set[str]:
    """Names of the parameters that weight decay pulls at: kernels and matrices.

    Norm scales, shifts and biases are left out: decay on them shrinks activations, not complexity.
    MnasNet's and MixNet's code leaves out norms alone: so do `biases`. Depthwise kernels are few
    and each sees one channel; MobileNetV1's authors (arXiv:1704.04861, section 3.2) put little or
    no decay on them, later recipes the usual one.
    """
    names = set()
    for module_name, module in network.named_modules():
        alone = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        norm = isinstance(module, nn.BatchNorm2d)
        for name, p in module.named_parameters(recurse=False):
            if (p.ndim >= 2 or (biases and not norm)) and (depthwise or not alone):
                names.add(f"{module_name}.{name}".lstrip("."))
    return names


def optimizer(
    network: nn.Module, config: TrainConfig, *, share: Callable[[str], float] = lambda name: 1.0
) -> Optimizer:
    """The optimizer of `config` over groups of parameters with one decay and one share of the
    learning rate each; `share` gives it by a parameter's name.
    """
    names = decayed(network, depthwise=config.decay_depthwise, biases=config.decay_biases)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in network.named_parameters():
        kind = (share(name), config.decay if name in names else 0.0)
        groups.setdefault(kind, []).append(p)
    rows = [
        {"params": ps, "share": part, "weight_decay": decay, "lr": config.peak_lr * part}
        for (part, decay), ps in groups.items()
    ]
    return _made(rows, config)


def _made(rows: list[dict[str, Any]], config: TrainConfig) -> Optimizer:
    momentum = MOMENTUM if config.momentum is None else config.momentum
    if config.optimizer == "sgd":
        nesterov = momentum > 0 and config.nesterov is not False
        return SGD(rows, lr=config.peak_lr, momentum=momentum, nesterov=nesterov, fused=True)
    if config.optimizer == "rmsprop":
        return RMSProp(
            rows,
            lr=config.peak_lr,
            momentum=momentum,
            decay=RMSPROP_DECAY if config.rmsprop_decay is None else config.rmsprop_decay,
            epsilon=config.rmsprop_epsilon or RMSPROP_EPSILON,
        )
    return AdamW(rows, lr=config.peak_lr, fused=True)


def set_lr(opt: Optimizer, lr: float) -> None:
    """Use `lr` from the next step on, each group its share of it."""
    for group in opt.param_groups:
        group["lr"] = lr * group["share"]


def state_of(opt: Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """The optimizer's tensors as "parameter name/entry"."""
    rows = {}
    for name, p in network.named_parameters():
        for entry, value in opt.state.get(p, {}).items():
            rows[f"{name}/{entry}"] = torch.as_tensor(value)
    return rows


def load_state(opt: Optimizer, network: nn.Module, rows: Mapping[str, Tensor]) -> None:
    """Put back what `state_of` gave, each tensor where its parameter is, in its memory order."""
    by_name = dict(network.named_parameters())
    for key, value in rows.items():
        name, entry = key.rsplit("/", 1)
        p = by_name[name]
        own = (
            torch.empty_like(p)
            if value.shape == p.shape
            else torch.empty_like(value, device=p.device)
        )
        opt.state[p][entry] = own.copy_(value)
