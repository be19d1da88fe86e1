"""The decision goes wherever the model goes: into the file, beside it, and into every answer."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision import bundle as bundle_room
from pocketvision.decision import Decision, dumps
from pocketvision.errors import BundleError, ParityError
from pocketvision.export import compile as compiling
from pocketvision.export import metadata
from pocketvision.export.artifact import make
from pocketvision.export.open import open_model
from pocketvision.preprocess import prepare
from pocketvision.tasks.decide import decided, scores
from tests.compiler.native import CC
from tests.export.conftest import images

MADE = Decision(
    temperature=2.5,
    score="energy",
    threshold=1.25,
    known_share=0.95,
    images=77,
    figures={"ece": {"before": 0.1, "after": 0.03}},
)


@pytest.fixture(scope="module")
def bundle(bundles):
    """The plain bundle with a threshold that half of the images pass."""
    network, p = bundles["plain"].network(), bundles["plain"].preprocess
    x = torch.from_numpy(np.stack([prepare(i, p) for i in images(12)]))
    logits = bundle_room.outputs(network, x)["output.label"].numpy()
    middle = np.sort(scores(logits, MADE, hidden=()))[5:7].mean()
    rule = replace(MADE, threshold=float(middle))
    return replace(bundles["plain"], decision={"label": rule})


@pytest.fixture(scope="module")
def folder(bundle, tmp_path_factory):
    return bundle_room.save(bundle, tmp_path_factory.mktemp("decided") / "bundle")


def answers(place):
    opened = open_model(place, threads=1)
    x = np.stack([prepare(i, opened.preprocess) for i in images(12)])
    logits = opened.runtime(x)["label"]
    paths = [f"{i}" for i in range(len(x))]
    return decided(
        logits, paths, labels=opened.labels["label"], decision=opened.decision.get("label")
    )


def same(place, other):
    ours, theirs = answers(place), answers(other)
    assert [p.known for p in ours] == [p.known for p in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert [n for n, _ in a.top] == [n for n, _ in b.top]
        assert [v for _, v in a.top] == pytest.approx([v for _, v in b.top], abs=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_exports_answer_like_the_bundle(bundle, folder, tmp_path, backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
    made = make(bundle, backend, tmp_path / backend)
    assert (made.path / "decision.json").read_bytes() == (folder / "decision.json").read_bytes()
    assert "decision.json" in json.loads((made.path / "manifest.json").read_text())["files"]
    assert {p.known for p in answers(folder)} == {True, False}
    same(made.path, folder)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in made.path.glob("model.*"):
        shutil.copy(file, moved)
    same(moved / made.model.name, folder)
    (made.path / "decision.json").write_text("{}")
    with pytest.raises(BundleError, match=r"decision\.json is not the file that was exported"):
        open_model(made.path)


def test_what_was_exported_before_opens_as_before(made):
    opened = open_model(made["plain", "onnx"].path, threads=1)
    assert opened.decision == {}
    assert not (made["plain", "onnx"].path / "decision.json").exists()


def test_a_file_that_would_decide_otherwise_is_not_made(bundle, tmp_path, monkeypatch):
    honest = metadata.texts

    def texts(*args, **kwargs):
        other = dumps({"label": replace(MADE, threshold=0.0)})
        return honest(*args, **kwargs) | {"pocketvision.decision": other}

    monkeypatch.setattr("pocketvision.export.onnx.texts", texts)
    with pytest.raises(ParityError, match="the decision in the file is not that of the bundle"):
        make(bundle, "onnx", tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_damaged_one_inside_a_file_is_said(bundle):
    texts = metadata.texts(bundle, precision="f32")
    with pytest.raises(BundleError, match=r"m\.onnx has damaged metadata: .*decision"):
        metadata.parsed(texts | {"pocketvision.decision": "{}"}, file="m.onnx")


@pytest.mark.skipif(CC is None, reason="needs a C compiler")
def test_compiled_folders_answer_like_the_bundle(bundle, folder, tmp_path):
    made = compiling.make(folder, tmp_path / "c")
    assert (made.path / "decision.json").read_bytes() == (folder / "decision.json").read_bytes()
    same(made.path, folder)
    # From an exported file alone: the same again.
    exported = make(bundle, "onnx", tmp_path / "onnx")
    again = compiling.make(exported.model, tmp_path / "c2")
    assert (again.path / "decision.json").read_bytes() == (folder / "decision.json").read_bytes()
