"""`pocketvision forecast` on photos: from scratch and from weights; what it says and refuses."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pocketvision import bundle as bundles
from pocketvision.cli.main import run
from tests.cli.test_main_job import TRAIN, photos
from tests.train.sources import bundle

SHADES = {"amber": (60, 0, 0), "brown": (0, 60, 0), "coral": (0, 0, 60)}


def shades(root):
    """Three colours that overlap; corals are few to train on, not to judge by."""
    draw = np.random.Generator(np.random.PCG64(3))
    for split, count in (("train", 40), ("val", 40)):
        for name, more in SHADES.items():
            (root / split / name).mkdir(parents=True)
            for i in range(5 if (split, name) == ("train", "coral") else count):
                colour = np.add(more, draw.normal(90, 15, 3))
                pixels = np.clip(draw.normal(colour, 20, (40, 40, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run from weights on a frozen trunk, one from scratch, and their data."""
    folder = tmp_path_factory.mktemp("forecast")
    shades(folder / "shades")
    photos(folder / "photos")
    bundles.save(bundle(width=0.35), folder / "source")
    runs = ["--threads", "1", "--output", str(folder / "runs")]
    source = ["--from", str(folder / "source"), "--freeze", "trunk"]
    assert run(["train", str(folder / "shades"), *source, *runs]) == 0
    plain = ["--steps", "20", "--augment", "none"]
    assert run(["train", str(folder / "photos"), *TRAIN, *plain, *runs[2:]]) == 0
    return folder


@pytest.fixture
def answer(capsys):
    def call(*argv):
        code = run([str(a) for a in argv])
        got = capsys.readouterr()
        return code, got.out, got.err

    return call


def test_a_run_from_weights_is_judged_on_its_source(place, answer):
    model = place / "runs" / "shades"
    code, out, err = answer("forecast", model, "--data", place / "shades", "--more", 50, "--json")
    assert code == 0, err
    row = json.loads(out)
    assert row["trunk_saw_the_images"] is False
    assert "last layer on the trunk that the run started from (mobilenet_v2)" in err
    assert "the trunk was trained on all of these images" not in err
    assert [p[0] for p in row["points"]] == [11, 22, 43, 85]
    assert row["points"][-1][2] == 1
    assert row["more"] == 50
    assert {c["name"]: c["images"] for c in row["classes"]} == {
        "amber": 40,
        "brown": 40,
        "coral": 5,
    }
    assert row["classes"][0]["name"] == "coral"
    assert "next: pocketvision train" in err
    # The bundle inside the run is the same run.
    code, out, _ = answer(
        "forecast", model / "bundle", "--data", place / "shades", "--more", 50, "--json"
    )
    assert json.loads(out) == row


def test_a_trunk_that_saw_the_images_is_said(place, answer, tmp_path):
    moved = shutil.copytree(place / "runs" / "photos" / "bundle", tmp_path / "bundle")
    for model in (place / "runs" / "photos", moved):
        code, out, _ = answer("forecast", model, "--data", place / "photos")
        assert code == 0
        assert "the trunk was trained on all of these images" in out
        assert "error(n) = " in out
        assert "16 more: its recall" in out or "20 more: its recall" in out
    assert ("would help most" in out) or ("no class stands out" in out)


def test_what_it_does_not_take_is_said(place, answer, tmp_path):
    data = ("--data", place / "photos")
    made = place / "runs" / "photos" / "bundle"
    code, _, err = answer("forecast", made, *data, "--more", 0)
    assert code == 2
    assert "--more must be 1 or more, got 0" in err
    code, _, err = answer("forecast", made, "--data", place / "shades")
    assert code == 3
    assert "'amber'" in err
    (tmp_path / "f.onnx").write_bytes(b"x")
    code, _, err = answer("forecast", tmp_path / "f.onnx", *data)
    assert code == 2
    assert "forecast takes a bundle or a run" in err
    few = tmp_path / "few"
    for name in ("blue", "red"):
        (few / name).mkdir(parents=True)
        for i in range(3):
            shutil.copy(place / "photos" / name / f"{i}.png", few / name)
    code, _, err = answer("forecast", made, "--data", few)
    assert code == 2
    assert "needs at least 8 for 2 classes" in err
