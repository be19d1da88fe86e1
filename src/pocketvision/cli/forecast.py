"""`pocketvision forecast`: would more images help, and of which class?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli import origin
from pocketvision.cli.of_run import bundle_source, dataset_of
from pocketvision.cli.options import Flag, Json
from pocketvision.cli.out import Output
from pocketvision.cli.records import run_of
from pocketvision.cli.samples import cache, images_of
from pocketvision.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from pocketvision.bundle import Bundle
    from pocketvision.model import Network
    from pocketvision.train.forecast import ClassValue, Forecast
    from pocketvision.train.refit import Features

SHOWN = 10


def forecast(
    model: Path,
    /,
    *,
    data: str,
    more: int | None = None,
    skip_bad: Flag = False,
    json: Json = False,
) -> None:
    """Say what more images would bring, and of which class, from what fewer of them cost.

    The last layer is fitted again and again to parts of the training images; the trunk stays. A run
    --from weights is judged on the trunk that it started from, which saw none of them.

    Parameters
    ----------
    model: Path
        A run, or a bundle.
    data: str
        A folder, a CSV file, or a built-in data set (digits).
    more: int
        So many more images of one class; by default what a class has on average.
    skip_bad: bool
        Leave unreadable images out, counted and listed, instead of stopping.
    """
    from pocketvision.train import forecast as room
    from pocketvision.train.warm import read_layer

    if more is not None and more < 1:
        raise UsageError(f"--more must be 1 or more, got {more}")
    out = Output(json=json)
    bundle = bundle_source(model, "forecast").bundle
    trunk = _trunk(model, bundle)
    features = _features(out, model, bundle, trunk.network, data, skip_bad=skip_bad)
    with out.progress("fits", room.fits(features)) as advance:
        found = room.forecast(
            features, read_layer(trunk.network), more=more, on_fit=lambda: advance(1)
        )
    _say(out, found, trunk)
    out.result({"trunk": trunk.words, "trunk_saw_the_images": trunk.biased, **found.to_dict()})
    out.next("pocketvision", "train", data)


@dataclass(frozen=True)
class _Trunk:
    """What gives the features: in words, and whether it was trained on the images judged here."""

    network: Network
    words: str
    biased: bool


def _trunk(model: Path, bundle: Bundle) -> _Trunk:
    """The trunk that the run around `model` started from, or the bundle's own."""
    from pocketvision import bundle as bundles
    from pocketvision.train.start import started

    run = run_of(model)
    if run is None or not (run / origin.FOLDER).is_dir():
        return _Trunk(bundle.network(), "the trunk as trained", True)
    source = bundles.load(run / origin.FOLDER)
    spec = bundle.spec
    classes = bundle.labels[spec.heads[0][0]].names
    start = started(source, classes, resolution=spec.resolution, in_channels=spec.in_channels)
    return _Trunk(start.network(), f"the trunk that the run started from ({source.spec.name})",
                  False)  # fmt: skip


def _features(
    out: Output, model: Path, bundle: Bundle, network: Network, data: str, *, skip_bad: bool
) -> Features:
    """What the trunk gives of both splits, kept for the next call."""
    import numpy as np

    from pocketvision.train.refit import Features

    labels = bundle.labels[bundle.spec.heads[0][0]]
    dataset = dataset_of(model, data, labels.names)
    rows: dict[str, np.ndarray] = {}
    for split, truth in (("train", "truth"), ("val", "val_truth")):
        loaded = images_of(out, dataset.splits[split], bundle.preprocess, skip_bad=skip_bad)
        rows[split] = _extracted(out, network, loaded.images, bundle, split)
        rows[truth] = np.array([s.label for s in loaded.samples], np.int64)
    return Features(**rows, classes=labels.names)


def _extracted(
    out: Output, network: Network, images: Any, bundle: Bundle, split: str
) -> np.ndarray:
    from pocketvision.train.features import features_of

    steps = features_of(network.eval(), images, bundle.preprocess, cache=cache())
    with out.progress(f"trunk over {split}", len(images)) as advance:
        while True:
            try:
                advance(next(steps))
            except StopIteration as end:
                found: np.ndarray = end.value
                return found


# -------------------------------------------------------------------------------------------- said


def _say(out: Output, f: Forecast, trunk: _Trunk) -> None:
    t, line = f.twice, f.curve
    out.say(
        f"last layer on {trunk.words}: {f.accuracy:.2%} right of {f.val_images} validation images"
    )
    if trunk.biased:
        out.say(
            "  the trunk was trained on all of these images, so that fewer look better here than "
            "they would\n  be, and more look worth less than they are"
        )
    out.say()
    out.table(
        [{"images": n, "mean error of classes": f"{e:.2%}", "draws": d} for n, e, d in f.points]
    )
    out.say(
        f"\nerror(n) = {line.a:.3f} + {line.b:.3g} n^-{line.c:.2f}\n"
        f"twice the images of every class: error {t.error:.2%}, {_points(t.gain)} less "
        f"(95% interval {_points(t.low)} to {_points(t.high)})\n"
    )
    out.table([_class_row(c, f.more) for c in f.classes[:SHOWN]])
    out.say()
    out.say(_advice(f))


def _class_row(c: ClassValue, more: int) -> dict[str, object]:
    return {
        "class": c.name,
        "images": c.images,
        "recall": f"{c.recall:.1%}",
        f"{more} more: its recall": f"{100 * c.recall_gain:+.1f}",
        "mean recall": f"{100 * c.gain:+.2f}",
        "95% interval": f"{100 * c.low:+.2f} to {100 * c.high:+.2f}",
    }


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"


def _advice(f: Forecast) -> str:
    """The sentence that people came for."""
    words = []
    if f.too_few:
        words.append(f"first of all {', '.join(f.too_few[:SHOWN])}: fewer than 2 training images")
    clear = [c for c in f.classes if c.clear]
    if clear:
        c = clear[0]
        words.append(
            f"about {f.more} more images of {c.name} would help most: mean recall "
            f"{100 * c.gain:+.1f} points (95% interval {100 * c.low:+.1f} to {100 * c.high:+.1f})"
        )
    else:
        words.append("no class stands out from the others by more than chance")
    if f.unjudged:
        words.append(f"{f.unjudged} more classes were not judged")
    return "\n".join(words)
