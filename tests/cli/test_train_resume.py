"""--resume through the command: longer runs, changes that are refused or allowed, and its words."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.main import run

TRAIN = ["--width", "0.35", "--resolution", "32", "--threads", "1", "--batch-size", "8",
         "--schedule", "constant", "--warmup-epochs", "1", "--epochs", "2"]  # fmt: skip


def photos(root: Path, names=("blue", "red"), *, each: int = 8) -> Path:
    draw = np.random.default_rng(3)
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(each):
            pixels = draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with photos and a run of two epochs of two steps."""
    folder = tmp_path_factory.mktemp("resume")
    data = photos(folder / "photos")
    assert run(["train", str(data), *TRAIN, "--output", str(folder), "--name", "run"]) == 0
    return folder


@pytest.fixture
def job(finished, tmp_path):
    """A copy of it, to go on with."""
    shutil.copytree(finished, tmp_path / "job")
    return tmp_path / "job"


@pytest.fixture
def answer(capsys):
    def call(*argv):
        code = run([str(a) for a in argv])
        got = capsys.readouterr()
        return code, got.out, got.err

    return call


def test_more_epochs_are_the_run_that_had_them_from_the_start(job, answer):
    data, folder = job / "photos", job / "run"
    first = (folder / "losses.csv").read_text()
    code, out, _ = answer("train", data, "--resume", folder, "--epochs", "3")
    assert code == 0
    assert "2 epochs become 3: to the bit the run that it would have been from the start" in out
    assert "6 steps in 3 epochs, going on at step 4" in out
    assert (folder / "losses.csv").read_text().startswith(first)
    argv = [*TRAIN[:-1], "3", "--output", job, "--name", "whole"]
    assert answer("train", data, *argv)[0] == 0
    for name in ("losses.csv", "bundle/weights.safetensors", "predictions.csv"):
        assert (folder / name).read_bytes() == (job / "whole" / name).read_bytes()
    assert json.loads((folder / "config.json").read_text())["epochs"] == 3
    code, out, _ = answer("compare", folder, job / "whole")
    assert code == 0
    assert "losses: the same to the bit in all 6 steps that both took" in out
    assert "one trace: the same run" in out
    # Said once: a run that is resumed again is as long as it is.
    code, out, _ = answer("train", data, "--resume", folder)
    assert code == 0
    assert "become" not in out


def test_fewer_epochs_are_refused(job, answer):
    code, _, err = answer("train", job / "photos", "--resume", job / "run", "--epochs", "1")
    assert code == 2
    assert "--epochs was 2, got 1: a resumed run can become longer, not shorter" in err


def test_a_changed_setting_is_refused_or_noted(job, answer):
    argv = ["train", job / "photos", "--resume", job / "run", "--epochs", "3", "--lr", "0.001"]
    code, _, err = answer(*argv)
    assert code == 2
    assert "--lr was left out in" in err
    assert "--allow-changes" in err
    code, out, _ = answer(*argv, "--allow-changes")
    assert code == 0
    assert "changed, and going on: --lr was left out, is 0.001" in out
    changes = json.loads((job / "run" / "summary.json").read_text())["changes"]
    assert [(c["step"], c["name"], c["words"]) for c in changes] == [
        (4, "--lr", "--lr was left out, is 0.001"),
        (4, "plan", "the plan changed: steps was 4, is 6"),
    ]
    code, out, _ = answer("train", job / "photos", "--resume", job / "run")
    assert code == 0
    assert "changed," not in out


def test_changed_photos_are_refused_or_noted(job, answer):
    (job / "photos" / "red" / "0.png").unlink()
    shutil.copy(job / "photos" / "blue" / "1.png", job / "photos" / "red" / "0.png")
    argv = ["train", job / "photos", "--resume", job / "run"]
    code, _, err = answer(*argv)
    assert code == 2
    assert "images changed" in err
    code, out, _ = answer(*argv, "--allow-changes")
    assert code == 0
    assert "changed, and going on: the " in out


def test_a_class_more_never_goes_on(job, answer):
    photos(job / "photos", ("green",))
    argv = ["train", job / "photos", "--resume", job / "run"]
    for more in ([], ["--allow-changes"]):
        code, _, err = answer(*argv, *more)
        assert code == 3
        assert "2 outputs, but photos has 3 classes; a run keeps its number of classes" in err
        assert "--from" in err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--width", "0.5"], "--width is kept in"),
        (["--split-seed", "3"], "--split-seed is kept in"),
        (["--model", "rexnet"], "leave --model out"),
        (["--time", "10m"], "--time was left out"),
    ],
)
def test_what_a_run_has_decided_is_not_asked_again(job, answer, flags, words):
    code, _, err = answer("train", job / "photos", "--resume", job / "run", *flags)
    assert code == 2
    assert words in err
