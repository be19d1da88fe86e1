"""Measuring opened models: complete rows, memory of a process of its own, nothing local inside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.export import memory
from pocketvision.export.measure import candidates, measure
from pocketvision.export.open import open_model


@pytest.fixture(scope="module")
def models(made, bundle_folder):
    return candidates([bundle_folder, made["plain", "onnx"].path], threads=1)


def test_candidates_are_named_by_runtime(models):
    assert list(models) == ["torch", "onnxruntime", "torch_channels_last"]
    assert {m.runtime.threads for m in models.values()} == {1}


def test_clashing_names_get_the_path_s(made):
    paths = [made["plain", "onnx"].path, made["cells", "onnx"].path]
    assert list(candidates(paths, threads=1)) == [
        "onnxruntime plain-onnx",
        "onnxruntime cells-onnx",
    ]
    with pytest.raises(UsageError, match="given twice"):
        candidates([paths[0], paths[0]], threads=1)


def test_rows_are_complete(models):
    steps = []
    got = measure(
        models, batch=2, rounds=8, with_memory=False, on_progress=lambda *s: steps.append(s)
    )
    assert [row["name"] for row in got.rows] == list(models)
    for row in got.rows:
        assert row["n"] == 8
        assert row["min_ms"] <= row["median_ms"] <= row["p95_ms"]
        assert row["images_per_s"] == pytest.approx(2000 / row["median_ms"])
        assert (row["threads"], row["batch"], row["precision"]) == (1, 2, "f32")
        assert row["size_bytes"] == models[row["name"]].size_bytes
    assert got.fastest in models
    assert {c.a for c in got.against_fastest()} == {got.fastest}
    text = json.dumps([got.rows, got.host, got.method])
    assert str(Path.cwd()) not in text
    assert steps == [("timing", i / 8) for i in range(8)]
    assert got.busy in (True, False)


def test_peak_memory_is_that_of_another_process(models):
    """The child needs no torch for an ONNX file: its whole peak stays far below torch's import."""
    got = memory.peak(models["onnxruntime"])
    assert got.peak_bytes == got.base_bytes + got.model_bytes
    assert 10e6 < got.base_bytes <= got.peak_bytes < 250e6


def test_larger_batches_need_more_memory(made):
    opened = open_model(made["cells", "onnx"].path, threads=1)
    small, large = memory.peak(opened, batch=1), memory.peak(opened, batch=512)
    # 512 inputs of (1, 24, 32) float32 alone are 1.6 MB, the first layer's output 3 MB.
    assert large.model_bytes - small.model_bytes > 3e6


def test_child_that_fails_is_one_line(made, monkeypatch):
    opened = open_model(made["plain", "onnx"].path, threads=1)
    object.__setattr__(opened, "path", Path("/nowhere/at/all"))
    with pytest.raises(PocketvisionError, match=r"measuring process failed: .*no model at"):
        memory.peak(opened)


def test_batch_is_checked(models):
    with pytest.raises(UsageError, match="batch must be >= 1"):
        measure(models, batch=0)
