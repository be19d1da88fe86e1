"""Write what the docs only repeat: command reference, model table, measured figures.

command   make docs
writes    docs/cli.md, docs/models.md, and what stands between the markers in docs/weights.md,
          docs/transfer.md, docs/events.md, docs/recipes.md and README.md
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

from figures import figures, machine, result_of

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


def readme(old: str) -> str:
    """README.md with the figures of today between its markers."""
    before, rest = old.split(BEGIN)
    return f"{before}{BEGIN}\n{figures()}\n{END}{rest.split(END)[1]}"


def weights_page(old: str) -> str:
    """docs/weights.md with the figures of imported files between its markers."""
    result = result_of("imported_weights")
    rows = [_imported(name, r) for name, r in result["files"].items()]
    before, rest = old.split(BEGIN)
    table = f"{report.markdown(rows)}\n\nMeasured on: {machine(result['host'])}."
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
    result = result_of("imported_weights")
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
    table = f"{report.markdown(rows)}\n\nMeasured on: {machine(result['host'])}; wall clock from "
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
