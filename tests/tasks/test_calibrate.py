"""Temperature and threshold: against what answers were drawn with, and by hand."""

import json
import math

import numpy as np
import pytest

from pocketvision.decision import Decision
from pocketvision.labels import Labels
from pocketvision.tasks import calibrate
from pocketvision.tasks.classify import log_softmax, softmax
from pocketvision.tasks.decide import decided, known, scores

ABC = Labels(names=("a", "b", "c"))


def drawn(n, t=1.0, k=3, seed=0):
    """Logits that are t times too large for classes drawn from them."""
    draw = np.random.default_rng(seed)
    z = draw.normal(0, 2, (n, k))
    p = softmax(z)
    truth = (draw.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return (z * t).astype(np.float32), truth.clip(max=k - 1)


@pytest.mark.parametrize("t", [0.25, 1.0, 3.0])
def test_the_temperature_that_answers_were_drawn_with_is_found(t):
    z, truth = drawn(20_000, t)
    assert calibrate.temperature(z, truth, labels=ABC) == pytest.approx(t, rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_temperature_has_a_smaller_loss(seed):
    z, truth = drawn(40, t=2.0, seed=seed)

    def loss(t):
        p = log_softmax(z.astype(float) / t)
        return -(p[np.arange(40), truth].sum() + p.mean(axis=1).mean())  # the images and one more

    found = calibrate.temperature(z, truth, labels=ABC)
    around = [loss(found * f) for f in (0.5, 0.99, 0.9999, 1.0001, 1.01, 2)]
    assert loss(found) < min(around)


def test_an_errorless_set_gives_no_certainty():
    n = 50
    truth = np.arange(n) % 3
    z = 100.0 * np.eye(3)[truth]
    t = calibrate.temperature(z, truth, labels=ABC)
    # Laplace: the mean -log p of n right images and a third of one more; by hand (n + 1/3)/(n + 1).
    assert softmax(z / t).max() == pytest.approx((n + 1 / 3) / (n + 1), rel=1e-6)


def test_answers_that_say_nothing():
    assert calibrate.temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0]), labels=ABC) == 1.0
    # Worse than guessing: as flat as it may become.
    z = np.eye(3)[[0, 1, 2]] * 9.0
    assert calibrate.temperature(z, np.array([1, 2, 0]), labels=ABC) == pytest.approx(100, rel=1e-3)


def test_hidden_entries_play_no_part():
    z, truth = drawn(500, t=2.0)
    wide = np.concatenate([np.full((500, 1), 50.0), z], axis=1)
    hidden = Labels(names=("background", "a", "b", "c"), background=0)
    t = calibrate.temperature(z, truth, labels=ABC)
    assert calibrate.temperature(wide, truth + 1, labels=hidden) == pytest.approx(t)
    energy = Decision(temperature=t, score="energy")
    np.testing.assert_allclose(scores(wide, energy, hidden=(0,)), scores(z, energy), rtol=1e-12)


def test_scores_by_hand():
    z = np.array([[math.log(6), math.log(3), 0.0]])
    assert scores(z, Decision())[0] == pytest.approx(0.6)
    assert scores(z, Decision(score="energy"))[0] == pytest.approx(math.log(10))
    # At temperature 1/2 the odds are squared: 36, 9, 1.
    assert scores(z, Decision(temperature=0.5))[0] == pytest.approx(36 / 46)
    half = Decision(temperature=0.5, score="energy")
    assert scores(z, half)[0] == pytest.approx(math.log(46) / 2)


def test_the_threshold_by_hand():
    score = np.arange(20) / 20
    right = np.ones(20, bool)
    # 19 of 20 stay; the threshold lies half way to the one that does not.
    assert calibrate.threshold(score, right, keep=0.95) == pytest.approx(0.025)
    right[5] = False  # 19 right ones: 0.95 of them is 18.05, so that all stay
    low = calibrate.threshold(score, right, keep=0.95)
    assert (score >= low)[right].all()
    assert calibrate.threshold(score, right, keep=0.5) == pytest.approx((10 + 9) / 40)
    assert calibrate.threshold(score, np.zeros(20, bool), keep=0.95) is None


@pytest.mark.parametrize("n", [1, 2, 3, 7, 200])
def test_a_decision_keeps_its_promise_on_what_it_was_fitted_on(n):
    z, truth = drawn(n, t=2.0)
    made = calibrate.fitted(z, truth, labels=ABC, known_share=0.9)
    right = z.argmax(axis=1) == truth
    if right.any():
        assert known(z, made)[right].mean() >= 0.9
    assert made.images == n
    assert made.figures["folds"] == (0 if n == 1 else min(n, 5))
    json.dumps(made.row(), allow_nan=False)


def test_figures_after_are_those_of_fits_that_did_not_see_the_image():
    z, truth = drawn(100, t=3.0)
    made = calibrate.fitted(z, truth, labels=ABC, known_share=0.95)
    e = made.figures["ece"]
    assert e["after"] < e["before"]
    # By hand: every image by a temperature from the four other folds; the log loss is that of all.
    total = 0.0
    for rest, held in calibrate._folds(100, 5):
        assert len(held) == 20
        assert not set(rest) & set(held)
        t = calibrate.temperature(z[rest], truth[rest], labels=ABC)
        total -= log_softmax(z[held].astype(float) / t)[np.arange(20), truth[held]].sum()
    assert made.figures["nll"]["after"] == pytest.approx(total / 100)
    u = made.figures["unknown"]
    assert 0 < u["rejected"] < 0.5
    assert u["accuracy_known"] > (z.argmax(axis=1) == truth).mean()


def test_the_energy_is_taken_only_where_it_ranks_better():
    """Right answers have large logits throughout, wrong ones small, with equal differences."""
    draw = np.random.default_rng(1)
    truth = draw.integers(0, 3, 400)
    right = draw.random(400) < 0.7
    z = np.eye(3)[np.where(right, truth, (truth + 1) % 3)] * draw.uniform(1, 3, (400, 1))
    z += np.where(right, 5.0, 0.0)[:, None]
    made = calibrate.fitted(z, truth, labels=ABC, known_share=0.95)
    assert made.score == "energy"
    assert made.figures["aurc"]["energy"] < made.figures["aurc"]["probability"]
    plain, its_truth = drawn(400)
    assert calibrate.fitted(plain, its_truth, labels=ABC, known_share=0.95).score == "probability"


def test_answers_are_calibrated_and_unknown_below_the_threshold():
    z = np.array([[math.log(6), math.log(3), 0.0], [math.log(8), math.log(1), 0.0]])
    rule = Decision(temperature=0.5, threshold=0.9)
    unsure, sure = decided(z, ["x", "y"], labels=ABC, decision=rule, most=2)
    assert unsure.top == (("a", pytest.approx(36 / 46)), ("b", pytest.approx(9 / 46)))
    assert (unsure.known, sure.known) == (False, True)
    plain = decided(z, ["x", "y"], labels=ABC, decision=None)
    assert plain[0].probability == pytest.approx(0.6)
    assert plain[0].known is None


def test_trust_on_other_images():
    z, truth = drawn(400, t=2.0, seed=3)
    none = calibrate.trust(z, truth, ABC, None)
    assert none["temperature"] is None
    assert none["coverage"] is None
    rule = calibrate.fitted(*drawn(400, t=2.0, seed=4), labels=ABC, known_share=0.95)
    found = calibrate.trust(z, truth, ABC, rule)
    assert found["ece"] < none["ece"]
    sure = known(z, rule)
    assert found["coverage"] == sure.mean()
    assert found["accuracy_known"] == (z.argmax(axis=1) == truth)[sure].mean()
