"""Where steps are taken: the processor, or a GPU."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

import torch
from torch import nn

from pocketvision.errors import UsageError
from pocketvision.train.ranks import ALONE, Ranks

CPU = torch.device("cpu")


def device_of(name: str, ranks: Ranks = ALONE) -> torch.device:
    """The device that --device names: cpu, cuda, cuda:1, or with auto a GPU where PyTorch sees one.
    Of several processes on a machine each takes a GPU of its own.

    Raises UsageError for another name, and for a GPU that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return CPU
    number = re.fullmatch(r"cuda(?::(\d+))?", name)
    if number is None:
        raise UsageError(f"--device must be auto, cpu, cuda or cuda:N, got {name!r}")
    index = ranks.local if number[1] is None else int(number[1])
    _check(name, index)
    return torch.device("cuda", index)


def _check(name: str, index: int) -> None:
    """Raise UsageError unless there are more than `index` GPUs."""
    if not torch.cuda.is_available():
        build = "sees no GPU" if torch.backends.cuda.is_built() else "is a build for processors"
        raise UsageError(
            f"--device {name} needs a GPU, and this PyTorch ({torch.__version__}) {build}; "
            "leave --device out, or install a build of PyTorch for the GPU"
        )
    count = torch.cuda.device_count()
    if index >= count:
        raise UsageError(
            f"--device {name} asks for GPU {index}, this machine has {count}, counted from 0; "
            "with torchrun start no more processes than there are GPUs, or use --device cpu"
        )


def where(network: nn.Module) -> torch.device:
    """The device that a network's weights are on."""
    return next((p.device for p in network.parameters()), CPU)


def forked(device: torch.device) -> AbstractContextManager[None]:
    """A block that may seed and draw: the generators of a step there are put back after it."""
    return torch.random.fork_rng(devices=[] if device == CPU else [device])


def words(device: torch.device) -> str:
    """What decides the last bits of what it computes, beside the version of PyTorch."""
    if device.type == "cpu":
        return str(torch.backends.cpu.get_cpu_capability())
    return torch.cuda.get_device_name(device)
