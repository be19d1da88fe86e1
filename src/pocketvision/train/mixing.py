"""Two images of a batch made one, with targets to match: mixup and cutmix.

Partners, share and box of a step follow from (seed, step) alone, so that a step taken again after a
resume mixes the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

Box = tuple[int, int, int, int]  # top, left, height, width in whole pixels
# Sets these numbers apart from others that a step draws from its seed.
STREAM = 1


@dataclass(frozen=True, slots=True)
class Mix:
    """How a batch of n is mixed: `partner` (n,) says which image each one is mixed with, `share`
    how much of it stays its own. With a `box` that part is the partner's, without both are blended.
    """

    partner: np.ndarray
    share: float
    box: Box | None = None


def planned(
    n: int, hw: tuple[int, int], *, mixup: float, cutmix: float, seed: int, step: int
) -> Mix | None:
    """What a step does to its n images of (h, w); None where both strengths are 0. With both over
    0, either is taken with probability 1/2.

    The share is drawn from Beta(a, a), partners by shuffling the batch. Sources: arXiv:1710.09412,
    figure 1; arXiv:1905.04899, section 3.1 and algorithm A1.
    """
    if not mixup and not cutmix:
        return None
    draw = np.random.Generator(np.random.PCG64((seed, step, STREAM)))
    boxed = bool(cutmix) and (not mixup or draw.random() < 0.5)
    strength = cutmix if boxed else mixup
    partner, share = draw.permutation(n), float(draw.beta(strength, strength))
    if not boxed:
        return Mix(partner=partner, share=share)
    box = pasted(share, (draw.random(), draw.random()), hw)
    # Where the image's edge cut the box off, less was pasted than had been drawn.
    return Mix(partner=partner, share=1 - box[2] * box[3] / math.prod(hw), box=box)


def pasted(share: float, centre: tuple[float, float], hw: tuple[int, int]) -> Box:
    """A box over 1 - `share` of an image of (h, w), about a centre in [0, 1), cut off at the edges.

    Sides are h sqrt(1 - share) and w sqrt(1 - share), rounded down to even numbers of pixels as in
    the authors' code. Source: arXiv:1905.04899, equation 2.
    """
    spans = [
        _span(int(at * side), int(side * math.sqrt(1 - share)) // 2, side)
        for at, side in zip(centre, hw, strict=True)
    ]
    (top, height), (left, width) = spans
    return top, left, height, width


def _span(middle: int, half: int, side: int) -> tuple[int, int]:
    """(begin, length) of 2 * half pixels about the middle, as far as they lie in 0..side."""
    begin, end = max(middle - half, 0), min(middle + half, side)
    return begin, end - begin


def within(mix: Mix | None, own: np.ndarray) -> tuple[np.ndarray, Mix | None]:
    """For a process that holds the rows `own` of a batch: (which images it needs, its own first and
    then their partners; how those are mixed, right for the first ones).
    """
    if mix is None or len(own) == len(mix.partner):
        return own, mix
    needed = np.concatenate([own, np.setdiff1d(mix.partner[own], own)])
    place = {image: i for i, image in enumerate(needed.tolist())}
    partner = np.arange(len(needed))
    partner[: len(own)] = [place[p] for p in mix.partner[own].tolist()]
    return needed, replace(mix, partner=partner)


def mixed_(x_nchw: Tensor, mix: Mix) -> Tensor:
    """The images mixed in place, float32 (n, c, h, w): own share * x + (1 - share) * partner's x,
    or the partner's pixels within the box.
    """
    partner = torch.from_numpy(mix.partner).to(x_nchw.device)
    if mix.box is None:
        other = x_nchw[partner]
        return x_nchw.mul_(mix.share).add_(other, alpha=1 - mix.share)
    top, left, height, width = mix.box
    part = x_nchw[:, :, top : top + height, left : left + width]
    part.copy_(part[partner])
    return x_nchw


def targets(truth_n: Tensor, mix: Mix, classes: int) -> Tensor:
    """float32 (n, k): the share for the own class, the rest for the partner's; rows sum to 1."""
    own = torch.nn.functional.one_hot(truth_n, classes).float()
    other = own[torch.from_numpy(mix.partner)]
    return own * mix.share + other * (1 - mix.share)
