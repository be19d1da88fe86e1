"""Parity figures by hand, on runtimes that answer what they are told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.export.parity import BATCH, agreement, compare, compare_pairs, relative


class Told:
    """Answers row x[0, 0, 0] of its table: the input says which image it is."""

    precision, threads, input_shape = "f32", 1, (1, 1, 1)

    def __init__(self, name: str, **tables) -> None:
        self.name, self.heads, self.batches = name, tuple(tables), []
        self.tables = {h: np.array(t, np.float32) for h, t in tables.items()}

    def __call__(self, x_nchw):
        self.batches.append(len(x_nchw))
        return {h: t[x_nchw[:, 0, 0, 0].astype(int)] for h, t in self.tables.items()}


def inputs(n: int):
    return (np.full((1, 1, 1), i, np.float32) for i in range(n))


def test_figures_by_hand():
    a = Told("a", label=[[1.0, 3.0], [-4.0, 2.0]])
    b = Told("b", label=[[1.5, 3.0], [-4.0, 1.0]])
    got = compare(a, b, inputs(2))
    # Differences 0.5, 0, 0, -1: largest 1, mean 1.5 / 4; largest magnitude of a is 4.
    assert (got.n, got.max_abs, got.mean_abs, got.max_rel) == (2, 1.0, 0.375, 0.25)
    assert (got.top1_agreement, got.input_max_abs, got.metric_a) == (1.0, 0.0, None)
    assert (got.a, got.b) == ("a f32", "b f32")


def test_metric_on_both_counts_only_known_labels():
    a = Told("a", label=[[0, 1], [0, 1], [1, 0], [1, 0]])
    b = Told("b", label=[[0, 1], [1, 0], [1, 0], [0, 1]])
    got = compare(a, b, inputs(4), labels=[1, 1, 0, -1])
    assert (got.metric_a, got.metric_b) == (1.0, pytest.approx(2 / 3))
    assert got.top1_agreement == 0.5


def test_a_tie_in_the_original_is_one_answer():
    a = np.array([[1.0, 1.0 - 1e-7, 0.0], [1.0, 0.9, 0.0]])
    assert agreement(a, np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])) == 1.0
    assert agreement(a, np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])) == 0.5


def test_worst_head_counts():
    a = Told("a", one=[[1.0, 0.0]], two=[[10.0, 0.0]])
    b = Told("b", one=[[1.0, 0.0]], two=[[8.0, 9.0]])
    got = compare(a, b, inputs(1), labels={"two": [0]})
    assert (got.max_rel, got.top1_agreement, got.metric_b) == (0.9, 0.0, 0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_not_a_number_never_passes(bad):
    got = compare(Told("a", label=[[1.0, 2.0]]), Told("b", label=[[1.0, bad]]), inputs(1))
    assert got.max_rel == math.inf
    assert not got.max_rel <= 1e9


def test_zero_original():
    assert relative(np.zeros((1, 2)), np.zeros((1, 2))) == 0.0
    assert relative(np.zeros((1, 2)), np.full((1, 2), 1e-3)) > 1


def test_one_image_alone_then_batches():
    a, b = Told("a", label=[[0.0, 1.0]] * 40), Told("b", label=[[0.0, 1.0]] * 40)
    compare(a, b, inputs(40))
    assert a.batches == b.batches == [1, BATCH, BATCH, 40 - 1 - 2 * BATCH]


def test_inputs_of_both_sides_are_compared():
    a = Told("a", label=[[0.0, 1.0]] * 2)
    pairs = [(np.full((1, 1, 1), 0.0), np.full((1, 1, 1), 1.0))]
    assert compare_pairs(a, a, pairs).input_max_abs == 1.0


def test_nothing_to_compare_and_labels_that_do_not_fit():
    a = Told("a", label=[[0.0, 1.0]] * 2)
    with pytest.raises(UsageError, match="no image to compare"):
        compare(a, a, [])
    with pytest.raises(UsageError, match="3 labels for 2 images of head 'label'"):
        compare(a, a, inputs(2), labels=[0, 1, 0])
    with pytest.raises(UsageError, match="'other', which the model lacks"):
        compare(a, a, inputs(2), labels={"other": [0, 1]})
    with pytest.raises(UsageError, match="outputs differ: label against x"):
        compare(a, Told("b", x=[[0.0, 1.0]] * 2), inputs(2))
