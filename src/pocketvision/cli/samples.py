"""Images of a data set or of paths for the verbs that look at them, with a progress bar."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.out import Output, counted
from pocketvision.errors import DataError

if TYPE_CHECKING:
    from pocketvision.data.cache import Cache
    from pocketvision.preprocess import Preprocess


@dataclass(frozen=True)
class Loaded:
    """Prepared images uint8 (n, h, w, c), the samples they are of, and what was left out."""

    images: Any
    samples: list[Any]
    bad: list[tuple[str, str]]


def images_of(
    out: Output, samples: Sequence[Any], preprocess: Preprocess, *, skip_bad: bool
) -> Loaded:
    """Decode and resize `samples`; unreadable ones stop, by name, or are left out and listed."""
    from pocketvision.bench.host import usable_cores
    from pocketvision.data.cache import load_uint8

    with out.progress("images", len(samples)) as advance:
        images, kept, bad = load_uint8(
            samples,
            preprocess,
            workers=usable_cores(),
            on_progress=counted(advance),
            skip_bad=skip_bad,
            cache=cache(),
        )
    return Loaded(images, [samples[i] for i in kept], [(str(p), r) for p, r in bad])


def cache() -> Cache:
    """Where prepared images are kept: POCKETVISION_CACHE, or below the home folder."""
    from pocketvision.data.cache import Cache, cache_folder

    return Cache(folder=cache_folder(os.environ))


def files_of(places: Iterable[str]) -> list[Path]:
    """Image files of files, folders (searched through) and globs, each once, in order.

    Raises DataError for a place that is not there, or where nothing is found.
    """
    found: dict[Path, None] = {}
    for place in places:
        files = _files(place)
        if not files:
            raise DataError(f"no image at {place}: give a file, a folder with images, or a pattern")
        found |= dict.fromkeys(files)
    return list(found)


def _files(place: str) -> list[Path]:
    from pocketvision.data.read import image_files

    path = Path(place)
    if path.is_dir():
        return image_files(path)
    if path.exists() or not glob.has_magic(place):
        return [path] if path.exists() else []
    # Path.glob takes only patterns below a folder; people write absolute ones and ** too.
    return sorted(p for p in map(Path, glob.glob(place, recursive=True)) if p.is_file())  # noqa: PTH207
