"""The README's table of measured figures: each line from a file in results/, with the command that
made it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pocketvision.bench import report

ROOT = Path(__file__).parents[1]
TRANSFERS = {
    "hymenoptera": "ants and bees (245 photos), last layer on a frozen trunk",
    "flowers5": "5 kinds of flowers, fine-tuned",
}


def figures() -> str:
    """The README's table: each line from a file in results/, with the command that made it. What
    was never measured has no line.
    """
    rows = [row for name in measured() for row in SOURCES[name](result_of(name))]
    table = report.markdown(rows, columns=("what", "figure", "command"))
    return f"{table}\n\nMeasured on: {_machines()}. Raw figures: `results/`."


def _demo(r: dict[str, Any]) -> list[dict[str, object]]:
    shares = ", ".join(f"{name} {share:.2%}" for name, share in r["accuracy"].items())
    times = ", ".join(f"{name} {ms:.2f}" for name, ms in r["median_ms"].items())
    return [
        _row("digits from scratch, held-out fifth", shares, r),
        _row("one 32x32 image through it, median ms", times, r),
        _row("from a clean clone to proven files, set-up included", f"{r['seconds']:.0f} s", r),
    ]


def _digits(r: dict[str, Any]) -> list[dict[str, object]]:
    shares = ", ".join(f"{run['accuracy']:.2%}" for run in r["runs"])
    text = f"{r['mean_accuracy']:.2%} ({shares})"
    return [_row(f"digits, mean of {len(r['runs'])} seeds", text, r)]


def _flowers(r: dict[str, Any]) -> list[dict[str, object]]:
    text = f"{r['accuracy']:.2%} (95% interval {r['interval'][0]:.1%} to {r['interval'][1]:.1%})"
    return [_row("5 kinds of flowers from scratch, 128 px, 10 minutes", text, r)]


def _preprocess(r: dict[str, Any]) -> list[dict[str, object]]:
    by_quality = {q.split()[1]: row for q, row in r.items() if q.startswith("quality ")}
    plain = ", ".join(
        f"{row['times_faster_than']['pillow']['median']:.2f} (quality {q})"
        for q, row in by_quality.items()
    )
    whole = ", ".join(
        f"{row['times_faster_than']['pillow, whole image resized']['median']:.2f}"
        for row in by_quality.values()
    )
    what = "1000x750 JPEG to a 224 tensor, one core, times faster than Pillow"
    return [
        _row(f"{what}, same geometry", plain, r),
        _row(f"{what}, whole image resized then cropped", whole, r),
    ]


def _compiler(r: dict[str, Any]) -> list[dict[str, object]]:
    """The README's lines on the compiled library beside the runtimes."""
    rows = [
        _row(
            f"7 networks compiled to C, times faster than the best of 3 runtimes, {n}",
            f"{r[f'geomean_vs_best_peer_{k}']:.2f} (geometric mean)",
            r,
        )
        for k, n in ((1, "1 thread"), (2, "2 threads"))
    ]
    for name, row in r["networks"].items():
        times = "; ".join(
            f"{n} threads: " + ", ".join(f"{k} {v:.2f}" for k, v in row[f"threads{n}"].items())
            for n in (1, 2)
        )
        text = f"{times.replace('1 threads', '1 thread')}; floor {row['floor_ms']:.2f}"
        rows.append(_row(f"{name} at 224, batch 1, median ms", text, r))
    return rows


def _transfer(r: dict[str, Any]) -> list[dict[str, object]]:
    """The README's lines on runs from imported weights."""
    rows: list[dict[str, object]] = []
    for name, t in r["transfer"].items():
        low, high = t["interval"]
        text = f"{t['accuracy']:.2%} (95% interval {low:.1%} to {high:.1%}) in {t['seconds']:.0f} s"
        what = f"{TRANSFERS[name]}, from MobileNetV2's TFLite file, all included"
        rows.append({"what": what, "figure": text, "command": "`make bench-weights`"})
    return rows


def _resume(r: dict[str, Any]) -> list[dict[str, object]]:
    what = f"killed at {r['of']} random moments, resumed: losses and weights the same to the bit"
    return [_row(what, f"{r['identical']} of {r['of']}", r)]


def _training(r: dict[str, Any]) -> list[dict[str, object]]:
    """The README's lines on training's speed, and on what it costs in accuracy: nothing."""
    rows: list[dict[str, object]] = []
    for name, row in r["throughput"].items():
        speed = (
            f"{row['ratio']:.2f} times ({row['ours_img_s']:.0f} images/s against "
            f"{row['plain_img_s']:.0f}); the step alone, without data, {row['bare_img_s']:.0f}"
        )
        rows.append(_row(f"training {name} at 224, against a plain PyTorch script", speed, r))
        length = f"{row['epochs']} epochs over {row['train_images']} photos"
        shares = ", ".join(
            f"{side} {_mean_and_seeds(row[key])}"
            for side, key in (("pocketvision", "ours_accuracy"), ("plain", "plain_accuracy"))
        )
        rows.append(_row(f"the same, accuracy after {length}, 3 seeds", shares, r))
    if (kept := r.get("cached_features")) is None:
        return rows
    text = f"{kept['images_epoch_s']:.0f} s and {1000 * kept['features_epoch_s']:.1f} ms"
    rows.append(
        _row("an epoch over the flowers at 224 px, and one over their kept features", text, r)
    )
    return rows


def _distill(r: dict[str, Any]) -> list[dict[str, object]]:
    alone, *taught = r["variants"].items()
    gains = [f"{name} {100 * row['gain']:+.1f} points" for name, row in taught]
    text = f"alone {_mean_and_seeds(alone[1]['accuracies'])}; {', '.join(gains)}"
    return [_row("mobilenet_v3_small 0.5 at 64 px, flowers from scratch, taught by V2", text, r)]


def _mean_and_seeds(shares: Sequence[float]) -> str:
    return f"{statistics.mean(shares):.1%} ({', '.join(f'{x:.1%}' for x in shares)})"


def _row(what: str, figure: str, result: dict[str, Any]) -> dict[str, object]:
    return {"what": what, "figure": figure, "command": f"`{result['command']}`"}


SOURCES: dict[str, Callable[[dict[str, Any]], list[dict[str, object]]]] = {
    "compiler": _compiler,
    "demo": _demo,
    "distill": _distill,
    "digits": _digits,
    "flowers5": _flowers,
    "imported_weights": _transfer,
    "preprocess": _preprocess,
    "resume": _resume,
    "training": _training,
}


def measured() -> list[str]:
    """The sources that have a result."""
    return [name for name in SOURCES if (ROOT / "results" / f"{name}.json").exists()]


def result_of(name: str) -> dict[str, Any]:
    """What a benchmark or recipe wrote."""
    row: dict[str, Any] = json.loads((ROOT / "results" / f"{name}.json").read_text())
    return row


def _machines() -> str:
    found = {machine(result_of(name)["host"]) for name in measured()}
    return "; ".join(sorted(found))


def machine(host: dict[str, Any]) -> str:
    """A host in words."""
    cpu, packages = host["cpu"], host["packages"]
    names = ("torch", "onnxruntime", "openvino")
    versions = ", ".join(f"{n} {packages[n]}" for n in names)
    cores = cpu["usable_cores"]
    return f"{cpu['model']}, {cores} {'core' if cores == 1 else 'cores'} ({versions})"
