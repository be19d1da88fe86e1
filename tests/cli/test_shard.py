"""`data shard`, and the verbs that read what it wrote."""

import json
import re

import pytest

from pocketvision.cli.main import run
from tests.data.made import folder


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = folder(tmp_path_factory.mktemp("photos"), {"cat": 12, "dog": 12})
    (root / "cat/11.png").write_bytes(b"no picture")
    out = tmp_path_factory.mktemp("made") / "pets"
    assert run(["data", "shard", str(root), str(out), "--workers", "1"]) == 0
    return out


def test_shards_are_written_and_said(out, tmp_path, capsys):
    root = folder(tmp_path / "photos", {"cat": 6, "dog": 6})
    (root / "dog/3.png").write_bytes(b"no picture")
    assert run(["data", "shard", str(root), str(tmp_path / "out"), "--json"]) == 0
    said = capsys.readouterr()
    row = json.loads(said.out)
    assert [r["split"] for r in row["splits"]] == ["train", "val"]
    assert sum(r["images"] for r in row["splits"]) == 11
    assert [name for name, _ in row["left_out"]] == ["dog/3.png"]
    assert "left out: dog/3.png: not an image" in said.err
    assert f"next: pocketvision train {tmp_path / 'out'}" in said.err
    assert run(["data", "shard", str(root), str(tmp_path / "out")]) == 2
    assert "exists already; add --overwrite" in capsys.readouterr().err
    assert run(["data", "shard", str(root), str(tmp_path / "out"), "--overwrite"]) == 0
    assert run(["data", "shard", str(root), str(tmp_path / "x"), "--shard-mb", "0"]) == 2


def test_train_eval_and_export_take_them(out, tmp_path, capsys):
    line = ["train", str(out), "--resolution", "32", "--width", "0.35", "--steps", "2"]
    more = ["--batch-size", "8", "--threads", "1", "--output", str(tmp_path), "--name", "run"]
    assert run([*line, *more]) == 0
    said = capsys.readouterr().out
    assert re.search(r"2 classes, train 1\d, val \d images \(2 shards, \d+ MB\)", said)
    bundle = str(tmp_path / "run/bundle")
    assert run(["eval", bundle, str(out), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert measured["accuracy"] == summary["accuracy"]
    assert run(["eval", bundle, str(out), "--split", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] in (18, 19)
    anew = [
        "recalibrate-bn",
        bundle,
        "--data",
        str(out),
        "--output",
        str(tmp_path / "anew"),
        "--json",
    ]
    capsys.readouterr()
    assert run(anew) == 0
    assert json.loads(capsys.readouterr().out)["images"] in (18, 19)
    exported = ["export", bundle, "--data", str(out), "--output", str(tmp_path / "onnx")]
    assert run(exported) == 0
    wrong = (tmp_path / "run/predictions.csv").read_text().count("False")
    assert (tmp_path / "run/report.html").read_text().count("data:image/") == wrong


def test_what_cannot_be_is_said(out, tmp_path, capsys):
    assert run(["data", "check", str(out)]) == 2
    assert "checked as they are written" in capsys.readouterr().err
    assert run(["data", "shard", str(out), str(tmp_path / "again")]) == 2
    assert "lies in shards already" in capsys.readouterr().err
    (tmp_path / "shards.json").write_text("{}")
    assert run(["train", str(tmp_path)]) == 3
    assert "is no index of shards" in capsys.readouterr().err
