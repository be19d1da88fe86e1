"""The zoo: one family a file, and the one dictionary from a name to its function."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.spec import NetSpec
from pocketvision.zoo.mobilenet_v1 import mobilenet_v1
from pocketvision.zoo.mobilenet_v2 import mobilenet_v2, mobilenet_v2_extra_depthwise
from pocketvision.zoo.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small

MODELS: dict[str, Callable[..., NetSpec]] = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v2_extra_depthwise": mobilenet_v2_extra_depthwise,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
}
