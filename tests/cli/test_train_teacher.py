"""`train --teacher` through the command: a run that learns from others, resumed, and bad calls."""

import json
import shutil
import signal

import pytest

from pocketvision import bundle as bundles
from pocketvision.cli.main import run
from tests.cli.test_main_job import photos
from tests.train.sources import bundle

STUDENT = ["--width", "0.35", "--resolution", "32", "--threads", "1", "--batch-size", "16"]
NAMES = ("red", "blue")  # not the order of the folders


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos and two bundles that know their classes, one that does not."""
    folder = tmp_path_factory.mktemp("teacher")
    photos(folder / "photos")
    for name, options in {
        "one": {"labels": NAMES, "classes": 2},
        "two": {"labels": NAMES, "classes": 2, "seed": 1},
        "stranger": {"classes": 4},
    }.items():
        bundles.save(bundle(width=0.35, **options), folder / name)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def answer(capsys):
    def call(*argv):
        code = run([str(a) for a in argv])
        got = capsys.readouterr()
        return code, got.out, got.err

    return call


def test_teachers_are_shown_before_and_after(place, answer, tmp_path):
    code, out, err = answer(
        "train", place / "photos", *STUDENT, "--teacher", place / "one", "--teacher",
        place / "two", "--distill", "kd+at", "--steps", "2", "--output", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    assert (
        "learning from mobilenet_v2 (one), mobilenet_v2 (two): --distill kd+at --temperature 4.0 "
        "--distill-weight 0.9 --at-weight 1000.0\n"
    ) in out
    summary = json.loads((tmp_path / "photos" / "summary.json").read_text())
    for row in summary["teachers"]:
        shown = f"{row['accuracy']:.2%}"
        before = f"teacher mobilenet_v2 ({row['name']}): accuracy {shown} on 8 validation images"
        assert out.index(before) < out.index("epoch 1/")
        assert f"its teacher mobilenet_v2 ({row['name']}): {shown}" in out
    assert out.index("\naccuracy ") < out.index("its teacher")


def test_a_stopped_run_goes_on_without_its_teacher(place, answer, tmp_path, monkeypatch):
    """The folder holds the teacher and what was said of it; the end is that of the whole run."""
    from pocketvision.cli import train as verb
    from pocketvision.train import events

    teacher = shutil.copytree(place / "one", tmp_path / "one")
    argv = ["train", place / "photos", *STUDENT, "--teacher", teacher, "--temperature", "3"]
    argv += ["--distill", "kd+hint", "--steps", "6"]
    assert answer(*argv, "--output", tmp_path / "whole")[0] == 0
    plain = verb._Listening.__call__

    def stopping(self, event):
        plain(self, event)
        if isinstance(event, events.StepDone) and event.step == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(verb._Listening, "__call__", stopping)
        assert answer(*argv, "--output", tmp_path / "cut")[0] == 130
    shutil.rmtree(teacher)
    folder = tmp_path / "cut" / "photos"
    code, _, err = answer("train", place / "photos", "--resume", folder, "--teacher", place / "one")
    assert code == 2
    assert "leave --teacher out" in err
    code, out, err = answer("train", place / "photos", "--resume", folder)
    assert code == 0, err
    assert "going on at step 3" in out
    assert "--distill kd+hint --temperature 3.0" in out
    a, b = (tmp_path / name / "photos/bundle/weights.safetensors" for name in ("whole", "cut"))
    assert a.read_bytes() == b.read_bytes()


def test_a_changed_teacher_is_refused(place, answer, tmp_path):
    argv = ["train", place / "photos", *STUDENT, "--steps", "2", "--output", tmp_path]
    assert answer(*argv, "--teacher", place / "one")[0] == 0
    folder = tmp_path / "photos"
    shutil.rmtree(folder / "teachers" / "0")
    code, _, err = answer("train", place / "photos", "--resume", folder)
    assert (code, "no bundle at" in err) == (3, True)
    bundles.save(bundles.load(place / "two"), folder / "teachers" / "0")
    code, _, err = answer("train", place / "photos", "--resume", folder)
    assert code == 2
    assert "this run cannot be resumed, it would not be the same run: teachers differ" in err


def test_weights_to_start_from_and_a_teacher_go_together(place, answer, tmp_path):
    code, out, err = answer(
        "train", place / "photos", "--from", place / "stranger", "--teacher", place / "one",
        "--steps", "2", "--threads", "1", "--batch-size", "16", "--output", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    assert "from stranger (bundle)" in out
    assert "learning from mobilenet_v2 (one): --distill kd" in out


def test_bad_calls_are_one_line_and_leave_nothing(place, answer, tmp_path):
    teacher = ["--teacher", place / "one"]
    calls = {
        "stranger": (["--teacher", place / "stranger"], 3, "does not know 'blue', 'red'"),
        "nothing": (["--teacher", tmp_path / "none"], 3, "there is no such file"),
        "alone": (["--distill", "kd"], 2, "needs a network to learn from: add --teacher"),
        "part": ([*teacher, "--at-weight", "9"], 2, "has no part in --distill kd"),
        "kind": ([*teacher, "--distill", "at+kd"], 2, 'Choose from: "kd", "at"'),
        "grey": ([*teacher, "--in-channels", "1"], 2, "takes colour images, this run grey ones"),
        "views": ([*teacher, "--teacher-views", "1", "--mixup", "1"], 2, "shows mixed ones"),
    }
    for name, (more, code, words) in calls.items():
        argv = ["train", place / "photos", *STUDENT, *more, "--output", tmp_path / "runs"]
        got, out, err = answer(*argv)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (name, got, len(lines)) == (name, code, 1), err
        assert words in lines[0], (name, lines[0])
        assert "Traceback" not in err + out
    assert not (tmp_path / "runs").exists()
