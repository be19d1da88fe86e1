"""Reading a run folder: what is absent, what is damaged, and what the values must add up to."""

import math
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketvision.errors import DataError
from pocketvision.report import run as runs_room
from tests.report.runs import FLOWERS, write_run

FILES = (
    "summary.json",
    "config.json",
    "setup.json",
    "env.json",
    "results.csv",
    "per_class.csv",
    "confusion.csv",
    "predictions.csv",
    "exports.json",
    "bench.json",
    "bundle/spec.json",
)


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run")


def message(folder):
    with pytest.raises(DataError) as caught:
        runs_room.read(folder)
    return str(caught.value)


def test_the_files_agree_with_each_other(folder):
    run = runs_room.read(folder)
    counts = run.confusion.counts
    assert run.confusion.names == FLOWERS
    assert sum(map(sum, counts)) == run.number("n") == len(run.predictions) == 200
    right = sum(counts[i][i] for i in range(5))
    assert right == sum(p.correct for p in run.predictions) == sum(r.correct for r in run.classes)
    assert [r.n for r in run.classes] == [sum(row) for row in counts]


def test_the_order_of_mistakes_by_hand():
    matrix = runs_room.Confusion(("a", "b", "c"), ((8, 2, 0), (0, 0, 0), (3, 2, 5)))
    assert matrix.mistakes() == [(3, 2, 0), (2, 0, 1), (2, 2, 1)]
    shares = matrix.shares()
    assert shares[0] == (0.8, 0.2, 0.0)
    assert shares[2] == (0.3, 0.2, 0.5)
    assert all(map(math.isnan, shares[1]))


def test_the_best_epoch_is_the_first_of_the_highest():
    rows = [(1, 0.5), (2, math.nan), (3, 0.7), (4, 0.7), (5, 0.6)]
    epochs = [runs_room.Epoch(e, 1.0, 1.0, accuracy) for e, accuracy in rows]
    assert runs_room.best(epochs).epoch == 3
    assert runs_room.best(epochs[1:2]) is None


def test_an_epoch_written_twice_counts_once(folder):
    (folder / "results.csv").write_text(
        "epoch,train_loss,val_loss,val_accuracy,lr\n2,1.0,,,0.1\n1,2.0,1.9,0.4,0.1\n2,0.9,0.8,0.5,0.1\n"
    )
    first, second = runs_room.read(folder).epochs
    assert (first.epoch, second.epoch, second.train_loss, second.val_accuracy) == (1, 2, 0.9, 0.5)


def test_an_interval_end_over_one_by_rounding_is_one(folder):
    path = folder / "per_class.csv"
    path.write_text(
        "class,n,correct,recall,recall_low,recall_high,precision,f1\na,3,3,1.0,0.4,1.0000000000000002,,\n"
    )
    (row,) = runs_room.read(folder).classes
    assert row.recall_high == 1.0
    assert math.isnan(row.precision)


@pytest.mark.parametrize("file", FILES)
def test_an_absent_file_is_none(folder, file):
    (folder / file).unlink()
    field = {"env.json": "environment", "results.csv": "epochs", "per_class.csv": "classes"}
    name = field.get(file, file.rsplit("/", 1)[-1].split(".")[0])
    assert getattr(runs_room.read(folder), name) is None


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_one_line_that_names_it(folder, file):
    path = folder / file
    path.write_bytes(path.read_bytes()[:-40] + b'\n"\xff')
    text = message(folder)
    assert str(path) in text
    assert "\n" not in text


@pytest.mark.parametrize("file", FILES)
def test_a_folder_in_the_place_of_a_file(folder, file):
    (folder / file).unlink()
    (folder / file).mkdir()
    assert f"{folder / file} is damaged: it is not a file" in message(folder)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("results.csv", "epoch,train_loss\n1,2\n", "lacks the column 'val_loss'"),
        ("results.csv", "epoch,train_loss,val_loss,val_accuracy\n1,2,3\n", "has 3 cells where"),
        ("results.csv", "epoch,train_loss,val_loss,val_accuracy\n1,x,3,.5\n", "'train_loss': 'x'"),
        ("results.csv", "epoch,train_loss,val_loss,val_accuracy\n1,2,3,71\n", "'val_accuracy'"),
        ("confusion.csv", "true,a,b\nb,1,0\na,0,1\n", "not the classes of its columns"),
        ("confusion.csv", "true,a,a\na,1,0\na,0,1\n", "names a class twice"),
        ("confusion.csv", "true,a,b\na,1,0\nb,0,-1\n", "column 'b': '-1'"),
        ("confusion.csv", "", "names no class"),
        ("predictions.csv", "path,label,predicted,probability,correct\np,a,b,0.5,perhaps\n",
         "'correct': 'perhaps'"),
        ("summary.json", "[1, 2]", "holds a list, not an object"),
        ("summary.json", '{"n": 1,}', "line 1 is not JSON"),
        ("summary.json", '{"n": ' + "9" * 400 + "}", "not JSON that can be read"),
        ("config.json", '{"a":' * 60 + "1" + "}" * 60, "nested more than 40 deep"),
        ("config.json", "[" * 100_000, "not JSON that can be read"),
        ("exports.json", '{"rows": [1]}', "no list of objects"),
        ("bundle/spec.json", "{}", "spec.json is damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(folder, file, content, words):
    (folder / file).write_text(content)
    text = message(folder)
    assert words in text
    assert str(folder / file) in text


def test_a_folder_that_is_no_run(tmp_path):
    assert "is not a folder" in message(tmp_path / "nowhere")
    assert "neither summary.json nor results.csv" in message(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.sampled_from(FILES), at=st.floats(0, 1), noise=st.binary(max_size=12))
def test_any_damage_is_read_or_a_data_error(folder, file, at, noise):
    path = folder / file
    whole = path.read_bytes()
    place = int(at * len(whole))
    path.write_bytes(whole[:place] + noise + whole[place + len(noise) // 2 :])
    said = what_is_said(folder)
    path.write_bytes(whole)
    assert said is None or (file in said and "\n" not in said)


def what_is_said(folder):
    try:
        runs_room.read(folder)
    except DataError as e:
        return str(e)
    return None


def test_reading_changes_nothing(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    runs_room.read(folder)
    for path in copy.rglob("*.*"):
        assert path.read_bytes() == (folder / path.relative_to(copy)).read_bytes()
