"""Named numerics: padding rule, batch-norm epsilon and momentum, and width rule of each source.

Weights trained under one padding rule or epsilon lose accuracy under another, so a name stands for
all of them together. `torch` is the canonical one: the authors' width rule, symmetric padding,
epsilon 1e-5. Momentum is in PyTorch's sense (share of the new batch); it matters only in training.

Sources: TF-slim `nets/mobilenet*` (arg scopes), tensorflow/tpu `mnasnet/mixnet`, Keras applications
`mobilenet*.py`, torchvision `models/mobilenetv2.py` and `mobilenetv3.py`, timm's model entries.
"""

from __future__ import annotations

from typing import NamedTuple

from pocketvision.errors import SpecError, closest
from pocketvision.spec import Numerics


class Rules(NamedTuple):
    """One source's rules for one family; `width_rule` is read by the families that have several."""

    padding: str
    epsilon: float
    momentum: float
    width_rule: str


TORCH = Rules("symmetric", 1e-5, 0.1, "slim")
TF = Rules("same", 1e-3, 0.01, "slim")

NUMERICS: dict[str, dict[str, Rules]] = {
    "mobilenet_v1": {
        "torch": TORCH,
        "timm": TORCH,
        "tf": Rules("same", 1e-3, 0.0003, "slim"),
        "keras": Rules("bottom_right", 1e-3, 0.01, "keras"),
    },
    "mobilenet_v2": {
        "torch": TORCH,
        "timm": TORCH,
        "tf": Rules("same", 1e-3, 0.003, "slim"),
        "torchvision": TORCH,
        "keras": Rules("same", 1e-3, 0.001, "keras"),
    },
    "mobilenet_v3": {
        "torch": TORCH,
        "timm": TORCH._replace(width_rule="timm"),
        "tf": Rules("same", 1e-3, 0.003, "slim"),
        "torchvision": Rules("symmetric", 1e-3, 0.01, "torchvision"),
        "keras": Rules("same", 1e-3, 0.001, "keras"),
    },
    "mobilenext": {"torch": TORCH, "tf": TF},
    "rexnet": {"torch": TORCH, "timm": TORCH, "tf": TF},
    "mixnet": {"torch": TORCH, "timm": TORCH, "tf": TF},
    "mobilenet_v4": {"torch": TORCH, "timm": TORCH, "tf": TF},
    "mnasnet": {
        "torch": TORCH,
        "timm": TORCH,
        "tf": TF,
        "torchvision": Rules("symmetric", 1e-5, 0.0003, "slim"),
    },
    "efficientnet": {
        "torch": TORCH,
        "timm": TORCH,
        "tf": TF,
        "torchvision": TORCH,
        "keras": TF,
    },
    # torchvision's B5 to B7 were trained elsewhere and keep that epsilon.
    "efficientnet_large": {
        "torch": TORCH,
        "timm": TORCH,
        "tf": TF,
        "torchvision": Rules("symmetric", 1e-3, 0.01, "slim"),
        "keras": TF,
    },
    "ghostnet": {"torch": TORCH, "timm": TORCH, "tf": TF},
    "resnet": {"torch": TORCH, "timm": TORCH, "torchvision": TORCH, "tf": TF},
    "squeezenet": {"torch": TORCH, "torchvision": TORCH, "tf": TF},
    "shufflenet_v1": {"torch": TORCH, "tf": TF},
    "shufflenet_v2": {"torch": TORCH, "torchvision": TORCH, "tf": TF},
    "xception": {"torch": TORCH, "timm": TORCH, "tf": TF, "keras": TF},
    "xception41": {"torch": TORCH, "timm": Rules("symmetric", 1e-3, 0.1, "slim"), "tf": TF},
    "nasnet": {
        "torch": TORCH,
        "cadene": Rules("same", 1e-3, 0.1, "slim"),
        "tf": Rules("same", 1e-3, 0.0003, "slim"),
    },
    "darts": {"torch": TORCH, "tf": TF},
    "hbonet": {"torch": TORCH, "tf": TF},
}


def rules(family: str, name: str) -> Rules:
    """The rules called `name` for a family. Raises SpecError naming those that exist."""
    known = NUMERICS[family]
    if name not in known:
        raise SpecError(
            f"{family} has no numerics {name!r}{closest(str(name), known)} "
            f"(known for this family: {', '.join(known)})"
        )
    return known[name]


def numerics(family: str, name: str) -> Numerics:
    """What the spec keeps of `rules(family, name)`. Raises SpecError."""
    r = rules(family, name)
    return Numerics(name=name, padding=r.padding, bn_epsilon=r.epsilon, bn_momentum=r.momentum)
