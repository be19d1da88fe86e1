"""Exported folders: complete, proven, quiet, and never half-written."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from pocketvision import labels as labels_json
from pocketvision import preprocess as contract
from pocketvision.errors import (
    GateError,
    MissingRuntime,
    OutputExists,
    ParityError,
    UnknownName,
    UsageError,
)
from pocketvision.export import BACKENDS, metadata
from pocketvision.export.artifact import Check, make, proven
from pocketvision.export.open import open_model

SIDECARS = {
    "preprocess.json",
    "labels.json",
    "labels.txt",
    "golden.safetensors",
    "parity.json",
    "manifest.json",
}


@pytest.fixture
def quick(monkeypatch, bundles, made):
    """ONNX export without its seconds: the graph made before, today's metadata put in again."""
    import onnx

    graph = onnx.load(made["plain", "onnx"].model)
    del graph.metadata_props[:]

    def proto(bundle):
        copy = onnx.ModelProto()
        copy.CopyFrom(graph)
        return copy

    monkeypatch.setattr(BACKENDS["onnx"], "proto", proto)
    return bundles["plain"]


def lying(monkeypatch, key: str, text: str) -> None:
    """Make exporters embed `text` under `key`, whatever the bundle says."""
    honest = metadata.texts

    def texts(bundle, *, precision):
        return honest(bundle, precision=precision) | {metadata.PREFIX + key: text}

    for backend in BACKENDS.values():
        monkeypatch.setattr(backend, "texts", texts)


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def test_folder_is_complete_and_hashed(bundles, made):
    a = made["plain", "onnx"]
    assert {f.name for f in a.path.iterdir()} == SIDECARS | {"model.onnx"}
    manifest = json.loads((a.path / "manifest.json").read_text())
    assert manifest["files"].keys() == (SIDECARS | {"model.onnx"}) - {"manifest.json"}
    for name, expected in manifest["files"].items():
        assert hashlib.sha256((a.path / name).read_bytes()).hexdigest() == expected
    assert manifest["bundle"] == {"made_by": "a test"}
    assert a.size_bytes == (a.path / "model.onnx").stat().st_size == manifest["size_bytes"]
    assert manifest["precision"] == "f32"


def test_sidecars_say_what_the_bundle_says(bundles, made):
    bundle, path = bundles["plain"], made["plain", "onnx"].path
    assert contract.loads((path / "preprocess.json").read_text("utf-8")) == bundle.preprocess
    assert labels_json.loads((path / "labels.json").read_text("utf-8")) == bundle.labels
    assert (path / "labels.txt").read_text("utf-8").splitlines() == list(
        bundle.labels["label"].names
    )
    golden = load_file(path / "golden.safetensors")
    assert golden.keys() == bundle.golden.keys()
    assert np.array_equal(golden["input"], bundle.golden["input"].numpy())


def test_several_heads_get_a_label_list_each(made):
    path = made["chains", "openvino"].path
    assert (path / "model.bin").exists()
    assert len((path / "labels.zebra.txt").read_text("utf-8").splitlines()) == 5
    assert len((path / "labels.apple.txt").read_text("utf-8").splitlines()) == 3


def test_parity_is_recorded_with_its_host(made):
    row = json.loads((made["plain", "onnx"].path / "parity.json").read_text())
    assert (row["a"], row["b"], row["n"]) == ("torch f32", "onnxruntime f32", 3)
    assert 0 < row["max_rel"] < 5e-6 < row["tolerance_rel"] == 1e-4
    assert row["mean_abs"] <= row["max_abs"]
    assert row["top1_agreement"] == 1.0
    assert row["host"]["packages"]["onnxruntime"]


def test_embedded_weights_hash_is_the_bundle_file_s(bundle_folder, made):
    opened = open_model(made["plain", "onnx"].path, threads=1)
    file = bundle_folder / "weights.safetensors"
    assert opened.runtime.metadata.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_export_is_silent(bundles, tmp_path, capfd):
    """No print, no log line, no warning (warnings are errors in this run)."""
    make(bundles["plain"], "onnx", tmp_path / "a")
    assert capfd.readouterr() == ("", "")


def test_given_images_and_labels_are_measured_on_both(quick, photos, tmp_path):
    first = first_classes(quick, photos)
    wrong = [*first[:15], *[(k + 1) % 4 for k in first[15:]]]
    check = Check(images=[*photos[:10], *map(png, photos[10:])], labels=wrong)
    parity = make(quick, "onnx", tmp_path / "a", check=check).parity
    assert (parity.n, parity.metric_a, parity.metric_b) == (23, 0.75, 0.75)


def first_classes(bundle, photos) -> list[int]:
    from pocketvision.export import torch_runtime

    x = np.stack([contract.prepare(p, bundle.preprocess) for p in photos])
    return torch_runtime.load(bundle, threads=1)(x)["label"].argmax(1).tolist()


# ------------------------------------------------------------------------------------ over the gate


def test_wrong_mean_fails_and_names_preprocessing(quick, tmp_path, monkeypatch):
    wrong = dataclasses.replace(quick.preprocess, mean=(0.5, 0.5, 0.5))
    lying(monkeypatch, "preprocess", contract.dumps(wrong))
    with pytest.raises(ParityError) as caught:
        make(quick, "onnx", tmp_path / "a")
    message = str(caught.value)
    assert "preprocessing is at fault" in message
    assert "mean is (0.5, 0.5, 0.5) in the file and (0.485, 0.456, 0.406) in the bundle" in message
    assert (caught.value.exit_code, list(tmp_path.iterdir())) == (4, [])


def test_wrong_network_fails_and_clears_preprocessing(quick, tmp_path, monkeypatch):
    """The exporter writes another network than the bundle's (here: classes turned by one)."""
    import onnx

    honest = BACKENDS["onnx"].proto

    def proto(bundle):
        model = honest(bundle)
        gemm = next(n for n in model.graph.node if n.op_type == "Gemm")
        bias = next(x for x in model.graph.initializer if x.name == gemm.input[2])
        values = onnx.numpy_helper.to_array(bias)
        bias.CopyFrom(onnx.numpy_helper.from_array(np.roll(values, 1) + 5, bias.name))
        return model

    monkeypatch.setattr(BACKENDS["onnx"], "proto", proto)
    with pytest.raises(ParityError) as caught:
        make(quick, "onnx", tmp_path / "a")
    assert "the difference lies in the network" in str(caught.value)
    assert re.search(r"rounding alone moves the original by [\d.]+e-0[678]", str(caught.value))
    assert list(tmp_path.iterdir()) == []


def test_tolerance_is_the_caller_s(quick, tmp_path):
    with pytest.raises(GateError, match=r"allowed 1e-09.*nothing was written"):
        make(quick, "onnx", tmp_path / "a", check=Check(tolerance=1e-9))
    assert list(tmp_path.iterdir()) == []


def test_wrong_labels_fail(quick, tmp_path, monkeypatch):
    turned = {h: dataclasses.replace(x, names=x.names[::-1]) for h, x in quick.labels.items()}
    lying(monkeypatch, "labels", labels_json.dumps(turned))
    with pytest.raises(ParityError, match="labels in the file are not those of the bundle"):
        make(quick, "onnx", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_stale_golden_vectors_are_found(quick, made):
    runtime = open_model(made["plain", "onnx"].path, threads=1).runtime
    stale = {k: v + 1 if k == "output.label" else v for k, v in quick.golden.items()}
    with pytest.raises(ParityError, match=r"golden outputs of head 'label'.*stale"):
        proven(dataclasses.replace(quick, golden=stale), runtime, check=Check())
    with pytest.raises(UsageError, match="no image to compare with"):
        proven(dataclasses.replace(quick, golden={}), runtime, check=Check())
    moved = {k: v + 0.5 if k == "input" else v for k, v in quick.golden.items()}
    with pytest.raises(ParityError, match=r"golden image 0 .* is prepared differently here"):
        proven(dataclasses.replace(quick, golden=moved), runtime, check=Check())


# ---------------------------------------------------------------------------------------- precision


def test_bfloat16_is_stated_and_looser(bundles, tmp_path):
    """Where the processor has no bfloat16 the runtime says f32; the gate is passed either way."""
    a = make(bundles["plain"], "openvino", tmp_path / "a", precision="bf16")
    opened = open_model(a.path, threads=1)
    assert opened.runtime.precision in ("bf16", "f32")
    assert opened.runtime.metadata.precision == "bf16"
    row = json.loads((a.path / "parity.json").read_text())
    assert row["tolerance_rel"] == 0.1
    if opened.runtime.precision == "bf16":
        assert 1e-4 < row["max_rel"] < 0.1
    # The same file computes in float32 when told to, and then meets float32's tolerance.
    exact = open_model(a.path, threads=1, precision="f32").runtime
    assert exact.precision == "f32"
    assert proven(bundles["plain"], exact, check=Check(tolerance=1e-4)).max_rel < 5e-6


def test_half_weights_take_half_the_bytes(quick, tmp_path):
    whole = make(quick, "openvino", tmp_path / "whole")
    half = make(quick, "openvino", tmp_path / "half", precision="f16")
    sizes = [a.model.with_suffix(".bin").stat().st_size for a in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    assert whole.parity.max_rel < 5e-6 < half.parity.max_rel < 1e-2
    assert open_model(half.path, threads=1).runtime.precision == "f32"


def test_unknown_precision(quick, tmp_path):
    with pytest.raises(UsageError, match="onnxruntime offers precision f32, got 'bf16'"):
        make(quick, "onnx", tmp_path / "a", precision="bf16")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------- other errors


def test_existing_folder_stays_unless_overwritten(quick, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("keep")
    with pytest.raises(OutputExists, match="--overwrite"):
        make(quick, "onnx", tmp_path / "a")
    assert (tmp_path / "a" / "mine.txt").read_text() == "keep"
    made = make(quick, "onnx", tmp_path / "a", overwrite=True)
    assert made.model.is_file()
    assert not (tmp_path / "a" / "mine.txt").exists()
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


def test_missing_runtime_names_the_pip_line(quick, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingRuntime, match=r"pip install 'pocketvision\[openvino\]'") as caught:
        make(quick, "openvino", tmp_path / "a")
    assert (caught.value.exit_code, list(tmp_path.iterdir())) == (5, [])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingRuntime, match="pip install onnxruntime"):
        make(quick, "onnx", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_unknown_format_suggests(quick, tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'openvino'"):
        make(quick, "openvinno", tmp_path / "a")


def test_interruption_leaves_nothing(quick, tmp_path, monkeypatch):
    def interrupted(*_a, **_k):
        raise KeyboardInterrupt

    monkeypatch.setattr(BACKENDS["onnx"], "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(quick, "onnx", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
