"""One row of a table of inverted residuals, as the searched networks print it."""

from __future__ import annotations

from functools import lru_cache

from pocketvision.spec import Gate, InvertedResidual, Separable
from pocketvision.zoo.convs import depthwise, pointwise


@lru_cache(maxsize=4096)  # a stage repeats its block
def inverted(
    c_in: int,
    c_out: int,
    *,
    expansion: int,
    kernel: int,
    stride: int,
    act: str,
    gate_ratio: float = 0.0,
) -> Separable | InvertedResidual:
    """The block of one row: without expansion it is a separable one.

    The gate squeezes to `gate_ratio` of the block's *input* channels and ends in a sigmoid.
    """
    wide = c_in * expansion
    squeeze = max(1, int(c_in * gate_ratio))
    gate = Gate(channels=wide, squeeze=squeeze, act=act, gate="sigmoid") if gate_ratio else None
    shortcut = c_in if stride == 1 and c_in == c_out else 0
    filtered = depthwise(wide, kernel, stride=stride, act=act)
    project = pointwise(wide, c_out)
    if expansion == 1:
        return Separable(depthwise=filtered, gate=gate, pointwise=project, shortcut=shortcut)
    return InvertedResidual(
        expand=pointwise(c_in, wide, act=act),
        depthwise=filtered,
        gate=gate,
        project=project,
        shortcut=shortcut,
    )
