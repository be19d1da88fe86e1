"""kill -9 and --resume through the command, as the recipe does it, at three moments."""

import runpy
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "kill_resume.py"


@pytest.fixture(scope="module")
def recipe():
    """The recipe's functions."""
    return runpy.run_path(str(RECIPE))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_runs_end_like_the_one_that_was_not(recipe, tmp_path):
    rows, steps = recipe["killed"](3, tmp_path, seed=1)
    assert steps == 75
    assert [row["identical"] for row in rows] == [True] * 3


def test_a_difference_would_be_seen(recipe, tmp_path):
    class Place:
        run = tmp_path

    (tmp_path / "bundle").mkdir()
    for name in ("losses.csv", "predictions.csv", "bundle/weights.safetensors"):
        (tmp_path / name).write_text("1")
    (tmp_path / "results.csv").write_text("epoch,seconds,images_per_s\n1,2.0,3.0\n")
    before = recipe["ended"](Place)
    (tmp_path / "results.csv").write_text("epoch,seconds,images_per_s\n1,9.0,9.0\n")
    assert recipe["ended"](Place) == before
    (tmp_path / "losses.csv").write_text("2")
    assert recipe["ended"](Place) != before


def test_what_a_run_was_doing_is_read_from_its_stack(recipe):
    stack = (
        "Current thread 0x1 (most recent call first):\n"
        '  File "/x/site-packages/torch/nn/modules/module.py", line 9 in forward\n'
        '  File "/x/src/pocketvision/train/step.py", line 9 in taken\n'
        '  File "/x/src/pocketvision/train/loop.py", line 9 in stepped\n'
        '  File "/x/src/pocketvision/train/loop.py", line 9 in fit\n'
    )
    assert recipe["doing"](stack) == "taking a step"
    assert recipe["doing"](stack.replace("taken", "x").replace("stepped", "y")) == (
        "between two steps"
    )
    assert recipe["doing"]("") == "starting"
