import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision import bundle as bundles
from pocketvision.errors import (
    DataError,
    Interrupted,
    LabelError,
    OutputExists,
    UnknownName,
    UsageError,
)
from pocketvision.preprocess import Preprocess, prepare
from pocketvision.report.run import read as read_run
from pocketvision.tasks import classify
from pocketvision.train.config import TrainConfig, from_dict
from pocketvision.train.events import Loaded, Note, StepDone
from pocketvision.train.run import train_run
from tests.train.tiny import CONTRACT, NAMES, SIZE, dataset_of, losses, small_spec

CONFIG = TrainConfig(epochs=3, batch_size=8, lr=0.02, threads=1, workers=1)


def run(folder, *, dataset=None, spec=None, config=CONFIG, **kwargs):
    return train_run(
        dataset or dataset_of(), spec or small_spec(), config, CONTRACT, folder, **kwargs
    )


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_run_leaves_figures_that_agree_with_each_other(tmp_path):
    events = []
    result = run(tmp_path / "run", on_event=events.append)
    folder = result.folder
    summary = json.loads((folder / "summary.json").read_text())
    m = result.metrics
    assert summary["accuracy"] == m.accuracy
    assert summary["counts"] == {"train": 43, "val": 12}
    predictions = rows_of(folder / "predictions.csv")
    assert [p["path"] for p in predictions] == [s.name for s in dataset_of().splits["val"]]
    right = [p["label"] == p["predicted"] for p in predictions]
    assert [p["correct"] == "True" for p in predictions] == right
    assert np.mean(right) == m.accuracy
    classes = rows_of(folder / "per_class.csv")
    assert [c["class"] for c in classes] == list(NAMES)
    assert sum(int(c["correct"]) for c in classes) == sum(right)
    low, high = classify.wilson(int(classes[0]["correct"]), 4)
    assert float(classes[0]["recall_low"]) == pytest.approx(low, rel=1e-5)
    assert float(classes[0]["recall_high"]) == pytest.approx(high, rel=1e-5)
    confusion = rows_of(folder / "confusion.csv")
    counts = [[int(row[name]) for name in NAMES] for row in confusion]
    assert counts == m.confusion.tolist()
    assert {e.split for e in events if isinstance(e, Loaded)} == {"train", "val"}
    assert sum(isinstance(e, StepDone) for e in events) == result.config.steps == 18


def test_the_bundle_answers_what_the_run_measured(tmp_path):
    result = run(tmp_path / "run")
    kept = bundles.load(result.bundle)
    network = kept.network()
    inputs = [prepare(s.pixels, kept.preprocess)[None] for s in dataset_of().splits["val"]]
    truth = np.array([s.label for s in dataset_of().splits["val"]])

    def answer(x):
        return {"label": bundles.outputs(network, torch.from_numpy(x))["output.label"].numpy()}

    again = classify.evaluate(answer, inputs, truth, labels=kept.labels["label"])
    assert again.confusion.tolist() == result.metrics.confusion.tolist()
    assert again.loss == pytest.approx(result.metrics.loss, rel=1e-5)
    assert kept.manifest["measured"]["accuracy"] == result.metrics.accuracy
    assert from_dict(kept.manifest["config"]) == result.config
    assert len(kept.golden_images) == 3  # one a class


def test_the_report_reads_the_folder(tmp_path):
    result = run(tmp_path / "run")
    shown = read_run(result.folder)
    assert shown.number("accuracy") == result.metrics.accuracy
    assert len(shown.epochs) == 3
    assert shown.confusion.counts == tuple(map(tuple, result.metrics.confusion.tolist()))
    assert shown.spec == small_spec()


def test_an_interrupted_run_ends_like_the_whole_one(tmp_path):
    whole, cut = [], []
    a = run(tmp_path / "whole", on_event=whole.append)
    stop = {"at": 7}
    with pytest.raises(
        Interrupted, match=r"stopped at step 7 of 18; everything is saved in .*cut$"
    ):
        run(
            tmp_path / "cut",
            on_event=cut.append,
            should_stop=lambda: len(losses(cut)) >= stop["at"],
        )
    with pytest.raises(OutputExists, match=r"holds a run already.*--resume"):
        run(tmp_path / "cut")
    b = run(tmp_path / "cut", on_event=cut.append, resume=True)
    assert losses(cut) == losses(whole)
    same = ("weights.safetensors", "golden.safetensors", "spec.json")
    assert all((a.bundle / f).read_bytes() == (b.bundle / f).read_bytes() for f in same)


def test_a_timed_run_is_resumed_and_replayed_with_its_steps(tmp_path):
    config = replace(CONFIG, epochs=None, time="12s")
    cut = []
    with pytest.raises(Interrupted):
        run(
            tmp_path / "cut",
            config=config,
            on_event=cut.append,
            should_stop=lambda: len(losses(cut)) >= 2,
        )
    saved = from_dict(json.loads((tmp_path / "cut/config.json").read_text()))
    assert saved.steps > 2
    # Too many to run in a test: a shorter plan is refused, as it would not be the same run.
    with pytest.raises(UsageError, match="the plan changed"):
        run(tmp_path / "cut", config=replace(saved, steps=5), resume=True)
    again = []
    with pytest.raises(Interrupted):
        run(
            tmp_path / "cut",
            config=config,
            on_event=again.append,
            should_stop=lambda: len(losses(again)) >= 2,
            resume=True,
        )
    replay = []
    with pytest.raises(Interrupted):
        run(
            tmp_path / "replay",
            config=saved,
            on_event=replay.append,
            should_stop=lambda: len(losses(replay)) >= 4,
        )
    assert losses(replay) == losses(cut) + losses(again)


def test_stopping_while_images_are_read_is_said(tmp_path):
    with pytest.raises(Interrupted, match="while reading images; there is nothing to resume"):
        run(tmp_path / "run", should_stop=lambda: True)
    with pytest.raises(DataError, match="nothing to resume"):
        run(tmp_path / "run", resume=True)


def test_bad_files_stop_the_run_or_are_left_out_and_listed(tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>no picture</html>")
    dataset = dataset_of()
    sample = replace(dataset.splits["train"][5], path=bad, pixels=None)
    train = (*dataset.splits["train"][:5], sample, *dataset.splits["train"][6:])
    dataset = replace(dataset, splits={**dataset.splits, "train": train})
    with pytest.raises(DataError, match=r"bad\.jpg"):
        run(tmp_path / "run", dataset=dataset)
    events = []
    result = run(
        tmp_path / "run",
        dataset=dataset,
        config=replace(CONFIG, skip_bad=True),
        on_event=events.append,
    )
    assert [path for path, _ in result.skipped] == [str(bad)]
    assert any("1 unreadable images were left out" in e.text for e in events if isinstance(e, Note))
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["skipped"][0]["path"] == str(bad)
    assert summary["skipped"][0]["reason"]


def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(LabelError, match=r"5 outputs, but stripes has 3 classes; .*--classes 3"):
        run(folder, spec=small_spec(classes=5))
    with pytest.raises(UsageError, match=r"small takes 3 channels of \(16, 16\)"):
        train_run(dataset_of(), small_spec(), CONFIG, Preprocess(size=(SIZE, 32)), folder)
    with pytest.raises(UnknownName, match="no augmentation 'foto'; did you mean 'photo'"):
        run(folder, config=replace(CONFIG, augment="foto"))
    assert not folder.exists()
