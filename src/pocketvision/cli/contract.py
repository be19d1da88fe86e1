"""The preprocessing of a run: its source's, or that of a network from scratch, with its flags."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pocketvision.cli.origin import Origin
from pocketvision.cli.setup import Setup
from pocketvision.spec import NetSpec

if TYPE_CHECKING:
    from pocketvision.preprocess import Preprocess


def contract(setup: Setup, start: Origin | None) -> Preprocess:
    """The source's contract, or that of a network from scratch, with what the flags say."""
    from pocketvision.train.source import scaled_to

    made = start.start.preprocess if start else _from_scratch(setup.spec)
    given: dict[str, Any] = {"resize": setup.resize, "crop_fraction": setup.crop_fraction}
    if setup.input_scaling is not None:
        mean, std = scaled_to(setup.input_scaling, made.channels)
        given |= {"mean": mean, "std": std}
    return replace(made, **{k: v for k, v in given.items() if v is not None})


def _from_scratch(spec: NetSpec) -> Preprocess:
    from pocketvision.preprocess import GREY_MEAN, GREY_STD, Preprocess

    made = Preprocess(size=spec.resolution, crop_fraction=1.0)
    if spec.in_channels == 3:
        return made
    return replace(made, channels=spec.in_channels, mean=GREY_MEAN, std=GREY_STD)
