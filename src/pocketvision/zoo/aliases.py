"""Names of other libraries: each is a model of this zoo with the options that it fixes.

Every name is accepted behind its library ("timm/mixnet_s"), and alone where no other model of the
zoo has it. A library's name implies that library's numerics.
"""

from __future__ import annotations

from typing import Any

Alias = tuple[str, dict[str, Any]]

V1, V2 = "mobilenet_v1", "mobilenet_v2"
LARGE, SMALL = "mobilenet_v3_large", "mobilenet_v3_small"
V4_SMALL, V4_MEDIUM = "mobilenet_v4_conv_small", "mobilenet_v4_conv_medium"
V4_LARGE = "mobilenet_v4_conv_large"

# timm 1.0, the entries of efficientnet.py, mobilenetv3.py, rexnet.py and the neighbours' files.
TIMM: dict[str, Alias] = {
    "mobilenetv1_100": (V1, {"width": 1.0, "numerics": "timm"}),
    "mobilenetv1_100h": (V1, {"width": 1.0, "head_conv": True, "numerics": "timm"}),
    "mobilenetv1_125": (V1, {"width": 1.25, "numerics": "timm"}),
    "mobilenetv2_035": (V2, {"width": 0.35, "numerics": "timm"}),
    "mobilenetv2_050": (V2, {"width": 0.5, "numerics": "timm"}),
    "mobilenetv2_075": (V2, {"width": 0.75, "numerics": "timm"}),
    "mobilenetv2_100": (V2, {"width": 1.0, "numerics": "timm"}),
    "mobilenetv2_110d": (V2, {"width": 1.1, "depth": 1.2, "fixed_ends": True, "numerics": "timm"}),
    "mobilenetv2_120d": (V2, {"width": 1.2, "depth": 1.4, "fixed_ends": True, "numerics": "timm"}),
    "mobilenetv2_140": (V2, {"width": 1.4, "numerics": "timm"}),
    "mobilenetv3_large_075": (LARGE, {"width": 0.75, "numerics": "timm"}),
    "mobilenetv3_large_100": (LARGE, {"width": 1.0, "numerics": "timm"}),
    "mobilenetv3_large_150d": (LARGE, {"width": 1.5, "depth": 1.2, "numerics": "timm"}),
    "mobilenetv3_small_050": (SMALL, {"width": 0.5, "numerics": "timm"}),
    "mobilenetv3_small_075": (SMALL, {"width": 0.75, "numerics": "timm"}),
    "mobilenetv3_small_100": (SMALL, {"width": 1.0, "numerics": "timm"}),
    "tf_mobilenetv3_large_075": (LARGE, {"width": 0.75, "numerics": "tf"}),
    "tf_mobilenetv3_large_100": (LARGE, {"width": 1.0, "numerics": "tf"}),
    "tf_mobilenetv3_large_minimal_100": (
        LARGE,
        {"width": 1.0, "minimalistic": True, "numerics": "tf"},
    ),
    "tf_mobilenetv3_small_075": (SMALL, {"width": 0.75, "numerics": "tf"}),
    "tf_mobilenetv3_small_100": (SMALL, {"width": 1.0, "numerics": "tf"}),
    "tf_mobilenetv3_small_minimal_100": (
        SMALL,
        {"width": 1.0, "minimalistic": True, "numerics": "tf"},
    ),
    "mixnet_s": ("mixnet_s", {"width": 1.0, "numerics": "timm"}),
    "mixnet_m": ("mixnet_m", {"width": 1.0, "numerics": "timm"}),
    "mixnet_l": ("mixnet_l", {"width": 1.0, "numerics": "timm"}),
    "mixnet_xl": ("mixnet_xl", {"width": 1.0, "numerics": "timm"}),
    "mixnet_xxl": ("mixnet_m", {"width": 2.4, "depth": 1.3, "numerics": "timm"}),
    "tf_mixnet_s": ("mixnet_s", {"width": 1.0, "numerics": "tf"}),
    "tf_mixnet_m": ("mixnet_m", {"width": 1.0, "numerics": "tf"}),
    "tf_mixnet_l": ("mixnet_l", {"width": 1.0, "numerics": "tf"}),
    "rexnet_100": ("rexnet", {"width": 1.0, "numerics": "timm"}),
    "rexnet_130": ("rexnet", {"width": 1.3, "numerics": "timm"}),
    "rexnet_150": ("rexnet", {"width": 1.5, "numerics": "timm"}),
    "rexnet_200": ("rexnet", {"width": 2.0, "numerics": "timm"}),
    "rexnet_300": ("rexnet", {"width": 3.0, "numerics": "timm"}),
    "rexnetr_100": ("rexnet", {"width": 1.0, "divisor": 8, "numerics": "timm"}),
    "rexnetr_130": ("rexnet", {"width": 1.3, "divisor": 8, "numerics": "timm"}),
    "rexnetr_150": ("rexnet", {"width": 1.5, "divisor": 8, "numerics": "timm"}),
    "rexnetr_200": ("rexnet", {"width": 2.0, "divisor": 8, "numerics": "timm"}),
    "rexnetr_300": ("rexnet", {"width": 3.0, "divisor": 16, "numerics": "timm"}),
    "mobilenetv4_conv_small_035": (V4_SMALL, {"width": 0.35, "numerics": "timm"}),
    "mobilenetv4_conv_small_050": (V4_SMALL, {"width": 0.5, "numerics": "timm"}),
    "mobilenetv4_conv_small": (V4_SMALL, {"width": 1.0, "numerics": "timm"}),
    "mobilenetv4_conv_medium": (V4_MEDIUM, {"width": 1.0, "numerics": "timm"}),
    "mobilenetv4_conv_large": (V4_LARGE, {"width": 1.0, "numerics": "timm"}),
    "mnasnet_050": ("mnasnet", {"width": 0.5, "numerics": "timm"}),
    "mnasnet_075": ("mnasnet", {"width": 0.75, "numerics": "timm"}),
    "mnasnet_100": ("mnasnet", {"width": 1.0, "numerics": "timm"}),
    "mnasnet_140": ("mnasnet", {"width": 1.4, "numerics": "timm"}),
    "mnasnet_small": ("mnasnet_small", {"width": 1.0, "numerics": "timm"}),
    "semnasnet_050": ("mnasnet_a1", {"width": 0.5, "numerics": "timm"}),
    "semnasnet_075": ("mnasnet_a1", {"width": 0.75, "numerics": "timm"}),
    "semnasnet_100": ("mnasnet_a1", {"width": 1.0, "numerics": "timm"}),
    "semnasnet_140": ("mnasnet_a1", {"width": 1.4, "numerics": "timm"}),
    "ghostnet_050": ("ghostnet", {"width": 0.5, "numerics": "timm"}),
    "ghostnet_100": ("ghostnet", {"width": 1.0, "numerics": "timm"}),
    "ghostnet_130": ("ghostnet", {"width": 1.3, "numerics": "timm"}),
    "legacy_xception": ("xception", {"width": 1.0, "numerics": "timm"}),
    "xception41": ("xception41", {"width": 1.0, "numerics": "timm"}),
    "resnet18": ("resnet18", {"width": 1.0, "numerics": "timm"}),
    "resnet50": ("resnet50", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b0": ("efficientnet_b0", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b1": ("efficientnet_b1", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b2": ("efficientnet_b2", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b3": ("efficientnet_b3", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b4": ("efficientnet_b4", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b5": ("efficientnet_b5", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b6": ("efficientnet_b6", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_b7": ("efficientnet_b7", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_lite0": ("efficientnet_lite0", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_lite1": ("efficientnet_lite1", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_lite2": ("efficientnet_lite2", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_lite3": ("efficientnet_lite3", {"width": 1.0, "numerics": "timm"}),
    "efficientnet_lite4": ("efficientnet_lite4", {"width": 1.0, "numerics": "timm"}),
    "tf_efficientnet_b0": ("efficientnet_b0", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_b1": ("efficientnet_b1", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_b2": ("efficientnet_b2", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_b3": ("efficientnet_b3", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_b4": ("efficientnet_b4", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_b5": ("efficientnet_b5", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_b6": ("efficientnet_b6", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_b7": ("efficientnet_b7", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_lite0": ("efficientnet_lite0", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_lite1": ("efficientnet_lite1", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_lite2": ("efficientnet_lite2", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_lite3": ("efficientnet_lite3", {"width": 1.0, "numerics": "tf"}),
    "tf_efficientnet_lite4": ("efficientnet_lite4", {"width": 1.0, "numerics": "tf"}),
}

# Width stays open where the library's own function takes it.
TORCHVISION: dict[str, Alias] = {
    "mobilenet_v2": (V2, {"numerics": "torchvision"}),
    "mobilenet_v3_large": (LARGE, {"numerics": "torchvision"}),
    "mobilenet_v3_small": (SMALL, {"numerics": "torchvision"}),
    "mnasnet0_5": ("mnasnet", {"width": 0.5, "numerics": "torchvision"}),
    "mnasnet0_75": ("mnasnet", {"width": 0.75, "numerics": "torchvision"}),
    "mnasnet1_0": ("mnasnet", {"width": 1.0, "numerics": "torchvision"}),
    "mnasnet1_3": ("mnasnet", {"width": 1.3, "numerics": "torchvision"}),
    "shufflenet_v2_x0_5": ("shufflenet_v2", {"width": 0.5, "numerics": "torchvision"}),
    "shufflenet_v2_x1_0": ("shufflenet_v2", {"width": 1.0, "numerics": "torchvision"}),
    "shufflenet_v2_x1_5": ("shufflenet_v2", {"width": 1.5, "numerics": "torchvision"}),
    "shufflenet_v2_x2_0": ("shufflenet_v2", {"width": 2.0, "numerics": "torchvision"}),
    "squeezenet1_0": ("squeezenet_1_0", {"width": 1.0, "numerics": "torchvision"}),
    "squeezenet1_1": ("squeezenet_1_1", {"width": 1.0, "numerics": "torchvision"}),
    "resnet18": ("resnet18", {"width": 1.0, "numerics": "torchvision"}),
    "resnet50": ("resnet50", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b0": ("efficientnet_b0", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b1": ("efficientnet_b1", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b2": ("efficientnet_b2", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b3": ("efficientnet_b3", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b4": ("efficientnet_b4", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b5": ("efficientnet_b5", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b6": ("efficientnet_b6", {"width": 1.0, "numerics": "torchvision"}),
    "efficientnet_b7": ("efficientnet_b7", {"width": 1.0, "numerics": "torchvision"}),
}
KERAS: dict[str, Alias] = {
    "MobileNet": (V1, {"numerics": "keras"}),
    "MobileNetV2": (V2, {"numerics": "keras"}),
    "MobileNetV3Large": (LARGE, {"numerics": "keras"}),
    "MobileNetV3Small": (SMALL, {"numerics": "keras"}),
    "Xception": ("xception", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB0": ("efficientnet_b0", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB1": ("efficientnet_b1", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB2": ("efficientnet_b2", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB3": ("efficientnet_b3", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB4": ("efficientnet_b4", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB5": ("efficientnet_b5", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB6": ("efficientnet_b6", {"width": 1.0, "numerics": "keras"}),
    "EfficientNetB7": ("efficientnet_b7", {"width": 1.0, "numerics": "keras"}),
}

# The authors' own PyTorch code and ports, under the names of their weight files.
D_LI14: dict[str, Alias] = {
    "mobilenetv2_0.1": (V2, {"width": 0.1, "divisor": 4, "numerics": "torch"}),
    "mobilenetv2_0.25": (V2, {"width": 0.25, "numerics": "torch"}),
    "mobilenetv2_0.35": (V2, {"width": 0.35, "numerics": "torch"}),
    "mobilenetv2_0.5": (V2, {"width": 0.5, "numerics": "torch"}),
    "mobilenetv2_0.75": (V2, {"width": 0.75, "numerics": "torch"}),
    "mobilenetv2_1.0": (V2, {"width": 1.0, "numerics": "torch"}),
    "mobilenetv3_large": (LARGE, {"gate_first": True, "numerics": "torch"}),
    "mobilenetv3_small": (SMALL, {"gate_first": True, "numerics": "torch"}),
    "hbonet_0.1": ("hbonet", {"width": 0.1, "numerics": "torch"}),
    "hbonet_0.25": ("hbonet", {"width": 0.25, "numerics": "torch"}),
    "hbonet_0.35": ("hbonet", {"width": 0.35, "numerics": "torch"}),
    "hbonet_0.5": ("hbonet", {"width": 0.5, "numerics": "torch"}),
    "hbonet_0.8": ("hbonet", {"width": 0.8, "numerics": "torch"}),
    "hbonet_1.0": ("hbonet", {"width": 1.0, "numerics": "torch"}),
}
ZHOUDAQUAN: dict[str, Alias] = {
    "mobilenext_0.35": ("mobilenext", {"width": 0.35, "numerics": "torch"}),
    "mobilenext_0.5": ("mobilenext", {"width": 0.5, "numerics": "torch"}),
    "mobilenext_0.75": ("mobilenext", {"width": 0.75, "numerics": "torch"}),
    "mobilenext_1.0": ("mobilenext", {"width": 1.0, "numerics": "torch"}),
    "mobilenext_1.4": ("mobilenext", {"width": 1.4, "numerics": "torch"}),
    "mobilenext_1.0_identity_1of2": (
        "mobilenext",
        {"width": 1.0, "identity": 1 / 2, "numerics": "torch"},
    ),
    "mobilenext_1.0_identity_1of3": (
        "mobilenext",
        {"width": 1.0, "identity": 1 / 3, "numerics": "torch"},
    ),
    "mobilenext_1.0_identity_1of4": (
        "mobilenext",
        {"width": 1.0, "identity": 1 / 4, "numerics": "torch"},
    ),
}
CLOVAAI: dict[str, Alias] = {
    "rexnetv1_0.9": ("rexnet", {"width": 0.9, "numerics": "torch"}),
    "rexnetv1_1.0": ("rexnet", {"width": 1.0, "numerics": "torch"}),
    "rexnetv1_1.3": ("rexnet", {"width": 1.3, "numerics": "torch"}),
    "rexnetv1_1.5": ("rexnet", {"width": 1.5, "numerics": "torch"}),
    "rexnetv1_2.0": ("rexnet", {"width": 2.0, "numerics": "torch"}),
    "rexnetv1_2.2": ("rexnet", {"width": 2.2, "numerics": "torch"}),
    "rexnetv1_3.0": ("rexnet", {"width": 3.0, "numerics": "torch"}),
    "rexnetv1_lite_1.0": ("rexnet_lite", {"width": 1.0, "numerics": "torch"}),
    "rexnetv1_lite_1.3": ("rexnet_lite", {"width": 1.3, "numerics": "torch"}),
    "rexnetv1_lite_1.5": ("rexnet_lite", {"width": 1.5, "numerics": "torch"}),
    "rexnetv1_lite_2.0": ("rexnet_lite", {"width": 2.0, "numerics": "torch"}),
}
ROMULUS0914: dict[str, Alias] = {
    "mixnet_s": ("mixnet_s", {"width": 1.0, "numerics": "torch"}),
    "mixnet_m": ("mixnet_m", {"width": 1.0, "numerics": "torch"}),
    "mixnet_l": ("mixnet_l", {"width": 1.0, "numerics": "torch"}),
}

MEGVII: dict[str, Alias] = {
    "shufflenetv1_0.5x_g3": (
        "shufflenet_v1",
        {"width": 0.5, "groups": 3, "numerics": "torch"},
    ),
    "shufflenetv1_1.0x_g3": (
        "shufflenet_v1",
        {"width": 1.0, "groups": 3, "numerics": "torch"},
    ),
    "shufflenetv1_1.5x_g3": (
        "shufflenet_v1",
        {"width": 1.5, "groups": 3, "numerics": "torch"},
    ),
    "shufflenetv1_2.0x_g3": (
        "shufflenet_v1",
        {"width": 2.0, "groups": 3, "numerics": "torch"},
    ),
    "shufflenetv1_0.5x_g8": (
        "shufflenet_v1",
        {"width": 0.5, "groups": 8, "numerics": "torch"},
    ),
    "shufflenetv1_1.0x_g8": (
        "shufflenet_v1",
        {"width": 1.0, "groups": 8, "numerics": "torch"},
    ),
    "shufflenetv1_1.5x_g8": (
        "shufflenet_v1",
        {"width": 1.5, "groups": 8, "numerics": "torch"},
    ),
    "shufflenetv1_2.0x_g8": (
        "shufflenet_v1",
        {"width": 2.0, "groups": 8, "numerics": "torch"},
    ),
}
CADENE: dict[str, Alias] = {
    "nasnetamobile": ("nasnet_mobile", {"width": 1.0, "numerics": "cadene"}),
}
QUARK0: dict[str, Alias] = {
    "imagenet_darts_v1": ("darts_v1", {"width": 1.0, "numerics": "torch"}),
    "imagenet_darts_v2": ("darts_v2", {"width": 1.0, "numerics": "torch"}),
}

LIBRARIES: dict[str, dict[str, Alias]] = {
    "timm": TIMM,
    "torchvision": TORCHVISION,
    "keras": KERAS,
    "d-li14": D_LI14,
    "zhoudaquan": ZHOUDAQUAN,
    "clovaai": CLOVAAI,
    "romulus0914": ROMULUS0914,
    "megvii": MEGVII,
    "cadene": CADENE,
    "quark0": QUARK0,
}
# torchvision shares some names with this zoo and with timm, which come first.
BARE_TORCHVISION = {n: a for n, a in TORCHVISION.items() if n not in (*TIMM, a[0])}
BEHIND_LIBRARY: dict[str, Alias] = {
    f"{library}/{name}": alias
    for library, table in LIBRARIES.items()
    for name, alias in table.items()
}
# The zoo's own names come first in every lookup, so that timm's mixnet_s stands for the same net.
ALIASES: dict[str, Alias] = {
    **QUARK0,
    **CADENE,
    **MEGVII,
    **CLOVAAI,
    **ZHOUDAQUAN,
    **D_LI14,
    **KERAS,
    **BARE_TORCHVISION,
    **TIMM,
    **BEHIND_LIBRARY,
}
