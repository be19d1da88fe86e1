"""The verbs import and weights through the command line."""

import hashlib
import json

import numpy as np
import pytest
import torch

from pocketvision.cli import main as cli
from pocketvision.weights import sources
from pocketvision.weights.sources import Source

from ..weights.files import network, saved_pth, torchvision_v2
from ..weights.tflite_writer import small_float, small_quantized


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty place to work in, with nothing of the user's own."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HOME", "POCKETVISION_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("HF_HUB_OFFLINE", "POCKETVISION_OFFLINE", "POCKETVISION_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(capsys, *words):
    code = cli.run(words)
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def table(monkeypatch):
    """A row of the table whose file is a quantized network made here."""
    data = small_quantized(signed=False)
    row = Source(name="test/small", url="https://nowhere.invalid/small.tflite", model=None,
                 licence="MIT", scaling=None, resolution=(32, 32),
                 sha256=hashlib.sha256(data).hexdigest(), labels=tuple("abcde"))  # fmt: skip
    monkeypatch.setitem(sources.SOURCES, row.name, row)
    monkeypatch.setattr(sources, "ROWS", (*sources.ROWS, row))
    return row, data


def test_import_says_what_it_found_and_what_comes_next(here, capsys):
    (here / "net.tflite").write_bytes(small_float())
    code, out, _ = run(capsys, "import", "net.tflite", "--input-size", "32")
    assert code == 0
    for words in ("TFLite: no network of the zoo, 2 blocks", "padding           same",
                  "folded into the convolutions", "assumed: the input scaling",
                  "next: pocketvision predict runs/import/net IMAGES"):  # fmt: skip
        assert words in out
    assert (here / "runs/import/net/manifest.json").exists()
    code, _, err = run(capsys, "import", "net.tflite")
    assert (code, "exists already; add --overwrite" in err) == (2, True)


def test_import_as_json(here, capsys):
    (here / "net.tflite").write_bytes(small_quantized(signed=True))
    labels = here / "labels.txt"
    labels.write_text("n01440764 tench\nn01443537 goldfish\nn1 ant\nn2 bee\nn3 cat\n")
    code, out, _ = run(capsys, "import", "net.tflite", "--output", "b", "--labels", str(labels),
                       "--input-size", "32", "--exact-quantization", "--json")  # fmt: skip
    assert code == 0
    row = json.loads(out)
    assert row["source"] == "TFLite"
    assert row["facts"]["weights"].startswith("int8 per channel")
    assert row["exact_quantization"]["label"] >= 0
    names = json.loads((here / "b/labels.json").read_text())["heads"]["label"]["names"]
    assert names[:2] == ["tench", "goldfish"]


def test_a_mismatch_is_listed_and_leaves_nothing(here, capsys):
    state = torchvision_v2(network("mobilenet_v2", width=0.35, classes=4))
    state["features.3.conv.1.0.weight"] = torch.zeros(48, 1, 5, 5)
    (here / "w.pth").write_bytes(saved_pth(state))
    code, out, err = run(capsys, "import", "w.pth")
    assert code == 3
    assert "  shape blocks.2.depthwise.conv.weight (48, 1, 3, 3) does not fit" in out
    assert err.count("\n") == 1
    assert not (here / "runs").exists()
    code, _, err = run(capsys, "import", "w.pth", "--model", "mobilenetv2")
    assert (code, "did you mean" in err) == (2, True)


def test_exact_quantization_in_eval_and_predict(here, capsys):
    (here / "net.tflite").write_bytes(small_quantized(signed=False))
    assert run(capsys, "import", "net.tflite", "--output", "b", "--input-size", "32")[0] == 0
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(here / "a.png")
    code, out, _ = run(capsys, "predict", "b", "a.png", "--exact-quantization", "--json")
    assert code == 0
    assert json.loads(out)
    (here / "f.tflite").write_bytes(small_float())
    assert run(capsys, "import", "f.tflite", "--output", "f", "--input-size", "32")[0] == 0
    code, _, err = run(capsys, "predict", "f", "a.png", "--exact-quantization")
    assert (code, "records no grids of activations" in err) == (2, True)


def test_a_trunk_is_told_from_a_classifier(here, capsys):
    net = network("mobilenet_v2", width=0.35, classes=4)
    state = {k: v for k, v in torchvision_v2(net).items() if not k.startswith("classifier")}
    (here / "trunk.pth").write_bytes(saved_pth(state))
    code, out, _ = run(capsys, "import", "trunk.pth")
    assert (code, "none: a trunk" in out) == (0, True)
    assert run(capsys, "show", "runs/import/trunk")[0] == 0
    for words in (("predict", "runs/import/trunk", "x.png"), ("export", "runs/import/trunk")):
        code, _, err = run(capsys, *words)
        assert (code, "is a trunk, which has no head" in err) == (2, True)


def test_list(here, capsys):
    code, out, _ = run(capsys, "weights", "list", "torchvision")
    assert code == 0
    assert "torchvision/mobilenet_v3_small.imagenet1k_v1" in out
    assert "BSD-3-Clause" in out
    code, out, _ = run(capsys, "weights", "list", "keras/mobilenet_v3_small", "--json")
    rows = json.loads(out)
    assert rows[0]["md5"] == "8768d4c2e7dee89b9d02b2d03d65d862"
    assert run(capsys, "weights", "list", "mobilnet")[0] == 2


def test_pull_from_a_mirror_then_import_by_name(here, capsys, monkeypatch, table):
    row, data = table
    code, _, err = run(capsys, "import", row.name)
    assert (code, f"pocketvision weights pull {row.name}" in err) == (3, True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = run(capsys, "weights", "pull", row.name)
    assert code == 3
    assert "HF_HUB_OFFLINE is set" in err
    assert "small.tflite" in err
    mirror = here / "mirror"
    mirror.mkdir()
    (mirror / "small.tflite").write_bytes(data)
    monkeypatch.setenv("POCKETVISION_MIRROR", str(mirror))
    code, out, _ = run(capsys, "weights", "pull", row.name)
    assert code == 0
    assert row.sha256 in out
    code, out, _ = run(capsys, "import", row.name, "--output", "b")
    assert code == 0
    manifest = json.loads((here / "b/manifest.json").read_text())
    assert manifest["origin"]["name"] == row.name
    assert manifest["origin"]["licence"] == "MIT"
    # The table's size and labels count for a file whose hash it knows.
    assert json.loads((here / "b/preprocess.json").read_text())["size"] == [32, 32]
    assert "".join(json.loads((here / "b/labels.json").read_text())["heads"]["label"]
                              ["names"]) == "abcde"  # fmt: skip


def test_verify_finds_the_wrong_one(here, capsys, table):
    row, data = table
    code, out, _ = run(capsys, "weights", "verify")
    assert (code, "no weights at hand" in out) == (0, True)
    place = here / "pocketvision_cache" / "weights" / "test--small"
    place.mkdir(parents=True)
    (place / "small.tflite").write_bytes(data)
    assert run(capsys, "weights", "verify", row.name)[0] == 0
    (place / "small.tflite").write_bytes(data[:-1] + b"x")
    code, out, err = run(capsys, "weights", "verify")
    assert code == 3
    assert "wrong" in out
    assert "1 of 1 files are wrong" in err
