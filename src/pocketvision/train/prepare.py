"""What comes before the first step: checks, images, the job and its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from pocketvision.data.cache import Cache, load_uint8
from pocketvision.data.dataset import Dataset
from pocketvision.data.order import WINDOW, quota_of
from pocketvision.data.shard_files import with_files
from pocketvision.data.sharded import ShardedPixels
from pocketvision.errors import Interrupted, LabelError, OutputExists, UsageError
from pocketvision.labels import Labels
from pocketvision.model import Network, build
from pocketvision.preprocess import Preprocess, dumps
from pocketvision.spec import NetSpec
from pocketvision.train import augmenting, balance, losses, pace, schedule
from pocketvision.train.batches import batch
from pocketvision.train.config import TrainConfig, digest
from pocketvision.train.events import Event, Loaded, Note
from pocketvision.train.job import Images, Job
from pocketvision.train.norms import bare_layers, measure_, with_norms
from pocketvision.train.outputs import Data
from pocketvision.train.resume import plan_of, resumable
from pocketvision.train.start import Start

Listener = Callable[[Event], None]
MEASURED_BATCHES = 4
MOST_NAMED = 5


def check_fit(
    dataset: Dataset, spec: NetSpec, preprocess: Preprocess, *, resume: bool = False
) -> None:
    """Raise LabelError or UsageError where network, classes and contract do not fit together."""
    if len(spec.heads) != 1:
        names = ", ".join(name for name, _ in spec.heads)
        raise UsageError(f"training needs a network with one head, {spec.name} has {names}")
    (name, head), k = spec.heads[0], len(dataset.classes)
    if head.classes != k:
        advice = f"make the network with --classes {k}"
        if resume:
            advice = (
                "a run keeps its number of classes, whatever is allowed to change: bring the data "
                "back to what they were, or start a new run from what this one learned with --from"
            )
        raise LabelError(
            f"head {name!r} of {spec.name} has {head.classes} outputs, but {dataset.name} has "
            f"{k} classes; {advice}"
        )
    if (preprocess.size, preprocess.channels) != (spec.resolution, spec.stem.c_in):
        raise UsageError(
            f"{spec.name} takes {spec.stem.c_in} channels of {spec.resolution}, the preprocessing "
            f"gives {preprocess.channels} of {preprocess.size}"
        )
    for split in ("train", "val"):
        if not dataset.splits.get(split):
            raise LabelError(f"{dataset.name} has no image in its {split} split")


def check_start(config: TrainConfig, spec: NetSpec, start: Start | None) -> None:
    """Raise UsageError where the config asks for what only a run from weights can do."""
    if start is None and config.freeze is not None:
        raise UsageError(
            f"--freeze {config.freeze} needs weights to start from: add --from BUNDLE-OR-FILE"
        )
    if start is not None and start.spec != spec:
        raise UsageError(f"the weights to start from are of another network than {spec.name}")


def check_folder(folder: Path, *, resume: bool) -> None:
    """Raise OutputExists where `folder` holds a run that is not to be resumed."""
    held = [name for name in ("checkpoint", "results.csv", "bundle") if (folder / name).exists()]
    if held and not resume:
        raise OutputExists(
            f"{folder} holds a run already ({held[0]}); add --resume to go on with it, or choose "
            "another --name"
        )


@dataclass(frozen=True)
class Listening:
    """Reports images read, and stops between two of them."""

    on_event: Listener
    should_stop: Callable[[], bool]

    def __call__(self, split: str, done: int, total: int) -> None:
        """So many of a split have been read. Raises Interrupted."""
        self.on_event(Loaded(split=split, done=done, total=total))
        if self.should_stop():
            raise Interrupted("stopped while reading images; there is nothing to resume yet")


def loaded(
    dataset: Dataset,
    config: TrainConfig,
    preprocess: Preprocess,
    *,
    listen: Listening,
    cache: Cache | None,
) -> Data:
    """Both splits. Training images keep their margins, for random crops cut them instead; where a
    frozen trunk sees each just once they are cut like those for validation.
    """
    frozen = config.freeze == "trunk"
    whole = preprocess if frozen else replace(preprocess, crop_fraction=1.0)
    dataset = with_files(dataset, "val", cache=cache)
    found, skipped = {}, []
    for split, contract in (("train", whole), ("val", preprocess)):
        if split == "train" and dataset.shards is not None:
            found[split] = (_in_shards(dataset, config, contract, listen, cache), ())
            continue
        images, kept, bad = load_uint8(
            dataset.splits[split],
            contract,
            workers=config.workers,
            on_progress=partial(listen, split),
            cache=cache,
            skip_bad=config.skip_bad,
        )
        samples = tuple(dataset.splits[split][i] for i in kept)
        truth = np.array([s.label for s in samples], np.int64)
        found[split] = (Images(pixels=images, truth=truth), samples)
        skipped += [(str(path), reason) for path, reason in bad]
    if skipped:
        listen.on_event(
            Note(text=f"{len(skipped)} unreadable images were left out: see summary.json")
        )
    train, (val, val_samples) = found["train"][0], found["val"]
    return Data(
        dataset=dataset, train=train, val=val, val_samples=val_samples, skipped=tuple(skipped)
    )


def remarks(data: Data, config: TrainConfig) -> list[str]:
    """What a person should know before training on such data, a line each."""
    k, names = len(data.dataset.classes), data.dataset.classes
    train, val = (np.bincount(x.truth, minlength=k) for x in (data.train, data.val))
    rows = (
        ("no training image, so they are not learned", train == 0),
        ("no validation image, so nothing measures them", (val == 0) & (train > 0)),
        ("a single training image", train == 1),
    )
    lines = [f"classes with {what}: {_listed(names, which)}" for what, which in rows if which.any()]
    if config.batch_size > len(data.train):
        lines.append(
            f"--batch-size {config.batch_size} is more than the {len(data.train)} training images: "
            "a step sees all of them"
        )
    return lines


def _listed(names: Sequence[str], which: np.ndarray) -> str:
    shown = [repr(names[i]) for i in np.flatnonzero(which).tolist()]
    more = f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else ""
    return ", ".join(shown[:MOST_NAMED]) + more


def _in_shards(
    dataset: Dataset,
    config: TrainConfig,
    preprocess: Preprocess,
    listen: Listening,
    cache: Cache | None,
) -> Images:
    """Training images that come from their shards as steps want them."""
    shards = dataset.shards
    assert shards is not None
    assert cache is not None  # the validation images were unpacked into it
    pixels = ShardedPixels(shards, "train", preprocess, cache=cache, workers=config.workers)
    count, slots = len(pixels.parts), min(pixels.slots, len(pixels.parts))
    text = f"training images come from {count} shards, up to {slots} of them at hand"
    if not pixels.roomy:
        text += f"; with room for {WINDOW + 1} of them it would be faster"
    listen.on_event(Note(text=text))
    truth = np.concatenate([part.labels for part in pixels.parts]).astype(np.int64)
    identity = digest({"shards": shards.digest("train"), "preprocessing": dumps(preprocess)})
    return Images(pixels=pixels, truth=truth, identity=identity, groups=pixels.sizes)


def balanced(config: TrainConfig, data: Data, on_event: Listener) -> TrainConfig:
    """The config with what --balance auto decided, which is said. Raises LabelError, UsageError."""
    names = data.dataset.classes
    if data.train.groups and config.balance == "sampler":
        raise UsageError(
            "--balance sampler draws from everywhere, which shards are not made for; use "
            "--balance logit-adjust or loss"
        )
    config, notes = balance.decided(config, balance.counts_of(data.train.truth, len(names)), names)
    for text in notes:
        on_event(Note(text=text))
    return config


def job_of(
    data: Data, spec: NetSpec, config: TrainConfig, preprocess: Preprocess, start: Start | None
) -> Job:
    """What is to be trained. A trunk that will move gets back the norms that were folded away."""
    plan = schedule.planned(config, n=len(data.train), n_val=len(data.val), size_hw=spec.resolution)
    if start is not None:
        start = replace(start, spec=_dropped(spec, config))
    truth, k = data.train.truth, len(data.dataset.classes)
    drawn = config.balance == "sampler"
    job = Job(
        network=_first_values(spec, config, start),
        train=data.train,
        val=data.val,
        config=config,
        plan=plan,
        preprocess=preprocess,
        labels=Labels(names=data.dataset.classes),
        augment=augmenting.bound(
            augmenting.chosen(config, data.dataset), config.seed, augmenting.policy(config)
        ),
        objective=losses.plain(config, balance.counts_of(truth, k)),
        start=start,
        quota=quota_of(truth, k, power=balance.POWER) if drawn else None,
    )
    folded = bare_layers(job.network.spec) if start and config.freeze != "trunk" else ()
    return with_measured_norms(job, folded) if folded else job


def _first_values(spec: NetSpec, config: TrainConfig, start: Start | None) -> Network:
    if start is not None:
        return start.network(seed=config.seed, drop_path=config.drop_path)
    return build(_dropped(spec, config), seed=config.seed, drop_path=config.drop_path)


def with_measured_norms(job: Job, names: Sequence[str]) -> Job:
    """The job with batch-norm put back behind the layers `names`, of the same function, measured
    on the first training batches as the first steps will see them.
    """
    start = job.start
    assert start is not None
    spec, weights = with_norms(start.spec, start.weights, names)
    start = replace(start, spec=spec, weights=weights)
    network = start.network(seed=job.config.seed, drop_path=job.config.drop_path)
    job = replace(job, network=network, start=start)
    steps = range(min(MEASURED_BATCHES, job.plan.per_epoch))
    batches = (batch(step, job, hw=job.plan.first_hw).x for step in steps)
    measure_(network, names, batches)
    return job


def _dropped(spec: NetSpec, config: TrainConfig) -> NetSpec:
    """The spec with the config's dropout, where it names one."""
    if config.dropout is None:
        return spec
    heads = tuple((name, replace(h, dropout=config.dropout)) for name, h in spec.heads)
    return replace(spec, heads=heads)


def with_length(job: Job, folder: Path, *, since: float, resume: bool) -> Job:
    """The job with its number of steps fixed, in the plan and in the config.

    A resumed run that --time had measured keeps the steps that were found then.
    """
    if resume and job.config.time and job.config.steps is None:
        steps = job.ranks.said(lambda: plan_of(resumable(folder)).steps)
        job = replace(job, plan=schedule.lengthened(job.plan, job.config, steps))
    else:
        job = pace.timed(job, since=since)
    return replace(job, config=replace(job.config, steps=job.plan.steps or None))
