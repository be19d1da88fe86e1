"""Run folders made up for tests: the files that training writes, with figures that fit together."""

import csv
import json
import math
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision import spec_json
from pocketvision.zoo import MODELS

FLOWERS = ("daisy", "dandelion", "rose", "sunflower", "tulip")


def wilson(correct: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval, written out: (center +- half) / (1 + z^2/n)."""
    p, z2 = correct / n, z * z / n
    half = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n))
    return (p + z2 / 2 - half) / (1 + z2), (p + z2 / 2 + half) / (1 + z2)


def write_run(
    folder: Path, *, names=FLOWERS, per_class=40, epochs=30, share=0.75, seed=0, pictures=False
) -> Path:
    """A finished run: every file of the folder, about `share` of its answers right."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    labels, answers = _answers(random, len(names), per_class, share)
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (labels, answers), 1)
    photos = _photos(folder.parent / "photos", random, len(labels)) if pictures else None
    write_confusion(folder, names, counts)
    write_classes(folder, names, counts)
    _write_predictions(folder, names, labels, answers, random, photos)
    _write_results(folder, epochs, random)
    _write_objects(folder, names, counts)
    return folder


def _answers(random, k, per_class, share):
    labels = np.repeat(np.arange(k), per_class)
    skill = np.clip(share + random.normal(0, 0.12, k), 0.05, 1.0)
    right = random.random(len(labels)) < skill[labels]
    near = (labels + 1 + random.geometric(0.5, len(labels)) - 1) % k
    return labels, np.where(right, labels, np.where(near == labels, (labels + 1) % k, near))


def write_confusion(folder, names, counts):
    with (folder / "confusion.csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(["true", *names])
        writer.writerows([name, *map(int, row)] for name, row in zip(names, counts, strict=True))


def write_classes(folder, names, counts):
    header = ["class", "n", "correct", "recall", "recall_low", "recall_high", "precision", "f1"]
    with (folder / "per_class.csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(header)
        for i, name in enumerate(names):
            n, correct, answered = counts[i].sum(), counts[i, i], counts[:, i].sum()
            precision = correct / answered if answered else ""
            f1 = 2 * correct / (n + answered) if n + answered else ""
            row = [correct / n, *wilson(correct, n)] if n else ["", "", ""]
            writer.writerow([name, n, correct, *row, precision, f1])


def _photos(folder, random, n):
    folder.mkdir()
    for i in range(n):
        size = (int(random.integers(60, 240)), int(random.integers(60, 240)), 3)
        ramp = np.linspace(0, 120, size[1])[None, :, None]
        noise = random.integers(0, 60, size)
        pixels = (ramp + noise + random.integers(0, 70, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:04d}.jpg")
    return [str(folder / f"{i:04d}.jpg") for i in range(n)]


def _write_predictions(folder, names, labels, answers, random, photos):
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(["path", "label", "predicted", "probability", "correct"])
        for i, (label, answer) in enumerate(zip(labels, answers, strict=True)):
            path = photos[i] if photos else f"photos/val/{names[label]}/{i:04d}.jpg"
            sure = 0.3 + 0.69 * random.random()
            writer.writerow([path, names[label], names[answer], round(sure, 4), label == answer])


def _write_results(folder, epochs, random):
    losses = ["train_loss", "val_loss", "val_accuracy"]
    header = ["epoch", "step", "seconds", "images_per_s", "lr", *losses]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(header)
        for e in range(1, epochs + 1):
            fade = math.exp(-e / (epochs / 4))
            noise = random.normal(0, 0.02, 3)
            row = [0.55 + 1.1 * fade + noise[0], 0.75 + 0.9 * fade + noise[1]]
            accuracy = float(np.clip(0.74 - 0.5 * fade + noise[2], 0, 1))
            writer.writerow([e, e * 27, 19.4 * e, 181.2, 0.01 * (1 - e / epochs), *row, accuracy])


def _write_objects(folder, names, counts):
    n, right = int(counts.sum()), int(np.trace(counts))
    spec = MODELS["mobilenet_v3_small"](classes=len(names), resolution=128)
    objects = {
        "summary.json": summary(names, n, right),
        "config.json": config(),
        "setup.json": {"format": 1, "data": "photos/", "resize": "crop", "spec": {"name": "x"}},
        "env.json": environment(),
        "exports.json": exports(right / n),
        "bench.json": bench(),
    }
    for file, value in objects.items():
        (folder / file).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "spec.json").write_text(spec_json.dumps(spec))


def summary(names, n, right):
    return {
        "format": 1, "model": "mobilenet_v3_small", "dataset": "flowers5",
        "layout": "folder of classes, split by seed", "classes": list(names),
        "counts": {"train": 4 * n, "val": n}, "n": n, "accuracy": right / n,
        "interval": list(wilson(right, n)), "top5": 0.97, "loss": 0.8123, "macro_recall": 0.7,
        "seconds": 581.3, "best_epoch": 27, "params": 1_522_981, "macs": 18_829_312,
        "size_bytes": 6_140_000,
        "skipped": [{"path": "photos/rose/broken.jpg", "reason": "cut off after 3 kB"}],
    }  # fmt: skip


def config():
    return {
        "format": 1, "model": "mobilenet_v3_small", "width": 1.0, "resolution": [128, 128],
        "epochs": 30, "seed": 0, "optimizer": "adamw", "lr_per_256": 0.004,
        "augment": {"flip": True, "crop_scale": [0.6, 1.0], "colour": 0.2}, "ema_decay": 0.999,
    }  # fmt: skip


def environment():
    return {
        "cpu": {"model": "A Processor @ 2.0 GHz", "usable_cores": 2, "flags": ["avx2", "fma"]},
        "memory_bytes": 8_000_000_000, "python": "3.11.2",
        "packages": {"torch": "2.13.0", "numpy": "2.3.0"},
    }  # fmt: skip


def exports(accuracy):
    rows = [
        ("torch", None, "f32", None, None, None),
        ("onnxruntime", "onnx", "f32", 6_110_000, 3.1e-6, 1.0),
        ("openvino", "xml", "f16", 3_080_000, 0.021, 0.9966),
    ]
    keys = ("name", "format", "precision", "size_bytes", "max_abs", "top1_agreement")
    made = [{**dict(zip(keys, row, strict=True)), "accuracy": accuracy} for row in rows]
    return {"format": 1, "rows": made}


def bench():
    rows = [("torch", 21.4, 23.0), ("onnxruntime", 5.23, 5.91), ("openvino f16", 4.87, 5.02)]
    same = {"threads": 2, "batch": 1, "size_bytes": 6_110_000, "peak_bytes": 61_000_000}
    made = [{"name": n, "median_ms": m, "p95_ms": p, "spread_ms": 0.1, **same} for n, m, p in rows]
    host = {"cpu": {"model": "A Processor @ 2.0 GHz"}}
    return {"format": 1, "host": host, "method": {"time": "interleaved"}, "rows": made}
