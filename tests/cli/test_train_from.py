"""`train --from` through the command: a bundle, a run, files of others; and what cannot work."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pocketvision import bundle as bundles
from pocketvision.cli.main import run
from tests.cli.test_main_job import photos
from tests.train.sources import bundle
from tests.weights.files import network, saved_pth, torchvision_v2
from tests.weights.tflite_writer import small_float

FAST = ["--threads", "1", "--batch-size", "16"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Photos, a bundle, and a finished run that started from it with a frozen trunk."""
    folder = tmp_path_factory.mktemp("from")
    photos(folder / "photos")
    bundles.save(bundle(width=0.35), folder / "source")
    argv = ["train", str(folder / "photos"), "--from", str(folder / "source")]
    assert run([*argv, "--freeze", "trunk", *FAST, "--output", str(folder / "runs")]) == 0
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


def test_a_frozen_run_is_an_ordinary_run(place, answer):
    folder = place / "runs" / "photos"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["accuracy"] >= 0.9
    assert summary["start"]["name"] == "source"
    assert summary["start"]["model"] == "mobilenet_v2"
    made = bundles.load(folder / "bundle")
    assert made.manifest["start"]["sha256"] == summary["start"]["sha256"]
    assert made.labels["label"].names == ("blue", "red")
    assert bundles.load(folder / "start").decision == {}
    assert made.decision["label"].images == summary["n"]  # its own
    assert made.preprocess.crop_fraction == 0.875  # the source's, not that of a run from scratch
    page = (folder / "report.html").read_text()
    assert "Started from" in page
    assert "source (bundle)" in page
    code, out, _ = answer("eval", folder / "bundle", place / "photos", "--json")
    assert (code, json.loads(out)["accuracy"]) == (0, summary["accuracy"])


def test_what_was_taken_is_said(place, answer, tmp_path):
    code, out, _ = answer(
        "train", place / "photos", "--from", place / "source", "--freeze", "gradual",
        "--steps", "2", "--output", tmp_path, *FAST,
    )  # fmt: skip
    assert code == 0
    assert "from source (bundle): mobilenet_v2" in out
    assert "last layer 1280 x 2, new, instead of 4 classes" in out
    assert "input      32x32, RGB, -1..1, crop 0.875, bilinear" in out
    assert "--freeze gradual --steps 2 --lr 0.001" in out
    assert out.count("\nlast layer  loss") == 1
    assert "trunk over train: 32 images" in out


def test_a_run_folder_stands_for_its_bundle_and_classes_are_known(place, answer, tmp_path):
    code, out, _ = answer(
        "train", place / "photos", "--from", place / "runs" / "photos", "--freeze", "trunk",
        "--output", tmp_path, *FAST,
    )  # fmt: skip
    assert code == 0
    assert "kept: the source knows every class by name" in out


def test_flags_go_before_the_source(place, answer, tmp_path):
    code, _, _ = answer(
        "train", place / "photos", "--from", place / "source", "--freeze", "trunk", "--resolution",
        "48x64", "--in-channels", "1", "--resize", "squash", "--input-scaling", "0..1",
        "--output", tmp_path, *FAST,
    )  # fmt: skip
    assert code == 0
    p = bundles.load(tmp_path / "photos" / "bundle").preprocess
    assert (p.size, p.channels, p.resize, p.mean, p.std) == ((48, 64), 1, "squash", (0.0,), (1.0,))
    assert p.crop_fraction == 0.875


def test_bars_on_a_terminal(place, answer, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, _, err = answer(
        "train", place / "photos", "--from", place / "source", "--freeze", "gradual",
        "--steps", "2", "--output", tmp_path, *FAST,
    )  # fmt: skip
    assert code == 0
    assert err.count("last layer") == 1
    assert "from step 1: the last 1 of 5 stages train" in err


def files(folder):
    """Files of other libraries that `import` reads: {name: (path, more flags)}."""
    net = network("mobilenet_v2", width=0.35, resolution=32, classes=7)
    pth, lite = folder / "net.pth", folder / "net.tflite"
    pth.write_bytes(saved_pth(torchvision_v2(net)))
    lite.write_bytes(small_float(swish=True))
    return {"pth": (pth, []), "tflite": (lite, [])}


@pytest.mark.parametrize("kind", ["pth", "tflite"])
def test_files_of_others_serve(place, answer, tmp_path, kind):
    file, more = files(tmp_path)[kind]
    code, out, err = answer(
        "train", place / "photos", "--from", file, "--resolution", "32", "--steps", "3",
        "--output", tmp_path / "runs", *more, *FAST,
    )  # fmt: skip
    assert code == 0, err
    assert f"from {file.name} (" in out
    made = bundles.load(tmp_path / "runs" / "photos" / "bundle")
    assert made.spec.stem.norm == "batch"
    assert (made.spec.resolution, made.spec.head().classes) == ((32, 32), 2)


def test_killed_in_the_frozen_phase_it_goes_on_without_its_source(place, tmp_path):
    source = shutil.copytree(place / "source", tmp_path / "source")
    argv = [sys.executable, "-m", "pocketvision", "train", str(place / "photos")]
    args = ["--from", str(source), "--steps", "3000", "--output", str(tmp_path / "runs"), *FAST]
    process = subprocess.Popen(
        [*argv, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    results, deadline = tmp_path / "runs/photos/results.csv", time.monotonic() + 120
    while not results.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "everything is saved in" in err
    assert f"next: pocketvision train {place / 'photos'} --resume {tmp_path / 'runs/photos'}" in out
    shutil.rmtree(source)
    done = subprocess.run(
        [*argv, "--resume", str(tmp_path / "runs" / "photos"), "--from", str(place / "source")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "leave --from out" in done.stderr


def test_an_interrupted_run_ends_by_resume(place, answer, tmp_path, monkeypatch):
    """The whole way: stopped in the first phase, resumed by the command, the same bundle."""
    from pocketvision.cli import train as verb
    from pocketvision.train import events

    argv = ["train", place / "photos", "--from", place / "source", "--steps", "6", *FAST]
    assert answer(*argv, "--output", tmp_path / "whole")[0] == 0
    plain = verb._Listening.__call__

    def stopping(self, event):
        plain(self, event)
        if isinstance(event, events.Extracted) and event.split == "train":
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(verb._Listening, "__call__", stopping)
        code, out, err = answer(*argv, "--output", tmp_path / "cut")
    assert code == 130, err
    assert "stopped before the first step" in err
    code, out, err = answer("train", place / "photos", "--resume", tmp_path / "cut" / "photos")
    assert code == 0, err
    assert "from source (bundle): mobilenet_v2" in out
    a, b = (tmp_path / name / "photos/bundle/weights.safetensors" for name in ("whole", "cut"))
    assert a.read_bytes() == b.read_bytes()


def test_a_run_from_scratch_is_resumed_to_its_end(place, answer, tmp_path, monkeypatch):
    from pocketvision.cli import train as verb
    from pocketvision.train import events

    argv = ["train", place / "photos", "--width", "0.35", "--resolution", "32", "--steps", "6"]
    assert answer(*argv, *FAST, "--output", tmp_path / "whole")[0] == 0
    plain = verb._Listening.__call__

    def stopping(self, event):
        plain(self, event)
        if isinstance(event, events.StepDone) and event.step == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(verb._Listening, "__call__", stopping)
        assert answer(*argv, *FAST, "--output", tmp_path / "cut")[0] == 130
    folder = tmp_path / "cut" / "photos"
    code, out, err = answer("train", place / "photos", "--resume", folder, "--threads", "1")
    assert code == 0, err
    assert "going on at step 3" in out
    assert "next: pocketvision export" in out
    whole = tmp_path / "whole" / "photos" / "bundle" / "weights.safetensors"
    assert (folder / "bundle" / "weights.safetensors").read_bytes() == whole.read_bytes()


# ------------------------------------------------------------------------------------ bad input


def bad_calls(place: Path, tmp: Path):
    """(argv after the data, exit code, words) of calls that cannot work."""
    text, unfinished, empty = tmp / "notes.pth", tmp / "unfinished", tmp / "empty"
    text.write_text("no weights at all")
    unfinished.mkdir()
    (unfinished / "setup.json").write_text("{}")
    empty.mkdir()
    cut = shutil.copytree(place / "source", tmp / "cut")
    (cut / "weights.safetensors").write_bytes(b"short")
    source = ["--from", place / "source"]
    return {
        "no weights": (["--from", text], 3, "notes.pth"),
        "nothing": (["--from", tmp / "none.pth"], 3, "there is no such file"),
        "unfinished": (["--from", unfinished], 3, "a run without a bundle"),
        "empty": (["--from", empty], 3, "holds neither a bundle nor a TensorFlow.js model"),
        "cut": (["--from", cut], 3, "weights.safetensors is not the file that was saved"),
        "small": ([*source, "--resolution", "16"], 2, "too small"),
        "size": ([*source, "--resolution", "big"], 2, "--resolution must be 224 or HEIGHTxWIDTH"),
        "freeze alone": (["--freeze", "trunk"], 2, "needs weights to start from: add --from"),
        "freeze": ([*source, "--freeze", "trunc"], 2, 'Did you mean "trunk"?'),
        "other model": ([*source, "--model", "mobilenet_v1"], 2, "contradicts --from"),
        "typo": ([*source, "--model", "mobilenet_v2x"], 2, "did you mean 'mobilenet_v2"),
        "width": ([*source, "--width", "0.5"], 2, "--width is decided by the weights of --from"),
        "channels": ([*source, "--in-channels", "2"], 2, "--in-channels must be 1"),
        "scaling": ([*source, "--input-scaling", "imagnet"], 2, "did you mean 'imagenet'?"),
        "length": ([*source, "--freeze", "trunk", "--steps", "5"], 2, "leave --steps out"),
    }  # fmt: skip


def test_bad_input_is_one_line_and_leaves_nothing(place, answer, tmp_path):
    calls = bad_calls(place, tmp_path)
    for name, (more, code, words) in calls.items():
        argv = ["train", place / "photos", *more, "--output", tmp_path / "runs", *FAST]
        got, out, err = answer(*argv)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (name, got) == (name, code), err
        assert len(lines) == 1, (name, err)
        assert words in lines[0], (name, lines[0])
        assert "Traceback" not in err + out
    assert not (tmp_path / "runs").exists()
