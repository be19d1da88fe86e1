"""Every recipe for a few steps on the built-in digits: what it resolves to, and that it runs.

command   python recipes/paper_recipes.py
machine   any; 2 cores, no GPU
time      about 2 minutes
expect    for each recipe a loss that has fallen; the papers' figures stand in docs/recipes.md
writes    runs/train/recipe-NAME, nothing else

Figures of the papers need a million photos and hundreds of epochs on several GPUs; this shows that
the settings are those of the table and that a network learns by them. On digits recipes leave
crops, colours and policies out; here the digits are not changed at all, to learn sooner.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from pathlib import Path

from pocketvision.data.read import read
from pocketvision.preprocess import Preprocess
from pocketvision.train.config import TrainConfig
from pocketvision.train.events import StepDone
from pocketvision.train.recipes import RECIPES, filled, in_flags
from pocketvision.train.run import train_run
from pocketvision.zoo.lookup import resolve

ROOT = Path(__file__).parents[1]
STEPS, BATCH_SIZE, FEW = 120, 32, 10
CONTRACT = Preprocess(size=(32, 32), crop_fraction=1.0)


def main() -> int:
    """Print the table, train each; 1 where a loss has not fallen."""
    os.chdir(ROOT)
    failed = 0
    for name, recipe in RECIPES.items():
        given = {"steps": STEPS, "batch_size": BATCH_SIZE, "threads": 1}
        photos = filled(name, given)
        losses = trained(name, filled(name, {**given, "augment": "none"}, photos=False))
        print(f"{name}\n  sets    {in_flags(recipe) or 'nothing'}")
        print(f"  source  {recipe.source}\n  reaches {recipe.figure}, as published")
        print(f"  here    rate {photos.peak_lr:.3g} for {photos.step_images} images a step")
        first, last = (statistics.mean(part) for part in (losses[:FEW], losses[-FEW:]))
        print(f"  loss    {first:.3f} to {last:.3f} in {len(losses)} steps", flush=True)
        failed += not last < first
    return 1 if failed else 0


def trained(name: str, config: TrainConfig) -> list[float]:
    """The losses of a short run on digits with a narrow MobileNetV3-Small."""
    folder = Path(f"runs/train/recipe-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    losses: list[float] = []

    def listen(event: object) -> None:
        if isinstance(event, StepDone):
            losses.append(event.loss)

    spec = resolve("mobilenet_v3_small", width=0.5, resolution=32, classes=10)
    train_run(read("digits", seed=0), spec, config, CONTRACT, folder, on_event=listen)
    return losses


if __name__ == "__main__":
    sys.exit(main())
