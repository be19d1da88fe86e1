"""What training writes is what the report reads: the same figures at both ends."""

import json

import numpy as np
import pytest

from pocketvision.errors import DataError
from pocketvision.labels import Labels
from pocketvision.report import html
from pocketvision.report.pictures import from_samples
from pocketvision.report.run import best, read
from pocketvision.tasks.calibrate import fitted
from pocketvision.tasks.classify import measure
from pocketvision.train import tables
from pocketvision.train.events import Row

NAMES = ("rose, wild", 'the "tulip"', "雏菊", "never seen")


@pytest.fixture
def written(tmp_path):
    random = np.random.default_rng(3)
    truth = np.repeat([0, 1, 2], 20)
    logits = random.normal(0, 1, (60, 4)) + 1.5 * np.eye(4)[truth]
    labels = Labels(names=NAMES)
    metrics = measure(logits, truth, labels=labels)
    tables.write_classes(tmp_path, metrics)
    tables.write_confusion(tmp_path, metrics)
    names = [f"val/{NAMES[t]}/{i}.jpg" for i, t in enumerate(truth)]
    tables.write_predictions(tmp_path, names, truth, logits=logits, labels=labels)
    rows = [_row(1, None, None), _row(2, 1.25, 0.5), _row(3, 1.0, metrics.accuracy)]
    tables.write_results(tmp_path, rows)
    (tmp_path / "summary.json").write_text(json.dumps(metrics.to_dict()))
    return tmp_path, metrics


def _row(epoch, loss, accuracy):
    pace = {"step": 7 * epoch, "seconds": 1.5 * epoch, "images_per_s": 80.0, "lr": 0.1}
    return Row(epoch=epoch, train_loss=2.0, val_loss=loss, val_accuracy=accuracy, **pace)


def test_figures_come_through(written):
    folder, metrics = written
    run = read(folder)
    assert run.confusion.names == NAMES
    assert np.array_equal(run.confusion.counts, metrics.confusion)
    assert run.number("accuracy") == metrics.accuracy
    for row, figures in zip(run.classes, metrics.per_class, strict=True):
        assert (row.name, row.n, row.correct) == (figures.name, figures.n, figures.correct)
        assert row.recall == pytest.approx(figures.recall, abs=1e-6, nan_ok=True)
        assert (row.recall_low, row.recall_high) == pytest.approx(figures.recall_interval, abs=1e-6)
    assert sum(p.correct for p in run.predictions) == metrics.correct
    top = best(run.epochs)
    assert top.val_accuracy == pytest.approx(max(metrics.accuracy, 0.5), abs=1e-6)


def test_they_make_a_page(written):
    folder, metrics = written
    text = html.write(folder).read_text(encoding="utf-8")
    assert f"{100 * metrics.accuracy:.1f}%" in text
    assert "雏菊" in text
    assert "never seen" in text


def test_the_decision_comes_through(written):
    folder, metrics = written
    random = np.random.default_rng(4)
    truth = np.repeat([0, 1, 2], 40)
    logits = random.normal(0, 2, (120, 4)) + 3 * np.eye(4)[truth]
    made = fitted(logits, truth, labels=Labels(names=NAMES), known_share=0.95)
    norms = {"n": 120, "kept": 0.5, "batch": 0.75, "gained": 30, "lost": 0, "differ": True}
    summary = {**metrics.to_dict(), "decision": made.row(), "norms": norms}
    (folder / "summary.json").write_text(json.dumps(summary))
    page = html.page(read(folder), source=from_samples(()))
    u = made.figures["unknown"]
    assert f"{u['rejected']:.1%} are unknown" in page
    assert f"{made.figures['ece']['before']:.1%} before" in page
    half = next(r for r in made.figures["coverage"] if r["coverage"] == 0.5)
    assert f"50% answered: {half['accuracy']:.1%} right" in page
    assert "75.0% by those of each batch" in page
    del summary["decision"]["figures"]["ece"]
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match=r"summary\.json is damaged: 'decision' is not what"):
        html.page(read(folder), source=from_samples(()))
