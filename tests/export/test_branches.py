"""Networks with branches, pools and unpadded layers answer the same after export."""

from __future__ import annotations

import pytest

from pocketvision.export.artifact import make
from pocketvision.export.open import open_model
from pocketvision.spec import (
    Activation,
    Cell,
    Classifier,
    Conv,
    Edge,
    Fire,
    FusedInverted,
    Gate,
    GhostBottleneck,
    HarmoniousBottleneck,
    MapClassifier,
    NetSpec,
    Numerics,
    Pool,
    Pooling,
    PreActivated,
    Residual,
    SeparableResidual,
    ShuffleUnit,
    SplitUnit,
    UniversalInverted,
)

from .conftest import bundle_for, depthwise
from .test_networks import ROUNDING, worst


def conv(c_in: int, c_out: int, kernel: int = 1, **more) -> Conv:
    return Conv(c_in=c_in, c_out=c_out, kernel=kernel, **more)


def bare(c: int) -> Conv:
    return conv(c, c, 3, groups=c, norm="bare")


def branches(padding: str) -> NetSpec:
    """Every branching kind and pool at 20 channels; from 46x33 by odd sizes to 3x2."""
    stem = conv(3, 20, 7, stride=2, norm="none", act="relu", padded=False)
    blocks = (
        Pooling(pool=Pool(channels=20, kernel=3, padded=False)),
        Fire(
            squeeze=conv(20, 4, norm="none", act="relu"),
            expand1=conv(4, 8, norm="none", act="relu"),
            expand3=conv(4, 12, 3, norm="none", act="relu"),
        ),
        ShuffleUnit(
            reduce=conv(20, 8, groups=2, act="relu"),
            depthwise=depthwise(8),
            shuffle=4,
            expand=conv(8, 20, groups=2),
        ),
        SplitUnit(expand=conv(10, 10, act="relu"), depthwise=depthwise(10), project=conv(10, 10)),
        HarmoniousBottleneck(
            contract=depthwise(20, kernel=5, stride=2),
            expand=conv(20, 24, act="relu6"),
            depthwise=depthwise(24, act="relu6"),
            project=conv(24, 10),
            spread=depthwise(10, kernel=5),
            kept=10,
        ),
        GhostBottleneck(
            primary1=conv(20, 12, act="relu"),
            cheap1=depthwise(12, act="relu"),
            gate=Gate(channels=24, squeeze=4),
            primary2=conv(24, 10),
            cheap2=depthwise(10),
        ),
        ShuffleUnit(
            reduce=conv(20, 8, act="relu"),
            depthwise=depthwise(8, stride=2),
            shuffle=4,
            expand=conv(8, 12, groups=2, act="relu"),
            pool=Pool(channels=20, kernel=3, op="mean_zeros"),
        ),
        SeparableResidual(
            depthwise1=bare(32),
            pointwise1=conv(32, 20),
            depthwise2=bare(20),
            pointwise2=conv(20, 20),
            pool=Pool(channels=20, kernel=3),
            shortcut=conv(32, 20, stride=2),
        ),
        Residual(conv1=conv(20, 8, act="relu"), conv2=conv(8, 8, 3, act="relu"), conv3=conv(8, 20)),
        UniversalInverted(depthwise_first=depthwise(20), expand=conv(20, 24), project=conv(24, 20),
                          shortcut=20),
        FusedInverted(expand=conv(20, 24, 3, act="relu"), project=conv(24, 20)),
        PreActivated(activation=Activation(channels=20, act="relu"), conv=conv(20, 20)),
    )  # fmt: skip
    cell = Cell(
        c_older=20,
        c_newer=20,
        channels=4,
        nodes=((Edge(source=0, op="sep_3", stride=2), Edge(source=1, op="avg_3", stride=2)),
               (Edge(source=1, op="max_3", stride=2), Edge(source=2, op="skip"))),
        concat=(2, 3),
        squeeze_older=False,
        inputs=(-1, -1),
    )  # fmt: skip
    heads = (
        ("label", MapClassifier(c_in=8, classes=4)),
        ("other", Classifier(c_in=8, classes=3)),
    )
    return NetSpec(
        name=f"branches_{padding}",
        resolution=(97, 72),
        stem=stem,
        blocks=(*blocks, cell),
        heads=heads,
        numerics=Numerics(name="t", padding=padding, bn_epsilon=1e-3),
    )


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_branches_equal_the_original_in_every_runtime(padding, tmp_path):
    bundle = bundle_for(branches(padding))
    model = make(bundle, "onnx", tmp_path / "onnx").model
    for runtime in ("onnxruntime", "openvino"):
        for n in (1, 3):
            opened = open_model(model, runtime=runtime, threads=1)
            assert worst(bundle, opened.runtime, n) < ROUNDING
