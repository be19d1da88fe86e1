"""The zoo: one family a file, and the one dictionary from a name to its function."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.spec import NetSpec
from pocketvision.zoo.mixnet import mixnet_l, mixnet_m, mixnet_s, mixnet_xl
from pocketvision.zoo.mobilenet_v1 import mobilenet_v1
from pocketvision.zoo.mobilenet_v2 import mobilenet_v2, mobilenet_v2_extra_depthwise
from pocketvision.zoo.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from pocketvision.zoo.mobilenext import (
    mobilenext,
    mobilenext_a,
    mobilenext_b,
    mobilenext_c,
    mobilenext_d,
)
from pocketvision.zoo.rexnet import rexnet, rexnet_lite, rexnet_plain

MODELS: dict[str, Callable[..., NetSpec]] = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v2_extra_depthwise": mobilenet_v2_extra_depthwise,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
    "mobilenext": mobilenext,
    "mobilenext_a": mobilenext_a,
    "mobilenext_b": mobilenext_b,
    "mobilenext_c": mobilenext_c,
    "mobilenext_d": mobilenext_d,
    "rexnet": rexnet,
    "rexnet_lite": rexnet_lite,
    "rexnet_plain": rexnet_plain,
    "mixnet_s": mixnet_s,
    "mixnet_m": mixnet_m,
    "mixnet_l": mixnet_l,
    "mixnet_xl": mixnet_xl,
}
