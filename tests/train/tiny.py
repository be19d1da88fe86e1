"""A network, images and a job that train in a second; shared by the tests of this room."""

import numpy as np
import torch

from pocketvision.data.dataset import Dataset, Sample
from pocketvision.labels import Labels
from pocketvision.model import build
from pocketvision.preprocess import Preprocess
from pocketvision.spec import Classifier, Conv, NetSpec, Separable
from pocketvision.train import schedule
from pocketvision.train.config import TrainConfig
from pocketvision.train.events import StepDone
from pocketvision.train.job import Images, Job
from pocketvision.train.losses import plain

SIZE = 16
CONTRACT = Preprocess(size=(SIZE, SIZE), crop_fraction=1.0)
NAMES = ("low", "middle", "high")


def small_spec(classes=3):
    """A stem, separable blocks and a head with dropout: all that has a state of its own."""
    block = Separable(
        depthwise=Conv(c_in=8, c_out=8, kernel=3, groups=8, act="relu"),
        pointwise=Conv(c_in=8, c_out=8),
        shortcut=8,
    )
    return NetSpec(
        name="small",
        resolution=(SIZE, SIZE),
        stem=Conv(c_in=3, c_out=8, kernel=3, stride=2, act="hard_swish"),
        blocks=(block, block),
        heads=(("label", Classifier(c_in=8, classes=classes, dropout=0.2)),),
    )


def images_of(n, seed=0, classes=3):
    """Noise with a bright stripe whose height is the class: easy to learn, not at once."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 120, (n, SIZE, SIZE, 3), dtype=np.uint8)
    truth = np.arange(n) % classes
    for image, label in zip(pixels, truth, strict=True):
        image[4 * label : 4 * label + 3] += 90
    return Images(pixels=pixels, truth=truth)


def dataset_of(n=43, n_val=12):
    """The same images as a dataset whose pixels came with the program."""
    splits = {}
    for split, images in (("train", images_of(n)), ("val", images_of(n_val, seed=1))):
        rows = enumerate(zip(images.pixels, images.truth.tolist(), strict=True))
        splits[split] = tuple(Sample(None, t, f"{split}/{i}", p) for i, (p, t) in rows)
    return Dataset("stripes", None, NAMES, splits, "made for a test")


def flipped(x, indices, epoch, size):
    """An augmentation that differs from image to image and epoch to epoch."""
    turn = torch.from_numpy((np.asarray(indices) + epoch) % 2 == 0)
    return torch.where(turn[:, None, None, None], x.flip(3), x)


def job_of(**settings):
    """A job of 4 epochs of 6 steps."""
    values = {"epochs": 4, "batch_size": 8, "lr": 0.02, "drop_path": 0.1, "eval_every": 2}
    config = TrainConfig(**{**values, **settings})
    train, val = images_of(43), images_of(12, seed=1)
    plan = schedule.planned(config, n=len(train), n_val=len(val), size_hw=(SIZE, SIZE))
    return Job(
        network=build(small_spec(), seed=config.seed, drop_path=config.drop_path),
        train=train,
        val=val,
        config=config,
        plan=plan,
        preprocess=CONTRACT,
        labels=Labels(names=NAMES),
        augment=flipped,
        objective=plain(config),
    )


def losses(events):
    """The loss of every step."""
    return [e.loss for e in events if isinstance(e, StepDone)]
