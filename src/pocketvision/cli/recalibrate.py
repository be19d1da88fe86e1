"""`pocketvision recalibrate-bn`: batch-norm statistics measured anew, as a new bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.of_run import bundle_source, dataset_of, trained_on
from pocketvision.cli.options import Flag, Json, Overwrite
from pocketvision.cli.out import Output
from pocketvision.cli.samples import images_of
from pocketvision.errors import UsageError
from pocketvision.files import check_free
from pocketvision.train.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from pocketvision.bundle import Bundle
    from pocketvision.cli.samples import Loaded
    from pocketvision.decision import Decision
    from pocketvision.model import Network
    from pocketvision.tasks.classify import Metrics
    from pocketvision.train.source import Source


def recalibrate_bn(
    model: Path,
    /,
    *,
    data: str,
    output: Path,
    images: int | None = None,
    batch: int = 64,
    skip_bad: Flag = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure batch-norm's means and variances anew on training images; a new bundle.

    Weights stay. Calibration, the threshold for unknown and the golden vectors are made anew.

    Parameters
    ----------
    model: Path
        A bundle, or the run that made it.
    data: str
        A folder, a CSV file, or a built-in data set (digits).
    output: Path
        The new bundle's folder.
    images: int
        Measure on so many training images, spread over all of them, instead of all.
    batch: int
        Images a batch: norms behind others see what each batch's own statistics give.
    skip_bad: bool
        Leave unreadable images out, counted and listed, instead of stopping.
    """
    if batch < 2 or (images is not None and images < 2):
        raise UsageError("--batch and --images must be 2 or more: one image has no statistics")
    check_free(output, overwrite=overwrite)
    out = Output(json=json)
    source = bundle_source(model, "recalibrate-bn")
    bundle = source.bundle
    labels = bundle.labels[bundle.spec.heads[0][0]]
    dataset = dataset_of(model, data, labels.names)
    network = bundle.network()
    _check_norms(network)
    train = dataset.splits["train"]
    step = 1 if images is None else -(-len(train) // images)
    seen = images_of(out, train[::step], bundle.preprocess, skip_bad=skip_bad)
    val = images_of(out, dataset.splits["val"], bundle.preprocess, skip_bad=skip_bad)
    before, _ = _measured(network, bundle, val)
    norms = _recalibrate(network, bundle, seen, batch)
    after, logits = _measured(network, bundle, val)
    facts = {"dataset": dataset.name, "images": len(seen.samples), "batch": batch}
    note = trained_on(model, "val")
    # Sureness on images that were trained on says nothing: then what was fitted before stays.
    decision = bundle.decision if note else _decision(bundle, val, logits)
    made = _bundle(network, source, after, facts | {"accuracy_before": before.accuracy})
    saved = _save(replace(made, decision=decision), output, overwrite=overwrite)
    if note:
        out.say(f"{note}; calibration and threshold stay")
    out.say(
        f"{norms} norms measured on {len(seen.samples)} training images of {dataset.name}\n"
        f"accuracy on {after.n} validation images: {before.accuracy:.2%} before, "
        f"{after.accuracy:.2%} after (95% interval {after.interval[0]:.2%} to "
        f"{after.interval[1]:.2%})\nbundle: {saved}"
    )
    accuracy = {"before": before.to_dict(), "after": after.to_dict()}
    bad = [path for path, _ in (*seen.bad, *val.bad)]
    out.result({"bundle": saved, "norms": norms, **facts, **accuracy, "bad": bad})
    out.next("pocketvision", "export", saved, "--data", data)


def _check_norms(network: Network) -> None:
    """Raise UsageError where there is nothing to measure, before images are read."""
    from pocketvision.train.modes import norms_of
    from pocketvision.train.recalibrate import no_norms

    if not norms_of(network):
        raise no_norms(network)


def _recalibrate(network: Network, bundle: Bundle, seen: Loaded, batch: int) -> int:
    from pocketvision.train.recalibrate import recalibrated_, shuffled_inputs

    inputs = shuffled_inputs(seen.images, bundle.preprocess, batch_size=batch)
    return recalibrated_(network, inputs)


def _measured(network: Network, bundle: Bundle, val: Loaded) -> tuple[Metrics, np.ndarray]:
    """Metrics and logits on validation images."""
    from pocketvision.tasks.classify import measure
    from pocketvision.train.judge import logits_of

    logits = logits_of(network, val.images, bundle.preprocess)
    labels = bundle.labels[bundle.spec.heads[0][0]]
    return measure(logits, _truth(val), labels=labels), logits


def _truth(loaded: Loaded) -> np.ndarray:
    import numpy as np

    return np.array([s.label for s in loaded.samples], np.int64)


def _bundle(network: Network, source: Source, after: Metrics, facts: Mapping[str, Any]) -> Bundle:
    from pocketvision.bench.host import host
    from pocketvision.bundle import bundle_of

    old = source.bundle
    manifest = {
        "made_by": "recalibrate-bn",
        "model": old.spec.name,
        **facts,
        "start": dict(source.record),
        "measured": after.to_dict(),
        "host": host(),
    }
    return bundle_of(
        network, old.preprocess, old.labels, manifest=manifest, images=old.golden_images
    )


def _decision(old: Bundle, val: Loaded, logits: np.ndarray) -> dict[str, Decision]:
    """Fitted anew on validation images, keeping the share that the old one was to keep."""
    from pocketvision.tasks.calibrate import fitted

    head = old.spec.heads[0][0]
    share = old.decision[head].known_share if head in old.decision else None
    share = share or TrainConfig().known_share
    return {head: fitted(logits, _truth(val), labels=old.labels[head], known_share=share)}


def _save(bundle: Bundle, output: Path, *, overwrite: bool) -> Path:
    from pocketvision import bundle as bundles

    return bundles.save(bundle, output, overwrite=overwrite)
