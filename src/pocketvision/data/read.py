"""Find out how a dataset is laid out, and read it: folders, a CSV file, or data that came along.

root/{train,val,test}/class/*   `valid` and `validation` are val; a missing val is split off train
root/class/*                    split by a seed
shards.json                     tar shards, in a folder or behind an http(s) address
file.csv                        columns image,label[,split]; paths are relative to the file's folder
digits                          scikit-learn's 1797 real handwritten digits

A class is a folder below its split; images may lie deeper in it. Hidden files are ignored.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pocketvision.data.builtin import BUILTIN
from pocketvision.data.dataset import SPLIT_NAMES, SPLITS, Dataset, Sample, natural
from pocketvision.data.groups import GroupBy, grouped, parsed
from pocketvision.data.read_csv import read_csv
from pocketvision.data.shards import is_index, read_shards
from pocketvision.data.split import with_val
from pocketvision.decode import printable
from pocketvision.errors import DataError, LabelError, UsageError, closest

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx"),
)
# Images all the same, which `decode` refuses by name; to skip them would lose them silently.
REFUSED_SUFFIXES = (
    *(".heic", ".heif", ".avif", ".svg", ".psd", ".raw", ".dng", ".cr2", ".cr3", ".nef"),
    *(".arw", ".exr", ".hdr", ".ico"),
)

KINDS = "a folder, a .csv file, a shards.json"


def read(
    source: str | Path, *, seed: int = 0, val_fraction: float = 0.2, group_by: str | None = None
) -> Dataset:
    """The dataset at a folder, CSV file or index of shards, or the builtin one of that name.
    `group_by` says which images no split may tear apart: see `groups`.

    Raises DataError (LabelError where classes do not fit, UsageError for a `group_by` that cannot
    be) saying what, where and what to do.
    """
    path, by = Path(source), None if group_by is None else parsed(group_by)
    try:
        if is_index(str(source)):
            _check_no_groups(by, "shards have their splits already")
            dataset = read_shards(str(source))
        elif path.is_dir():
            dataset = _read_folder(path, by, seed=seed, val_fraction=val_fraction)
        elif path.suffix.lower() in (".csv", ".tsv") and path.is_file():
            dataset = read_csv(path, seed=seed, val_fraction=val_fraction, by=by)
        elif str(source) in BUILTIN:
            _check_no_groups(by, f"{source} came without any groups")
            dataset = BUILTIN[str(source)](seed=seed, val_fraction=val_fraction)
        else:
            raise DataError(_no_data(path))
    except OSError as e:
        raise DataError(
            f"cannot read {e.filename or path}: {(e.strerror or str(e)).lower()}"
        ) from e
    if len(dataset.classes) < 2:
        only = f"only one class, {dataset.classes[0]!r}" if dataset.classes else "no class"
        raise DataError(f"{source} has {only}; a classifier needs two or more")
    return dataset


def _check_no_groups(by: GroupBy | None, why: str) -> None:
    if by is not None:
        raise UsageError(f"--group-by is for folders and tables of images: {why}; leave it out")


def _no_data(path: Path) -> str:
    if path.exists():
        return f"{path} is a file of another kind; give {KINDS} or a builtin name"
    here = path.parent if path.parent.is_dir() else Path()
    known = [*BUILTIN, *(str(p) for p in here.iterdir() if p.is_dir() or p.suffix == ".csv")]
    hint = closest(str(path), known)
    return f"no data at {path}{hint} ({KINDS}, or one of: {', '.join(BUILTIN)})"


def _folders(root: Path) -> list[Path]:
    return [p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")]


def _read_folder(root: Path, by: GroupBy | None, *, seed: int, val_fraction: float) -> Dataset:
    splits = _split_folders(root)
    if "train" not in splits:
        return _from_classes(root, by, seed=seed, val_fraction=val_fraction)
    names = {name: set(_class_folders(folder)) for name, folder in splits.items()}
    _check_equal(root, names)
    classes = tuple(sorted(names["train"], key=natural))
    found = {s: _samples(root, splits[s], classes) for s in SPLITS if s in splits}
    _check_no_empty(root, classes, found["train"])
    words = ", ".join(f"{splits[s].name}/class/*" for s in found)
    found = grouped(found, by, folder_of=partial(_folder, depth=2))
    found, held = with_val(found, seed=seed, fraction=val_fraction)
    return Dataset(_name(root), root, classes, found, words + held)


def _split_folders(root: Path) -> dict[str, Path]:
    """Folders of `root` that are splits, by canonical name. Raises DataError."""
    found: dict[str, Path] = {}
    for folder in sorted(_folders(root)):
        name = SPLIT_NAMES.get(folder.name.lower())
        if name in found:
            raise DataError(
                f"{root} has both {found[name].name}/ and {folder.name}/, which mean the same; "
                "keep one"
            )
        if name is not None:
            found[name] = folder
    return found


def _from_classes(root: Path, by: GroupBy | None, *, seed: int, val_fraction: float) -> Dataset:
    classes = tuple(sorted(_class_folders(root), key=natural))
    if not classes:
        loose = any(_is_image(p) for p in root.iterdir() if p.is_file())
        what = "has images but no class folders" if loose else "has no class folders"
        raise DataError(f"{root} {what}; make one folder per class: {root}/cat/1.jpg")
    samples = _samples(root, root, classes)
    _check_no_empty(root, classes, samples)
    splits = grouped({"train": samples}, by, folder_of=partial(_folder, depth=1))
    splits, held = with_val(splits, seed=seed, fraction=val_fraction)
    return Dataset(_name(root), root, classes, splits, "class/*" + held)


def _folder(sample: Sample, *, depth: int) -> str:
    """The first folder below the class, which is the last of `depth` folders below the root."""
    parts = sample.name.split("/")
    return parts[depth] if len(parts) > depth + 1 else ""


def _name(root: Path) -> str:
    return root.name or root.resolve().name


def _class_folders(folder: Path) -> dict[str, list[Path]]:
    """Folders by class name, in Unicode's composed form, so that those of a Mac match."""
    classes: dict[str, list[Path]] = {}
    for path in sorted(_folders(folder)):
        classes.setdefault(unicodedata.normalize("NFC", path.name), []).append(path)
    return classes


def _check_equal(root: Path, names: dict[str, set[str]]) -> None:
    train = names["train"]
    faults = []
    for name in ("val", "test"):
        if lacks := sorted(train - names.get(name, train), key=natural):
            faults.append(f"{name} lacks {', '.join(map(repr, lacks))}")
        if more := sorted(names.get(name, train) - train, key=natural):
            faults.append(f"{name} has {', '.join(map(repr, more))}, which train lacks")
    if faults:
        raise LabelError(f"class folders of {root} differ between splits: {'; '.join(faults)}")


def _check_no_empty(root: Path, classes: tuple[str, ...], samples: tuple[Sample, ...]) -> None:
    """Every class has an image to train on. Raises DataError."""
    if not samples:
        raise DataError(f"{root} holds no images (looked for {', '.join(IMAGE_SUFFIXES)})")
    used = {s.label for s in samples}
    if empty := [c for i, c in enumerate(classes) if i not in used]:
        raise DataError(
            f"{root} has class folders without images: {', '.join(map(repr, empty))}; "
            "add images or remove the folders"
        )


def _samples(root: Path, folder: Path, classes: tuple[str, ...]) -> tuple[Sample, ...]:
    found = _class_folders(folder)
    return tuple(
        Sample(path, label, printable(path.relative_to(root).as_posix()))
        for label, name in enumerate(classes)
        for path in sorted(p for place in found.get(name, ()) for p in _images(place))
    )


def image_files(folder: Path) -> list[Path]:
    """Every image file below `folder` by its suffix, in natural order, hidden ones passed over.

    Raises DataError where the folder cannot be searched.
    """
    try:
        found = list(_images(folder))
    except OSError as e:
        raise DataError(
            f"cannot search {e.filename or folder}: {(e.strerror or str(e)).lower()}"
        ) from e
    return sorted(found, key=lambda p: natural(p.as_posix()))


def _images(folder: Path) -> Iterator[Path]:
    """Image files below `folder`, by suffix; hidden files and folders are passed over."""

    def stop(error: OSError) -> None:
        raise error

    for place, below, files in os.walk(folder, onerror=stop):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and _is_image(Path(name)):
                yield Path(place) / name


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES + REFUSED_SUFFIXES
