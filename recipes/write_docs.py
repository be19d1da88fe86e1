"""Write what the docs only repeat: command reference, model table, measured figures.

command   make docs
writes    docs/cli.md, docs/models.md, and what stands between the markers in docs/weights.md,
          docs/transfer.md, docs/events.md, docs/recipes.md and README.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

from pocketvision.bench import report
from pocketvision.cli.main import app
from pocketvision.cost import cost
from pocketvision.files import replace_file
from pocketvision.train import recipes
from pocketvision.train.events import Event, Row
from pocketvision.zoo import MODELS
from pocketvision.zoo.lookup import options_of
from pocketvision.zoo.papers import paper

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- figures: begin (make docs) -->", "<!-- figures: end -->"
TRANSFERS = {
    "hymenoptera": "ants and bees (245 photos), last layer on a frozen trunk",
    "flowers5": "5 kinds of flowers, fine-tuned",
}
SHARED = ("width", "resolution", "classes", "in_channels", "numerics", "dropout")


def cli_page() -> str:
    """docs/cli.md: every command with its options, from the code."""
    # The parser writes how Python itself was started into the usage lines.
    main = sys.modules["__main__"]
    with patch.object(main, "__spec__", None), patch.object(sys, "argv", ["pocketvision"]):
        text = app().generate_docs()
    return text.replace("# pocketvision\n", "# Commands\n", 1).rstrip() + "\n"


def models_page() -> str:
    """docs/models.md: every model of the zoo, costed at its own resolution."""
    rows = [_model(name) for name in MODELS]
    return f"""# Models

Parameters count batch-norm scale and shift; MACs are multiply-accumulates of convolutions and
linear layers, one image; peak memory is that of a layer-by-layer run in float32
(`pocketvision show MODEL` states where). All take the options
{", ".join(f"`{o}`" for o in SHARED)};
names of timm, torchvision, Keras and the authors' own code are accepted too
(`pocketvision list --aliases`).

{report.markdown(rows)}

`--numerics` selects padding rule, batch-norm epsilon and width rule together: `torch` (the
canonical one: the authors' widths, symmetric padding, 1e-5), `tf`, `timm`, `torchvision`, `keras`.
Weights trained under one lose accuracy under another.
"""


def _model(name: str) -> dict[str, object]:
    spec = MODELS[name]()
    total = cost(spec)
    more = [o for o in options_of(name) if o not in SHARED]
    return {
        "model": f"`{name}`",
        "params": total.params,
        "macs": total.macs,
        "peak_mib": f"{total.peak_bytes / 2**20:.2f}",
        "input": "x".join(str(n) for n in spec.resolution),
        "paper": paper(name),
        "more options": ", ".join(f"`{o}`" for o in more),
    }


# ------------------------------------------------------------------------------------------ figures


def figures() -> str:
    """The README's table: each line from a file in results/, with the command that made it."""
    rows = [row for name, make in SOURCES.items() for row in make(_result(name))]
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
    rows = []
    for name, t in r["transfer"].items():
        low, high = t["interval"]
        text = f"{t['accuracy']:.2%} (95% interval {low:.1%} to {high:.1%}) in {t['seconds']:.0f} s"
        what = f"{TRANSFERS[name]}, from MobileNetV2's TFLite file, all included"
        rows.append({"what": what, "figure": text, "command": "`make bench-weights`"})
    return rows


def _resume(r: dict[str, Any]) -> list[dict[str, object]]:
    what = f"killed at {r['of']} random moments, resumed: losses and weights the same to the bit"
    return [_row(what, f"{r['identical']} of {r['of']}", r)]


def _row(what: str, figure: str, result: dict[str, Any]) -> dict[str, object]:
    return {"what": what, "figure": figure, "command": f"`{result['command']}`"}


SOURCES: dict[str, Callable[[dict[str, Any]], list[dict[str, object]]]] = {
    "compiler": _compiler,
    "demo": _demo,
    "digits": _digits,
    "flowers5": _flowers,
    "imported_weights": _transfer,
    "preprocess": _preprocess,
    "resume": _resume,
}


def _result(name: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads((ROOT / "results" / f"{name}.json").read_text())
    return row


def _machines() -> str:
    found = {_machine(_result(name)["host"]) for name in SOURCES}
    return "; ".join(sorted(found))


def _machine(host: dict[str, Any]) -> str:
    cpu, packages = host["cpu"], host["packages"]
    names = ("torch", "onnxruntime", "openvino")
    versions = ", ".join(f"{n} {packages[n]}" for n in names)
    cores = cpu["usable_cores"]
    return f"{cpu['model']}, {cores} {'core' if cores == 1 else 'cores'} ({versions})"


def readme(old: str) -> str:
    """README.md with the figures of today between its markers."""
    before, rest = old.split(BEGIN)
    return f"{before}{BEGIN}\n{figures()}\n{END}{rest.split(END)[1]}"


def weights_page(old: str) -> str:
    """docs/weights.md with the figures of imported files between its markers."""
    result = _result("imported_weights")
    rows = [_imported(name, r) for name, r in result["files"].items()]
    before, rest = old.split(BEGIN)
    table = f"{report.markdown(rows)}\n\nMeasured on: {_machine(result['host'])}."
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def _imported(name: str, r: dict[str, Any]) -> dict[str, object]:
    def share(key: str) -> str:
        return "" if r.get(key) is None else f"{r[key]:.1%}"

    def small(key: str) -> str:
        return "" if r.get(key) is None else f"{r[key]:.1g}"

    return {
        "file": f"`{name}`",
        "top-1": share("top1"),
        "original": share("original_top1"),
        "agreement": share("agreement"),
        "rounded": share("agreement_quantized"),
        "largest difference": small("largest_difference"),
        "trunk, relative": small("relative_difference"),
    }


def transfer_page(old: str) -> str:
    """docs/transfer.md with the figures of runs from imported weights between its markers."""
    result = _result("imported_weights")
    rows = [
        {
            "data": name,
            "accuracy": f"{t['accuracy']:.2%}",
            "95% interval": f"{t['interval'][0]:.1%} to {t['interval'][1]:.1%}",
            "images": t["n"],
            "seconds": f"{t['seconds']:.0f}",
            "load before": f"{t['load_before']:.1f}",
            "command": f"`{t['command']}`",
        }
        for name, t in result["transfer"].items()
    ]
    before, rest = old.split(BEGIN)
    table = f"{report.markdown(rows)}\n\nMeasured on: {_machine(result['host'])}; wall clock from "
    table += "before Python starts until the report is written, with an empty cache."
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def events_page(old: str) -> str:
    """docs/events.md with every event and its fields between its markers."""
    before, rest = old.split(BEGIN)
    table = report.markdown([_event(kind) for kind in (*get_args(Event), Row)])
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def _event(kind: type) -> dict[str, object]:
    shown = [f"`{f.name}: {f.type}`" for f in fields(kind)]
    text = " ".join((kind.__doc__ or "").split())
    return {"event": f"`{kind.__name__}`", "says": text, "fields": ", ".join(shown)}


def recipes_page(old: str) -> str:
    """docs/recipes.md with the tables of train/recipes.py between its markers."""
    before, rest = old.split(BEGIN)
    sections = "\n\n".join(_recipe(r) for r in recipes.RECIPES.values())
    return f"{before}{BEGIN}\n{sections}\n{END}{rest.split(END)[1]}"


def _recipe(r: recipes.Recipe) -> str:
    sets = f"`{recipes.in_flags(r)}`" if r.sets else "nothing"
    published = f"- published: {r.published}; {r.machine}; top-1 {r.figure}\n"
    return f"""### {r.name}

- sets: {sets}
- source: {r.source}
{published if r.name != recipes.SMALL_DATA else ""}- taken: {r.taken}"""


def pages() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    return {
        ROOT / "docs" / "cli.md": cli_page(),
        ROOT / "docs" / "models.md": models_page(),
        ROOT / "docs" / "weights.md": weights_page((ROOT / "docs" / "weights.md").read_text()),
        ROOT / "docs" / "transfer.md": transfer_page((ROOT / "docs" / "transfer.md").read_text()),
        ROOT / "docs" / "events.md": events_page((ROOT / "docs" / "events.md").read_text()),
        ROOT / "docs" / "recipes.md": recipes_page((ROOT / "docs" / "recipes.md").read_text()),
        ROOT / "README.md": readme((ROOT / "README.md").read_text()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        replace_file(path, text)
        print(path.relative_to(ROOT))
