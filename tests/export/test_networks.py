"""Exported networks answer like the float64 original: every block kind, any batch, each runtime."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import pytest
import torch

from pocketvision.export import torch_runtime
from pocketvision.export.folded import folded
from pocketvision.export.open import open_model
from pocketvision.export.parity import relative

# float32 against float64 on these networks; measured 1e-7 to 9e-7.
ROUNDING = 5e-6
NETWORKS = ("chains", "cells", "plain")


def noise(spec, n: int) -> np.ndarray:
    draw = np.random.Generator(np.random.PCG64(n))
    return draw.standard_normal((n, spec.in_channels, *spec.resolution)).astype(np.float32)


def worst(bundle, runtime, n: int) -> float:
    """Largest relative difference over heads from float64 torch."""
    x = noise(bundle.spec, n)
    exact = torch_runtime.load(bundle, threads=1, precision="f64")(x)
    got = runtime(x)
    assert list(got) == [name for name, _ in bundle.spec.heads]
    assert all(got[h].shape == exact[h].shape and got[h].dtype == np.float32 for h in got)
    return max(relative(exact[h], got[h]) for h in exact)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_onnx_file_equals_the_original_at_any_batch(bundles, made, network, runtime):
    opened = open_model(made[network, "onnx"].model, runtime=runtime, threads=1)
    assert (opened.runtime.name, opened.runtime.precision) == (runtime, "f32")
    for n in (1, 3):
        assert worst(bundles[network], opened.runtime, n) < ROUNDING


def test_openvino_file_equals_the_original_at_any_batch(bundles, made):
    runtime = open_model(made["chains", "openvino"].path, threads=1).runtime
    assert (runtime.name, runtime.precision, runtime.threads) == ("openvino", "f32", 1)
    for n in (3, 1, 3):
        assert worst(bundles["chains"], runtime, n) < ROUNDING


def test_more_batch_sizes_than_are_kept(bundles, made):
    runtime = open_model(made["plain", "onnx"].path, runtime="openvino", threads=1).runtime
    assert max(worst(bundles["plain"], runtime, n) for n in (*range(1, 11), 1)) < ROUNDING


@pytest.mark.parametrize("channels_last", [False, True])
def test_torch_runtimes_equal_float64(bundles, channels_last):
    runtime = torch_runtime.load(bundles["chains"], threads=1, channels_last=channels_last)
    assert worst(bundles["chains"], runtime, 3) < ROUNDING


def test_torch_runtime_uses_its_threads(bundles):
    for threads in (2, 1):
        torch_runtime.load(bundles["plain"], threads=threads)(noise(bundles["plain"].spec, 1))
        assert torch.get_num_threads() == threads


@pytest.mark.parametrize("network", NETWORKS)
def test_folded_equals_the_original_in_float64(bundles, network):
    bundle = bundles[network]
    net = bundle.network().double()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    x = torch.from_numpy(noise(bundle.spec, 2)).double()
    with torch.no_grad():
        want, got = net(x), folded(net)(x)
    pairs = (
        zip(want.values(), got.values(), strict=True) if isinstance(want, dict) else [(want, got)]
    )
    for a, b in pairs:
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_graph_holds_no_batch_norm_and_no_padding_node(made):
    """Folding and padding leave nothing behind, mixed convolutions and TensorFlow's rule too."""
    for network in ("chains", "plain"):
        graph = onnx.load(made[network, "onnx"].model).graph
        count = Counter(node.op_type for node in graph.node)
        assert count["BatchNormalization"] == count["Pad"] == 0
    pads = {tuple(a.ints) for node in graph.node for a in node.attribute if a.name == "pads"}
    assert (0, 0, 1, 1) in pads  # Keras' rule in the network called plain


def test_interface_of_the_graph(bundles, made):
    model = onnx.load(made["chains", "onnx"].model)
    (image,) = model.graph.input
    dims = image.type.tensor_type.shape.dim
    assert (image.name, dims[0].dim_param) == ("image", "batch")
    assert [d.dim_value for d in dims[1:]] == [3, 33, 46]
    assert [o.name for o in model.graph.output] == ["zebra", "apple"]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    used = {name for node in model.graph.node for name in node.input}
    assert {x.name for x in model.graph.initializer} <= used


def test_files_name_no_folder_of_this_machine(made):
    for artifact in made.values():
        for file in artifact.path.iterdir():
            data = file.read_bytes()
            for mark in (b"site-packages", b'.py"', b"stack_trace", b"/tmp", sys.prefix.encode()):
                assert mark not in data, (file.name, mark)


def test_importing_the_room_imports_neither_torch_nor_a_runtime():
    code = (
        "import sys; from pocketvision.export import BACKENDS; import pocketvision.export.open;"
        "heavy = ('torch', 'onnx', 'onnxruntime', 'openvino', 'safetensors');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_openvino_does_not_report_its_use(made, tmp_path):
    """Importing openvino starts a process that sends an event and leaves files in ~/intel; ours
    does neither, even where the reporting package is installed.
    """
    code = (
        "import sys; from pocketvision.export.open import open_model;"
        f"open_model({str(made['chains', 'openvino'].path)!r}, threads=1);"
        "print([m for m in sys.modules if 'telemetry' in m and 'stub' not in m"
        " and 'utils' not in m and 'params' not in m])"
    )
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=home
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []
