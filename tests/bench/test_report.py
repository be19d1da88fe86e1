"""Tables: alignment that a reader of the source sees, and JSON that keeps every digit."""

from __future__ import annotations

import json

import pytest

from pocketvision.bench.report import as_json, markdown, shown, text, width

ROWS = [
    {"runtime": "torch", "median_ms": 12.3456, "n": 50, "stable": True},
    {"runtime": "onnxruntime", "median_ms": 7.1, "n": 50, "top1": 0.98765},
]


def test_text_is_aligned_numbers_to_the_right():
    assert text(ROWS).split("\n") == [
        "runtime      median_ms   n  stable    top1",
        "-----------  ---------  --  ------  ------",
        "torch            12.35  50  yes          -",
        "onnxruntime      7.100  50  -       0.9877",
    ]


def test_markdown_is_aligned_and_escapes_bars():
    rows = [{"name": "a|b", "ms": 1.0}, {"name": "c", "ms": 1234.5}]
    assert markdown(rows).split("\n") == [
        "| name |    ms |",
        "| ---- | ----: |",
        "| a\\|b | 1.000 |",
        "| c    |  1234 |",
    ]


def test_columns_choose_and_order():
    assert text(ROWS, columns=["n", "runtime"]).split("\n")[0] == " n  runtime"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (None, "-"),
        (True, "yes"),
        (3, "3"),
        (0.0, "0.000"),
        (0.98765, "0.9877"),
        (123.44, "123.4"),
        (43210.7, "43211"),
        (2.5e-7, "2.50e-07"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("x", "x"),
    ],
)
def test_cells(value, word):
    assert shown(value) == word


def test_wide_letters_keep_columns_straight():
    assert (width("猫"), width("e\u0301"), width("cat")) == (2, 1, 3)
    lines = text([{"label": "猫", "n": 1}, {"label": "cat", "n": 2}]).split("\n")
    assert len({width(line) for line in lines}) == 1


def test_json_keeps_digits():
    got = json.loads(as_json(ROWS, host={"cpu": "x"}))
    assert got["rows"] == ROWS
    assert (got["format"], got["host"]) == (1, {"cpu": "x"})


def test_no_rows():
    assert text([], columns=["name"]) == "name\n----"
