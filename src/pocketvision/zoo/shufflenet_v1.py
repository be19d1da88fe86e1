"""ShuffleNetV1: grouped 1x1 convolutions with a channel shuffle between them.

Source: arXiv:1707.01083, table 1, in the order of megvii's code (`ShuffleNetV1`): the shuffle
follows the depthwise, the first 1x1 of all is not grouped, and the last linear layer has no bias.
"""

from __future__ import annotations

from pocketvision.errors import SpecError
from pocketvision.spec import Classifier, Conv, NetSpec, Pool, Pooling, ShuffleUnit
from pocketvision.zoo.convs import depthwise, stem
from pocketvision.zoo.frame import Resolution, assemble, checked_width

ACT = "relu"
REPEATS = (4, 8, 4)
# Output channels of the first stage at width 1, by groups; each later stage has twice as many.
STAGE2 = {3: 240, 8: 384}
# Channels of the first layer by groups and width: the published sizes.
STEMS = {
    3: {0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48},
    8: {0.5: 16, 1.0: 24, 1.5: 24, 2.0: 48},
}
BOTTLENECK = 4  # the depthwise works on a quarter of the output's channels


def shufflenet_v1(
    *,
    width: float = 1.0,
    groups: int = 3,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.0,
) -> NetSpec:
    """ShuffleNetV1 with 3 or 8 groups, at the widths 0.5, 1, 1.5 and 2.

    Raises SpecError.
    """
    c_in = _stem(groups, checked_width(width))
    first = stem(in_channels, c_in, act=ACT)
    blocks: list[Pooling | ShuffleUnit] = [Pooling(pool=Pool(channels=c_in, kernel=3))]
    c_out = round(STAGE2[groups] * width)
    for stage, repeats in enumerate(REPEATS):
        for i in range(repeats):
            grouped = 1 if stage == i == 0 else groups
            blocks.append(_unit(c_in, c_out, stride=1 if i else 2, first=grouped, groups=groups))
            c_in = c_out
        c_out *= 2
    head = Classifier(c_in=c_in, classes=classes, dropout=dropout, bias=False)
    return assemble(
        "shufflenet_v1",
        "shufflenet_v1",
        stem=first,
        blocks=blocks,
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
        head=head,
    )


def _stem(groups: int, width: float) -> int:
    if groups not in STEMS:
        raise SpecError(f"shufflenet_v1 groups must be 3 or 8, got {groups!r}")
    if width not in STEMS[groups]:
        known = ", ".join(str(w) for w in STEMS[groups])
        raise SpecError(f"shufflenet_v1 exists at the widths {known}, got {width!r}")
    return STEMS[groups][width]


def _unit(c_in: int, c_out: int, *, stride: int, first: int, groups: int) -> ShuffleUnit:
    """One unit: at stride 2 the pooled input gives its channels and the layers give the rest."""
    narrow = c_out // BOTTLENECK
    pool = Pool(channels=c_in, kernel=3, op="mean_zeros") if stride == 2 else None
    made = c_out - c_in if pool else c_out
    return ShuffleUnit(
        reduce=Conv(c_in=c_in, c_out=narrow, groups=first, act=ACT),
        depthwise=depthwise(narrow, stride=stride),
        shuffle=narrow // groups,
        expand=Conv(c_in=narrow, c_out=made, groups=groups, act=ACT if pool else "none"),
        pool=pool,
        act=ACT,
    )
