"""The authors' DARTS networks (quark0/darts) for ImageNet.

    stem0.J, stem1.J, cells.I.preprocess0, cells.I.preprocess1, cells.I._ops.E, classifier; inside
    op.J, or conv_1, conv_2, bn of a factorized reduction. The auxiliary head of training is left
    out.

Source: read off their state dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pocketvision.spec import NetSpec
from pocketvision.weights.match import fit, modules, natural

SECTIONS = ("stem0", "stem1", "cells", "classifier")
TRAINING_ONLY = "auxiliary_head."
LAYERS = ("preprocess0", "preprocess1", "_ops")
REDUCTION = ("conv_1", "conv_2", "bn")


def to_ours(spec: NetSpec, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A DARTS state dictionary as weights of `spec`. Raises WeightsError."""
    kept = {n: t for n, t in tensors.items() if not n.startswith(TRAINING_ONLY)}
    return fit(spec, kept, sorted(modules(kept), key=_key))


def _key(prefix: str) -> tuple[object, ...]:
    section, _, rest = prefix.partition(".")
    place = SECTIONS.index(section) if section in SECTIONS else 99
    if section != "cells":
        return place, natural(rest)
    cell, _, tail = rest.partition(".")
    layer, _, inner = tail.partition(".")
    rank = LAYERS.index(layer) if layer in LAYERS else 99
    order = [str(REDUCTION.index(n)) if n in REDUCTION else n for n in inner.split(".")]
    return place, natural(cell), rank, natural(".".join(order))
