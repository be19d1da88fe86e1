"""The main job through the command: photos in, a trained, exported, measured network out."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.cli.main import run

TRAIN = ["--width", "0.35", "--resolution", "32", "--threads", "1", "--batch-size", "16"]
COLOURS = {"blue": (40, 60, 220), "red": (220, 40, 40)}


def photos(root: Path, *, each: int = 20) -> Path:
    """Two classes of noisy plain pictures: a network that learns at all tells them apart."""
    draw = np.random.Generator(np.random.PCG64(7))
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for i in range(each):
            noise = draw.integers(-30, 30, (40, 48, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A folder with photos, a finished run and its ONNX export."""
    folder = tmp_path_factory.mktemp("job")
    data = photos(folder / "photos")
    plain = ["--steps", "100", "--ema", "0", "--augment", "none"]
    argv = ["train", str(data), *TRAIN, *plain, "--output", str(folder / "runs")]
    assert run(argv) == 0
    bundle = folder / "runs" / "photos" / "bundle"
    assert run(["export", str(bundle), "--data", str(data)]) == 0
    return folder


@pytest.fixture
def answer(capsys):
    def call(*argv):
        code = run([str(a) for a in argv])
        got = capsys.readouterr()
        return code, got.out, got.err

    return call


def test_the_run_holds_what_people_look_for(job):
    names = {p.name for p in (job / "runs" / "photos").iterdir()}
    assert names >= {
        "setup.json", "config.json", "env.json", "results.csv", "summary.json", "per_class.csv",
        "confusion.csv", "predictions.csv", "bundle", "onnx", "report.html", "plots",
        "exports.json",
    }  # fmt: skip
    summary = json.loads((job / "runs" / "photos" / "summary.json").read_text())
    assert summary["accuracy"] == 1.0
    assert summary["classes"] == ["blue", "red"]
    assert summary["n"] == 8


def test_each_split_is_said_to_be_read_once(tmp_path, answer, monkeypatch):
    monkeypatch.setenv("POCKETVISION_CACHE", str(tmp_path / "cache"))
    data = photos(tmp_path / "photos")
    for name in ("fresh", "kept"):
        argv = ["train", data, *TRAIN, "--steps", "2", "--output", tmp_path / "runs"]
        code, out, err = answer(*argv, "--name", name)
        assert code == 0
        assert [(out + err).count(f"reading {split}: ") for split in ("train", "val")] == [1, 1]


def test_the_data_folder_was_not_touched(job):
    assert {p.name for p in (job / "photos").iterdir()} == {"blue", "red"}
    assert len(list((job / "photos").rglob("*.*"))) == 40


@pytest.mark.parametrize("model", ["bundle", "onnx", "onnx/model.onnx"])
def test_every_form_measures_alike(job, answer, model):
    place = job / "runs" / "photos" / model
    code, out, _ = answer("eval", place, job / "photos", "--json")
    row = json.loads(out)
    assert code == 0
    assert (row["accuracy"], row["n"]) == (1.0, 8)
    assert row["confusion"] == [[4, 0], [0, 4]]


def test_a_moved_file_still_works(job, answer, tmp_path):
    moved = shutil.copy(job / "runs" / "photos" / "onnx" / "model.onnx", tmp_path / "m.onnx")
    code, out, _ = answer("predict", moved, job / "photos" / "red" / "1.png", "--json")
    assert code == 0
    assert json.loads(out)["answers"][0]["top"][0]["label"] == "red"


def test_predict_takes_files_folders_and_patterns(job, answer, tmp_path):
    bundle, data = job / "runs" / "photos" / "bundle", job / "photos"
    target = tmp_path / "answers.csv"
    code, _, _ = answer(
        "predict", bundle, data / "blue", f"{data}/red/1*.png", data / "red" / "0.png",
        "--output", target,
    )  # fmt: skip
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert code == 0
    assert len(rows) == 20 + 11 + 1
    assert all(Path(r["path"]).parent.name == r["label1"] for r in rows)


def test_predict_names_unreadable_files_and_answers_the_rest(job, answer, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0nothing more")
    shutil.copy(job / "photos" / "red" / "0.png", tmp_path / "fine.png")
    code, out, err = answer("predict", job / "runs" / "photos" / "bundle", tmp_path, "--json")
    row = json.loads(out)
    assert code == 3
    assert [Path(b["path"]).name for b in row["bad"]] == ["broken.jpg"]
    assert row["answers"][0]["top"][0]["label"] == "red"
    assert "1 of 2 images could not be read" in err


def test_answers_that_are_not_sure_enough_are_unknown(job, answer, tmp_path):
    bundle, image = job / "runs" / "photos" / "bundle", job / "photos" / "red" / "1.png"
    kept = json.loads((bundle / "decision.json").read_text())["heads"]["label"]
    assert kept["images"] == 8
    assert kept["known_share"] == 0.95
    (grey := tmp_path / "grey").mkdir()
    Image.fromarray(np.full((40, 48, 3), 128, np.uint8)).save(grey / "g.png")
    for place in (bundle, job / "runs" / "photos" / "onnx"):
        code, out, _ = answer("predict", place, image, grey, "--threshold", "1", "--json")
        row = json.loads(out)
        assert code == 0
        assert {a["known"] for a in row["answers"]} <= {True, False}
        assert row["answers"][1]["known"] is False
        code, out, _ = answer("predict", place, image, grey, "--threshold", "0", "--json")
        assert [a["known"] for a in json.loads(out)["answers"]] == [True, True]
    code, out, _ = answer("predict", bundle, image, "--json")
    assert json.loads(out)["answers"][0]["known"] is True
    target = tmp_path / "a.csv"
    code, out, _ = answer("predict", bundle, grey, "--threshold", "1", "--output", target)
    assert "unknown" in out
    assert "perhaps" in out
    assert "unknown: 1 of 1; --threshold P decides it otherwise" in out
    (row,) = csv.DictReader(target.read_text().splitlines())
    assert row["known"] == "no"
    assert row["label1"] in COLOURS
    code, _, err = answer("predict", bundle, image, "--threshold", "2")
    assert code == 2
    assert "--threshold is a probability from 0 to 1" in err


def test_eval_says_how_far_to_trust_it(job, answer):
    bundle = job / "runs" / "photos" / "bundle"
    code, out, _ = answer("eval", bundle, job / "photos")
    assert code == 0
    assert "probabilities calibrated: calibration error" in out
    assert "answered 100.00%, 100.00% of those rightly" in out
    code, out, _ = answer("eval", job / "runs" / "photos" / "onnx", job / "photos", "--json")
    trust = json.loads(out)["trust"]
    assert trust["coverage"] == trust["accuracy_known"] == 1.0
    summary = json.loads((job / "runs" / "photos" / "summary.json").read_text())
    assert trust["temperature"] == summary["decision"]["temperature"]


def test_the_page_shows_how_far_to_trust_it(job):
    page = (job / "runs" / "photos" / "report.html").read_text()
    assert "How far to trust an answer" in page
    assert "Right answers over probability" in page
    assert "Accuracy over coverage" in page


def test_a_gate_that_fails_is_exit_4(job, answer):
    bundle = job / "runs" / "photos" / "bundle"
    assert answer("eval", bundle, job / "photos", "--at-least", "1.0")[0] == 0
    digits = job / "wrong"
    for name, other in (("blue", "red"), ("red", "blue")):
        shutil.copytree(job / "photos" / name, digits / other, dirs_exist_ok=True)
    code, _, err = answer("eval", bundle, digits, "--at-least", "0.9")
    assert code == 4
    assert "accuracy 0.00% is below --at-least 90.00%" in err


def test_bench_measures_each_runtime(job, answer):
    place = job / "runs" / "photos"
    code, out, _ = answer(
        "bench", place / "bundle", place / "onnx", "--threads", "1", "--rounds", "5", "--json",
        "--no-memory",
    )  # fmt: skip
    row = json.loads(out)
    assert code == 0
    assert [r["name"] for r in row["rows"]] == ["torch", "onnxruntime", "torch_channels_last"]
    assert all(r["median_ms"] > 0 and r["n"] == 5 for r in row["rows"])
    assert "cpu" in row["host"]
    assert json.loads((place / "bench.json").read_text())["rows"] == row["rows"]


def test_report_is_written_anew(job, answer):
    code, out, _ = answer("report", job / "runs" / "photos")
    page = (job / "runs" / "photos" / "report.html").read_text()
    assert code == 0
    assert "onnxruntime" in page
    assert out.splitlines()[0].startswith("report: file://")


# --------------------------------------------------------------------------------- interrupted


def test_interrupt_saves_and_resume_goes_on(job, tmp_path):
    argv = [sys.executable, "-m", "pocketvision", "train", str(job / "photos"), *TRAIN]
    args = ["--steps", "4000", "--output", str(tmp_path)]
    process = subprocess.Popen(
        [*argv, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    results, deadline = tmp_path / "photos" / "results.csv", time.monotonic() + 120
    while not results.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"--resume {tmp_path / 'photos'}" in out
    done = subprocess.run(
        [*argv[:5], "--resume", str(tmp_path / "photos"), "--steps", "3000"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--steps was 4000, got 3000: a resumed run can become longer, not" in done.stderr


# ------------------------------------------------------------------------------------ bad input


def bad_calls(job: Path, tmp: Path):
    """(argv, exit code, words) of calls that cannot work, each with its own trouble."""
    data, bundle = job / "photos", job / "runs" / "photos" / "bundle"
    empty, one, differ = tmp / "empty", tmp / "one", tmp / "differ"
    empty.mkdir()
    shutil.copytree(data / "red", one / "red")
    shutil.copytree(data, differ / "train")
    shutil.copytree(data / "red", differ / "val" / "red")
    shutil.copytree(data / "blue", differ / "val" / "bleu")
    cut, changed = tmp / "cut", tmp / "changed"
    shutil.copytree(bundle, cut)
    (cut / "weights.safetensors").write_bytes((bundle / "weights.safetensors").read_bytes()[:1000])
    shutil.copytree(bundle, changed)
    manifest = (changed / "manifest.json").read_text()
    (changed / "manifest.json").write_text(manifest.replace('"spec.json": "', '"spec.json": "0'))
    table = tmp / "list.csv"
    table.write_text(f"image,label,split\n{data}/red/0.png,red,train\n{data}/red/1.png,red,hold\n")
    (tmp / "file").write_text("in the way")
    train = ["--steps", "2", "--output", str(tmp / "out"), *TRAIN]
    return {
        "empty folder": (["train", empty, *train], 3, "no class folders"),
        "one class": (["train", one, *train], 3, "only one class"),
        "no data": (["train", tmp / "photo", *train], 3, "no data at"),
        "classes differ": (["train", differ, *train], 3, "val lacks 'blue'; val has 'bleu'"),
        "csv split": (["train", table, *train], 3, "hold"),
        "unknown model": (["train", data, "--model", "mobilenet"], 2, "did you mean"),
        "bad time": (["train", data, "--time", "10"], 2, "did you mean 10m?"),
        "a file in the way": (["train", data, *train[:2], "--output", tmp / "file"], 1, "cannot"),
        "cut bundle": (["eval", cut, data], 3, "weights.safetensors is not the file"),
        "wrong hash": (["export", changed], 3, "spec.json is not the file"),
        "no bundle": (["export", tmp / "nothing"], 3, "does not exist"),
        "export twice": (["export", bundle], 2, "add --overwrite"),
        "format": (["export", bundle, "--format", "onx", "--output", tmp / "x"], 2, "mean 'onnx'"),
        "runtime": (["eval", bundle, data, "--runtime", "onnxrt"], 2, "mean 'onnxruntime'"),
        "split": (["eval", bundle, data, "--split", "hold"], 2, "no split 'hold'"),
        "foreign classes": (["eval", bundle, "digits"], 3, "does not know"),
        "no image": (["predict", bundle, tmp / "none.jpg"], 3, "no image at"),
        "resume nothing": (["train", data, "--resume", tmp], 3, "cannot resume"),
        "report nothing": (["report", tmp], 3, "not the folder of a run"),
    }  # fmt: skip


def test_bad_input_is_one_line_and_leaves_nothing(job, answer, tmp_path):
    calls = bad_calls(job, tmp_path)
    before = {p.relative_to(tmp_path) for p in tmp_path.rglob("*")}
    for name, (argv, code, words) in calls.items():
        got, out, err = answer(*argv)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (name, got) == (name, code), err
        assert len(lines) == 1, (name, err)
        assert words in lines[0], (name, lines[0])
        assert "Traceback" not in err + out
    assert {p.relative_to(tmp_path) for p in tmp_path.rglob("*")} == before


def test_unreadable_images_stop_training_by_name_or_are_left_out(job, answer, tmp_path):
    data = tmp_path / "photos"
    shutil.copytree(job / "photos", data)
    (data / "red" / "bad.jpg").write_bytes(b"<html>not found</html>")
    argv = ["train", data, *TRAIN, "--steps", "3", "--output", tmp_path / "runs"]
    code, _, err = answer(*argv)
    assert code == 3
    assert "bad.jpg" in err
    assert "--skip-bad" in err
    assert not (tmp_path / "runs").exists()
    code, out, _ = answer(*argv, "--skip-bad")
    assert code == 0
    summary = json.loads((tmp_path / "runs" / "photos" / "summary.json").read_text())
    assert [Path(s["path"]).name for s in summary["skipped"]] == ["bad.jpg"]
    assert "left out: 1 unreadable" in out
    code, out, _ = answer("data", "check", data)
    assert code == 3
    assert "red/bad.jpg: " in out
