"""Small networks that hold every block kind, their bundles, and each export made once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pocketvision.bundle import Bundle, bundle_of, save
from pocketvision.export.artifact import make
from pocketvision.labels import Labels
from pocketvision.model import build
from pocketvision.preprocess import Preprocess
from pocketvision.spec import (
    Activation,
    Bottleneck,
    Cell,
    Classifier,
    Conv,
    DoubleDepthwise,
    Edge,
    Gate,
    InvertedResidual,
    LinearBottleneck,
    MixedConv,
    NarrowDepthwise,
    NetSpec,
    Numerics,
    Sandglass,
    Separable,
    Single,
)


def depthwise(c: int, *, kernel: int = 3, stride: int = 1, act: str = "none") -> Conv:
    return Conv(c_in=c, c_out=c, kernel=kernel, stride=stride, groups=c, act=act)


def mixed(c: int, kernels: tuple[int, ...], *, stride: int = 1, act: str = "silu") -> MixedConv:
    part = c // len(kernels)
    parts = (
        Conv(c_in=part, c_out=part, kernel=k, stride=stride, groups=part, norm="none")
        for k in kernels
    )
    return MixedConv(parts=tuple(parts), act=act)


def chains() -> NetSpec:
    """Every chain kind, gate, activation and shortcut, low rank, two heads; odd and not square."""
    blocks = (
        Separable(
            depthwise=depthwise(8, stride=2, act="relu"),
            gate=Gate(channels=8, squeeze=4),
            pointwise=Conv(c_in=8, c_out=8),
        ),
        InvertedResidual(
            expand=Conv(c_in=8, c_out=24, act="hard_swish"),
            depthwise=mixed(24, (3, 5, 7)),
            gate=Gate(channels=24, squeeze=4, act="silu", gate="sigmoid"),
            project=Conv(c_in=24, c_out=8),
            shortcut=8,
        ),
        DoubleDepthwise(
            expand=Conv(c_in=8, c_out=16, act="relu6"),
            depthwise=depthwise(16, act="relu6"),
            depthwise2=depthwise(16, act="relu6"),
            project=Conv(c_in=16, c_out=12),
        ),
        Sandglass(
            depthwise=depthwise(12, act="relu6"),
            reduce=Conv(c_in=12, c_out=4),
            expand=Conv(c_in=4, c_out=12, act="relu6", rank=2),
            depthwise2=depthwise(12),
            shortcut=6,
        ),
        Bottleneck(
            reduce=Conv(c_in=12, c_out=4, act="sigmoid"),
            depthwise=depthwise(4, stride=2, act="hard_sigmoid"),
            expand=Conv(c_in=4, c_out=12),
        ),
        NarrowDepthwise(
            depthwise=depthwise(12, act="relu6"),
            expand=Conv(c_in=12, c_out=24, act="relu6", groups=2),
            project=Conv(c_in=24, c_out=12),
            depthwise2=Conv(
                c_in=12, c_out=12, kernel=3, groups=12, dilation=2, norm="none", bias=True
            ),
            shortcut=12,
        ),
        LinearBottleneck(
            expand=Conv(c_in=12, c_out=24, act="silu"),
            depthwise=depthwise(24, kernel=5),
            gate=Gate(channels=24, squeeze=4, norm="batch", gate="sigmoid"),
            activation=Activation(channels=24, act="relu6"),
            project=Conv(c_in=24, c_out=20),
            shortcut=12,
        ),
    )
    heads = (
        ("zebra", Classifier(c_in=20, classes=5)),
        ("apple", Classifier(c_in=20, classes=3, hidden=(Conv(c_in=20, c_out=16, act="relu"),))),
    )
    return NetSpec(
        name="chains",
        resolution=(33, 46),
        stem=Conv(c_in=3, c_out=8, kernel=3, stride=2, act="hard_swish"),
        blocks=blocks,
        heads=heads,
        numerics=Numerics(name="tf", padding="same", bn_epsilon=1e-3),
    )


def cells() -> NetSpec:
    """Two searched cells with every operation, on grey images of even size."""
    normal = Cell(
        c_older=8,
        c_newer=8,
        channels=4,
        nodes=(
            (Edge(source=0, op="sep_3"), Edge(source=1, op="skip")),
            (Edge(source=1, op="avg_3"), Edge(source=2, op="dil_3"), Edge(source=0, op="max_3")),
        ),
        concat=(2, 3),
    )
    reduction = Cell(
        c_older=8,
        c_newer=8,
        channels=4,
        nodes=(
            (Edge(source=0, op="sep_5", stride=2), Edge(source=1, op="max_3", stride=2)),
            (Edge(source=1, op="skip", stride=2), Edge(source=0, op="sep_7", stride=2)),
            (Edge(source=0, op="dil_5", stride=2), Edge(source=2, op="skip")),
        ),
        concat=(2, 3, 4),
    )
    return NetSpec(
        name="cells",
        resolution=(24, 32),
        stem=Conv(c_in=1, c_out=8, kernel=3, stride=2),
        blocks=(normal, reduction),
        heads=(("label", Classifier(c_in=12, classes=4)),),
    )


def plain() -> NetSpec:
    """One head, square, Keras' padding: small enough to be exported again and again."""
    return NetSpec(
        name="plain",
        resolution=(32, 32),
        stem=Conv(c_in=3, c_out=8, kernel=3, stride=2, act="relu6"),
        blocks=(
            Separable(
                depthwise=depthwise(8, stride=2, act="relu6"), pointwise=Conv(c_in=8, c_out=12)
            ),
            Single(conv=Conv(c_in=12, c_out=16, act="relu6")),
        ),
        heads=(("label", Classifier(c_in=16, classes=4)),),
        numerics=Numerics(name="keras", padding="bottom_right", bn_epsilon=1e-3),
    )


@torch.no_grad()
def shaken(spec: NetSpec):
    """A network whose every weight, bias and statistic matters: none is 0 or 1 as at the start."""
    net = build(spec, seed=3)
    draw = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            module.running_mean.copy_(torch.randn(n, generator=draw) * 0.3)
            module.running_var.copy_(torch.rand(n, generator=draw) + 0.5)
            module.weight.copy_(torch.rand(n, generator=draw) + 0.5)
            module.bias.copy_(torch.randn(n, generator=draw) * 0.3)
        elif isinstance(module, nn.Linear):
            module.weight.copy_(torch.randn(module.weight.shape, generator=draw))
            module.bias.copy_(torch.randn(module.bias.shape, generator=draw))
    return net.eval()


def images(count: int, *, size: tuple[int, int] = (60, 80)) -> list[np.ndarray]:
    """Smooth coloured pictures, each different, uint8 (h, w, 3)."""
    draw = np.random.Generator(np.random.PCG64(5))
    coarse = draw.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    step_h, step_w = size[0] // 6, size[1] // 8
    return [np.repeat(np.repeat(c, step_h, axis=0), step_w, axis=1) for c in coarse]


def bundle_for(spec: NetSpec) -> Bundle:
    labels = {
        name: Labels(names=("katze 猫", 'a "quoted" <tag>', *"cdefgh"[: head.classes - 2]))
        for name, head in spec.heads
    }
    grey = {"channels": 1, "mean": (0.45,), "std": (0.25,)} if spec.in_channels == 1 else {}
    p = Preprocess(size=spec.resolution, **grey)
    manifest = {"made_by": "a test"}
    return bundle_of(shaken(spec), p, labels, manifest=manifest, images=images(3))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small networks gain nothing from threads, and tests may run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bundles() -> dict[str, Bundle]:
    return {spec.name: bundle_for(spec) for spec in (chains(), cells(), plain())}


@pytest.fixture(scope="session")
def made(bundles, tmp_path_factory):
    """Exported folders by (network, backend); each is made once. Tests that change one copy it."""
    folder = tmp_path_factory.mktemp("exports")
    kinds = [("chains", "onnx"), ("cells", "onnx"), ("plain", "onnx"), ("chains", "openvino")]
    return {(n, b): make(bundles[n], b, folder / f"{n}-{b}") for n, b in kinds}


@pytest.fixture(scope="session")
def bundle_folder(bundles, tmp_path_factory):
    return save(bundles["plain"], tmp_path_factory.mktemp("bundle") / "plain")


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    return images(20)
