"""The weights that `train --from` starts from: found, shown, and kept beside the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.cli.options import ModelOptions, resolution
from pocketvision.cli.out import Output
from pocketvision.errors import UsageError
from pocketvision.train.config import TrainConfig
from pocketvision.train.defaults import from_weights
from pocketvision.train.rules import flag

if TYPE_CHECKING:
    from pocketvision.bundle import Bundle
    from pocketvision.data.dataset import Dataset
    from pocketvision.preprocess import Preprocess
    from pocketvision.spec import NetSpec
    from pocketvision.train.start import Start

FOLDER = "start"
CHANGEABLE = ("resolution", "in_channels")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """First values of a run, the bundle they were taken from, and what had to be assumed of it."""

    start: Start
    bundle: Bundle
    assumed: tuple[str, ...] = ()


def chosen(
    place: str | None, model: str | None, options: ModelOptions, dataset: Dataset
) -> Origin | None:
    """What `--from` names, for the classes of a dataset; None where it was not given.

    Raises UsageError for flags that the source decides, and whatever reading it raises.
    """
    if place is None:
        return None
    from pocketvision.cli.import_weights import weight_file
    from pocketvision.train.source import opened

    _check_options(options)
    source = opened(weight_file(place), model=model)
    size = None if options.resolution is None else resolution(options.resolution)
    return _origin(
        source.bundle,
        dataset,
        size=(size, size) if isinstance(size, int) else size,
        in_channels=options.in_channels,
        record=source.record,
        assumed=source.assumed,
    )


def _check_options(options: ModelOptions) -> None:
    for f in fields(ModelOptions):
        if getattr(options, f.name) is not None and f.name not in CHANGEABLE:
            allowed = " and ".join(flag(name) for name in CHANGEABLE)
            raise UsageError(
                f"{flag(f.name)} is decided by the weights of --from; leave it out "
                f"({allowed} may change)"
            )


def _origin(
    bundle: Bundle,
    dataset: Dataset,
    *,
    size: tuple[int, int] | None,
    in_channels: int | None,
    record: Mapping[str, Any],
    assumed: tuple[str, ...] = (),
) -> Origin:
    from pocketvision.train.start import started

    start = started(
        bundle, dataset.classes, resolution=size, in_channels=in_channels, source=record
    )
    return Origin(start=start, bundle=bundle, assumed=assumed)


def with_contract(origin: Origin | None, preprocess: Preprocess) -> Origin | None:
    """The same with the contract that the flags made of the source's."""
    if origin is None:
        return None
    return replace(origin, start=replace(origin.start, preprocess=preprocess))


def check_not_given(place: str | None, model: str | None) -> None:
    """Raise UsageError where --from or --model stands beside --resume."""
    if model is not None:
        raise UsageError("--resume goes on with the run's own network; leave --model out")
    if place is not None:
        raise UsageError(
            "--resume goes on with what the run started from, kept beside it; leave --from out"
        )


def config_for(config: TrainConfig, origin: Origin | None) -> TrainConfig:
    """The config with the defaults of a run from weights. Raises UsageError for --freeze without
    any.
    """
    if origin is not None:
        return from_weights(config)
    if config.freeze is not None:
        raise UsageError(
            f"--freeze {config.freeze} needs weights to start from: add --from BUNDLE-OR-FILE"
        )
    return config


# ------------------------------------------------------------------------------------------ shown


def say(out: Output, origin: Origin | None, config: TrainConfig) -> None:
    """What was taken from where, and how it will be trained."""
    if origin is None:
        return
    start, bundle = origin.start, origin.bundle
    out.say(f"from {start.source['name']} ({start.source['kind']}): {start.source['model']}")
    out.say(f"  taken      {_taken(start, bundle)}")
    out.say(f"  last layer {_last(start, bundle)}")
    out.say(f"  input      {_input(start)}")
    for text in origin.assumed:
        out.say(f"  assumed    {text}")
    out.say(f"  training   {_training(config)}\n")


def _taken(start: Start, bundle: Bundle) -> str:
    name, head = start.spec.heads[0]
    kept = sum(key in start.weights for key in bundle.weights)
    hidden = f", with the head's {len(head.hidden)} hidden layers" if head.hidden else ""
    channels = start.spec.in_channels
    stem = f"; stem for {channels} channels" if channels != bundle.spec.in_channels else ""
    trunk = f"; head {name!r} is new" if not bundle.spec.heads else ""
    return f"{kept} of {len(bundle.weights)} tensors{hidden}{stem}{trunk}"


def _last(start: Start, bundle: Bundle) -> str:
    head = start.spec.head()
    shape = f"{head.features} x {head.classes}"
    if start.rows is not None:
        return f"{shape}, kept: the source knows every class by name"
    old = f", instead of {bundle.spec.head().classes} classes" if bundle.spec.heads else ""
    return f"{shape}, new{old}"


def _input(start: Start) -> str:
    from pocketvision.weights.found import scaling_text

    height, width = start.preprocess.size
    p = start.preprocess
    return f"{height}x{width}, {scaling_text(p)}, {p.resize} {p.crop_fraction:g}, {p.interpolation}"


def _training(config: TrainConfig) -> str:
    if config.freeze == "trunk":
        return "--freeze trunk: the last layer alone, on what the frozen trunk gives"
    names = ("freeze", "time", "steps", "epochs", "lr", "trunk_lr", "stage_lr", "warmup_epochs")
    given = {name: getattr(config, name) for name in (*names, "norms")}
    return " ".join(f"{flag(k)} {v}" for k, v in given.items() if v is not None)


# ------------------------------------------------------------------------------------------- kept


def keep(folder: Path, origin: Origin | None) -> None:
    """Save the source beside the run, once: --resume must not depend on a file elsewhere."""
    from pocketvision import bundle as bundles

    if origin is not None and not (folder / FOLDER).exists():
        bundles.save(origin.bundle, folder / FOLDER)


def kept(
    folder: Path, record: Mapping[str, Any] | None, dataset: Dataset, spec: NetSpec
) -> Origin | None:
    """What a run to resume had started from. Raises BundleError where it is gone or damaged."""
    from pocketvision import bundle as bundles

    if record is None:
        return None
    bundle = bundles.load(folder / FOLDER)
    channels = spec.in_channels
    return _origin(bundle, dataset, size=spec.resolution, in_channels=channels, record=record)
