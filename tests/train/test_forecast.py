"""More images of which class? Made-up features in which one class is starved must name it."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.train import refit
from pocketvision.train.forecast import _drop, _round, fits, forecast
from pocketvision.train.head import Layer
from pocketvision.train.refit import Features

NAMES = ("ash", "birch", "cedar", "elm")


def features(counts, *, val=60, width=40, seed=0, spread=1.0):
    """Classes as clouds about centres at equal distances, so that only their numbers differ."""
    draw = np.random.default_rng(seed)
    k = len(counts)
    centres = 2.2 * np.eye(k, width)

    def cloud(numbers):
        truth = np.repeat(np.arange(k), numbers)
        x = centres[truth] + spread * draw.normal(size=(len(truth), width))
        return x.astype(np.float32), truth

    train, truth = cloud(counts)
    seen, val_truth = cloud([val] * k if np.isscalar(val) else val)
    return Features(train=train, truth=truth, val=seen, val_truth=val_truth, classes=NAMES[:k])


def layer(k=4, width=40):
    return Layer(weight=torch.zeros(k, width), bias=torch.zeros(k))


@pytest.mark.parametrize("starved", range(4))
def test_the_starved_class_is_named(starved):
    counts = [120] * 4
    counts[starved] = 8
    data, seen = features(counts, seed=starved, val=200), []
    found = forecast(data, layer(), on_fit=lambda: seen.append(1))
    first = found.classes[0]
    assert first.name == NAMES[starved]
    assert first.clear
    assert first.images == 8
    assert first.gain > 2 * max(c.gain for c in found.classes[1:])
    assert 0 < first.recall_gain <= 1 - first.recall
    assert not any(c.clear for c in found.classes[1:])
    assert found.more == 90  # 368 / 4 = 92, said with one digit
    assert len(seen) == fits(data) == 1 + 8 * (3 + 4)


def test_what_was_forecast_comes_true():
    """The whole of it: with more images of the starved class, recall rises about as was said."""
    before, told = [], []
    after = []
    for seed in range(6):
        few = features([120, 120, 12, 120], seed=seed, val=300)
        many = features([120, 120, 102, 120], seed=seed, val=300)
        found = forecast(few, layer(), more=90)
        told.append(next(c for c in found.classes if c.name == "cedar").gain)
        weights = few.weights()
        before.append(refit.begun(few, layer()).right @ weights)
        after.append(refit.begun(many, layer()).right @ weights)
    real = np.mean(after) - np.mean(before)
    assert real > 0.03
    assert np.mean(told) == pytest.approx(real, rel=0.5)


def test_alike_classes_give_no_name():
    found = forecast(features([100] * 4), layer())
    assert not any(c.clear for c in found.classes)
    assert found.points[0][1] > found.points[-1][1] + 0.05  # though images do help
    assert all(c.low < c.gain < c.high for c in found.classes)


def test_the_points_are_nested_parts_judged_on_the_same_images():
    data = features([80, 40, 16, 8])
    work = refit.begun(data, layer())
    sizes = [work.nested(p)[0] for p in (8, 4, 2)]
    assert sizes == [10 + 5 + 2 + 1, 20 + 10 + 4 + 2, 40 + 20 + 8 + 4]
    found = forecast(data, layer())
    assert [n for n, _, _ in found.points] == [*sizes, 144]
    assert found.points[-1][1] == pytest.approx(1 - work.right @ data.weights())
    assert found.points[0][1] > found.points[-1][1]
    assert found.twice.low <= found.twice.gain <= found.twice.high
    assert found.twice.error == pytest.approx(found.curve.error(288))


class Spy(refit.Refits):
    """Keeps the rows that would be fitted."""

    seen: ClassVar[list] = []

    def rightly(self, rows):
        self.seen.append(np.sort(rows))
        return self.right


@pytest.mark.parametrize("have", [2, 3, 11, 12])
def test_the_quarters_of_a_class_share_no_image_and_leave_the_others_alone(have):
    data = features([10, have, 12, 13])
    work = refit.begun(data, layer())
    Spy.seen = []
    left, right = Spy(data, work.layer, work.strength, work.right, 0, lambda: None).quarters(1)
    own, others = (set(np.flatnonzero(same)) for same in (data.truth == 1, data.truth != 1))
    parts = [set(rows) & own for rows in Spy.seen]
    assert all(others <= set(rows) for rows in Spy.seen)
    assert right.shape == (8, 240)
    assert set.union(*parts[:4]) == own
    if have >= 4:
        assert sum(map(len, parts[:4])) == have
        assert parts[4:] != parts[:4]  # another order
    assert left == pytest.approx(8 * have / sum(map(len, parts)))


def test_a_seldom_class_is_answered_as_if_it_were_not():
    """Of two classes with the same logits throughout the seldom one wins."""
    data = features([10, 1], val=3)
    flat = layer(k=2)
    assert refit.rightly(flat, data, np.arange(11)).tolist() == [False] * 3 + [True] * 3
    assert refit.rightly(flat, data, np.arange(10)).tolist() == [True] * 3 + [False] * 3


def test_every_class_weighs_the_same():
    data = features([20] * 4, val=[10, 20, 30, 40])
    weights = data.weights()
    for c in range(4):
        assert weights[data.val_truth == c].sum() == pytest.approx(1 / 4)
    lone = features([20] * 4, val=[10, 0, 30, 40])
    assert lone.weights().sum() == pytest.approx(1)
    found = forecast(lone, layer())
    assert {c.name for c in found.classes} == {"ash", "cedar", "elm"}
    assert found.unjudged == 1


def test_the_spread_by_hand():
    """Two draws, two classes of two images: one image of the first is lost in both draws, one of
    the second in one of them.
    """
    data = features([4, 4], val=2)
    lost = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    mean, error = _drop(lost, data)
    assert mean == pytest.approx((0.5 + 0.25) / 2)
    draws = 0.125**2 * 2 / 1 / 2  # 0.5 and 0.25 about 0.375, over two draws
    first = ((1 + 1) / 4 - (1 / 4) ** 2) / 4
    second = ((0.25 + 1) / 4 - (0.5 / 4) ** 2) / 4
    assert error**2 == pytest.approx(draws + (first + second) / 4)


def test_classes_with_one_image_are_said_and_not_judged():
    found = forecast(features([30, 30, 30, 1]), layer())
    assert found.too_few == ("elm",)
    assert {c.name for c in found.classes} == set(NAMES[:3])
    row = found.to_dict()
    assert row["classes"][0]["clear"] in (True, False)


def test_too_few_images_are_refused():
    with pytest.raises(UsageError, match="needs at least 8 for 4 classes, got 7"):
        forecast(features([2, 2, 2, 1]), layer())


def test_the_same_call_gives_the_same_forecast():
    data = features([30, 30, 30, 10])
    assert forecast(data, layer()) == forecast(data, layer())


@pytest.mark.parametrize(("count", "said"), [(3, 10), (92, 90), (96, 100), (734.2, 700), (10, 10)])
def test_numbers_as_people_say_them(count, said):
    assert _round(count) == said
