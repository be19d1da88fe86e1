"""Where a network spends its MACs and its parameters, by kind of operation.

Source: the table of MobileNetV1's paper (arXiv:1704.04861, table 2), which counts weights only: no
batch-norm, and there no bias either.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.cost import OPERATIONS, Cost

NAMES = {
    "1x1": "convolution 1x1",
    "depthwise": "convolution depthwise",
    "grouped": "convolution grouped",
    "dense": "convolution dense",
    "fully_connected": "fully connected",
}


@dataclass(frozen=True, slots=True)
class Share:
    """One kind of operation: amounts, and percent of the whole network."""

    name: str
    macs: int
    macs_percent: float
    params: int
    params_percent: float


def distribution(total: Cost) -> tuple[Share, ...]:
    """Shares by kind of operation, in the order of `cost.OPERATIONS`, absent kinds left out.

    Parameters are the weights alone: kernels, without biases and batch-norm.
    """
    macs = total.by_operation("macs")
    weights = dict.fromkeys(OPERATIONS, 0)
    for row in total.rows:
        # Each weight of a convolution is used once for every pixel of the map it makes.
        weights[row.operation] += row.macs // (row.out[1] * row.out[2])
    all_macs, all_weights = max(1, sum(macs.values())), max(1, sum(weights.values()))
    return tuple(
        Share(
            name=NAMES[kind],
            macs=macs[kind],
            macs_percent=100 * macs[kind] / all_macs,
            params=weights[kind],
            params_percent=100 * weights[kind] / all_weights,
        )
        for kind in OPERATIONS
        if macs[kind]
    )
