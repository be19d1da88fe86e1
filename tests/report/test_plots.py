"""Plot files: what they show, nothing clipped, and matplotlib's own state left alone."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from pocketvision.errors import DataError, MissingRuntime
from pocketvision.report import figure as figure_room
from pocketvision.report import plots
from pocketvision.report.plots_samples import picked, samples
from pocketvision.report.plots_spec import cost_bars, groups, spec_picture
from pocketvision.report.run import Epoch, Prediction, read
from pocketvision.zoo import MODELS
from tests.report.runs import write_run

matplotlib = pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")

WORLD = ("雏菊", "장미", "زهرة الشمس", "ट्यूलिप", "🌻", "$x^2$", "$broken{", "a_b", "\ue000\x00", "")
LONG = ("Convolvulus arvensis subspecies linearifolius", "x" * 80, "rose", "tulip", "a b c d e f g")


def run_of(tmp_path, **options):
    return read(write_run(tmp_path / "run", **options))


def texts(figure):
    """(text, extent in pixels) of all that is visible, after drawing."""
    from matplotlib.text import Text

    figure_room.png(figure)
    return [
        (t.get_text(), t.get_window_extent())
        for t in figure.findobj(Text)
        if t.get_text().strip() and t.get_visible()
    ]


def assert_nothing_is_clipped(figure):
    for words, box in texts(figure):
        inside = box.x0 >= -0.5 and box.y0 >= -0.5
        within = box.x1 <= figure.bbox.x1 + 0.5 and box.y1 <= figure.bbox.y1 + 0.5
        assert inside, words
        assert within, words


def assert_ticks_are_apart(axis, *, along):
    ends = sorted(
        (getattr(b, f"{along}0"), getattr(b, f"{along}1"))
        for b in (t.get_window_extent() for t in axis.get_ticklabels() if t.get_text())
    )
    for (_, before), (after, _) in pairwise(ends):
        assert after >= before - 2


@pytest.mark.parametrize("names", [("cat", "dog"), LONG, WORLD, [f"class {i}" for i in range(40)]])
def test_class_plots_are_legible_for_any_classes(tmp_path, names):
    run = run_of(tmp_path, names=names, per_class=8)
    for figure in (
        plots.confusion_matrix(run.confusion, normalised=len(names) == 2),
        plots.recall_bars(run.classes),
    ):
        assert_nothing_is_clipped(figure)
        assert_ticks_are_apart(figure.axes[0].yaxis, along="y")
        assert_ticks_are_apart(figure.axes[0].xaxis, along="x")


def test_curves_show_the_rows(tmp_path):
    run = run_of(tmp_path)
    loss, accuracy = plots.loss_curve(run.epochs), plots.accuracy_curve(run.epochs)
    train, val = loss.axes[0].lines
    assert train.get_ydata().tolist() == [e.train_loss for e in run.epochs]
    assert val.get_ydata().tolist() == [e.val_loss for e in run.epochs]
    curve, mark = accuracy.axes[0].lines
    assert mark.get_ydata()[0] == max(curve.get_ydata())
    assert_nothing_is_clipped(loss)
    assert_nothing_is_clipped(accuracy)


def test_curves_of_one_epoch_and_of_a_diverged_run():
    one = [Epoch(1, 2.0, math.nan, 0.25)]
    diverged = [Epoch(1, 2.0, 1.9, 1.0), Epoch(2, math.inf, math.nan, math.nan)]
    for epochs in (one, diverged):
        assert_nothing_is_clipped(plots.loss_curve(epochs))
        assert_nothing_is_clipped(plots.accuracy_curve(epochs))


def test_the_matrix_holds_counts_for_few_classes_only(tmp_path):
    run = run_of(tmp_path)
    shown = plots.confusion_matrix(run.confusion).axes[0]
    assert [int(t.get_text()) for t in shown.texts] == [
        c for row in run.confusion.counts for c in row if c
    ]
    image = shown.images[0].get_array()
    assert np.array_equal(image, run.confusion.counts)
    many = run_of(tmp_path / "many", names=[f"c{i}" for i in range(16)], per_class=4)
    assert len(plots.confusion_matrix(many.confusion).axes[0].texts) == 0


def test_shares_of_a_class_without_images_are_left_blank(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "confusion.csv").write_text("true,a,b\na,3,1\nb,0,0\n")
    axes = plots.confusion_matrix(read(folder).confusion, normalised=True).axes[0]
    assert [t.get_text() for t in axes.texts] == ["75%", "25%"]
    assert axes.images[0].get_array().mask[1].all()


def test_a_bar_of_recall_is_its_class(tmp_path):
    run = run_of(tmp_path)
    axes = plots.recall_bars(run.classes).axes[0]
    by_name = {f"{r.name}  ({r.n})": r.recall for r in run.classes}
    shown = {
        t.get_text(): p.get_width()
        for t, p in zip(axes.get_yticklabels(), axes.patches, strict=True)
    }
    assert shown == pytest.approx(by_name)
    assert list(shown.values()) == sorted(shown.values())


def test_names_without_a_font_become_their_number(monkeypatch):
    monkeypatch.setattr(figure_room, "FAMILIES", ())
    assert figure_room.drawn_names(["rose", "雏菊", "tulipé"]) == ["rose", "#1", "tulipé"]
    assert figure_room.drawn_text("on 雏菊") == "on ??"


def test_samples_run_from_sure_to_unsure_wrong_ones_first(tmp_path):
    rows = [Prediction(f"{i}", "a", "ab"[i % 2], i / 100, i % 2 == 0) for i in range(100)]
    wrong = picked(rows, correct=False)
    assert [p.path for p in wrong[:2]] == ["99", "91"]
    assert wrong[-1].path == "1"
    assert len(wrong) == 12
    figure = samples(rows, lambda path: np.full((20, 30, 3), int(path), np.uint8))
    assert_nothing_is_clipped(figure)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels[0] == "✗ b (99%)\nreally a"
    assert labels[12] == "✓ a (98%)\n"
    assert figure.axes[0].images[0].get_array()[0, 0, 0] == 99


def test_samples_without_images_and_with_few_answers():
    rows = [Prediction("gone.jpg", "雏菊", "$x", math.nan, False)]
    assert_nothing_is_clipped(samples(rows, lambda path: None))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v1"])
def test_the_network_is_pictured_with_all_of_its_cost(name):
    from pocketvision.cost import cost

    spec = MODELS[name](classes=10, resolution=96)
    total = cost(spec)
    assert sum(g.total("macs") for g in groups(spec)) == total.macs
    picture = spec_picture(spec)
    for axes, whole in zip(picture.axes[1:], (total.macs, total.params), strict=True):
        assert sum(p.get_height() for p in axes.patches) == whole
    assert_nothing_is_clipped(picture)
    bars = cost_bars(spec)
    for axes in bars.axes:
        assert sum(p.get_width() for p in axes.patches) == pytest.approx(1.0)
    assert_nothing_is_clipped(bars)


def test_files_of_a_run_and_nothing_global(tmp_path, monkeypatch):
    before = dict(matplotlib.rcParams)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would now fail
    folder = write_run(tmp_path / "run")
    paths = plots.write(folder)
    names = ["loss", "accuracy", "confusion_counts", "confusion_shares", "recall", "samples"]
    names += ["cost", "network"]
    assert [p.relative_to(folder).as_posix() for p in paths] == [f"plots/{n}.png" for n in names]
    for path in paths:
        with Image.open(path) as image:
            assert image.size[0] >= 800
            assert image.convert("L").getextrema()[0] < 80
    assert dict(matplotlib.rcParams) == before
    first = paths[0].read_bytes()
    assert plots.write(folder, output=tmp_path / "again")[0].read_bytes() == first


def test_a_damaged_file_stops_before_anything_is_written(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "confusion.csv").write_text("x")
    with pytest.raises(DataError, match=r"confusion\.csv"):
        plots.write(folder)
    assert not (folder / "plots").exists()


def test_without_matplotlib_the_line_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingRuntime, match=r"pip install 'pocketvision\[plots\]'"):
        plots.write(write_run(tmp_path / "run"))
