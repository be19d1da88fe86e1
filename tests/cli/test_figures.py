"""The lines at the end of a run: trust, and the class that is recognised too seldom."""

from pathlib import Path

import numpy as np

from pocketvision.cli.figures import trust, weak
from pocketvision.labels import Labels
from pocketvision.tasks.calibrate import fitted
from pocketvision.tasks.classify import measure

NAMES = ("ash", "beech wood", "cedar")


def metrics(right):
    """So many right answers of 40 a class; the others are the next class."""
    truth = np.repeat(np.arange(3), 40)
    answer = np.concatenate([(c + (np.arange(40) >= n)) % 3 for c, n in enumerate(right)])
    logits = 3.0 * np.eye(3)[answer]
    return measure(logits, truth, labels=Labels(names=NAMES)), logits, truth


def test_a_weak_class_is_named_with_the_command():
    m, _, _ = metrics((38, 20, 39))
    text = weak(m, Path("runs/my photos"), "photos")
    assert text == (
        "'beech wood' is recognised in 50.0% only; would more images help? "
        "pocketvision forecast 'runs/my photos' --data photos"
    )


def test_classes_within_chance_of_each_other_are_left_alone():
    assert weak(metrics((36, 33, 37))[0], Path("r"), "d") == ""


def test_trust_in_two_lines():
    _, logits, truth = metrics((38, 30, 39))
    made = fitted(logits, truth, labels=Labels(names=NAMES), known_share=0.95)
    first, second = trust({"decision": made.row()}).splitlines()
    assert f"{made.figures['ece']['before']:.2%} before" in first
    assert f"temperature {made.temperature:.2f}" in first
    assert second.startswith(f"unknown: {made.figures['unknown']['rejected']:.1%} of the images")
