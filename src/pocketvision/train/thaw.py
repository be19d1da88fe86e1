"""Which parts of a network move at a step, and how fast beside the last layer.

A network is cut into depths, counted from its answer: 0 is the last layer, 1 the last stage with
the hidden layers of the head, then one for each stage (the blocks at one stride) back to the stem.
"""

from __future__ import annotations

import re

from torch import nn

from pocketvision.model import Network, stages
from pocketvision.spec import NetSpec
from pocketvision.train.config import TrainConfig
from pocketvision.train.job import BESIDE

# `gradual` lets go of one stage after the other over this share of the steps.
THAW_SHARE = 0.5


def depths(spec: NetSpec) -> int:
    """Number of depths: the stages and the last layer."""
    return len(stages(spec)) + 1


def depth(name: str, spec: NetSpec) -> int:
    """Depth of a parameter or module by its address."""
    rows = stages(spec)
    if name.startswith(BESIDE):
        return 0
    if name.startswith("heads."):
        return 0 if ".classifier" in name else 1
    found = re.match(r"blocks\.(\d+)", name)
    block = int(found.group(1)) if found else -1
    return len(rows) - next(i for i, s in enumerate(rows) if block <= s.block)


def lr_scale(name: str, spec: NetSpec, config: TrainConfig) -> float:
    """Learning rate of a parameter as a share of the last layer's."""
    d = depth(name, spec)
    return 1.0 if d == 0 else config.trunk_share * config.stage_share ** (d - 1)


def thawed(step: int, steps: int, config: TrainConfig, spec: NetSpec) -> int:
    """How many depths move at a step.

    Depth d of K stages joins at step (d - 1) / K of the first half of a `gradual` run: the last
    stage at once, for the last layer has been fitted before.
    """
    everything = depths(spec)
    if config.freeze != "gradual":
        return 1 if config.freeze == "trunk" else everything
    k = everything - 1
    return min(2 + int(step * k / max(THAW_SHARE * steps, 1)), everything)


def thaw_(network: Network, count: int, config: TrainConfig) -> None:
    """Let the first `count` depths move and hold the others: no gradients, and the statistics of
    their batch-norms stay, as they all do where the config keeps them.
    """
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(depth(name, network.spec) < count)
    for name, module in network.named_modules():
        held = isinstance(module, nn.BatchNorm2d) and config.norms == "kept"
        # Not eval(), which would reach into what lies below a container.
        module.training = not held and (not name or depth(name, network.spec) < count)
