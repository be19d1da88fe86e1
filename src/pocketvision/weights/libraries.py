"""Whose names a table of tensors has: each library's importer, and the signs of its names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.spec import NetSpec
from pocketvision.weights import cadene, darts, keras, numbered, timm

ToOurs = Callable[[NetSpec, Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Library:
    """`sign`: a pattern that at least one name must match. `scaling`: a name of found.SCALINGS."""

    to_ours: ToOurs
    sign: str = "."
    scaling: str = "imagenet"
    interpolation: str = "bilinear"


# The keys are those of zoo.aliases.LIBRARIES; the first that fits counts.
LIBRARIES: Mapping[str, Library] = {
    "timm": Library(
        timm.to_ours, r"^(conv_stem|stem\.|conv1\.|features\.\d+\.conv_dw)", interpolation="bicubic"
    ),
    "torchvision": Library(
        numbered.to_ours,
        r"^(features\.\d+\.(block|conv\.0\.0|squeeze|\d+\.block)\b|stage2|layer1)",
    ),
    "d-li14": Library(numbered.to_ours, r"^features\.1\.conv\.0\.weight"),
    "zhoudaquan": Library(numbered.to_ours, r"^features\.1\.conv\.0\.weight"),
    "clovaai": Library(numbered.to_ours, r"^features\.\d+\.out\."),
    "romulus0914": Library(numbered.to_ours, r"^stem_conv\."),
    "megvii": Library(numbered.to_ours, r"^first_conv\."),
    "cadene": Library(cadene.to_ours, r"^cell_stem_0\."),
    "quark0": Library(darts.to_ours, r"^(stem0|cells)\."),
    "keras": Library(keras.to_ours, r"(kernel|gamma)(:0)?$|/vars/\d+$", scaling="-1..1"),
}
# Modules that end a network, as the libraries call them.
ENDS = re.compile(
    r"^(model_weights/)?(classifier|head|fc|output|logits|last_linear|conv_preds|predictions|linear|"
    r"dense|heads\.label|top)\b"
)
KERNELS = (
    *("weight", "kernel", "kernel:0"),
    *("depthwise_kernel", "depthwise_kernel:0", "pointwise_kernel", "pointwise_kernel:0"),
)
COUNTED = (*KERNELS, "bias", "bias:0", "gamma", "gamma:0", "beta", "beta:0")


def converted(library: str, spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as weights of `spec` by a library's importer. Raises WeightsError."""
    try:
        return LIBRARIES[library].to_ours(spec, tensors)
    except (LookupError, ValueError, TypeError) as e:  # names that are not built as it expects
        what = " ".join(f"{type(e).__name__} {e}".split())[:80]
        raise WeightsError(f"its tensors are not named as {library} names them ({what})") from None


def likely(names: Iterable[str]) -> list[str]:
    """Libraries whose sign is among the names."""
    listed = list(names)
    return [
        library for library, row in LIBRARIES.items() if any(re.search(row.sign, n) for n in listed)
    ]


def leaf_of(name: str) -> str:
    """The last word of a tensor's name."""
    return re.split(r"[./]", name)[-1]


def learnable(tensors: Mapping[str, Tensor]) -> int:
    """How many numbers of a table are trained: weights, biases, scales and shifts."""
    if keras.is_numbered(tensors):
        rows = keras.numbered(tensors)
        return sum(
            value.numel()
            for layers in rows.values()
            for row in layers
            for leaf, value in row.items()
            if not leaf.startswith("running")
        )
    return sum(t.numel() for name, t in tensors.items() if leaf_of(name) in COUNTED)


def windows_of(tensors: Mapping[str, Tensor]) -> Counter[Window]:
    """The convolutions and matrices of a table by their sizes."""
    if keras.is_numbered(tensors):
        rows = keras.numbered(tensors)
        layers = [r for kind, rows in rows.items() if kind != "batch_normalization" for r in rows]
        return Counter(_window(r["weight"].shape) for r in layers if "weight" in r)
    found: Counter[Window] = Counter()
    for name, tensor in tensors.items():
        if leaf_of(name) in KERNELS and tensor.ndim > 1:
            found[_window(_plain_shape(name, tensor))] += 1
    return found


Window = tuple[int, int, int]  # channels out, kernel, channels in of a group


def _window(shape: Sequence[int]) -> Window:
    return shape[0], shape[2] if len(shape) > 2 else 1, shape[1]


def _plain_shape(name: str, tensor: Tensor) -> tuple[int, ...]:
    """The shape in PyTorch's layout."""
    shape = tuple(tensor.shape)
    if not leaf_of(name).endswith(("kernel", "kernel:0")):
        return shape
    if len(shape) == 4 and shape[3] == 1:  # HWC1; a convolution to one channel is not told apart
        return shape[2], 1, shape[0], shape[1]
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


def classes_of(tensors: Mapping[str, Tensor]) -> int | None:
    """Outputs of the last layer, found by its name; None when there is none (a trunk)."""
    if keras.is_numbered(tensors):
        return keras.numbered_classes(tensors)
    last = None
    for name, tensor in sorted(tensors.items(), key=lambda row: keras.natural(row[0])):
        if ENDS.search(name) and leaf_of(name) in KERNELS and tensor.ndim >= 2:
            last = tensor.shape[-1] if "kernel" in leaf_of(name) else tensor.shape[0]
    return last


def in_channels_of(tensors: Mapping[str, Tensor]) -> int:
    """Channels of the image: the narrowest input of a dense window, for no later layer has so few.

    Where every window is depthwise or wide, the first reads a grey image.
    """
    narrowest = 17
    for name, tensor in tensors.items():
        keras_layout = leaf_of(name).startswith("kernel")
        if tensor.ndim == 4 and (keras_layout or leaf_of(name) == "weight"):
            window, channels = (tensor.shape[0], 2) if keras_layout else (tensor.shape[2], 1)
            if window >= 3 and 1 < tensor.shape[channels] < narrowest:
                deep = keras_layout and tensor.shape[3] == 1
                narrowest = narrowest if deep else tensor.shape[channels]
    return narrowest if narrowest <= 16 else 3 if keras.is_numbered(tensors) else 1
