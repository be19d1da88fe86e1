import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.errors import LabelError, PocketvisionError, UsageError
from pocketvision.labels import Labels
from pocketvision.preprocess import Preprocess, prepare
from pocketvision.tasks import classify

ABC = Labels(names=("a", "b", "c"))


def logits_for(answers, k):
    return np.eye(k)[answers] * 5.0


# Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3 (the score interval).
@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(correct, n, low, high):
    assert classify.wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_without_images_knows_nothing():
    assert classify.wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_ends_are_the_roots_of_the_score_test(pair):
    correct, n = pair
    p = correct / n
    for end in classify.wilson(correct, n):
        # The interval ends where (p - q)^2 = z^2 q (1 - q) / n: solved another way.
        score = classify.Z_95**2 * end * (1 - end) / n
        assert (p - end) ** 2 == pytest.approx(score, rel=1e-6, abs=1e-12)


def test_figures_worked_by_hand():
    truth = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    answer = np.array([0, 0, 0, 1, 1, 0, 2, 2, 2, 2])
    m = classify.measure(logits_for(answer, 3), truth, labels=ABC)
    assert m.confusion.tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 4]]
    assert (m.n, m.correct, m.accuracy) == (10, 8, 0.8)
    a, b, c = m.per_class
    assert (a.n, a.answered, a.correct) == (4, 4, 3)
    assert (a.recall, a.precision, a.f1) == (0.75, 0.75, 0.75)
    assert (b.recall, b.precision, b.f1) == (0.5, 0.5, 0.5)
    assert (c.recall, c.precision, c.f1) == (1.0, 1.0, 1.0)
    assert m.macro_recall == pytest.approx((0.75 + 0.5 + 1) / 3)
    assert m.interval == classify.wilson(8, 10)
    assert a.recall_interval == classify.wilson(3, 4)
    # A right row costs -log(e^5 / (e^5 + 2)), a wrong one 5 more.
    right = math.log(math.exp(5) + 2) - 5
    assert m.loss == pytest.approx(right + 2 * 5 / 10)
    assert m.top5 is None


def test_a_class_without_images_has_no_recall_and_stays_out_of_the_mean():
    m = classify.measure(logits_for([0, 1], 3), np.array([0, 1]), labels=ABC)
    assert math.isnan(m.per_class[2].recall)
    assert math.isnan(m.per_class[2].precision)
    assert m.per_class[2].recall_interval == (0.0, 1.0)
    assert m.macro_recall == 1.0


def test_top5_counts_rows_whose_truth_is_among_the_first_five():
    labels = Labels(names=tuple("abcdefg"))
    scores = np.arange(7.0)[None].repeat(3, axis=0)  # best first: g f e d c
    m = classify.measure(scores, np.array([6, 2, 1]), labels=labels)
    assert m.top5 == pytest.approx(2 / 3)
    assert m.accuracy == pytest.approx(1 / 3)


def test_hidden_entries_are_never_answered_and_take_no_probability():
    labels = Labels(names=("background", "a", "b"), background=0)
    logits = np.array([[9.0, 1.0, 0.0], [9.0, 0.0, 1.0]])
    m = classify.measure(logits, np.array([1, 2]), labels=labels)
    assert m.accuracy == 1.0
    (first, _second) = classify.decode(logits, ["x.png", "y.png"], labels=labels)
    assert first.label == "a"
    assert [name for name, _ in first.top] == ["a", "b"]
    assert first.probability == pytest.approx(math.e / (math.e + 1))
    with pytest.raises(LabelError, match="'background', which is never answered"):
        classify.measure(logits, np.array([0, 1]), labels=labels)


@given(st.lists(st.lists(st.floats(-700, 700), min_size=3, max_size=3), min_size=1, max_size=4))
def test_softmax_sums_to_one_and_does_not_care_about_a_shift(rows):
    x = np.array(rows)
    p = classify.softmax(x)
    assert p.sum(axis=1) == pytest.approx(np.ones(len(x)))
    assert classify.softmax(x + 1000) == pytest.approx(p, abs=1e-9)


def test_what_does_not_fit_is_said():
    good = np.zeros((2, 3))
    with pytest.raises(LabelError, match=r"shape \(2, 3\), but there are 2 labels"):
        classify.measure(good, np.array([0, 1]), labels=Labels(names=("a", "b")))
    with pytest.raises(LabelError, match="run from 0 to 3; there are 3 classes"):
        classify.measure(good, np.array([0, 3]), labels=ABC)
    with pytest.raises(LabelError, match=r"2 answers but labels of shape \(3,\)"):
        classify.measure(good, np.array([0, 1, 2]), labels=ABC)
    with pytest.raises(UsageError, match="no image to measure on"):
        classify.measure(np.zeros((0, 3)), np.array([], int), labels=ABC)
    with pytest.raises(PocketvisionError, match="NaN\\) for 1 of 2"):
        classify.measure(np.array([[0, 1, np.nan], [0, 0, 0]]), np.array([0, 1]), labels=ABC)
    with pytest.raises(UsageError, match="--top must be at least 1"):
        classify.decode(good, ["a", "b"], labels=ABC, most=0)


def test_evaluation_in_batches_equals_one_image_at_a_time():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (7, 4, 4, 3), dtype=np.uint8)
    truth = draw.integers(0, 3, 7)
    weight = draw.normal(size=(48, 3))
    contract = Preprocess(size=(4, 4), crop_fraction=1.0)

    def run(x):
        return {"label": x.reshape(len(x), -1) @ weight}

    inputs = classify.batches(images, contract, batch_size=3)
    m = classify.evaluate(run, inputs, truth, labels=ABC)
    single = [run(prepare(image, contract)[None])["label"] for image in images]
    assert m.n == 7
    assert m.loss == pytest.approx(
        classify.measure(np.concatenate(single), truth, labels=ABC).loss, rel=1e-6
    )


def test_a_head_is_chosen_by_name():
    def two(x):
        return {"kind": np.zeros((len(x), 2)), "colour": np.ones((len(x), 3))}

    x = [np.zeros((2, 3, 4, 4))]
    assert classify.answers(two, x, head="colour").shape == (2, 3)
    with pytest.raises(UsageError, match=r"name one of its heads.*kind, colour"):
        classify.answers(two, x)
    with pytest.raises(UsageError, match="no head 'color'; did you mean 'colour'"):
        classify.answers(two, x, head="color")
    with pytest.raises(UsageError, match="no image to run on"):
        classify.answers(two, [])
