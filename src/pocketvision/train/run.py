"""A whole training run: images read, a network fitted, judged and kept, all in one folder.

config.json env.json trace.json                           what run it is, where
results.csv losses.csv                                    how it goes, by epoch and by step
summary.json per_class.csv confusion.csv predictions.csv  what it came to
bundle/        the result
checkpoint/    where --resume goes on
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from pocketvision.bench.host import host
from pocketvision.data.cache import Cache
from pocketvision.data.dataset import Dataset
from pocketvision.preprocess import Preprocess
from pocketvision.spec import NetSpec
from pocketvision.tasks.classify import Metrics
from pocketvision.train import augmenting, loop
from pocketvision.train.closing import with_closing
from pocketvision.train.compiling import decided
from pocketvision.train.config import TrainConfig
from pocketvision.train.device import device_of
from pocketvision.train.events import Event, Finished, Note, Planned
from pocketvision.train.job import Job
from pocketvision.train.memory import keep_freed_memory
from pocketvision.train.outputs import kept, write_json
from pocketvision.train.prepare import (
    Listener,
    Listening,
    balanced,
    check_fit,
    check_folder,
    check_start,
    job_of,
    loaded,
    remarks,
    with_length,
)
from pocketvision.train.ranks import ALONE, Ranks
from pocketvision.train.source import Source
from pocketvision.train.start import Start
from pocketvision.train.taught import judged, teachers_of, with_teachers
from pocketvision.train.together import check_ranks, in_turn
from pocketvision.train.trackers import LOCAL, Places, Tracking, tracking
from pocketvision.train.tuning import threads_for, using, with_threads


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run came to. `config` holds what was found before the first step: the number of steps
    that --time allows, the threads. `spent` holds seconds by part; `hashes` those of the trace and
    of the context.
    """

    folder: Path
    bundle: Path
    metrics: Metrics
    config: TrainConfig
    epoch: int
    seconds: float
    skipped: tuple[tuple[str, str], ...]
    spent: Mapping[str, float] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


def train_run(
    dataset: Dataset,
    spec: NetSpec,
    config: TrainConfig,
    preprocess: Preprocess,
    run_folder: Path,
    *,
    on_event: Listener = lambda event: None,
    should_stop: Callable[[], bool] = loop.never,
    resume: bool = False,
    allow_changes: bool = False,
    cache: Cache | None = None,
    start: Start | None = None,
    places: Places = LOCAL,
    teachers: Sequence[Source] = (),
    ranks: Ranks = ALONE,
) -> RunResult:
    """Train `spec` on a dataset into `run_folder`; goes on from its checkpoint with `resume`,
    longer where the config says so, with `allow_changes` on other data or settings too.

    Prepared images are kept in `cache` for the next run, or in memory only. With `start` the first
    values are its own, not drawn, and `spec` and `preprocess` must be its too. Trackers that the
    config names write where `places` says. From `teachers` it learns what the config says, filled
    in by `defaults.with_teachers`. Of several `ranks` each calls this with the same arguments, and
    the first one writes.

    Raises DataError for images that cannot be read (all of them named), LabelError and UsageError
    where network, classes and contract do not fit, OutputExists where the folder holds a run,
    Interrupted after saving, MissingRuntime for a tracker that is not installed, PocketvisionError
    where the loss or the disk forbids to go on, ProcessLost where another process is gone.
    """
    since = perf_counter()
    device = device_of(config.device, ranks)
    check_fit(dataset, spec, preprocess, resume=resume)
    check_start(config, spec, start)
    if ranks.first:
        check_folder(run_folder, resume=resume)
    masters = teachers_of(teachers, dataset.classes, preprocess, config)
    keep_freed_memory()
    facts = {"model": spec.name, "dataset": dataset.name, **config.to_dict()}
    names = config.trackers if ranks.first else ()
    tell = tracking(names, run_folder, facts, on_event=on_event, places=places)
    listen = Listening(tell, should_stop)
    data = in_turn(
        ranks, listen, lambda: loaded(dataset, config, preprocess, listen=listen, cache=cache)
    )
    for text in remarks(data, config):
        tell(Note(text=text))
    config = balanced(config, data, tell)
    job = job_of(data, spec, config, preprocess, start)
    job = replace(job, cache=cache, ranks=ranks, device=device)
    check_ranks(job)
    job = with_teachers(
        job,
        masters,
        still=augmenting.still(config, dataset),
        looks=augmenting.looks(config, dataset),
    )
    found = threads_for(job, cache)
    if found.images_per_s:
        tell(Note(text=found.words))
    with using(found.count):
        job = _decided(with_threads(job, found), listen)
        job = with_length(job, run_folder, since=since, resume=resume)
        events = loop.fit(
            job,
            run_folder,
            should_stop=should_stop,
            resume=resume,
            allow_changes=allow_changes,
        )
        events = with_closing(events, job) if ranks.first else events
        end = _last(events, job, run_folder, tell)
        bundle = kept(end, job, data, run_folder) if ranks.first else run_folder / "bundle"
    return _result(run_folder, bundle, job.config, end, skipped=data.skipped)


def _decided(job: Job, listen: Listening) -> Job:
    """The job with teachers that were judged, and whether its steps are compiled, which is said."""
    job, words = decided(judged(job, listen), job.cache)
    if words:
        listen.on_event(Note(text=words))
    return job


def _result(
    folder: Path,
    bundle: Path,
    config: TrainConfig,
    end: Finished,
    *,
    skipped: tuple[tuple[str, str], ...],
) -> RunResult:
    return RunResult(
        folder=folder,
        bundle=bundle,
        metrics=end.metrics,
        config=config,
        epoch=end.epoch,
        seconds=end.seconds,
        skipped=skipped,
        spent=end.spent,
        hashes=end.identity.hashes,
    )


def _last(events: Iterator[Event], job: Job, folder: Path, tell: Tracking) -> Finished:
    """The last event, after all were told. A call that is refused before the plan stands has
    written nothing.
    """
    with closing(tell):
        for event in events:
            if isinstance(event, Planned) and job.ranks.first:
                write_json(folder / "config.json", job.config.to_dict())
                write_json(folder / "env.json", {**host(), "processes": job.ranks.count})
            tell(event)
    assert isinstance(event, Finished)
    return event
