"""Sources whose modules are numbered in running order: torchvision and the authors' own code.

    torchvision       features.K..., classifier.K                    (MobileNets, EfficientNet, ...)
                      conv1, bn1, layerL.I.convJ, .bnJ, fc           (ResNet; timm's too)
                      conv1.J, stageS.I.branchB.J, conv5.J, fc       (ShuffleNetV2)
                      layers.K[.I.layers.J], classifier.1            (MnasNet)
    d-li14            features.K.conv.J, conv.J, classifier[.K]      (MobileNetV2, V3, HBONet)
    zhoudaquan        features.K.conv.J, classifier.1                (MobileNeXt)
    clovaai           features.K[.out.J], output.J                   (ReXNet, ReXNet lite)
    romulus0914       stem_conv.J, layers.K.conv.J, head_conv.J, classifier   (MixNet)
    megvii            first_conv.J, features.K.branch_main_B.J, classifier.0  (ShuffleNetV1)

Source: read off the state dictionaries of these projects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.spec import NetSpec
from pocketvision.weights.match import fit, modules, natural

SECTIONS = (
    *("first_conv", "stem_conv", "conv1", "bn1"),
    *("features", "layers", "layer1", "layer2", "layer3", "layer4", "stage2", "stage3", "stage4"),
    *("conv", "conv5", "head_conv", "output", "classifier", "fc"),
)
# Names inside a block whose alphabetical order is not the running order.
PLACES = (
    (re.compile(r"\bse_reduce\b|\bsqueeze\b"), "0"),
    (re.compile(r"\bse_expand\b|\bexpand1x1\b"), "1"),
    (re.compile(r"\bexpand3x3\b"), "2"),
    (re.compile(r"\bconv(\d)\b"), r"\1.0"),
    (re.compile(r"\bbn(\d)\b"), r"\1.1"),
    (re.compile(r"\bdownsample\b"), "9"),
)
BACKBONE = "backbone."


def to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A numbered state dictionary as weights of `spec`. Raises WeightsError."""
    return fit(spec, tensors, sorted(modules(tensors), key=_key))


def trunk_to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trunk of a torchvision detector or segmenter as stem and blocks of `spec`.

    These store their trunk under `backbone.`: as it is (LR-ASPP, DeepLabV3), or under
    `backbone.features.` in two parts, cut inside a block (SSDlite). Everything else is left out.
    Raises WeightsError.
    """
    trunk = {n.removeprefix(BACKBONE): t for n, t in tensors.items() if n.startswith(BACKBONE)}
    if not trunk:
        raise WeightsError(
            f"no tensor begins with {BACKBONE!r}: a detector or segmenter of torchvision has its "
            "trunk there; for a classifier use the plain importer"
        )
    in_parts = {n.removeprefix("features."): t for n, t in trunk.items() if n[0] == "f"}
    kept = in_parts or trunk
    return fit(spec, kept, sorted(modules(kept), key=natural), heads=False)


def _key(prefix: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    section, _, rest = prefix.partition(".")
    for pattern, place in PLACES:
        rest = pattern.sub(place, rest)
    return SECTIONS.index(section) if section in SECTIONS else 99, natural(rest)
