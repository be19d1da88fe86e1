"""Whole networks: read, simplified and computed as ONNX Runtime computes them, and as small as
their papers draw them.

Every network of the zoo is compared where POCKETVISION_ALL is set, a few otherwise.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from pocketvision.compiler import reference
from pocketvision.compiler.graph import Activation, Conv, Depthwise, GlobalMean, Graph
from pocketvision.compiler.passes import simplify
from pocketvision.compiler.read_onnx import read_onnx
from pocketvision.export.onnx import proto
from pocketvision.model import build
from pocketvision.zoo import MODELS
from tests.compiler.conftest import distance, noise, runtime, worst

WEIGHTS = Path(os.environ.get("POCKETVISION_WEIGHTS", "")) / "onnx"
SEVEN = (
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "mobilenext",
    "rexnet", "mixnet_s",
)  # fmt: skip
FEW = (*SEVEN, "shufflenet_v2", "shufflenet_v1", "ghostnet", "hbonet", "squeezenet_1_1")
NAMES = tuple(MODELS) if "POCKETVISION_ALL" in os.environ else FEW
# Largest difference from float32 ONNX Runtime, of outputs near one; measured 2e-7 to 4e-5.
ROUNDING = 2e-4


@torch.no_grad()
def network(name: str, size: int = 64) -> tuple[nn.Module, object]:
    """A network in which every number matters, and its description.

    Its statistics are those of noise, so that numbers stay near one: with others, deep networks
    answer differently in float32 from one library to the next.
    """
    spec = MODELS[name](resolution=size, classes=8)
    net = build(spec, seed=3)
    draw = torch.Generator().manual_seed(1)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in norms:
        n = module.num_features
        module.weight.copy_(torch.rand(n, generator=draw) + 0.5)
        module.bias.copy_(torch.randn(n, generator=draw) * 0.3)
        module.momentum = 1.0
    net.train()(torch.randn(8, 3, size, size, generator=draw))
    return net.eval(), spec


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Files of this project's exporter by network; each is made once."""
    folder = tmp_path_factory.mktemp("networks")

    def path(name: str) -> Path:
        file = folder / f"{name}.onnx"
        if not file.exists():
            net, spec = network(name)
            model = proto(SimpleNamespace(spec=spec, network=lambda: net))
            file.write_bytes(model.SerializeToString())
        return file

    return path


def compared(path: Path, *, batch: int = 1, **options: object) -> Graph:
    """The simplified graph, after it and the raw one computed what ONNX Runtime does.

    Some deep networks of random weights answer differently in float32 whoever computes them
    (EfficientNet B6, B7: torch by a sixth); for those the bound is how far float32 is off itself.
    """
    graph = read_onnx(path, **options)
    simple = simplify(graph)
    feeds = noise(graph, batch=batch)
    got, want = reference.run(graph, feeds), runtime(path, feeds)
    bound = ROUNDING
    if max(distance(got[k], want[k]) for k in want) > bound:
        single = reference.run(graph, feeds, dtype=np.float32)
        bound = 8 * max(distance(single[k], got[k]) for k in got)
    assert max(distance(got[k], want[k]) for k in want) < bound
    assert worst(simple, feeds, got) < ROUNDING
    return simple


@pytest.mark.parametrize("name", NAMES)
def test_exported_network_is_computed_alike(exported, name):
    compared(exported(name))


def test_a_batch_is_one_image_after_the_other(exported):
    compared(exported("mobilenet_v3_small"), batch=3)


# Counted in the papers' tables. Conv: stem, expansions, projections, head, two a squeeze-excite;
# GlobalMean: one a squeeze-excite and one before the classifier.
COUNTS = {
    # V1, table 1: the stem, 13 separable blocks, the classifier.
    "mobilenet_v1": {"Conv": 1 + 13 + 1, "Depthwise": 13, "GlobalMean": 1},
    # V2, table 2: 17 bottlenecks, 16 with an expansion; 10 with a residual.
    "mobilenet_v2": {
        "Conv": 1 + 16 + 17 + 1 + 1, "Depthwise": 17, "GlobalMean": 1, "residual": 10,
    },
    # V3, table 1: 15 bottlenecks, one with no expansion, 8 gated; two layers behind the mean.
    "mobilenet_v3_large": {
        "Conv": 1 + 14 + 15 + 1 + 2 + 2 * 8, "Depthwise": 15, "GlobalMean": 1 + 8,
        "residual": 10, "gate": 8,
    },
    # V3, table 2: 11 bottlenecks, one with no expansion, 9 gated.
    "mobilenet_v3_small": {
        "Conv": 1 + 10 + 11 + 1 + 2 + 2 * 9, "Depthwise": 11, "GlobalMean": 1 + 9,
        "residual": 6, "gate": 9,
    },
    # MobileNeXt, table 2: 20 sandglass blocks, 2 depthwise and 2 pointwise each, of which 7 that
    # reduce their size have one depthwise less in the authors' code.
    "mobilenext": {
        "Conv": 1 + 2 * 20 + 1, "Depthwise": 33, "GlobalMean": 1, "residual": 12,
    },
    # ReXNet 1.0: 16 linear bottlenecks, the first with no expansion, 13 gated; 11 shortcuts.
    "rexnet": {
        "Conv": 1 + 15 + 16 + 1 + 1 + 2 * 13, "Depthwise": 16, "GlobalMean": 1 + 13,
        "residual": 11, "gate": 13,
    },
    # MixNet-S, figure 5: 16 blocks, the first with no expansion, 13 gated.
    "mixnet_s": {
        "Conv": 1 + 15 + 16 + 1 + 1 + 2 * 13, "Depthwise": 16, "GlobalMean": 1 + 13,
        "residual": 11, "gate": 13,
    },
}  # fmt: skip


def tally(graph: Graph) -> dict[str, int]:
    found = Counter(type(node).__name__ for node in graph.nodes)
    for field in ("residual", "gate"):
        found[field] = sum(getattr(node, field, None) is not None for node in graph.nodes)
    return {k: v for k, v in found.items() if v}


@pytest.mark.parametrize("name", SEVEN)
def test_network_is_as_small_as_its_paper_draws_it(exported, name):
    graph = simplify(read_onnx(exported(name)))
    assert tally(graph) == COUNTS[name]
    assert {type(n) for n in graph.nodes} == {Conv, Depthwise, GlobalMean}
    assert all(n.weight.dtype == n.bias.dtype == np.float32 for n in graph.nodes if type(n) is Conv)


def test_kernels_of_mixnet(exported):
    """Figure 5: the largest kernel of each mixed convolution."""
    graph = simplify(read_onnx(exported("mixnet_s")))
    kernels = [n.kernel[0] for n in graph.nodes if isinstance(n, Depthwise)]
    assert kernels == [3, 3, 3, 7, 5, 5, 5, 7, 5, 5, 7, 9, 9, 11, 9, 9]


def test_shortcuts_of_rexnet_are_narrow(exported):
    graph = simplify(read_onnx(exported("rexnet")))
    rows = [(graph.shapes[n.residual][2], len(n.weight)) for n in graph.nodes
            if isinstance(n, Conv) and n.residual is not None]  # fmt: skip
    assert all(a < b for a, b in rows)
    assert rows[0] == (27, 38)


def test_gates_of_rexnet_have_an_activation_behind_them(exported):
    graph = simplify(read_onnx(exported("rexnet")))
    acts = {n.in_act for n in graph.nodes if isinstance(n, Conv) and n.gate is not None}
    assert acts == {Activation("clip", 0.0, 6.0)}


# ------------------------------------------------------------------------- the older exporter


def scripted(net: nn.Module, path: Path, *, opset: int, norms: bool) -> Path:
    """A file of torch's TorchScript exporter; with `norms` batch-norms stay."""
    mode = torch.onnx.TrainingMode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.zeros(1, 3, 64, 64),), str(path), dynamo=False, opset_version=opset,
            input_names=["image"], output_names=["label"],
            training=mode.PRESERVE if norms else mode.EVAL,
        )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("name", "opset"),
    [("mobilenet_v3_small", 9), ("rexnet", 11), ("mixnet_s", 13), ("mnasnet_a1", 17)],
)
@pytest.mark.parametrize("norms", [False, True])
def test_torchscript_exporter(tmp_path, name, opset, norms):
    net, _ = network(name)
    path = scripted(net, tmp_path / "model.onnx", opset=opset, norms=norms)
    kinds = Counter(n.op_type for n in onnx.load(path).graph.node)
    assert (kinds["BatchNormalization"] > 0) == (norms or name == "mixnet_s")
    graph = compared(path)
    if name in COUNTS:
        assert tally(graph) == COUNTS[name]
    assert not {"Affine", "Act"} & {type(n).__name__ for n in graph.nodes}


class Shuffling(nn.Module):
    """ShuffleNetV2's unit as its first public code has it: views of five axes, chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.work = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, worked = self.stem(x).chunk(2, dim=1)
        x = torch.cat((kept, self.work(worked).relu()), dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)


def test_shuffle_of_five_axes(tmp_path):
    torch.manual_seed(0)
    path = scripted(Shuffling().eval(), tmp_path / "model.onnx", opset=12, norms=False)
    assert tally(compared(path))["Channels"] <= 3


# ------------------------------------------------------------------------------ others' files


REAL = {
    "ch_PP-OCRv2_det_infer.onnx": (
        (1, 3, 64, 96),
        {"Conv": 41, "Depthwise": 15, "Resize": 6, "Concat": 1, "ConvTranspose": 2},
    ),
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": (
        (1, 3, 48, 192),
        {"Conv": 43, "Depthwise": 11, "GlobalMean": 10, "Pool": 1, "Softmax": 1},
    ),
}


@pytest.mark.parametrize("file", REAL)
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="POCKETVISION_WEIGHTS is not set")
def test_files_of_paddleocr(file):
    shape, kinds = REAL[file]
    graph = compared(WEIGHTS / file, input_shapes={"x": shape})
    found = tally(graph)
    assert {k: found[k] for k in found if k not in ("residual", "gate")} == kinds
