"""Sources whose modules are numbered in running order: torchvision and the authors' own code.

    torchvision       features.K..., classifier.K
    d-li14            features.K.conv.J, conv.J, classifier[.K]      (MobileNetV2, V3)
    zhoudaquan        features.K.conv.J, classifier.1                (MobileNeXt)
    clovaai           features.K[.out.J], output.J                   (ReXNet, ReXNet lite)
    romulus0914       stem_conv.J, layers.K.conv.J, head_conv.J, classifier   (MixNet)

Source: read off the state dictionaries of these projects.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pocketvision.spec import NetSpec
from pocketvision.weights.match import fit, modules, natural

SECTIONS = ("stem_conv", "features", "layers", "conv", "head_conv", "output", "classifier")


def to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A numbered state dictionary as weights of `spec`. Raises WeightsError."""
    return fit(spec, tensors, sorted(modules(tensors), key=_key))


def _key(prefix: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    section, _, rest = prefix.partition(".")
    # romulus0914 names the two of a gate, whose alphabetical order is not the running order.
    rest = rest.replace("se_reduce", "0").replace("se_expand", "1")
    return SECTIONS.index(section) if section in SECTIONS else 99, natural(rest)
