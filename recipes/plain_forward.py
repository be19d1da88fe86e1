"""Keras layers, run in plain numpy straight from a file: a forward pass that shares nothing with
pocketvision, to hold imported networks against.

Used by bench_weights.py and by tests. Reads the model's description and its numbers with h5py or
json; layers are run as the description lists them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def of_h5(path: Path) -> tuple[list[dict[str, Any]], Arrays]:
    """(layers, numbers) of a Keras .h5 file; numbers go by `<layer>/<name>`."""
    import h5py

    with h5py.File(path, "r") as f:
        layers = json.loads(f.attrs["model_config"])["config"]["layers"]
        numbers: Arrays = {}

        def take(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                *_, layer, leaf = name.split("/")
                numbers[f"{layer}/{leaf.partition(':')[0]}"] = item[()]

        f["model_weights"].visititems(take)
    return layers, numbers


def of_tfjs(folder: Path) -> tuple[list[dict[str, Any]], Arrays]:
    """(layers, numbers) of a TensorFlow.js layers model, models inside models unfolded."""
    row = json.loads((folder / "model.json").read_bytes())
    layers = _unfolded(row["modelTopology"])
    numbers: Arrays = {}
    for group in row["weightsManifest"]:
        data, place = b"".join((folder / p).read_bytes() for p in group["paths"]), 0
        for w in group["weights"]:
            count = int(np.prod(w["shape"]))
            values = np.frombuffer(data, "<f4", count, place).reshape(w["shape"])
            place += 4 * count
            layer, _, leaf = w["name"].rpartition("/")
            numbers[f"{layer}/{leaf}"] = values
    return layers, numbers


def _unfolded(model: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for layer in model["config"]["layers"]:
        inside = "layers" in layer["config"]
        found += _unfolded(layer) if inside else [layer]
    return found


def run(layers: list[dict[str, Any]], numbers: Arrays, x: np.ndarray) -> dict[str, np.ndarray]:
    """The output of every layer by name. x: (n, h, w, c)."""
    outs: dict[str, np.ndarray] = {}
    last = x
    for layer in layers:
        name, config = layer["config"]["name"], layer["config"]
        inputs = [outs[s] for s in _sources(layer) if s in outs] or [last]
        last = outs[name] = _layer(layer["class_name"], config, numbers, inputs)
    return outs


def _sources(layer: dict[str, Any]) -> list[str]:
    nodes = layer.get("inbound_nodes") or []
    return [source[0] for source in nodes[0]] if nodes else []


def _layer(kind: str, c: dict[str, Any], numbers: Arrays, inputs: list[np.ndarray]) -> np.ndarray:
    x, name = inputs[0], c["name"]
    if kind in ("InputLayer", "Dropout"):
        return x
    if kind == "Add":
        return inputs[0] + inputs[1]
    if kind == "ZeroPadding2D":
        return np.pad(x, ((0, 0), *map(tuple, c["padding"]), (0, 0)))
    if kind == "Conv2D":
        y = _conv(x, numbers[f"{name}/kernel"], c["strides"], c["padding"], deep=False)
        return _activated(y + numbers.get(f"{name}/bias", 0), c.get("activation"))
    if kind == "DepthwiseConv2D":
        kernel = numbers.get(f"{name}/depthwise_kernel", numbers.get(f"{name}/kernel"))
        return _conv(x, kernel, c["strides"], c["padding"], deep=True)
    if kind == "BatchNormalization":
        rows = [numbers[f"{name}/{k}"] for k in ("gamma", "beta", "moving_mean", "moving_variance")]
        gamma, beta, mean, variance = (r.astype(x.dtype) for r in rows)
        return (x - mean) / np.sqrt(variance + c["epsilon"]) * gamma + beta
    if kind == "ReLU":
        top = c.get("max_value")
        return np.clip(x, 0, np.inf if top is None else top)
    if kind == "GlobalAveragePooling2D":
        return x.mean(axis=(1, 2), keepdims=True) if x.ndim == 4 else x
    if kind == "Reshape":
        return x.reshape(len(x), *c["target_shape"])
    if kind == "Dense":
        y = x.reshape(len(x), -1) @ numbers[f"{name}/kernel"] + numbers.get(f"{name}/bias", 0)
        return _activated(y, c.get("activation"))
    if kind == "Activation":
        return _activated(x, c["activation"])
    raise ValueError(f"no layer {kind} here")


def _activated(x: np.ndarray, name: str | None) -> np.ndarray:
    if name == "softmax":
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    if name == "relu":
        return np.maximum(x, 0)
    if name in (None, "linear"):
        return x
    raise ValueError(f"no activation {name} here")


def _conv(
    x: np.ndarray, kernel: np.ndarray, strides: list[int], padding: str, *, deep: bool
) -> np.ndarray:
    """Convolution as a sum over the kernel's places. x (n, h, w, c), kernel HWIO or HWC1."""
    k, s = kernel.shape[0], strides[0]
    if padding == "same":
        pads = [_same(n, k, s) for n in x.shape[1:3]]
        x = np.pad(x, ((0, 0), *pads, (0, 0)))
    h, w = ((n - k) // s + 1 for n in x.shape[1:3])
    total: Any = 0
    for i in range(k):
        for j in range(k):
            part = x[:, i : i + s * (h - 1) + 1 : s, j : j + s * (w - 1) + 1 : s]
            here = kernel[i, j].astype(x.dtype)
            total = total + (part * here[:, 0] if deep else part @ here)
    return total


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: the odd pixel after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
