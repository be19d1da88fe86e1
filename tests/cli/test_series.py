"""--folds, --seeds and --group-by through the command: what is kept, resumed, and said."""

import csv
import json
import shutil
import signal

import numpy as np
import pytest

from pocketvision import bundle as bundles
from pocketvision.cli.main import run
from pocketvision.cli.series import check_alone, shared_time, spread
from pocketvision.cli.training import Progress
from pocketvision.data.read import read
from pocketvision.errors import UsageError
from pocketvision.tasks.classify import wilson
from pocketvision.train.config import TrainConfig
from pocketvision.train.events import StepDone
from tests.cli.test_main_job import photos

FAST = [
    *("--width", "0.35", "--resolution", "32", "--threads", "1", "--batch-size", "8"),
    *("--ema", "0", "--steps", "4", "--augment", "none", "--workers", "1"),
]


@pytest.fixture(scope="module", autouse=True)
def _no_plots():
    """They take longer than the runs, and are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pocketvision.report.plots.write", lambda *args, **kwargs: [])
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("series") / "photos", each=9)


def called(capsys, *argv):
    code = run([str(a) for a in argv])
    got = capsys.readouterr()
    return code, got.out, got.err


@pytest.fixture(scope="module")
def folded(data):
    """A finished cross-validation."""
    argv = ["train", str(data), *FAST, "--folds", "3", "--output", str(data.parent / "runs")]
    assert run(argv) == 0
    return data.parent / "runs" / "photos"


@pytest.fixture(scope="module")
def seeded(data):
    """A finished series over seeds."""
    argv = ["train", str(data), *FAST, "--seeds", "2", "--seed", "5", "--name", "seeds"]
    assert run([*argv, "--output", str(data.parent / "runs")]) == 0
    return data.parent / "runs" / "seeds"


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


# Folds --------------------------------------------------------------------------------------------


def test_every_image_is_judged_once_by_a_run_that_has_not_seen_it(folded, data):
    everything = {s.name for samples in read(data).splits.values() for s in samples}
    pooled = rows_of(folded / "predictions.csv")
    assert sorted(r["path"] for r in pooled) == sorted(everything)
    parts = [rows_of(folded / f"fold-{k}" / "predictions.csv") for k in (1, 2, 3)]
    assert [len(p) for p in parts] == [6, 6, 6]
    assert [r["predicted"] for p in parts for r in p] == [r["predicted"] for r in pooled]
    for k in (1, 2, 3):
        assert summary_of(folded / f"fold-{k}")["counts"] == {"train": 12, "val": 6}


def test_the_figure_is_that_of_all_folds_together(folded):
    made, pooled = summary_of(folded), rows_of(folded / "predictions.csv")
    right = sum(r["predicted"] == r["label"] for r in pooled)
    assert (made["n"], made["accuracy"]) == (18, right / 18)
    assert made["interval"] == pytest.approx(wilson(right, 18))
    accuracies = [summary_of(folded / f"fold-{k}")["accuracy"] for k in (1, 2, 3)]
    row = made["folds"]["accuracy"]
    assert row["mean"] == pytest.approx(np.mean(accuracies))
    assert row["std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert [r["run"] for r in made["runs"]] == ["fold-1", "fold-2", "fold-3"]
    assert made["counts"] == {"train": 18}
    classes = rows_of(folded / "per_class.csv")
    assert [(c["class"], c["n"]) for c in classes] == [("blue", "9"), ("red", "9")]


def test_the_bundle_has_seen_all_images_and_says_what_measured_it(folded):
    made, kept = summary_of(folded), bundles.load(folded / "bundle")
    assert kept.manifest["measured"]["accuracy"] == made["accuracy"]
    assert kept.manifest["measured"]["by"].startswith("3-fold cross-validation")
    assert kept.decision["label"].images == 18
    last = bundles.load(folded / "final" / "bundle")
    assert all((kept.weights[k] == last.weights[k]).all() for k in last.weights)
    assert summary_of(folded / "final")["counts"]["train"] == 18
    # What the last run could say of images that it has seen is gone.
    assert "accuracy" not in summary_of(folded / "final")
    assert not (folded / "final" / "predictions.csv").exists()
    assert {r["val_accuracy"] for r in rows_of(folded / "final" / "results.csv")} == {""}
    assert "3-fold cross-validation" in (folded / "report.html").read_text()


def test_what_eval_says_of_images_that_were_trained_on(folded, data, capsys):
    for place in (folded / "bundle", folded / "fold-1" / "bundle"):
        code, out, _ = called(capsys, "eval", place, data)
        assert code == 0
        assert "note: this network was trained on these images" in out


def test_a_test_split_stays_out_and_measures_the_last_run(data, tmp_path, capsys):
    root = tmp_path / "split"
    shutil.copytree(data, root / "train")
    photos(root / "test", each=3)
    code, out, _ = called(capsys, "train", root, *FAST, "--folds", "2", "--output", tmp_path / "r",
                          "--json")  # fmt: skip
    assert code == 0
    made = json.loads(out)
    assert made["counts"] == {"train": 18, "test": 6}
    assert made["test"]["n"] == 6
    assert made["n"] == 18
    assert summary_of(tmp_path / "r" / "split" / "final")["accuracy"] == made["test"]["accuracy"]


def test_groups_stay_in_one_fold(data, tmp_path, capsys):
    root = tmp_path / "grouped"
    for c in ("blue", "red"):
        for i in range(9):
            (root / c / f"p{i % 3}").mkdir(parents=True, exist_ok=True)
            shutil.copy(data / c / f"{i}.png", root / c / f"p{i % 3}")
    code, _, _ = called(capsys, "train", root, *FAST, "--folds", "3", "--group-by", "folder",
                        "--output", tmp_path / "r")  # fmt: skip
    assert code == 0
    run_folder = tmp_path / "r" / "grouped"
    assert json.loads((run_folder / "setup.json").read_text())["group_by"] == "folder"
    for k in (1, 2, 3):
        rows = rows_of(run_folder / f"fold-{k}" / "predictions.csv")
        assert len({r["path"].split("/")[1] for r in rows}) == 1


# Seeds --------------------------------------------------------------------------------------------


def test_seeds_are_runs_like_any_other(seeded, data, tmp_path, capsys):
    argv = ["train", data, *FAST, "--seed", "6", "--output", tmp_path]
    assert called(capsys, *argv)[0] == 0
    alone = (tmp_path / "photos" / "losses.csv").read_bytes()
    assert (seeded / "seed-6" / "losses.csv").read_bytes() == alone


def test_mean_and_spread_over_seeds(seeded):
    made = summary_of(seeded)
    a, b = (summary_of(seeded / f"seed-{s}")["accuracy"] for s in (5, 6))
    row = made["seeds"]["accuracy"]
    assert row["mean"] == pytest.approx((a + b) / 2)
    assert row["std"] == pytest.approx(abs(a - b) / 2**0.5)
    assert (row["min"], row["max"]) == (min(a, b), max(a, b))
    assert [(r["run"], r["seed"]) for r in made["runs"]] == [("seed-5", 5), ("seed-6", 6)]


def test_the_first_seed_is_what_is_kept(seeded, data, capsys):
    first, kept = (bundles.load(seeded / p) for p in ("seed-5/bundle", "bundle"))
    assert all((first.weights[k] == kept.weights[k]).all() for k in first.weights)
    assert summary_of(seeded)["accuracy"] == summary_of(seeded / "seed-5")["accuracy"]
    code, out, _ = called(capsys, "eval", seeded / "bundle", data, "--json")
    assert (code, json.loads(out)["accuracy"]) == (0, summary_of(seeded)["accuracy"])


def test_a_spread_by_hand():
    assert spread([0.8, 0.9, 1.0]) == pytest.approx({"mean": 0.9, "std": 0.1, "min": 0.8, "max": 1})


def test_time_is_shared_and_the_others_take_as_many_steps(tmp_path):
    config = TrainConfig(time="10m")
    first = shared_time(config, tmp_path, 5, first_run=True)
    assert first.time_s == 120
    (tmp_path / "config.json").write_text(json.dumps(TrainConfig(time="120s", steps=77).to_dict()))
    other = shared_time(config, tmp_path, 5, first_run=False)
    assert (other.time, other.steps) == (None, 77)
    plain = TrainConfig(epochs=3)
    assert shared_time(plain, tmp_path, 5, first_run=False) == plain


# Interrupted --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["--folds", "--seeds"])
def test_an_interrupted_series_goes_on_to_the_same_end(data, tmp_path, capsys, monkeypatch, kind):
    argv = ["train", data, *FAST, kind, "2", "--output", tmp_path]
    assert called(capsys, *argv, "--name", "whole")[0] == 0
    seen, show = [], Progress.__call__

    def stopping(self, event):
        show(self, event)
        if isinstance(event, StepDone):
            seen.append(event)
            if len(seen) == 6:  # the second run's second step
                signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", stopping)
        code, out, _ = called(capsys, *argv, "--name", "cut")
    assert code == 130
    assert f"--resume {tmp_path / 'cut'}\n" in out
    assert not (tmp_path / "cut" / "bundle").exists()
    code, out, _ = called(capsys, "train", data, "--resume", tmp_path / "cut")
    assert code == 0
    name = "fold-1" if kind == "--folds" else "seed-0"
    assert f"{name}: finished, kept" in out
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for path in sorted(whole.rglob("losses.csv")):
        assert path.read_bytes() == (cut / path.relative_to(whole)).read_bytes()
    weights = "bundle/weights.safetensors"
    assert (whole / weights).read_bytes() == (cut / weights).read_bytes()
    assert summary_of(whole)["accuracy"] == summary_of(cut)["accuracy"]
    # Once more: nothing is left to train, and the end is the same.
    assert called(capsys, "train", data, "--resume", cut)[0] == 0
    assert summary_of(whole)["n"] == summary_of(cut)["n"]


# What is said -------------------------------------------------------------------------------------


def test_few_images_are_told_of_folds(data, tmp_path, capsys):
    _, out, _ = called(capsys, "train", data, *FAST, "--output", tmp_path)
    assert "18 images, 4 of them held out to measure with: --folds 5 measures with every one" in out
    _, out, _ = called(capsys, "train", data, *FAST, "--seeds", "2", "--output", tmp_path)
    assert "measures with every one" not in out


def test_calls_that_cannot_be(folded, seeded, data, tmp_path, capsys):
    def words(*argv):
        code, _, err = called(capsys, "train", data, *FAST, "--output", tmp_path, *argv)
        assert code in (2, 3)
        assert not tmp_path.exists() or not list(tmp_path.iterdir())
        return err

    assert "--folds must be from 2 to 50, got 1" in words("--folds", "1")
    assert "--seeds must be from 2 to 100, got 1" in words("--seeds", "1")
    assert "give one of them" in words("--folds", "3", "--seeds", "3")
    assert "--folds 19 needs as many images, there are 18" in words("--folds", "19")
    assert "--patience chooses the epoch" in words("--folds", "3", "--patience", "2")
    assert "is not a pattern" in words("--group-by", "regex:(")


def test_several_processes_are_refused():
    check_alone({})
    check_alone({"WORLD_SIZE": "1"})
    with pytest.raises(UsageError, match="one process, the launcher started 2"):
        check_alone({"WORLD_SIZE": "2"})


def test_a_series_that_has_begun_keeps_its_shape(folded, data, capsys):
    def words(*argv):
        code, _, err = called(capsys, "train", data, "--resume", folded, *argv)
        assert code == 2
        return err

    assert "--folds is kept in" in words("--folds", "5")
    assert "--group-by is kept in" in words("--group-by", "folder")
    assert "--steps cannot change in a series" in words("--steps", "8")
    code, _, err = called(capsys, "train", data, *FAST, "--folds", "3", "--name", folded.name,
                          "--output", folded.parent)  # fmt: skip
    assert code == 2
    assert "holds a run already" in err
