"""Names and layouts of Keras applications: MobileNet, V2, V3, by name or number; Xception by name.

    names       <layer>/kernel, depthwise_kernel, pointwise_kernel, bias, gamma, beta, moving_mean,
                moving_variance
    numbers     layers/<class>_<n>/vars/<i>         (`.weights.h5` of Keras 3)

Kernels lie HWIO, depthwise ones HWC1, matrices IO. Source: Keras applications `mobilenet.py`,
`mobilenet_v2.py`, `mobilenet_v3.py`, `xception.py`; `saving_lib.py` for the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.model import Network
from pocketvision.spec import NetSpec
from pocketvision.weights.match import fit, modules, natural

LEAVES = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "pointwise_kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
PARTS = ("expand", "depthwise", "squeeze_excite_conv", "squeeze_excite_conv_1", "project")
# Layers outside the blocks: before them, after them, the head.
FIRST, LAST, HEAD = ("conv1", "conv"), ("conv_1",), ("conv_2", "conv_preds", "logits",
                                                    "predictions", "dense")  # fmt: skip
SHORTCUTS = (2, 3, 4, 13)  # blocks of Xception that have one
NUMBERED = re.compile(r"(?:^|/)([a-z0-9_]*?)(?:_(\d+))?/vars/(\d+)$")
VARS = {"conv2d": ("weight", "bias"), "depthwise_conv2d": ("weight", "bias"),
        "dense": ("weight", "bias"),
        "batch_normalization": ("weight", "bias", "running_mean", "running_var")}  # fmt: skip


def to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keras' tensors as weights of `spec`. Raises WeightsError."""
    if is_numbered(tensors):
        return _by_number(spec, tensors)
    renamed = named(tensors)
    key = _xception_key if spec.name == "xception" else _key
    return fit(spec, renamed, sorted(modules(renamed), key=key))


def named(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under `<layer>.<leaf>` in PyTorch's layout. Raises WeightsError."""
    found: dict[str, Tensor] = {}
    for path, value in tensors.items():
        layer, leaf = _split(path)
        name = f"{layer}{_half(layer, leaf)}.{LEAVES[leaf]}"
        if name in found:
            raise WeightsError(f"tensor {path!r} comes twice")
        deep = leaf == "depthwise_kernel" or "depthwise" in layer or "conv_dw" in layer
        found[name] = _turned(value, deep=deep) if leaf.endswith("kernel") else value
    return found


def _half(layer: str, leaf: str) -> str:
    """What tells the two kernels of Keras' separable convolution, one layer, apart."""
    halves = {"depthwise_kernel": "_dw", "pointwise_kernel": "_pw"}
    return halves.get(leaf, "") if "sepconv" in layer else ""


def _split(path: str) -> tuple[str, str]:
    """(layer, leaf) of `model_weights/conv1/conv1/kernel:0`; layer names may hold slashes."""
    *pieces, leaf = path.removeprefix("model_weights/").split("/")
    leaf = leaf.partition(":")[0]
    if leaf not in LEAVES or not pieces:
        raise WeightsError(f"tensor {path!r} is none of {', '.join(LEAVES)} of a layer")
    # Files repeat the layer's name as the variable's scope, and put it behind the model's name.
    for start in range(len(pieces)):
        rest = pieces[start:]
        half = len(rest) // 2
        if len(rest) % 2 == 0 and rest[:half] == rest[half:]:
            pieces = rest[:half]
            break
    layer = "_".join(pieces).lower().replace("batchnorm", "bn")
    return re.sub(r"^bn_(.*)$", r"\1_bn", layer), leaf


def _turned(kernel: Tensor, *, deep: bool) -> Tensor:
    """A kernel in PyTorch's layout: HWIO, HWC1 and IO become OIHW, C1HW and OI."""
    if kernel.ndim == 2:
        return kernel.T.contiguous()
    if kernel.ndim != 4:
        raise WeightsError(f"a kernel has shape {tuple(kernel.shape)}; two or four axes are read")
    order = (2, 3, 0, 1) if deep else (3, 2, 0, 1)
    return kernel.permute(*order).contiguous()


def _key(prefix: str) -> tuple[object, ...]:
    """Where a layer runs: section, block, part of the block, norm after its convolution."""
    norm = prefix.endswith("_bn")
    layer = prefix.removesuffix("_bn")
    if layer in FIRST:
        return 0, 0, 0, norm, ""
    if found := re.fullmatch(r"conv_(dw|pw)_(\d+)", layer):
        return 1, int(found[2]), found[1] == "pw", norm, ""
    block = re.fullmatch(r"(?:expanded_conv|block)(?:_(\d+))?_(\w+?)", layer)
    if block and block[2] in PARTS:
        return 1, int(block[1] or 0), PARTS.index(block[2]), norm, ""
    if layer in LAST:
        return 2, 0, 0, norm, ""
    place = HEAD.index(layer) if layer in HEAD else 98
    return 3, place, 0, norm, str(natural(layer)) if place == 98 else ""


def _xception_key(prefix: str) -> tuple[object, ...]:
    """The same for Xception, whose shortcuts are nameless: the i-th belongs to block 2, 3, 4, 13
    and runs after the block's own convolutions.
    """
    norm = prefix.endswith("_bn") or prefix.startswith("batch_normalization")
    if found := re.fullmatch(r"(?:conv2d|batch_normalization)(?:_(\d+))?", prefix):
        return SHORTCUTS[int(found[1] or 0)], 100, 0, norm
    if found := re.fullmatch(r"block(\d+)_(?:sep)?conv(\d+)(?:_(dw|pw))?(?:_bn)?", prefix):
        return int(found[1]), int(found[2]), found[3] != "dw", norm
    return 99, natural(prefix), 0, norm


# --------------------------------------------------------------------------------------- by number


def is_numbered(tensors: Iterable[str]) -> bool:
    """True for the names of Keras 3's `.weights.h5`."""
    return any(NUMBERED.search(name) for name in tensors)


def numbered_classes(tensors: Mapping[str, Tensor]) -> int | None:
    """Outputs of the last layer with a bias: a matrix, or the last convolution that has one."""
    rows = numbered(tensors)
    dense = rows.get("dense") or [r for r in rows.get("conv2d", []) if "bias" in r]
    return len(dense[-1]["weight"]) if dense and "weight" in dense[-1] else None


def _by_number(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layers of each class in the order in which the network runs, dealt out to our modules."""
    queues = {kind: list(rows) for kind, rows in numbered(tensors).items()}
    found: dict[str, Tensor] = {}
    order: list[str] = []
    for module, kind in _kinds(spec).items():
        rows = queues.get(kind) or []
        if not rows and kind == "dense":  # the last layer of MobileNet and V3 is a convolution
            rows = queues.get("conv2d") or []
        if rows:
            order.append(module)
            found |= {f"{module}.{leaf}": value for leaf, value in rows.pop(0).items()}
    for kind, rows in queues.items():
        for i, row in enumerate(rows):
            order.append(f"{kind} {i} left over")
            found |= {f"{order[-1]}.{leaf}": value for leaf, value in row.items()}
    return fit(spec, found, order)


def numbered(tensors: Mapping[str, Tensor]) -> dict[str, list[dict[str, Tensor]]]:
    """class of layers -> rows of its variables by leaf, in order. Raises WeightsError."""
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    for path, value in tensors.items():
        match = NUMBERED.search(path)
        kind = match[1] if match else ""
        if match is None or kind not in VARS or int(match[3]) >= len(VARS[kind]):
            raise WeightsError(f"tensor {path!r} is of no layer that is read: {', '.join(VARS)}")
        leaf = VARS[kind][int(match[3])]
        kernel = leaf == "weight" and kind != "batch_normalization"
        turned = _turned(value, deep=kind == "depthwise_conv2d") if kernel else value
        found.setdefault(kind, {}).setdefault(int(match[2] or 0), {})[leaf] = turned
    return {kind: [rows[i] for i in sorted(rows)] for kind, rows in found.items()}


def _kinds(spec: NetSpec) -> dict[str, str]:
    """Our modules in running order, each with the Keras class that holds its variables."""
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in Network(spec).state_dict().items()}
    kinds = {}
    for module, leaves in modules(shapes).items():
        shape = shapes[f"{module}.weight"]
        if "running_mean" in leaves:
            kinds[module] = "batch_normalization"
        elif len(shape) == 2:
            kinds[module] = "dense"
        else:
            deep = shape[1] == 1 and shape[2] > 1 and shape[0] > 1
            kinds[module] = "depthwise_conv2d" if deep else "conv2d"
    return kinds
