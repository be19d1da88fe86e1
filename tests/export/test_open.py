"""Opening: what was moved still works, and what was damaged is refused with what to do."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import onnx
import pytest

from pocketvision.errors import BundleError, MissingRuntime, UnknownName, UsageError
from pocketvision.export.open import RUNTIMES, open_model


@pytest.fixture
def artifact(made, tmp_path):
    """A copy of the small ONNX artifact that a test may damage."""
    return shutil.copytree(made["plain", "onnx"].path, tmp_path / "artifact")


@pytest.fixture
def pair(made, tmp_path):
    """model.xml and model.bin, moved away from their folder and renamed."""
    for suffix in (".xml", ".bin"):
        shutil.copy(made["chains", "openvino"].path / f"model{suffix}", tmp_path / f"x{suffix}")
    return tmp_path / "x.xml"


def same(opened, bundle) -> bool:
    return (opened.preprocess, dict(opened.labels)) == (bundle.preprocess, dict(bundle.labels))


def test_bundle_opens_in_torch(bundle_folder, bundles):
    opened = open_model(bundle_folder, threads=1)
    assert (opened.runtime.name, opened.spec) == ("torch", bundles["plain"].spec)
    assert same(opened, bundles["plain"])
    assert opened.size_bytes == (bundle_folder / "weights.safetensors").stat().st_size
    last = open_model(bundle_folder, runtime="torch_channels_last", threads=1)
    assert last.runtime.name == "torch_channels_last"


def test_artifact_opens_in_its_runtime(made, bundles):
    opened = open_model(str(made["chains", "openvino"].path), threads=1)
    assert opened.spec == bundles["chains"].spec
    assert opened.heads == ("zebra", "apple")
    assert same(opened, bundles["chains"])
    total = sum((opened.path / f"model.{s}").stat().st_size for s in ("xml", "bin"))
    assert opened.size_bytes == total


def test_moved_onnx_file_knows_everything(made, bundles, tmp_path):
    moved = shutil.copy(made["chains", "onnx"].model, tmp_path / "phone app.onnx")
    for runtime in (None, "openvino"):
        opened = open_model(moved, runtime=runtime, threads=1)
        assert same(opened, bundles["chains"])
        assert opened.spec is None


def test_moved_openvino_pair_knows_everything(pair, bundles):
    assert same(open_model(pair, threads=1), bundles["chains"])


def test_wrong_input_shape_is_named(artifact):
    runtime = open_model(artifact, threads=1).runtime
    with pytest.raises(UsageError, match=r"takes \(n, 3, 32, 32\), got \(1, 3, 32, 31\)"):
        runtime(np.zeros((1, 3, 32, 31), np.float32))
    with pytest.raises(UsageError, match=r"got \(0, 3, 32, 32\)"):
        runtime(np.zeros((0, 3, 32, 32), np.float32))


def test_any_layout_and_type_of_array_will_do(artifact):
    runtime = open_model(artifact, threads=1).runtime
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((2, 32, 32, 3))
    turned = runtime(x.transpose(0, 3, 1, 2))["label"]
    plain = runtime(np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32))["label"]
    assert np.array_equal(turned, plain)


# ------------------------------------------------------------------------------------------- damage


def test_truncated_onnx(artifact):
    file = artifact / "model.onnx"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(BundleError, match=r"model.onnx is not the file that was exported.*copy"):
        open_model(artifact)
    for size in (0, 100, 3000, file.stat().st_size - 1):
        file.write_bytes(file.read_bytes()[:size] if size else b"")
        with pytest.raises(BundleError, match=r"model.onnx (is damaged|does not say)"):
            open_model(file)


def test_one_changed_byte_in_any_file_is_found(artifact):
    for file in artifact.iterdir():
        if file.name == "manifest.json":
            continue
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(BundleError, match=f"{file.name} is not the file that was exported"):
            open_model(artifact)
        file.write_bytes(data)


def test_missing_file_in_folder(artifact):
    (artifact / "labels.json").unlink()
    with pytest.raises(BundleError, match=r"incomplete: labels.json is missing"):
        open_model(artifact)


def test_file_without_metadata_says_what_is_missing(artifact, tmp_path):
    model = onnx.load(artifact / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(BundleError, match=r"bare.onnx does not say how its images.*export"):
            open_model(tmp_path / "bare.onnx", runtime=runtime)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("preprocess", '{"format": 1, "size": [0, 0]}', "damaged metadata: .*size"),
        ("labels", "not json", "damaged metadata: labels are not valid JSON"),
        ("format", "7", "format '7', this version reads 1"),
    ],
)
def test_damaged_metadata(artifact, tmp_path, key, text, words):
    model = onnx.load(artifact / "model.onnx")
    next(p for p in model.metadata_props if p.key == f"pocketvision.{key}").value = text
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(BundleError, match=words):
        open_model(tmp_path / "odd.onnx")


def test_xml_without_its_bin(pair):
    pair.with_suffix(".bin").unlink()
    with pytest.raises(BundleError, match=r"x.bin must lie beside it"):
        open_model(pair)


def test_truncated_openvino(pair):
    weights, text = pair.with_suffix(".bin"), pair.read_bytes()
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BundleError, match=r"x.xml is damaged or cut short"):
        open_model(pair)
    pair.write_bytes(text[:1500])
    with pytest.raises(BundleError, match=r"x.xml is damaged or cut short"):
        open_model(pair)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "damaged"),
        ("[]", "holds no object"),
        ('{"kind": "artifact", "format": 9}', "has format 9, this version reads 1"),
        ('{"kind": "artifact", "format": 1}', "does not list its model"),
        (
            '{"kind": "artifact", "format": 1, "model": "../a", "files": {"../a": "0"}}',
            "not a plain file name",
        ),
    ],
)
def test_damaged_manifest(artifact, text, words):
    (artifact / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=words):
        open_model(artifact)


def test_damaged_spec_in_manifest(artifact):
    row = json.loads((artifact / "manifest.json").read_text())
    row["spec"]["stem"]["c_in"] = -3
    (artifact / "manifest.json").write_text(json.dumps(row))
    with pytest.raises(BundleError, match="holds a damaged spec"):
        open_model(artifact)


# ----------------------------------------------------------------------------------- wrong requests


def test_no_such_path(tmp_path):
    with pytest.raises(BundleError, match="no model at"):
        open_model(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="neither a bundle nor an exported model"):
        open_model(tmp_path)


def test_unknown_runtime_suggests(artifact):
    with pytest.raises(UnknownName, match="did you mean 'openvino'"):
        open_model(artifact, runtime="openvin")
    assert RUNTIMES == (
        "torch", "torch_channels_last", "torch_exact", "onnxruntime", "openvino", "compiled",
    )  # fmt: skip


def test_runtime_that_cannot_read_it(bundle_folder, artifact, pair, tmp_path):
    with pytest.raises(UsageError, match=r"pocketvision export .* --format onnx"):
        open_model(bundle_folder, runtime="onnxruntime")
    with pytest.raises(UsageError, match=r"cannot open .*x.xml with onnxruntime \(openvino can\)"):
        open_model(pair, runtime="onnxruntime")
    with pytest.raises(UsageError, match=r"cannot open .*model.onnx with torch"):
        open_model(artifact, runtime="torch")
    (tmp_path / "a.tflite").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"a.tflite \(known: .onnx, .xml, .so, .dylib, or"):
        open_model(tmp_path / "a.tflite")


def test_threads_and_precision_are_checked(artifact):
    with pytest.raises(UsageError, match="threads must be >= 1, got 0"):
        open_model(artifact, threads=0)
    with pytest.raises(UsageError, match="offers precision f32, got 'int3'"):
        open_model(artifact, precision="int3")


def test_missing_runtime(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingRuntime, match=r"pip install 'pocketvision\[openvino\]'"):
        open_model(pair)
