"""`pocketvision recalibrate-bn`: a spoiled bundle brought back, and what it does not take."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from pocketvision import bundle as bundles
from pocketvision.cli.main import run
from tests.cli.test_main_job import TRAIN, photos
from tests.train.sources import folded_bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos, a finished run, and its bundle with means that are far off."""
    folder = tmp_path_factory.mktemp("norms")
    photos(folder / "photos")
    plain = ["--steps", "60", "--ema", "0", "--augment", "none", "--output", str(folder / "runs")]
    assert run(["train", str(folder / "photos"), *TRAIN, *plain]) == 0
    made = bundles.load(folder / "runs" / "photos" / "bundle")
    off = {k: v + 2 * ("running_mean" in k) for k, v in made.weights.items()}
    spoiled = replace(made, weights={k: v.to(made.weights[k].dtype) for k, v in off.items()})
    spoiled = replace(spoiled, golden=bundles.golden(spoiled, spoiled.golden_images))
    bundles.save(spoiled, folder / "spoiled")
    return folder


@pytest.fixture
def answer(capsys):
    def call(*argv):
        code = run([str(a) for a in argv])
        got = capsys.readouterr()
        return code, got.out, got.err

    return call


def test_a_spoiled_bundle_is_brought_back(place, answer, tmp_path):
    new = tmp_path / "new"
    code, out, err = answer(
        "recalibrate-bn", place / "spoiled", "--data", place / "photos", "--output", new,
        "--batch", 16, "--json",
    )  # fmt: skip
    assert code == 0, err
    row = json.loads(out)
    assert row["before"]["accuracy"] == 0.5  # one class is always answered
    assert row["after"]["accuracy"] == 1.0
    assert row["images"] == 32
    assert "accuracy on 8 validation images: 50.00% before, 100.00% after" in err
    assert "next: pocketvision export" in err
    old, made = bundles.load(place / "spoiled"), bundles.load(new)
    assert made.manifest["made_by"] == "recalibrate-bn"
    assert made.manifest["measured"]["accuracy"] == 1.0
    assert made.manifest["start"]["name"] == "spoiled"
    assert (made.labels, made.preprocess, made.spec) == (old.labels, old.preprocess, old.spec)
    kept = [k for k in made.weights if "running" not in k and "tracked" not in k]
    assert all(torch.equal(made.weights[k], old.weights[k]) for k in kept)
    fresh = bundles.outputs(made.network(), made.golden["input"])["output.label"]
    torch.testing.assert_close(fresh, made.golden["output.label"])
    assert torch.equal(made.golden["image.0"], old.golden["image.0"])
    assert made.decision["label"].images == 8
    code, out, _ = answer("eval", new, place / "photos", "--json")
    assert json.loads(out)["accuracy"] == 1.0


def test_a_run_stands_for_its_bundle_and_its_split(place, answer, tmp_path):
    code, out, err = answer(
        "recalibrate-bn", place / "runs" / "photos", "--data", place / "photos", "--output",
        tmp_path / "new", "--images", 10, "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["images"] == 8  # every fourth of 32
    assert bundles.load(tmp_path / "new").manifest["start"]["name"] == "photos"


def test_what_it_does_not_take_is_said(place, answer, tmp_path):
    data = ("--data", place / "photos", "--output", tmp_path / "new")
    bundle = place / "runs" / "photos" / "bundle"
    folded = bundles.save(
        folded_bundle(width=0.35, classes=2, labels=("blue", "red")), tmp_path / "f"
    )
    assert run(["export", str(bundle), "--output", str(tmp_path / "onnx")]) == 0
    for model, words in (
        (folded, "mobilenet_v2 has no batch-norm to recalibrate: its norms were folded"),
        (tmp_path / "onnx", "is an exported model: give the bundle that it was made from"),
        (tmp_path / "onnx" / "model.onnx", "takes a bundle or a run, and"),
        (tmp_path / "nothing", "nothing"),
    ):
        code, _, err = answer("recalibrate-bn", model, *data)
        assert code in (2, 3), err
        assert words in err
        assert len(err.strip().splitlines()) == 1
    code, _, err = answer("recalibrate-bn", bundle, *data, "--batch", 1)
    assert code == 2
    assert "must be 2 or more" in err
    (tmp_path / "new").mkdir()
    code, _, err = answer("recalibrate-bn", bundle, *data)
    assert code == 2
    assert "exists already" in err
    shutil.copytree(place / "photos" / "red", tmp_path / "other" / "green")
    shutil.copytree(place / "photos" / "red", tmp_path / "other" / "red")
    code, _, err = answer(
        "recalibrate-bn", bundle, "--data", tmp_path / "other", "--output", tmp_path / "n2"
    )
    assert code == 3
    assert "'green', which the model does not know" in err


def test_a_network_that_saw_the_validation_images_keeps_its_decision(place, answer, tmp_path):
    """As after cross-validation, whose last run is on all images."""
    series = shutil.copytree(place / "runs" / "photos", tmp_path / "series")
    setup = json.loads((series / "setup.json").read_text())
    (series / "setup.json").write_text(json.dumps(setup | {"folds": 3}))
    code, out, err = answer(
        "recalibrate-bn", series, "--data", place / "photos", "--output", tmp_path / "new"
    )
    assert code == 0, err
    assert "3-fold cross-validation" in out
    assert "calibration and threshold stay" in out
    assert bundles.load(tmp_path / "new").decision == bundles.load(series / "bundle").decision
