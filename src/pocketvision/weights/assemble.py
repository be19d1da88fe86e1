"""From what was found in a graph to a spec, its weights and the record of how they were stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.spec import PADDINGS, AnyBlock, Conv, NetSpec, Numerics
from pocketvision.weights.blocks import Reading
from pocketvision.weights.graph import Filter, Graph, Norm


def padding_of(reading: Reading, preferred: str) -> str:
    """The one padding rule that every convolution of the file may stem from.

    Where several fit (odd sizes, no stride), `preferred` counts. Raises WeightsError for none.
    """
    rules = set(PADDINGS)
    for address, f in reading.filters.items():
        if f.kernel > 1:
            rules &= f.rules
            if not rules:
                raise WeightsError(
                    f"{address} is padded by no rule that fits the layers before it "
                    f"(rules: {', '.join(PADDINGS)})"
                )
    return preferred if preferred in rules else min(rules)


def epsilon_of(reading: Reading, default: float) -> float:
    """The batch-norm epsilon that most norms of the file have."""
    found = [f.norm.epsilon for f in reading.filters.values() if f.norm is not None]
    return max(set(found), key=found.count) if found else default


def spec_of(
    reading: Reading,
    *,
    name: str,
    resolution: tuple[int, int],
    numerics: Numerics,
    blocks: tuple[AnyBlock, ...] | None = None,
    stem: Conv | None = None,
) -> NetSpec:
    """The spec of a reading. Raises SpecError for channels that cannot be."""
    return NetSpec(
        name=name,
        resolution=resolution,
        stem=stem or reading.stem,
        blocks=tuple(reading.blocks) if blocks is None else blocks,
        heads=tuple(reading.heads),
        numerics=numerics,
    )


def weights_of(reading: Reading, epsilon: float) -> dict[str, Tensor]:
    """Our tensors by address."""
    tensors: dict[str, Tensor] = {}
    for address, f in reading.filters.items():
        if address.startswith("heads.") and address.endswith(".classifier"):
            tensors |= _linear(address, f)
        else:
            tensors |= _convolution(address, f, epsilon)
    return tensors


def _linear(address: str, f: Filter) -> dict[str, Tensor]:
    if f.norm is not None:
        raise WeightsError(f"{address} has a batch-norm behind it, which no classifier here has")
    bias = np.zeros(len(f.weight), np.float32) if f.bias is None else f.bias
    rows = {f"{address}.weight": f.weight[:, :, 0, 0], f"{address}.bias": bias}
    return {name: _tensor(value) for name, value in rows.items()}


def _convolution(address: str, f: Filter, epsilon: float) -> dict[str, Tensor]:
    rows = {f"{address}.conv.weight": f.weight}
    if f.norm is None:
        bias = np.zeros(len(f.weight), np.float32) if f.bias is None else f.bias
        rows[f"{address}.conv.bias"] = bias
    else:
        rows |= {f"{address}.norm.{k}": v for k, v in _norm(f.norm, f.bias, epsilon).items()}
    tensors = {name: _tensor(value) for name, value in rows.items()}
    if f.norm is not None:
        tensors[f"{address}.norm.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return tensors


def _norm(norm: Norm, bias: np.ndarray | None, epsilon: float) -> dict[str, np.ndarray]:
    """A batch-norm's four vectors under our one epsilon; a bias before it goes into the mean."""
    mean = norm.mean if bias is None else norm.mean - bias
    variance = norm.variance + np.float32(norm.epsilon - epsilon)
    rows = {"weight": norm.scale, "bias": norm.shift, "running_mean": mean}
    return rows | {"running_var": variance.astype(norm.variance.dtype)}


def _tensor(value: np.ndarray) -> Tensor:
    if not np.isfinite(value).all():
        raise WeightsError("the file holds numbers that are infinite or none at all: damaged")
    return torch.from_numpy(np.array(value, order="C"))


# ------------------------------------------------------------------------------------ quantization


def quantization_of(reading: Reading, graph: Graph) -> dict[str, Any] | None:
    """quantization.json: how each tensor was stored, and the grid of each edge.

    Edges go by the address of the layer or block whose output they are, "input", and
    "<gate or head>.pool" for what comes out of a mean over space; None for a file in real numbers.
    """
    edges = {
        address: _edge(*graph.grids[tensor])
        for address, tensor in reading.edges.items()
        if tensor in graph.grids
    }
    if reading.softmax in graph.grids:
        edges["heads.label.softmax"] = _edge(*graph.grids[reading.softmax])
    if not edges:
        return None
    return {"tensors": _stored(reading, graph), "edges": edges}


def _edge(scale: float, zero_point: int, lowest: int, highest: int) -> dict[str, Any]:
    scheme = "uint8" if lowest == 0 else "int8"
    assert highest - lowest == 255
    return {"scheme": scheme, "scale": scale, "zero_point": zero_point}


def _stored(reading: Reading, graph: Graph) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for address, f in reading.filters.items():
        inner = "" if address.endswith(".classifier") else ".conv"
        for leaf, tensor in zip(("weight", "bias"), f.tensors, strict=False):
            if tensor in graph.stored:
                scheme, axis, scale, zero = graph.stored[tensor]
                rows[f"{address}{inner}.{leaf}"] = {
                    "scheme": scheme,
                    "axis": axis,
                    "scale": [float(s) for s in scale],
                    "zero_point": [int(z) for z in zero],
                }
    return rows
