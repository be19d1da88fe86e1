"""--seeds: the same run with several seeds, to know how much of a figure is luck.

The bundle that is kept is the first seed's, decided before any result was seen. The best of several
by the validation images would owe part of its figure to having been picked by them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketvision.cli import series
from pocketvision.cli.series import One, Series
from pocketvision.files import new_folder, replace_file

COPIED = ("env.json", "results.csv", "losses.csv", "trace.json", "per_class.csv", "confusion.csv",
          "predictions.csv")  # fmt: skip


def run(all_: Series) -> dict[str, Any]:
    """Train with every seed; summary.json of the series, which is written with its bundle."""
    count = all_.setup.seeds
    assert count is not None
    first = all_.config.seed
    ones = [
        One(name=f"seed-{seed}", dataset=all_.dataset, config=replace(all_.config, seed=seed))
        for seed in range(first, first + count)
    ]
    return gathered(all_, all_.run(ones))


def gathered(all_: Series, folders: list[Path]) -> dict[str, Any]:
    """The first run's figures and bundle, and all runs' mean and spread."""
    rows, first = series.lines(folders), folders[0]
    for name in COPIED:
        if (first / name).is_file():
            replace_file(all_.folder / name, (first / name).read_bytes())
    made = series.summary(first) | {
        "runs": rows,
        "seeds": {
            "count": len(rows),
            "accuracy": series.spread([row["accuracy"] for row in rows]),
            "macro_recall": series.spread([row["macro_recall"] for row in rows]),
            "bundle": first.name,
        },
    }
    with new_folder(all_.folder / "bundle", overwrite=True) as place:
        shutil.copytree(first / "bundle", place, dirs_exist_ok=True)
    replace_file(all_.folder / "summary.json", json.dumps(made, indent=1) + "\n")
    return made


def say(all_: Series, made: dict[str, Any]) -> None:
    """The runs, their mean and spread, for people."""
    out, row = all_.out, made["seeds"]
    out.say()
    out.table(series.table(made["runs"]))
    out.say(
        f"\naccuracy over {row['count']} seeds, {made['n']} images: "
        f"{series.spread_words(row['accuracy'])}\n"
        f"the bundle is that of {row['bundle']}, the first: to pick the best by these images would "
        "flatter it"
    )
