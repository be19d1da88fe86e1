"""Where a run stands: all that changes from step to step, and its way to disk and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pocketvision.errors import DataError
from pocketvision.model import Network
from pocketvision.nn.rows import rows_
from pocketvision.nn.sync import plain_, sync_
from pocketvision.train import checkpoint, optim
from pocketvision.train.ahead import Ahead
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.config import TrainConfig
from pocketvision.train.device import CPU
from pocketvision.train.ema import Average
from pocketvision.train.events import Row
from pocketvision.train.job import BESIDE, Job
from pocketvision.train.ranks import Ranks
from pocketvision.train.thaw import lr_scale

# Batch-norm's averages should remember about as many images whatever the batch: those of ten
# batches of 32, the least that the usual momentum of 0.1 was found good for.
REMEMBERED_IMAGES = 320


@dataclass(kw_only=True)
class State:
    """Network, optimizer, averaged weights, and how far they are.

    `runner` is what steps call: the network, or a compiled form with the same weights.
    `loss_sum` adds up the losses of the images of the epoch in progress, `seen` counts them.
    `fitted`: the last layer has been fitted to what a frozen trunk gives. `thawed`: how many depths
    move; not kept, for it follows from the step. `ahead` prepares batches where a GPU takes steps.
    """

    network: Network
    runner: nn.Module
    optimizer: Optimizer
    average: Average | None
    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    seen: int = 0
    epoch_seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_accuracy: float = -1.0
    best_epoch: int = 0
    fitted: bool = False
    thawed: int = -1
    ahead: Ahead | None = None

    @property
    def judged(self) -> Network:
        """The network that is evaluated and becomes the result: the average where there is one."""
        network = self.network if self.average is None else self.average.network
        assert isinstance(network, Network)
        return network


def fresh(job: Job) -> State:
    """The state before the first step; the job's own network stays as it is."""
    config = job.config
    order = torch.channels_last if config.channels_last else torch.contiguous_format
    network = copy.deepcopy(job.network).to(job.device, memory_format=order).train()  # type: ignore[call-overload]
    set_momentum_(network, config)
    if job.ranks.count > 1:
        _shared_(network, job.ranks)
    average = Average(network) if config.ema else None
    if job.taught is not None and job.taught.beside is not None:
        network.add_module(BESIDE, copy.deepcopy(job.taught.beside).to(job.device))
    opt = optim.optimizer(network, config, share=lambda n: lr_scale(n, network.spec, config))
    runner = _runner(network, config)
    ahead = None if job.device == CPU else Ahead(job)
    return State(network=network, runner=runner, optimizer=opt, average=average, ahead=ahead)


def _runner(network: nn.Module, config: TrainConfig) -> nn.Module:
    if config.compile != "on":
        return network
    compiled = torch.compile(network, dynamic=False)
    assert isinstance(compiled, nn.Module)
    return compiled


def _shared_(network: Network, ranks: Ranks) -> None:
    """Make a network one of several processes: with the first one's values, norms over the batch of
    all, and dropout that knows which rows of it are here.
    """
    ranks.same_(network.state_dict().values())
    sync_(network, ranks)
    rows_(network)


def bare(network: Network) -> Network:
    """The network without what trained beside it, and without other processes."""
    if BESIDE in dict(network.named_children()):
        delattr(network, BESIDE)
    plain_(network)
    return network


def set_momentum_(network: nn.Module, config: TrainConfig) -> None:
    """Give batch-norm the config's momentum, or less than its own where batches are small."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None:
            by_batch = min(module.momentum, config.batch_size / REMEMBERED_IMAGES)
            module.momentum = by_batch if config.bn_momentum is None else config.bn_momentum


# ------------------------------------------------------------------------------------ disk and back


def save(state: State, folder: Path, fixed: Mapping[str, Any]) -> Path:
    """Write the state as a checkpoint in `folder`, with what is `fixed` over the run (its plan and
    its trace). Raises PocketvisionError.
    """
    groups: dict[str, Mapping[str, Tensor]] = {
        "network": state.network.state_dict(),
        "optimizer": optim.state_of(state.optimizer, state.network),
        "average": state.average.network.state_dict() if state.average else {},
        "best": state.best,
    }
    tensors = {
        f"{group}:{name}": t.cpu() for group, rows in groups.items() for name, t in rows.items()
    }
    facts = {
        "step": state.step,
        "seconds": state.seconds,
        "loss_sum": state.loss_sum,
        "seen": state.seen,
        "epoch_seconds": state.epoch_seconds,
        "best_accuracy": state.best_accuracy,
        "best_epoch": state.best_epoch,
        "fitted": state.fitted,
        "rows": [asdict(row) for row in state.rows],
        **fixed,
    }
    return checkpoint.save(folder, tensors, facts)


def restored(job: Job, saved: Checkpoint, *, new_optimizer: bool = False) -> State:
    """The state of a checkpoint whose trace was checked, but for the optimizer's where that is
    another one now. Raises DataError where it does not fit.
    """
    state = fresh(job)
    try:
        _fill(state, saved)
        if not new_optimizer:
            optim.load_state(state.optimizer, state.network, _group(saved, "optimizer"))
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        first = (str(e).splitlines() or [""])[0]
        raise DataError(f"checkpoint {saved.path} does not fit this run: {first}") from None
    return state


def _fill(state: State, saved: Checkpoint) -> None:
    facts: Mapping[str, Any] = saved.facts
    state.network.load_state_dict(_group(saved, "network"))
    average = _group(saved, "average")
    if state.average and average:
        state.average.network.load_state_dict(average)
    elif state.average:  # an average is taken from here on
        state.average.update(0.0)
    state.best = _group(saved, "best")
    for name in ("step", "seconds", "loss_sum", "seen", "epoch_seconds", "best_accuracy"):
        setattr(state, name, facts[name])
    state.best_epoch = facts["best_epoch"]
    state.fitted = facts.get("fitted", False)  # checkpoints before --from have no such fact
    state.rows = [Row(**row) for row in facts["rows"]]


def _group(saved: Checkpoint, group: str) -> dict[str, Tensor]:
    start = f"{group}:"
    return {k.removeprefix(start): t for k, t in saved.tensors.items() if k.startswith(start)}
