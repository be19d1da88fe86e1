"""Policies: their tables, what numbers stand for, and that nothing but the numbers plays a part."""

from collections import Counter

import numpy as np
import pytest
import torch

from pocketvision.data.augment import augment
from pocketvision.data.config import NONE, AugmentConfig, PolicyConfig
from pocketvision.data.counter import bits, stream
from pocketvision.data.operations import OPERATIONS
from pocketvision.data.policies import (
    AUTO,
    AUTOAUGMENT,
    POLICIES,
    RAND,
    RANDAUGMENT,
    TRIVIALAUGMENT,
    WIDE,
    Change,
    change_,
    planned,
)
from pocketvision.errors import UsageError

NAMES = ("autoaugment", "randaugment", "trivialaugment")
# arXiv:1805.09501, table 9, as torchvision has it (a dash: the operation has no magnitude).
TABLE_9 = """\
Posterize 0.4 8 Rotate 0.6 9|Solarize 0.6 5 AutoContrast 0.6 -|Equalize 0.8 - Equalize 0.6 -
Posterize 0.6 7 Posterize 0.6 6|Equalize 0.4 - Solarize 0.2 4|Equalize 0.4 - Rotate 0.8 8
Solarize 0.6 3 Equalize 0.6 -|Posterize 0.8 5 Equalize 1.0 -|Rotate 0.2 3 Solarize 0.6 8
Equalize 0.6 - Posterize 0.4 6|Rotate 0.8 8 Color 0.4 0|Rotate 0.4 9 Equalize 0.6 -
Equalize 0.0 - Equalize 0.8 -|Invert 0.6 - Equalize 1.0 -|Color 0.6 4 Contrast 1.0 8
Rotate 0.8 8 Color 1.0 2|Color 0.8 8 Solarize 0.8 7|Sharpness 0.4 7 Invert 0.6 -
ShearX 0.6 5 Equalize 1.0 -|Color 0.4 0 Equalize 0.6 -|Equalize 0.4 - Solarize 0.2 4
Solarize 0.6 5 AutoContrast 0.6 -|Invert 0.6 - Equalize 1.0 -|Color 0.6 4 Contrast 1.0 8
Equalize 0.8 - Equalize 0.6 -"""


def pictures(n=5, channels=3, height=24, width=32, seed=0):
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (n, channels, height // 4, width // 4), dtype=np.uint8)
    return torch.from_numpy(coarse.repeat(4, axis=2).repeat(4, axis=3))


def run(images, name, *, config=NONE, indices=None, epoch=0, seed=0):
    numbers = range(len(images)) if indices is None else indices
    return augment(
        images,
        indices=list(numbers),
        epoch=epoch,
        seed=seed,
        config=config,
        policy=PolicyConfig(name=name),
    )


def test_the_searched_pairs_are_the_papers():
    rows = [row for line in TABLE_9.splitlines() for row in line.split("|")]
    assert len(rows) == len(AUTOAUGMENT) == 25
    levelled = {"posterize", "rotate", "solarize", "color", "contrast", "sharpness", "shear_x"}
    for row, pair in zip(rows, AUTOAUGMENT, strict=True):
        words = row.split()
        for (name, chance, magnitude), (theirs, p, m) in zip(
            pair, (words[:3], words[3:]), strict=True
        ):
            assert name.replace("_", "") == theirs.lower()
            assert chance == float(p)
            assert (name in levelled) == (m != "-")
            assert m in ("-", str(magnitude))


def test_every_operation_is_known_and_used():
    used = {name for pair in AUTOAUGMENT for name, _, _ in pair}
    assert used | {*RANDAUGMENT} | {*TRIVIALAUGMENT} == OPERATIONS.keys()
    assert len(RANDAUGMENT) == 15
    assert len(TRIVIALAUGMENT) == 14


def test_autoaugment_by_hand():
    """u = 0.42 is pair 10: rotate with 0.8 at 8 of 9, color with 0.4 at 0."""
    policy = PolicyConfig(name="autoaugment")
    limits, changes = planned([0.42, 0.79, 0.39, 0.2, 0.7], policy)
    assert limits == AUTO
    assert changes == [Change("rotate", 8 / 9, 1), Change("color", 0.0, -1)]
    assert planned([0.42, 0.8, 0.4, 0.2, 0.7], policy)[1] == []  # neither: both are under
    # Pair 12's first half has probability 0.
    assert [c.name for c in planned([0.49, 0.0, 0.0, 0, 0], policy)[1]] == ["equalize"]


def test_randaugment_by_hand():
    policy = PolicyConfig(name="randaugment", ops=2, magnitude=9, deviation=0.5)
    u = [3.5 / 15, 0.4, 0.5, 0.6, 14.5 / 15, 0.6, 0.5, 0.1]
    limits, changes = planned(u, policy)
    assert limits == RAND
    assert changes == [Change("rotate", 0.9, -1)]  # the median; the second was not its turn
    u[5], u[2] = 0.1, 0.841344746068543  # one deviation up: 9.5
    first, second = planned(u, policy)[1]
    assert first.level == pytest.approx(0.95)
    assert second == Change("translate_y", 0.9, 1)
    u[2] = 0.999  # 10.5 is cut off
    assert planned(u, policy)[1][0].level == 1.0
    u[2] = 0.0
    assert 0 <= planned(u, policy)[1][0].level < 0.6
    still = PolicyConfig(name="randaugment", magnitude=0, deviation=0.0)
    assert {c.level for c in planned(u, still)[1]} == {0.0}


def test_trivialaugment_by_hand():
    limits, changes = planned([5.5 / 14, 0.999, 0.6], PolicyConfig(name="trivialaugment"))
    assert limits == WIDE
    assert changes == [Change("rotate", 1.0, -1)]
    level = planned([5.5 / 14, 15.5 / 31, 0.6], PolicyConfig(name="trivialaugment"))[1][0].level
    assert level == 0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_happens_depends_on_seed_epoch_and_number_alone(name, channels):
    images = pictures(channels=channels)
    whole = run(images, name, epoch=3, seed=5)
    assert whole.shape == images.shape
    one = run(images[2:3], name, indices=[2], epoch=3, seed=5)
    assert torch.equal(one[0], whole[2])
    assert torch.equal(run(images, name, epoch=3, seed=5), whole)
    assert not torch.equal(run(images, name, epoch=4, seed=5), whole)
    assert not torch.equal(run(images, name, epoch=3, seed=6), whole)
    assert not torch.equal(run(images, name, epoch=3, seed=5, indices=range(5, 10)), whole)


def test_strength_0_is_the_picture_itself():
    """Of randaugment's operations only three have no strength."""
    images = pictures(60)
    policy = PolicyConfig(name="randaugment", magnitude=0, deviation=0)
    out = augment(images, indices=range(60), epoch=0, seed=0, config=NONE, policy=policy)
    same = sum(torch.equal(a, b) for a, b in zip(out, images, strict=True))
    # Neither operation is one of the three: (1 - 0.5 * 3 / 15) ** 2 = 0.81 of the images.
    assert same >= 60 * 0.81 - 3 * (60 * 0.81 * 0.19) ** 0.5


def test_a_policy_shifts_no_other_draw():
    """Its place is after crop and mirror and before the noise of erasing."""
    config = AugmentConfig(flip=0.5, crop_area=0.4, erase=1.0, erase_area=0.2)
    images = pictures(4)
    plain = augment(images, indices=range(4), epoch=1, seed=2, config=config)
    ours = run(images, "trivialaugment", config=config, epoch=1, seed=2)
    kept = AugmentConfig(flip=0.5, crop_area=0.4)
    whole = augment(images, indices=range(4), epoch=1, seed=2, config=kept)
    for i, (noisy, clean) in enumerate(zip(plain, whole, strict=True)):
        rows, columns = np.nonzero((noisy != clean).any(0).numpy())
        hole = (
            slice(None),
            slice(rows.min(), rows.max() + 1),
            slice(columns.min(), columns.max() + 1),
        )
        expected = clean.clone()
        view = expected.numpy().transpose(1, 2, 0)
        change_(view, PolicyConfig(name="trivialaugment"), seed=2, epoch=1, index=i)
        expected[hole] = noisy[hole]
        assert torch.equal(ours[i], expected)


def test_its_numbers_are_a_row_of_their_own():
    """By whole-number arithmetic: the other seed is the first number of an epoch far away."""
    assert stream(7, 1) == int(bits(seed=7, epoch=2**62 + 1, indices=np.array([0]), count=1)[0, 0])
    assert len({stream(s, k) for s in range(30) for k in range(3)}) == 90


@pytest.mark.parametrize("name", NAMES)
def test_all_operations_come_up(name):
    policy = PolicyConfig(name=name)
    draw = np.random.default_rng(0)
    rows = draw.random((3000, 4 * policy.ops))
    counts = Counter(c.name for u in rows for c in planned(u.tolist(), policy)[1])
    wanted = {
        "autoaugment": {n for pair in AUTOAUGMENT for n, p, _ in pair if p},
        "randaugment": {*RANDAUGMENT},
        "trivialaugment": {*TRIVIALAUGMENT},
    }
    assert counts.keys() == wanted[name]
    if name == "randaugment":
        assert sum(counts.values()) == pytest.approx(3000, rel=0.05)  # 2 operations, each half


def test_other_channels_are_refused():
    with pytest.raises(UsageError, match="--policy randaugment changes grey or colour images"):
        run(torch.zeros(1, 4, 8, 8, dtype=torch.uint8), "randaugment")


def test_the_directory_is_what_the_flag_takes():
    from dataclasses import fields

    from pocketvision.train.config import TrainConfig

    (field,) = (f for f in fields(TrainConfig) if f.name == "policy")
    assert field.metadata["one_of"] == ("none", *POLICIES) == ("none", *NAMES)
