"""What an importer gives: a bundle, and in plain words what the file holds and what it leaves open.

A weight file rarely says everything that its numbers depend on. What it says is a fact here; what
had to be taken from its source's habits is listed as assumed, with how to say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pocketvision.bundle import Bundle, bundle_of, mismatches
from pocketvision.cost import cost
from pocketvision.errors import SpecError, UsageError, WeightsError, closest
from pocketvision.labels import Labels
from pocketvision.model import Network
from pocketvision.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from pocketvision.spec import NetSpec, layers

# How pixels become numbers, by name: (mean, std) on the 0..1 scale.
SCALINGS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "-1..1": ((0.5,) * 3, (0.5,) * 3),
    "0..1": ((0.0,) * 3, (1.0,) * 3),
    "0..255": ((0.0,) * 3, (1 / 255,) * 3),
}


MAX_SIDE_PX = 2048
MAX_PEAK_BYTES = 1 << 29
MAX_MACS = 60e9


@dataclass(frozen=True, kw_only=True)
class Found:
    """The report of one import.

    source      whose file it is ("Keras", "TFLite", "timm", ...)
    model       the zoo's name with its options, or what is known instead
    facts       name -> text: padding, epsilon, batch-norm, background, input, activations, ...
    assumed     what the file does not say, and what was taken
    left_out    parts of the file that the bundle has not
    """

    source: str
    model: str
    facts: Mapping[str, str]
    assumed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "source": self.source,
            "model": self.model,
            "facts": dict(self.facts),
            "assumed": list(self.assumed),
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A bundle with its report."""

    bundle: Bundle
    found: Found


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the person says about a file, each instead of what would be found or assumed.

    model       a name of the zoo or of a library
    scaling     a name of SCALINGS
    resolution  (h, w) of the input
    labels      names of the outputs in order
    bgr         the network was trained on blue, green, red; its first weights are turned
    """

    model: str | None = None
    scaling: str | None = None
    resolution: tuple[int, int] | None = None
    labels: tuple[str, ...] | None = None
    bgr: bool = False

    def __post_init__(self) -> None:
        if self.scaling is not None and self.scaling not in SCALINGS:
            raise UsageError(
                f"no input scaling {self.scaling!r}{closest(self.scaling, SCALINGS)} "
                f"(known: {', '.join(SCALINGS)})"
            )


def finished(
    spec: NetSpec,
    weights: Mapping[str, Tensor],
    *,
    found: Found,
    preprocess: Preprocess,
    wishes: Wishes,
    labels: tuple[str, ...] | None = None,
    quantization: Mapping[str, Any] | None = None,
) -> Imported:
    """A bundle in float32 with golden vectors, and the report completed by what the spec says.

    `labels` are those of the file; without any, outputs are numbered. Raises WeightsError.
    """
    weights = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    if wishes.bgr:
        weights["stem.conv.weight"] = weights["stem.conv.weight"].flip(1)
        turned = "turned from blue, green, red in the first weights"
        found = replace(found, facts={**found.facts, "channels": turned})
    if problems := mismatches(spec, weights):
        raise WeightsError(f"weights do not fit {spec.name}: {'; '.join(problems[:5])}")
    _check_size(spec)
    _check_finite(weights, "its weights are")
    network = Network(spec)
    network.load_state_dict(dict(weights))
    names = wishes.labels or labels
    by_head = {name: labels_of(head.classes, names) for name, head in spec.heads}
    found = replace(found, facts={**described(spec, preprocess, by_head), **found.facts})
    made = bundle_of(
        network.eval(), preprocess, by_head, manifest={"made_by": "import", **found.record()}
    )
    _check_finite(made.golden, "what the network answers is")
    return Imported(bundle=replace(made, quantization=quantization), found=found)


def _check_size(spec: NetSpec) -> None:
    """Refuse a network that would take the machine with it when it is run."""
    try:
        price = cost(spec)
    except SpecError as e:
        raise WeightsError(f"the network cannot run: {e}") from None
    if price.peak_bytes > MAX_PEAK_BYTES or price.macs > MAX_MACS:
        height, width = spec.resolution
        raise WeightsError(
            f"at {height}x{width} the network needs {price.peak_bytes / 2**30:.1f} GiB and "
            f"{price.macs / 1e9:.0f} billion MACs, more than any here: damaged, or --input-size"
        )


def _check_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(f"{what} not finite ({name}): the file is damaged")


def labels_of(classes: int, names: tuple[str, ...] | None) -> Labels:
    """Labels of a head: the given names, or numbers; a 1001st ImageNet class is background.

    A name that comes twice (ImageNet has two cranes) is told apart by its index.
    """
    background = 0 if classes == 1001 else None
    if names is None:
        first = 0 if background is None else 1
        names = tuple("background" if i < first else str(i - first) for i in range(classes))
    if len(names) == classes - 1 and background == 0:
        names = ("background", *names)
    if len(names) != classes:
        raise UsageError(f"{len(names)} labels were given for {classes} outputs")
    unique = [n if names.count(n) == 1 else f"{n} ({i})" for i, n in enumerate(names)]
    return Labels(names=tuple(unique), background=background)


def described(
    spec: NetSpec, preprocess: Preprocess, labels: Mapping[str, Labels]
) -> dict[str, str]:
    """The facts that follow from a spec and its contract, in the order in which they are shown."""
    facts = {
        "resolution": f"{spec.resolution[0]}x{spec.resolution[1]}",
        "padding": spec.numerics.padding,
        "batch-norm": _norms(spec),
        "activations": ", ".join(_activations(spec)),
        "input": scaling_text(preprocess),
        "outputs": ", ".join(f"{h.classes} ({n})" for n, h in spec.heads) or "none: a trunk",
    }
    for x in labels.values():
        named = "none" if x.background is None else f"index {x.background} of {len(x.names)}"
        facts["background class"] = named
    return facts


def _norms(spec: NetSpec) -> str:
    kept = [getattr(layer, "norm", "none") for _, layer in layers(spec)].count("batch")
    if not kept:
        return "folded into the convolutions, which have biases"
    return f"{kept} kept, epsilon {spec.numerics.bn_epsilon:g}"


def _activations(spec: NetSpec) -> list[str]:
    """Names of all activations, in the order in which they first run."""
    names = []
    for _, layer in layers(spec):
        names += [getattr(layer, "act", "none"), getattr(layer, "gate", "none")]
    return [n for n in dict.fromkeys(names) if n != "none"] or ["none"]


def scaling_text(p: Preprocess) -> str:
    """What the network is fed, in words."""
    lows = [-m / s for m, s in zip(p.mean, p.std, strict=True)]
    highs = [(1 - m) / s for m, s in zip(p.mean, p.std, strict=True)]
    order = "RGB" if p.channels == 3 else "grey"
    return f"{order}, {min(lows) + 0.0:.3g}..{max(highs):.3g}"


def scaled(p: Preprocess, wishes: Wishes) -> Preprocess:
    """The contract with the scaling that the person asked for."""
    if wishes.scaling is None:
        return p
    mean, std = SCALINGS[wishes.scaling]
    return replace(p, mean=mean[: p.channels], std=std[: p.channels])


def preprocess_for(
    size: tuple[int, int], scaling: str, wishes: Wishes, *, channels: int = 3, resize: str = "crop"
) -> Preprocess:
    """A contract of that size, scaled by the name `scaling` unless the person wishes another."""
    mean, std = SCALINGS[wishes.scaling or scaling]
    if max(size) > MAX_SIDE_PX or min(size) < 1:
        raise WeightsError(
            f"its images are {size[0]}x{size[1]}, no size that networks here are for: damaged, "
            "or --input-size"
        )
    return Preprocess(
        size=size, channels=channels, mean=mean[:channels], std=std[:channels], resize=resize
    )
