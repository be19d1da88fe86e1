"""`pocketvision train`: photos in, a trained and measured bundle out."""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pocketvision.cli import crossval, figures, origin, report, seeds, series, teaching
from pocketvision.cli.contract import contract
from pocketvision.cli.options import DataOptions, Flag, Json, ModelOptions, Overwrite, spec_of
from pocketvision.cli.origin import Origin
from pocketvision.cli.out import Output, mebibytes, millions
from pocketvision.cli.ranks import entered
from pocketvision.cli.samples import cache
from pocketvision.cli.series import Heard, Series, SeriesOptions
from pocketvision.cli.setup import Setup, check_kept, dumps, free_folder, saved_config, saved_setup
from pocketvision.cli.show import headline
from pocketvision.cli.stopping import stop_on_signals
from pocketvision.cli.told import Told, check_no_recipe, filled
from pocketvision.cli.training import Progress
from pocketvision.cost import cost
from pocketvision.errors import Interrupted
from pocketvision.files import replace_file
from pocketvision.train.config import TrainConfig
from pocketvision.train.defaults import with_teachers

if TYPE_CHECKING:
    from pocketvision.data.dataset import Dataset
    from pocketvision.train.events import Event
    from pocketvision.train.ranks import Ranks
    from pocketvision.train.run import RunResult
    from pocketvision.train.source import Source

MODEL_NAME = "mobilenet_v3_small"
DIGITS_PX = 32  # the built-in digits are shown at this size


MODEL, DATA, CONFIG, SERIES = ModelOptions(), DataOptions(), Told(), SeriesOptions()


def train(
    data: str,
    /,
    *,
    model: str | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    teacher: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    options: Annotated[ModelOptions, Parameter(name="*")] = MODEL,
    images: Annotated[DataOptions, Parameter(name="*")] = DATA,
    several: Annotated[SeriesOptions, Parameter(name="*")] = SERIES,
    recipe: str | None = None,
    told: Annotated[Told, Parameter(name="*")] = CONFIG,
    output: Path = Path("runs/train"),
    name: str | None = None,
    resume: Path | None = None,
    allow_changes: Flag = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a network on images, from scratch or --from weights; Ctrl-C saves, --resume goes on.

    Parameters
    ----------
    data: str
        A folder, a CSV file, shards (a folder or an http address), or a built-in data set
        (digits).
    model: str
        A name from `pocketvision list` (mobilenet_v3_small, or what --from holds).
    from_: str
        Start from these weights: a bundle, a run, a weight file that `import` reads or a name of
        `weights list` that was pulled. The last layer is made new, preprocessing is the source's.
    teacher: tuple[str, ...]
        Learn from this bundle, run or weight file too, which must know every class; several: from
        the mean of their answers.
    recipe: str
        Settings for what other flags leave open: small-data (the default under 5000 training
        images), modern (from there on), or a paper's: mobilenet_v1, mobilenet_v2, mobilenet_v3,
        mobilenext, rexnet, mixnet.
    output: Path
        Folder of runs.
    name: str
        Name of the run's folder; by default that of the data, with a number if it is taken.
    resume: Path
        Go on with this run; its settings are taken from it. With more --epochs it becomes longer.
    allow_changes: bool
        With --resume: go on although data or settings are others now; the run says what changed.
    """
    from pocketvision.data.read import read
    from pocketvision.data.shard_files import with_files

    with entered(os.environ, told.rank_timeout) as ranks:
        out = Output(json=json, quiet=not ranks.first)
        if resume is not None:
            origin.check_not_given(from_, model)
            teaching.check_not_given(teacher)
            check_no_recipe(recipe)
            check_kept(resume, options, images, several)
            folder, setup, line = resume, saved_setup(resume, data), ""
            config = saved_config(resume, told.given, allow_changes=allow_changes)
            dataset = read(data, **setup.split())
            start = origin.kept(folder, setup.start, dataset, setup.spec)
            teachers = teaching.kept(folder, setup.teachers)
        else:
            series.check_options(several)
            dataset = read(data, **images.split())
            start = origin.chosen(from_, model, options, dataset)
            teachers = teaching.chosen(teacher)
            found = filled(told, recipe, dataset, from_weights=start is not None)
            config, line = origin.config_for(found.config, start), found.line
            config = with_teachers(config, len(teachers))
            setup = _setup(data, dataset, model or MODEL_NAME, options, images, start)
            records = [dict(t.record) for t in teachers]
            setup = replace(setup, teachers=records, recipe=found.recipe)
            setup = replace(setup, folds=several.folds, seeds=several.seeds)
            place = output / (name or dataset.name)
            free = partial(free_folder, place, given=name is not None, overwrite=overwrite)
            folder = Path(ranks.said(lambda: str(free())))
        start = origin.with_contract(start, contract(setup, start))
        _say_start(out, dataset, setup, folder, line)
        dataset = with_files(dataset, "val", cache=cache())
        origin.say(out, start, config)
        teaching.say(out, teachers, config)
        one = partial(_run, out, setup, folder, start, teachers, ranks)
        if setup.folds or setup.seeds:
            _several(
                Series(
                    out=out,
                    dataset=dataset,
                    setup=setup,
                    config=config,
                    folder=folder,
                    train=partial(one, allow_changes=allow_changes),
                ),
                resume is not None,
            )
            return
        result = one(
            dataset, config, folder, resume=resume is not None, allow_changes=allow_changes
        )
        if ranks.first:
            _say_end(out, dataset, setup, result)


def _setup(
    data: str,
    dataset: Dataset,
    model: str,
    options: ModelOptions,
    images: DataOptions,
    start: Origin | None,
) -> Setup:
    if options.resolution is None and dataset.root is None and dataset.shards is None:
        options = replace(options, resolution=str(DIGITS_PX))
    return Setup(
        data=data,
        spec=start.start.spec if start else spec_of(model, options, classes=len(dataset.classes)),
        resize=images.resize,
        crop_fraction=images.crop_fraction,
        val_fraction=images.val_fraction,
        split_seed=images.split_seed,
        input_scaling=images.input_scaling,
        group_by=images.group_by,
        start=start.start.source if start else None,
    )


def _run(
    out: Output,
    setup: Setup,
    home: Path,
    start: Origin | None,
    teachers: Sequence[Source],
    ranks: Ranks,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool,
    allow_changes: bool,
    heard: Heard = lambda event: event,
) -> RunResult:
    """Train into `folder`; what --resume needs is kept in `home`, which a series of runs shares."""
    from pocketvision.train.prepare import check_folder
    from pocketvision.train.run import train_run
    from pocketvision.train.trackers import Places

    preprocess = contract(setup, start)
    if ranks.first:
        check_folder(folder, resume=resume)
    listen = _Listening(progress := Progress(out), setup, home, start, teachers, heard)
    with stop_on_signals(out) as stop, progress:
        try:
            return train_run(
                dataset,
                setup.spec,
                config,
                preprocess,
                folder,
                on_event=listen if ranks.first else lambda event: None,
                should_stop=stop.is_set,
                resume=resume,
                allow_changes=allow_changes,
                cache=cache(),
                start=start.start if start else None,
                places=Places.of(os.environ),
                teachers=teachers,
                ranks=ranks,
            )
        except Interrupted:
            progress.close()
            out.next("pocketvision", "train", setup.data, "--resume", home)
            raise


@dataclass(frozen=True)
class _Listening:
    """Shows events; the first step's plan is the moment from which a run can be resumed, so that
    its setup is kept then and a call that is refused earlier leaves nothing behind.
    """

    progress: Progress
    setup: Setup
    home: Path
    start: Origin | None
    teachers: Sequence[Source]
    heard: Heard

    def __call__(self, event: Event) -> None:
        from pocketvision.train.events import Planned

        if isinstance(event, Planned):
            origin.keep(self.home, self.start)
            teaching.keep(self.home, self.teachers)
            replace_file(self.home / "setup.json", dumps(self.setup))
        self.progress(self.heard(event))


def _say_start(out: Output, dataset: Dataset, setup: Setup, folder: Path, recipe: str) -> None:
    counts = ", ".join(f"{split} {len(rows)}" for split, rows in dataset.splits.items())
    out.say(
        f"{dataset.name}: {len(dataset.classes)} classes, {counts} images ({dataset.layout})\n"
        f"{headline(setup.spec, cost(setup.spec))}\n{recipe}run folder: {folder}\n"
        f"{series.advice(dataset, setup)}"
    )


def _several(all_: Series, resume: bool) -> None:
    """Train a series of runs and say what it came to."""
    from pocketvision.report.pictures import from_samples

    all_.check(resume=resume)
    kind = crossval if all_.setup.folds else seeds
    made = kind.run(all_)
    kind.say(all_, made)
    samples = [s for rows in all_.dataset.splits.values() for s in rows]
    page, _ = report.write(all_.out, all_.folder, source=from_samples(samples))
    bundle = all_.folder / "bundle"
    if text := figures.trust(made):
        all_.out.say(text)
    all_.out.say(f"bundle: {bundle}\nreport: {page.resolve().as_uri()}")
    all_.out.result({"run": all_.folder, "bundle": bundle, "report": page, **made})
    all_.out.next("pocketvision", "export", bundle, "--data", all_.setup.data)


def _say_end(out: Output, dataset: Dataset, setup: Setup, result: RunResult) -> None:
    from pocketvision.report.pictures import from_samples
    from pocketvision.train.clock import in_words
    from pocketvision.train.hashes import SHORT

    m, total = result.metrics, cost(setup.spec)
    samples = [s for rows in dataset.splits.values() for s in rows]
    page, _ = report.write(out, result.folder, source=from_samples(samples))
    low, high = m.interval
    out.say(
        f"\naccuracy {m.accuracy:.2%} on {m.n} images (95% interval {low:.2%} to {high:.2%}), "
        f"epoch {result.epoch}, {result.seconds:.0f} s\n{figures.uneven(m, dataset)}"
        f"{millions(total.params)} parameters, {mebibytes(total.weights_bytes)}, "
        f"{millions(total.macs)} MACs\n"
        f"bundle: {result.bundle}\nreport: {page.resolve().as_uri()}"
    )
    short = ", ".join(f"{name} {value[:SHORT]}" for name, value in result.hashes.items())
    out.say(f"time: {in_words(result.spent)}\n{short}")
    if result.skipped:
        out.say(f"left out: {len(result.skipped)} unreadable images, listed in summary.json")
    summary: dict[str, Any] = jsonlib.loads((result.folder / "summary.json").read_text())
    teaching.say_end(out, summary)
    for text in (figures.trust(summary), figures.weak(m, result.folder, setup.data)):
        if text:
            out.say(text)
    out.result({"run": result.folder, "bundle": result.bundle, "report": page, **summary})
    out.next("pocketvision", "export", result.bundle, "--data", setup.data)
