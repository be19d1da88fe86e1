"""Facts of a Keras model's description (JSON inside .h5, .keras and TensorFlow.js files).

Read as data: no class is looked up and no layer is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_LAYERS = 5000


@dataclass(frozen=True)
class KerasFacts:
    """What the description says: None or empty where it says nothing.

    padded      True when zero padding stands as layers of its own before strided convolutions
    acts        our names of the activations, None among them where one is not known
    """

    resolution: tuple[int, int] | None
    epsilon: float | None
    padded: bool
    acts: frozenset[str]


def facts(config: Mapping[str, Any] | None) -> KerasFacts:
    """The facts of a description, of any nesting of models."""
    layers = list(flattened(config))[:MAX_LAYERS]
    kinds = [kind for kind, _ in layers]
    epsilons = {c.get("epsilon") for kind, c in layers if kind == "BatchNormalization"}
    one = epsilons.pop() if len(epsilons) == 1 else None
    return KerasFacts(
        resolution=next(filter(None, map(_size, (c for _, c in layers))), None),
        epsilon=float(one) if isinstance(one, int | float) and 0 < one < 1 else None,
        padded="ZeroPadding2D" in kinds,
        acts=frozenset(filter(None, (_act(kind, c) for kind, c in layers))),
    )


def flattened(config: Any, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(class, config) of every layer, models inside models unfolded."""
    if not isinstance(config, Mapping) or depth > 8:
        return
    inner = config.get("config")
    kind = str(config.get("class_name", ""))
    if isinstance(inner, Mapping):
        if isinstance(inner.get("layers"), list):
            for layer in inner["layers"]:
                yield from flattened(layer, depth + 1)
        else:
            yield kind, inner
    elif isinstance(inner, list):  # a Sequential of old
        for layer in inner:
            yield from flattened(layer, depth + 1)


def _size(c: Mapping[str, Any]) -> tuple[int, int] | None:
    shape = c.get("batch_input_shape") or c.get("batch_shape")
    if isinstance(shape, list) and len(shape) == 4:
        height, width = shape[1], shape[2]
        if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
            return height, width
    return None


def _act(kind: str, c: Mapping[str, Any]) -> str | None:
    """Our name of a layer's activation; None for none."""
    if kind == "ReLU":
        top = c.get("max_value")
        return "relu" if top is None else "relu6" if top == 6 else f"relu up to {top}"
    name = c.get("activation")
    if not isinstance(name, str) or name in ("linear", "softmax"):
        return None
    return {"relu6": "relu6", "hard_silu": "hard_swish"}.get(name, name)
