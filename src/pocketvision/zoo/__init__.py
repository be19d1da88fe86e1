"""The zoo: one family a file, and the one dictionary from a name to its function."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.spec import NetSpec
from pocketvision.zoo.darts import darts_v1, darts_v2
from pocketvision.zoo.efficientnet import (
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
    efficientnet_lite3,
    efficientnet_lite4,
)
from pocketvision.zoo.ghostnet import ghostnet
from pocketvision.zoo.hbonet import hbonet
from pocketvision.zoo.mixnet import mixnet_l, mixnet_m, mixnet_s, mixnet_xl
from pocketvision.zoo.mnasnet import mnasnet, mnasnet_a1, mnasnet_small
from pocketvision.zoo.mobilenet_v1 import mobilenet_v1
from pocketvision.zoo.mobilenet_v2 import mobilenet_v2, mobilenet_v2_extra_depthwise
from pocketvision.zoo.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from pocketvision.zoo.mobilenet_v4 import (
    mobilenet_v4_conv_large,
    mobilenet_v4_conv_medium,
    mobilenet_v4_conv_small,
)
from pocketvision.zoo.mobilenext import (
    mobilenext,
    mobilenext_a,
    mobilenext_b,
    mobilenext_c,
    mobilenext_d,
)
from pocketvision.zoo.nasnet import nasnet_mobile
from pocketvision.zoo.resnet import resnet18, resnet50
from pocketvision.zoo.rexnet import rexnet, rexnet_lite, rexnet_plain
from pocketvision.zoo.shufflenet_v1 import shufflenet_v1
from pocketvision.zoo.shufflenet_v2 import shufflenet_v2
from pocketvision.zoo.squeezenet import squeezenet_1_0, squeezenet_1_1
from pocketvision.zoo.xception import xception, xception41

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
    "mobilenet_v4_conv_small": mobilenet_v4_conv_small,
    "mobilenet_v4_conv_medium": mobilenet_v4_conv_medium,
    "mobilenet_v4_conv_large": mobilenet_v4_conv_large,
    "mnasnet": mnasnet,
    "mnasnet_a1": mnasnet_a1,
    "mnasnet_small": mnasnet_small,
    "efficientnet_b0": efficientnet_b0,
    "efficientnet_b1": efficientnet_b1,
    "efficientnet_b2": efficientnet_b2,
    "efficientnet_b3": efficientnet_b3,
    "efficientnet_b4": efficientnet_b4,
    "efficientnet_b5": efficientnet_b5,
    "efficientnet_b6": efficientnet_b6,
    "efficientnet_b7": efficientnet_b7,
    "efficientnet_lite0": efficientnet_lite0,
    "efficientnet_lite1": efficientnet_lite1,
    "efficientnet_lite2": efficientnet_lite2,
    "efficientnet_lite3": efficientnet_lite3,
    "efficientnet_lite4": efficientnet_lite4,
    "ghostnet": ghostnet,
    "hbonet": hbonet,
    "squeezenet_1_0": squeezenet_1_0,
    "squeezenet_1_1": squeezenet_1_1,
    "shufflenet_v1": shufflenet_v1,
    "shufflenet_v2": shufflenet_v2,
    "xception": xception,
    "xception41": xception41,
    "nasnet_mobile": nasnet_mobile,
    "darts_v1": darts_v1,
    "darts_v2": darts_v2,
    "resnet18": resnet18,
    "resnet50": resnet50,
}
