"""`pocketvision eval`: how good a bundle or an exported file is on a data set."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.of_run import read_as_run, trained_on
from pocketvision.cli.options import Flag, Json
from pocketvision.cli.out import Output
from pocketvision.cli.records import note_export
from pocketvision.cli.samples import cache, images_of
from pocketvision.errors import GateError, UsageError

if TYPE_CHECKING:
    from pocketvision.export.open import Opened
    from pocketvision.tasks.classify import Metrics


def evaluate(
    model: Path,
    data: str,
    /,
    *,
    split: str = "val",
    runtime: str | None = None,
    threads: int | None = None,
    exact_quantization: Flag = False,
    batch: int = 64,
    at_least: float | None = None,
    skip_bad: Flag = False,
    json: Json = False,
) -> None:
    """Measure accuracy on a data set: a bundle, an exported folder, or an exported file.

    Classes are matched by name, never by their place.

    Parameters
    ----------
    model: Path
        A bundle, an exported or compiled folder, an .onnx or .xml file.
    data: str
        A folder, a CSV file, shards, or a built-in data set (digits).
    split: str
        Which part: val, train or test.
    runtime: str
        torch, torch_channels_last, onnxruntime, openvino or compiled; by default what the model is
        for.
    threads: int
        Threads of the runtime.
    exact_quantization: bool
        Round activations to the grids of the quantized file that the bundle was imported from.
    batch: int
        Images a call.
    at_least: float
        Fail with exit code 4 when the accuracy is below this share, e.g. 0.95.
    skip_bad: bool
        Leave unreadable images out, counted and listed, instead of stopping.
    """
    from pocketvision.export.open import open_model

    if batch < 1:
        raise UsageError(f"--batch must be 1 or more, got {batch}")
    if at_least is not None and not 0 <= at_least <= 1:
        raise UsageError(f"--at-least is a share from 0 to 1, got {at_least}")
    out = Output(json=json)
    runtime = "torch_exact" if exact_quantization else runtime
    opened = open_model(model, runtime=runtime, threads=threads)
    metrics, trust, rate, bad = _measured(out, opened, data, split, batch, skip_bad)
    _say(out, opened, metrics, rate, bad)
    if note := trained_on(opened.path, split):
        out.say(note)
    _say_trust(out, trust)
    out.say()
    out.table([_class_row(c) for c in metrics.per_class])
    row = {"name": opened.runtime.name, "runtime": opened.runtime.name, "precision":
           opened.runtime.precision, "accuracy": metrics.accuracy}  # fmt: skip
    if opened.spec is not None and opened.path.is_dir():
        note_export(opened.path, row)
    out.result(_as_json(opened, metrics, rate, bad) | {"trust": trust})
    if at_least is not None and metrics.accuracy < at_least:
        raise GateError(f"accuracy {metrics.accuracy:.2%} is below --at-least {at_least:.2%}")
    out.next("pocketvision", "predict", model, "IMAGES")


def _measured(
    out: Output, opened: Opened, data: str, split: str, batch: int, skip_bad: bool
) -> tuple[Metrics, dict[str, Any], float, list[tuple[str, str]]]:
    """Metrics, calibration and coverage, images a second of the runtime alone, and files left out
    with their reasons.
    """
    import numpy as np

    from pocketvision.data.dataset import relabeled
    from pocketvision.data.shard_files import with_files
    from pocketvision.tasks import calibrate, classify

    dataset = read_as_run(opened.path, data)
    if split not in dataset.splits:
        known = ", ".join(dataset.splits)
        raise UsageError(f"{data} has no split {split!r} (splits: {known})")
    labels = opened.labels[opened.heads[0]]
    dataset = with_files(relabeled(dataset, labels.names), split, cache=cache())
    samples = dataset.splits[split]
    loaded = images_of(out, samples, opened.preprocess, skip_bad=skip_bad)
    started = time.perf_counter()
    inputs = classify.batches(loaded.images, opened.preprocess, batch_size=batch)
    truth = np.array([s.label for s in loaded.samples])
    logits = classify.answers(opened.runtime, inputs, head=opened.heads[0])
    rate = len(truth) / (time.perf_counter() - started)
    metrics = classify.measure(logits, truth, labels=labels)
    decision = opened.decision.get(opened.heads[0])
    return metrics, calibrate.trust(logits, truth, labels, decision), rate, loaded.bad


def _say(out: Output, opened: Opened, m: Metrics, rate: float, bad: list[tuple[str, str]]) -> None:
    low, high = m.interval
    top5 = "" if m.top5 is None else f", top-5 {m.top5:.2%}"
    out.say(
        f"{opened.model} with {opened.runtime.name} ({opened.runtime.precision})\n"
        f"accuracy {m.accuracy:.2%} ({m.correct} of {m.n}; 95% interval {low:.2%} to {high:.2%})"
        f"{top5}, loss {m.loss:.4f}, mean recall over classes {m.macro_recall:.2%}\n"
        f"{rate:.0f} images/s without decoding"
    )
    if bad:
        out.say(f"left out: {len(bad)} unreadable images")


def _say_trust(out: Output, trust: dict[str, Any]) -> None:
    """Calibration, and what is answered at all."""
    how = "as they are" if trust["temperature"] is None else "calibrated"
    out.say(
        f"probabilities {how}: calibration error {trust['ece']:.2%} (perfect ones would show about "
        f"{trust['noise']:.2%} on so few images), {trust['adaptive_ece']:.2%} in equal groups"
    )
    if trust["coverage"] is not None:
        accuracy = trust["accuracy_known"]
        right = "" if accuracy is None else f", {accuracy:.2%} of those rightly"
        out.say(f"answered {trust['coverage']:.2%}{right}; the others are unknown")


def _class_row(c: Any) -> dict[str, object]:
    low, high = c.recall_interval
    return {
        "class": c.name,
        "images": c.n,
        "right": c.correct,
        "recall": _share(c.recall),
        "95% interval": f"{low:.1%} to {high:.1%}",
        "precision": _share(c.precision),
        "f1": _share(c.f1),
    }


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def _as_json(
    opened: Opened, m: Metrics, rate: float, bad: list[tuple[str, str]]
) -> dict[str, object]:
    return {
        "model": opened.model,
        "runtime": opened.runtime.name,
        "precision": opened.runtime.precision,
        **m.to_dict(),
        "images_per_s": rate,
        "bad": [{"path": p, "reason": r} for p, r in bad],
        "per_class": [
            {"class": c.name, "n": c.n, "correct": c.correct, "answered": c.answered}
            for c in m.per_class
        ],
        "confusion": m.confusion.tolist(),
    }
