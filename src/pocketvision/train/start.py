"""Where a run starts from, when not from scratch: a trained network brought to new classes.

What fits the source is taken (trunk, hidden layers of the head, numerics, preprocessing); what
cannot fit is new: the last layer, unless the source knows every class by name. Nothing is trained
here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pocketvision.bundle import Bundle
from pocketvision.errors import SpecError, UsageError
from pocketvision.model import Network, build
from pocketvision.preprocess import Preprocess
from pocketvision.spec import AnyHead, Classifier, NetSpec

HEAD = "label"
DROPOUT = 0.2  # of a new head where the source has none to copy: MobileNetV2's own
LEAST_PX = 32  # below this the last map of five halvings has no whole pixel


@dataclass(frozen=True, kw_only=True)
class Start:
    """First values of a run.

    spec        the network to train: the source's trunk with a head for the new classes
    weights     tensors of `spec` by address that the source gives; the others are new
    preprocess  the source's contract at the network's size
    rows        for each new class its row in the source's last layer; None: the layer is new
    source      what the bundle's manifest says it started from
    """

    spec: NetSpec
    weights: Mapping[str, Tensor]
    preprocess: Preprocess
    rows: tuple[int, ...] | None = None
    source: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """sha256 of the tensors that were taken, by name."""
        total = hashlib.sha256()
        for name, value in sorted(self.weights.items()):
            total.update(f"{name} {tuple(value.shape)}".encode())
            total.update(value.detach().contiguous().numpy().tobytes())
        return total.hexdigest()

    def network(self, *, seed: int = 0, drop_path: float = 0.0) -> Network:
        """The network with these values; new ones are drawn from `seed`, a new last layer is 0."""
        made = build(self.spec, seed=seed, drop_path=drop_path)
        if isinstance(self.spec.head(), Classifier):
            # Zero: nothing is answered yet, and no random direction has to be unlearned.
            torch.nn.init.zeros_(last_layer(made).weight)
        made.load_state_dict({**made.state_dict(), **self.weights})
        return made


def last_layer(network: Network) -> torch.nn.Linear | torch.nn.Conv2d:
    """The layer that gives a number a class, of a network with one head."""
    (head,) = network.heads.values()
    layer = head.classifier
    assert isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    return layer


def started(
    bundle: Bundle,
    classes: Sequence[str],
    *,
    resolution: tuple[int, int] | None = None,
    in_channels: int | None = None,
    source: Mapping[str, Any] | None = None,
) -> Start:
    """The bundle's network for other `classes`, perhaps at another (h, w) and for other channels.

    Raises UsageError for a network with several heads, SpecError for a size that is too small.
    """
    if len(bundle.spec.heads) > 1:
        names = ", ".join(name for name, _ in bundle.spec.heads)
        raise UsageError(f"training starts from a network with one head, this one has {names}")
    size = _size(resolution or bundle.spec.resolution)
    rows = rows_of(bundle, classes)
    name, head = new_head(bundle.spec, len(classes))
    spec = replace(bundle.spec, resolution=size, heads=((name, head),))
    weights = _taken(bundle, name, rows)
    preprocess = replace(bundle.preprocess, size=size)
    if in_channels not in (None, spec.in_channels):
        preprocess, grey = contract_for(preprocess, in_channels or 0)
        spec, weights = with_channels(spec, weights, in_channels or 0, change=grey)
    return Start(
        spec=spec, weights=weights, preprocess=preprocess, rows=rows, source=dict(source or {})
    )


def _size(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) < LEAST_PX:
        raise SpecError(
            f"--resolution {size[0]}x{size[1]} is too small: the network halves the image five "
            f"times; give at least {LEAST_PX}"
        )
    return size


# ------------------------------------------------------------------------------------------- head


def new_head(spec: NetSpec, classes: int) -> tuple[str, AnyHead]:
    """(name, head) for so many classes: the source's own with its hidden layers; of a trunk a mean
    over space and one linear layer.
    """
    if not spec.heads:
        c_out = spec.blocks[-1].c_out if spec.blocks else spec.stem.c_out
        return HEAD, Classifier(c_in=c_out, classes=classes, dropout=DROPOUT)
    name, head = spec.heads[0]
    # Files for inference hold no dropout.
    return name, replace(head, classes=classes, dropout=head.dropout or DROPOUT)


def rows_of(bundle: Bundle, classes: Sequence[str]) -> tuple[int, ...] | None:
    """Rows of the source's last layer that answer `classes`, by name; None unless it has them all.

    A few rows beside new ones would be of another scale, so that it is all or nothing.
    """
    if not bundle.spec.heads:
        return None
    labels = bundle.labels[bundle.spec.heads[0][0]]
    places = {n: i for i, n in enumerate(labels.names) if i not in labels.hidden}
    if any(name not in places for name in classes):
        return None
    return tuple(places[name] for name in classes)


def _taken(bundle: Bundle, head: str, rows: tuple[int, ...] | None) -> dict[str, Tensor]:
    """The source's tensors without its last layer, or with the rows of it that are kept."""
    last = f"heads.{head}.classifier."
    taken = {k: v for k, v in bundle.weights.items() if not k.startswith(last)}
    if rows is not None:
        kept = {k: v for k, v in bundle.weights.items() if k.startswith(last)}
        taken |= {k: v[list(rows)].clone() for k, v in kept.items()}
    return taken


# ------------------------------------------------------------------------------------------- stem


@dataclass(frozen=True, slots=True)
class Change:
    """How new channels x' stand to old ones: channel c of the source is scale[c] x' + shift[c]."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]


def contract_for(p: Preprocess, channels: int) -> tuple[Preprocess, Change | None]:
    """The contract for grey (1) or colour (3) pictures, and how its numbers stand to the source's.

    Mean and deviation of one channel are the means over the source's. Raises UsageError.
    """
    if channels not in (1, 3):
        raise UsageError(f"--in-channels must be 1 (grey) or 3 (colour), got {channels}")
    if channels > p.channels:
        return replace(p, channels=3, mean=p.mean * 3, std=p.std * 3), None
    mean, std = sum(p.mean) / p.channels, sum(p.std) / p.channels
    change = Change(
        scale=tuple(std / s for s in p.std),
        shift=tuple((mean - m) / s for m, s in zip(p.mean, p.std, strict=True)),
    )
    return replace(p, channels=1, mean=(mean,), std=(std,)), change


def with_channels(
    spec: NetSpec, weights: Mapping[str, Tensor], channels: int, *, change: Change | None = None
) -> tuple[NetSpec, dict[str, Tensor]]:
    """The network for pictures of other channels: (spec, weights) with another stem.

    To one channel: kernels are summed over the old channels, so that a grey picture answers as the
    same picture in colour (R = G = B) did. To n channels: kernels come in turn, times old / n, so
    that n equal channels answer as before where n is a multiple of the old count.

    `change` says how a grey picture's numbers stand to the source's. Where mean and deviation
    differ between the source's channels, the kernels are scaled before they are summed and what is
    left over moves to the bias or to the norm's mean: exact but for the outermost pixels, whose
    padding is 0 in both scales and so not the same grey.
    """
    old, key = spec.in_channels, "stem.conv.weight"
    made = dict(weights)
    if channels == 1:
        change = change or Change((1.0,) * old, (0.0,) * old)
        kernel = weights[key].double()
        scale, shift = (torch.tensor(v, dtype=torch.float64) for v in (change.scale, change.shift))
        made[key] = (kernel * scale[:, None, None]).sum(1, keepdim=True).float()
        _move_(made, (kernel * shift[:, None, None]).sum((1, 2, 3)).float())
    else:
        turn = [i % old for i in range(channels)]
        made[key] = weights[key][:, turn] * (old / channels)
    return replace(spec, stem=replace(spec.stem, c_in=channels)), made


def _move_(weights: dict[str, Tensor], constant: Tensor) -> None:
    """Add a constant (c_out,) to what the stem's convolution gives."""
    if "stem.conv.bias" in weights:
        weights["stem.conv.bias"] = weights["stem.conv.bias"] + constant
    elif "stem.norm.running_mean" in weights:
        weights["stem.norm.running_mean"] = weights["stem.norm.running_mean"] - constant
