"""Training's speed against a plain script, and that nothing is lost by it.

command   make bench-training   (POCKETVISION_DATA names the folder that holds flowers5/)
machine   2 quiet cores, no GPU
time      about 45 minutes: throughput 7, accuracy 35, kept features 2
expect    at least 1.6 times the plain script's images a second for MobileNetV3-Small and 1.8 times
          for MobileNetV2; an accuracy after equal epochs that is not lower; an epoch over kept
          features at least 100 times faster than one over images
writes    results/training.json; `python recipes/bench_training.py throughput` (or accuracy, or
          features) measures one part and keeps the others

Each competitor runs in a process of its own, because what one asks of the system's memory must not
serve the other; they take turns, a few seconds each, so that a busy moment hits all of them. The
bare step is a training step without any data: channels-last, freed memory kept.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from flowers5 import flowers
from plain_training import Row, accuracy, loader, steps

from pocketvision.bench.host import host, usable_cores
from pocketvision.data.cache import Cache, cache_folder
from pocketvision.data.dataset import Dataset
from pocketvision.files import replace_file
from pocketvision.model import build
from pocketvision.preprocess import Preprocess
from pocketvision.train import head, loop, schedule
from pocketvision.train.config import TrainConfig
from pocketvision.train.events import Finished, StepDone
from pocketvision.train.features import features_of
from pocketvision.train.job import Job
from pocketvision.train.memory import keep_freed_memory
from pocketvision.train.prepare import Listening, job_of, loaded
from pocketvision.train.warm import read_layer
from pocketvision.zoo.lookup import resolve

RESULT = Path(__file__).parents[1] / "results" / "training.json"
SIZE, BATCH = 224, 32
MODELS = ("mobilenet_v3_small", "mobilenet_v2")
SIDES = ("plain", "bare", "ours")
ROUNDS, TURN_S, WARM_STEPS = 5, 12.0, 2
SEEDS = (0, 1, 2)
# (training images, epochs) of the comparison of accuracies: what 2 cores do in the time.
SHORT = {"mobilenet_v3_small": (1000, 12), "mobilenet_v2": (600, 10)}
LEAST = {"mobilenet_v3_small": 1.6, "mobilenet_v2": 1.8}
NOT_SHOWN = ("host", "hosts", "command")
CONFIG = TrainConfig(batch_size=BATCH, eval_every=10**6, checkpoint_minutes=10**6)


def data() -> Dataset:
    """The flowers, with the split of flowers5.py."""
    return flowers(Path(os.environ["POCKETVISION_DATA"]) / "flowers5")


def some(dataset: Dataset, count: int) -> Dataset:
    """The same with `count` training photos, those of the lowest checksum of their names."""
    train = sorted(dataset.splits["train"], key=lambda s: (zlib.crc32(s.name.encode()), s.name))
    return replace(dataset, splits={**dataset.splits, "train": tuple(train[:count])})


def rows_of(dataset: Dataset, split: str) -> list[Row]:
    """Files and classes for the plain script."""
    return [(s.path, s.label) for s in dataset.splits[split] if s.path is not None]


# -------------------------------------------------------------------------------------- competitors


def plain(model: str, dataset: Dataset, config: TrainConfig) -> tuple[torch.nn.Module, Any]:
    """The plain script: its network, and its steps for ever."""
    torch.manual_seed(config.seed)
    random.seed(config.seed)
    network = build(resolve(model, resolution=SIZE, classes=len(dataset.classes)), seed=config.seed)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=config.decay)
    rows = rows_of(dataset, "train")
    plan = schedule.planned(config, n=len(rows), n_val=1, size_hw=(SIZE, SIZE))
    batches = loader(rows, SIZE, BATCH, train=True)
    course: Callable[[int], float] = lambda step: schedule.lr(min(step, plan.steps - 1), plan)  # noqa: E731
    return network, steps(network, batches, optimizer, course, smoothing=config.label_smoothing)


def job(model: str, dataset: Dataset, config: TrainConfig) -> Job:
    """The same training for pocketvision, images from the cache on disk."""
    contract = Preprocess(size=(SIZE, SIZE), crop_fraction=1.0)
    listen = Listening(lambda event: None, lambda: False)
    cache = Cache(folder=cache_folder(os.environ))
    images = loaded(dataset, config, contract, listen=listen, cache=cache)
    spec = resolve(model, resolution=SIZE, classes=len(dataset.classes))
    return job_of(images, spec, config, contract, None)


def ours(model: str, dataset: Dataset, config: TrainConfig) -> Iterator[int]:
    """Images of each step of a whole run, everything included but evaluation."""
    keep_freed_memory()
    with TemporaryDirectory() as folder:
        for event in loop.fit(job(model, dataset, config), Path(folder)):
            if isinstance(event, StepDone):
                yield BATCH


def bare(model: str, classes: int) -> Iterator[int]:
    """Forward, backward and update on one batch that never changes."""
    keep_freed_memory()
    network = build(resolve(model, resolution=SIZE, classes=classes), seed=0)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    x = torch.randn(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, classes, (BATCH,))
    while True:
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        yield BATCH


def turns(side: str, model: str) -> int:
    """A competitor: for each line on standard input, the speed of some seconds, as a line."""
    torch.set_num_threads(usable_cores())
    dataset = data()
    long = replace(CONFIG, epochs=1000)
    if side == "plain":
        going = plain(model, dataset, long)[1]
    else:
        going = bare(model, len(dataset.classes)) if side == "bare" else ours(model, dataset, long)
    for _ in sys.stdin:
        for _ in range(WARM_STEPS):
            next(going)
        begin, images = perf_counter(), 0
        while perf_counter() - begin < TURN_S:
            images += next(going)
        print(images / (perf_counter() - begin), flush=True)
    return 0


# -------------------------------------------------------------------------------------------- parts


def throughput() -> dict[str, Any]:
    """Images a second of all competitors, in turn; a row a model."""
    return {"throughput": {model: _raced(model) for model in MODELS}}


def _raced(model: str) -> dict[str, Any]:
    call = [sys.executable, __file__, "turns"]
    sides = {
        side: subprocess.Popen(
            [*call, side, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for side in SIDES
    }
    speeds: dict[str, list[float]] = {side: [] for side in SIDES}
    for turn in range(ROUNDS):
        for side in SIDES[turn % len(SIDES) :] + SIDES[: turn % len(SIDES)]:
            process = sides[side]
            assert process.stdin is not None
            assert process.stdout is not None
            print("go", file=process.stdin, flush=True)
            speeds[side].append(float(process.stdout.readline()))
            print(f"{model} {side} {speeds[side][-1]:.1f} images/s", flush=True)
    for process in sides.values():
        process.communicate()
    return _figures(speeds)


def _figures(speeds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, and the median of the ratios within rounds."""
    ratio = [a / b for a, b in zip(speeds["ours"], speeds["plain"], strict=True)]
    share = [a / b for a, b in zip(speeds["ours"], speeds["bare"], strict=True)]
    return {
        **{f"{side}_img_s": round(statistics.median(v), 1) for side, v in speeds.items()},
        "ratio": round(statistics.median(ratio), 2),
        "share_of_bare": round(statistics.median(share), 3),
        "turns_img_s": {side: [round(x, 1) for x in v] for side, v in speeds.items()},
    }


def accuracies() -> dict[str, Any]:
    """Accuracy on the held-out photos after equal epochs, three seeds each."""
    dataset, found = data(), {}
    for model, (count, epochs) in SHORT.items():
        part = some(dataset, count)
        config = replace(CONFIG, epochs=epochs)
        row: dict[str, Any] = {"train_images": count, "epochs": epochs}
        for side, one in (("plain", _plain_accuracy), ("ours", _our_accuracy)):
            row[f"{side}_accuracy"] = [
                round(one(model, part, replace(config, seed=seed)), 4) for seed in SEEDS
            ]
            print(model, side, row[f"{side}_accuracy"], flush=True)
        found[model] = row
    return {"throughput": found}


def _plain_accuracy(model: str, dataset: Dataset, config: TrainConfig) -> float:
    # Changes the speed alone, and by half.
    keep_freed_memory()
    network, going = plain(model, dataset, config)
    n = len(dataset.splits["train"])
    for _ in range(int(config.epochs or 0) * -(-n // BATCH)):
        next(going)
    return accuracy(network, loader(rows_of(dataset, "val"), SIZE, BATCH, train=False))


def _our_accuracy(model: str, dataset: Dataset, config: TrainConfig) -> float:
    keep_freed_memory()
    with TemporaryDirectory() as folder:
        *_, end = loop.fit(job(model, dataset, config), Path(folder))
    assert isinstance(end, Finished)
    return end.metrics.accuracy


def kept_features() -> dict[str, Any]:
    """Seconds of an epoch over images, and of one over features that were kept."""
    model, dataset = "mobilenet_v2", data()
    made = job(model, dataset, replace(CONFIG, epochs=1000))
    keep_freed_memory()
    images_s = _epoch_seconds(model, dataset, len(made.train))
    network = made.network.eval()
    run = features_of(network, made.train.pixels, made.preprocess, cache=made.cache)
    features = _value(run)
    calls = [0]

    def counted() -> bool:
        calls[0] += 1
        return False

    begin = perf_counter()
    head.fitted(features, made.train.truth, read_layer(network), should_stop=counted)
    passes_s = (perf_counter() - begin) / calls[0]
    row = {"model": model, "images_epoch_s": round(images_s, 2), "features_epoch_s": passes_s}
    return {"cached_features": {**row, "passes": calls[0], "ratio": round(images_s / passes_s)}}


def _epoch_seconds(model: str, dataset: Dataset, n: int) -> float:
    going = ours(model, dataset, replace(CONFIG, epochs=1000))
    for _ in range(WARM_STEPS):
        next(going)
    begin, images = perf_counter(), 0
    while perf_counter() - begin < TURN_S:
        images += next(going)
    return n * (perf_counter() - begin) / images


def _value(run: Any) -> Any:
    """What a generator returns."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "throughput": throughput,
    "accuracy": accuracies,
    "features": kept_features,
}


def keep(part: str, found: dict[str, Any]) -> dict[str, Any]:
    """Put figures beside those that stand in the result, and say which host each part is from."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    before = host(environment=os.environ)
    rows = {**result.get("throughput", {})}
    for model, row in found.get("throughput", {}).items():
        rows[model] = {**rows.get(model, {}), **row}
    result = {**result, **found, "throughput": rows, "host": before}
    result["command"] = "make bench-training"
    result["hosts"] = {**result.get("hosts", {}), part: before}
    replace_file(RESULT, json.dumps(result, indent=1) + "\n")
    return result


def reached(result: dict[str, Any]) -> bool:
    """True where the figures are what the header promises."""
    rows = result["throughput"]
    fast = all(rows[m].get("ratio", least) >= least for m, least in LEAST.items() if m in rows)
    mean = statistics.mean
    equal = all(
        mean(row["ours_accuracy"]) >= mean(row["plain_accuracy"])
        for row in rows.values()
        if "ours_accuracy" in row
    )
    return fast and equal and result.get("cached_features", {}).get("ratio", 100) >= 100


def main(arguments: list[str]) -> int:
    """Measure the parts that are named, all by default; 1 where a figure is missed."""
    if "POCKETVISION_DATA" not in os.environ:
        print("POCKETVISION_DATA is not set: it must name the folder that holds flowers5/")
        return 2
    if arguments[:1] == ["turns"]:
        return turns(*arguments[1:])
    if wrong := [name for name in arguments if name not in PARTS]:
        print(f"no part {wrong[0]!r}; there are: {', '.join(PARTS)}")
        return 2
    result: dict[str, Any] = {}
    for part in arguments or PARTS:
        result = keep(part, PARTS[part]())
    print(json.dumps({k: v for k, v in result.items() if k not in NOT_SHOWN}, indent=1))
    return 0 if reached(result) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
