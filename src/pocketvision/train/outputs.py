"""What a finished run leaves behind: figures as tables and JSON, and the bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision import bundle as bundles
from pocketvision.bench.host import host
from pocketvision.cost import cost
from pocketvision.data.dataset import Dataset, Sample
from pocketvision.files import replace_file
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess, pixels_of
from pocketvision.train import balance, tables
from pocketvision.train.events import Finished
from pocketvision.train.hashes import Identity
from pocketvision.train.job import Images, Job


@dataclass(frozen=True, kw_only=True)
class Data:
    """A dataset with its images in memory, and (path, reason) of what was left out."""

    dataset: Dataset
    train: Images
    val: Images
    val_samples: tuple[Sample, ...]
    skipped: tuple[tuple[str, str], ...]


def kept(end: Finished, job: Job, data: Data, folder: Path) -> Path:
    """Write the figures and the bundle, whose folder comes back."""
    names, closing = [sample.name for sample in data.val_samples], end.closing
    assert closing is not None
    tables.write_classes(folder, end.metrics)
    tables.write_confusion(folder, end.metrics)
    tables.write_predictions(
        folder,
        names,
        data.val.truth,
        logits=end.logits,
        labels=job.labels,
        decision=closing.decision,
    )
    summary = summary_of(end, job, data.dataset, data.skipped) | closing.figures()
    write_json(folder / "summary.json", summary)
    made = bundles.bundle_of(
        end.network,
        job.preprocess,
        {end.network.spec.heads[0][0]: job.labels},
        manifest=_manifest(job, summary, end.identity),
        images=[_pixels(sample, job.preprocess) for sample in _one_a_class(data.val_samples)],
    )
    made = replace(made, decision={end.network.spec.heads[0][0]: closing.decision})
    return bundles.save(made, folder / "bundle", overwrite=True)


def summary_of(
    end: Finished, job: Job, dataset: Dataset, skipped: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """summary.json: what was trained on what, how good it is, what it costs."""
    price = cost(end.network.spec)
    return {
        "format": 1,
        "model": end.network.spec.name,
        "resolution": list(end.network.spec.resolution),
        "dataset": dataset.name,
        "layout": dataset.layout,
        "classes": list(dataset.classes),
        "counts": {split: len(samples) for split, samples in dataset.splits.items()},
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped],
        **end.metrics.to_dict(),
        "params": price.params,
        "macs": price.macs,
        "size_bytes": _size_bytes(end.network),
        "best_epoch": end.epoch,
        "epochs": job.plan.epochs,
        "steps": job.plan.steps,
        "seconds": end.seconds,
        "seconds_by_part": {part: round(s, 3) for part, s in end.spent.items()},
        "seed": job.config.seed,
        "balance": job.config.balance or "none",
        "imbalance": balance.ratio(np.array(dataset.counts()["train"])),
        **end.identity.rows(),
        **({} if job.start is None else {"start": dict(job.start.source)}),
        **({} if job.taught is None else {"teachers": list(job.taught.records)}),
    }


def _size_bytes(network: Network) -> int:
    return sum(t.numel() * t.element_size() for t in network.state_dict().values())


def _manifest(job: Job, summary: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    """What the bundle says of its making."""
    measured = ("n", "accuracy", "interval", "top5", "loss", "macro_recall")
    return {
        "made_by": "train",
        "model": summary["model"],
        "dataset": summary["dataset"],
        "config": job.config.to_dict(),
        "trace": dict(identity.trace),
        **identity.rows(),
        "measured": {key: summary[key] for key in measured},
        **({} if job.start is None else {"start": dict(job.start.source)}),
        **({} if job.taught is None else {"teachers": list(job.taught.records)}),
        "host": host(),
    }


def _pixels(sample: Sample, preprocess: Preprocess) -> np.ndarray:
    source = sample.pixels if sample.path is None else sample.path
    assert source is not None
    return pixels_of(source, preprocess)


def _one_a_class(samples: Sequence[Sample]) -> list[Sample]:
    """The first sample of each class, up to the number of golden images."""
    first = {s.label: s for s in reversed(samples)}
    return [first[label] for label in sorted(first)][: bundles.GOLDEN_IMAGES]


def write_json(path: Path, row: Mapping[str, Any]) -> None:
    """Write an object as JSON, all or nothing."""
    replace_file(path, json.dumps(row, indent=1) + "\n")
