"""torchvision's detection and segmentation networks: the trunk inside them.

LR-ASPP and DeepLabV3 dilate the last stage of MobileNetV3-Large instead of striding it; SSDLite has
half its channels there, or all of them. Source: torchvision `models/segmentation/lraspp.py`,
`deeplabv3.py`, `models/detection/ssdlite.py`, `models/mobilenetv3.py` (`_mobilenet_v3_conf`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from pocketvision.spec import Conv, InvertedResidual, NetSpec
from pocketvision.weights import numbered
from pocketvision.weights.match import Mismatch
from pocketvision.weights.tables import Candidate, Fit
from pocketvision.zoo.lookup import resolve

PREFIX = "backbone."
NAMES = ("mobilenet_v3_large", "mobilenet_v3_small", "mobilenet_v2")
LAST_STRIDE = 32
DETECTOR_SIDE = 320


def is_task(tensors: Mapping[str, Tensor]) -> bool:
    """True for a state dictionary with a network inside another."""
    return any(name.startswith(PREFIX) for name in tensors)


def trunk(tensors: Mapping[str, Tensor]) -> tuple[Fit, tuple[str, ...]]:
    """(the trunk, what was left out). Raises Mismatch against the nearest."""
    detector = any(name.startswith("backbone.features.") for name in tensors)
    errors: list[Mismatch] = []
    for name, spec in _candidates(detector):
        try:
            weights = numbered.trunk_to_ours(spec, tensors)
        except Mismatch as e:
            errors.append(e)
            continue
        chosen = Candidate(library="torchvision", name=f"torchvision/{name}", spec=spec)
        rest = sorted({_part(n) for n in tensors if not _of_trunk(n)})
        return Fit(chosen=chosen, weights=weights), (f"heads: {', '.join(rest)}",) if rest else ()
    raise min(errors, key=lambda e: len(e.differences))


def _of_trunk(name: str) -> bool:
    return name.startswith(PREFIX) and not name.startswith("backbone.extra")


def _part(name: str) -> str:
    return ".".join(name.split(".")[:2]) if name.startswith(PREFIX) else name.split(".")[0]


def _candidates(detector: bool) -> Iterator[tuple[str, NetSpec]]:
    for name in NAMES:
        for reduced in (False, True) if "v3" in name else (False,):
            options = {"reduced_tail": True} if reduced else {}
            size = {"resolution": DETECTOR_SIDE} if detector else {}
            spec = replace(resolve(f"torchvision/{name}", **options, **size), heads=())
            label = f"{name}, reduced tail" if reduced else name
            yield label, spec if detector else dilated(spec)


def dilated(spec: NetSpec) -> NetSpec:
    """The last stage at stride 16: torchvision gives its strided block the dilation as well."""
    stride, blocks = spec.stem.stride, []
    for block in spec.blocks:
        stride *= block.stride
        filtered = block.depthwise if isinstance(block, InvertedResidual) else None
        if stride == LAST_STRIDE and isinstance(filtered, Conv):
            assert isinstance(block, InvertedResidual)
            block = replace(block, depthwise=replace(filtered, stride=1, dilation=2))
        blocks.append(block)
    return replace(spec, blocks=tuple(blocks))
