"""PyTorch itself as a runtime: the original that exported files are held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pocketvision.bundle import Bundle
from pocketvision.export.runtime import as_input, check_precision, thread_count
from pocketvision.model import Network
from pocketvision.weights.exact import exact_network

DTYPES = {"f32": torch.float32, "f64": torch.float64}


@dataclass(frozen=True, kw_only=True)
class TorchRuntime:
    """The network in eval mode, eager; `channels_last` lays tensors out as (n, h, w, c) inside."""

    name: str
    network: Network
    threads: int
    heads: tuple[str, ...]
    input_shape: tuple[int, int, int]
    precision: str = "f32"
    channels_last: bool = False

    def __call__(self, x_nchw: np.ndarray) -> dict[str, np.ndarray]:
        """(n, c, h, w) -> {head: (n, classes)}."""
        x = torch.tensor(as_input(x_nchw, self.input_shape), dtype=DTYPES[self.precision])
        if self.channels_last:
            x = x.to(memory_format=torch.channels_last)
        _use_threads(self.threads)
        with torch.inference_mode():
            y = self.network(x)
        by_head = y if isinstance(y, dict) else {self.heads[0]: y}
        return {name: value.numpy() for name, value in by_head.items()}


def load(
    bundle: Bundle,
    *,
    threads: int | None = None,
    channels_last: bool = False,
    exact: bool = False,
    precision: str | None = None,
) -> TorchRuntime:
    """The bundle's network as a runtime; float64 serves as the reference of tests.

    `exact` rounds activations to the grids that the bundle records. Raises UsageError without any.

    Running it sets PyTorch's number of threads for the whole process.
    """
    chosen = precision or "f32"
    check_precision(chosen, tuple(DTYPES), runtime="torch")
    network = (exact_network(bundle) if exact else bundle.network()).to(DTYPES[chosen])
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TorchRuntime(
        name="torch_exact" if exact else "torch_channels_last" if channels_last else "torch",
        network=network,
        threads=thread_count(threads),
        heads=tuple(name for name, _ in bundle.spec.heads),
        input_shape=(bundle.spec.in_channels, *bundle.spec.resolution),
        precision=chosen,
        channels_last=channels_last,
    )


def _use_threads(count: int) -> None:
    """PyTorch has one number of threads for the whole process, which stays set: going back and
    forth costs milliseconds each time, as it starts its pools again.
    """
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
