"""A bundle and the data it was trained on, for verbs that go on from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.records import run_of
from pocketvision.cli.samples import cache
from pocketvision.errors import UsageError

if TYPE_CHECKING:
    from pocketvision.cli.setup import Setup
    from pocketvision.data.dataset import Dataset
    from pocketvision.train.source import Source


def bundle_source(place: Path, verb: str) -> Source:
    """The bundle at `place`, or in the run there, and what manifests say of it; with one head.

    Raises UsageError for what is no bundle, BundleError.
    """
    from pocketvision.train.source import opened

    if place.is_file():
        raise UsageError(
            f"{verb} takes a bundle or a run, and {place} is a file: give the bundle that it was "
            "made from, or import it first (pocketvision import)"
        )
    if _manifest(place).get("kind") == "artifact":
        raise UsageError(
            f"{verb} takes a bundle or a run, and {place} is an exported model: give the bundle "
            "that it was made from, and export again afterwards"
        )
    found = opened(place)
    if len(found.bundle.spec.heads) != 1:
        names = ", ".join(name for name, _ in found.bundle.spec.heads) or "none"
        raise UsageError(f"{verb} takes a network with one head, this one has {names}")
    return found


def _manifest(place: Path) -> dict[str, Any]:
    try:
        row = json.loads((place / "manifest.json").read_bytes())
    except (OSError, ValueError):  # said by who opens it
        return {}
    return row if isinstance(row, dict) else {}


def read_as_run(place: Path, data: str) -> Dataset:
    """The data, split as the run around `place` split them, where there is one: images that it was
    trained on must not count as new. Groups are looked for only in the data that it had.
    """
    from pocketvision.data.read import read

    setup = setup_of(place)
    if setup is None:
        return read(data)
    return read(
        data,
        seed=setup.split_seed,
        val_fraction=setup.val_fraction,
        group_by=setup.group_by if Path(data).name == Path(setup.data).name else None,
    )


def setup_of(place: Path) -> Setup | None:
    """The setup of the run around `place`, or of the series that this run is one of; if any."""
    from pocketvision.cli.setup import saved_setup

    run = run_of(place)
    folders = () if run is None else (run, run.absolute().parent)
    found = next((f for f in folders if (f / "setup.json").is_file()), None)
    return None if found is None else saved_setup(found)


def trained_on(place: Path, split: str) -> str:
    """A line that says so where the network at `place` may have seen the images of a split; else
    nothing.
    """
    setup = setup_of(place)
    if setup is None or setup.folds is None or split == "test":
        return ""
    return (
        f"note: this network was trained on these images, or on most of them; what {setup.folds}-"
        "fold cross-validation measured on images that were new stands in the run's summary.json"
    )


def dataset_of(place: Path, data: str, classes: tuple[str, ...]) -> Dataset:
    """The data with their classes by name, split as the run around `place` split them.

    Raises UsageError where training or validation images are missing, LabelError, DataError.
    """
    from pocketvision.data.dataset import relabeled
    from pocketvision.data.shard_files import with_files

    dataset = read_as_run(place, data)
    for name in ("train", "val"):
        if not dataset.splits.get(name):
            raise UsageError(f"{data} has no image in its {name} split")
    dataset = relabeled(dataset, classes)
    for name in ("train", "val"):
        dataset = with_files(dataset, name, cache=cache())
    return dataset
