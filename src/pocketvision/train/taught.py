"""A job whose network learns from teachers: they are judged, and what they say is kept where it
cannot change.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pocketvision.errors import Interrupted, UsageError
from pocketvision.nn.rows import see
from pocketvision.preprocess import Preprocess
from pocketvision.tasks import classify
from pocketvision.train import balance, losses, step
from pocketvision.train import state as states
from pocketvision.train.batches import augmented, batch, normalised
from pocketvision.train.config import TrainConfig
from pocketvision.train.device import forked
from pocketvision.train.distill import Lesson, paired, regressors
from pocketvision.train.events import Answered, Note
from pocketvision.train.job import Images, Job, Taught, parts
from pocketvision.train.prepare import Listening
from pocketvision.train.rounds import in_rounds
from pocketvision.train.source import Source
from pocketvision.train.teacher import Teacher, answers_of, teacher_of


def teachers_of(
    sources: Sequence[Source], classes: Sequence[str], preprocess: Preprocess, config: TrainConfig
) -> list[Teacher]:
    """The teachers of a run. Raises UsageError and LabelError where one does not fit it."""
    if bool(sources) != (config.distill is not None):
        raise UsageError(
            "a run with teachers needs a config that says what is learned from them, and one "
            "without must not: fill it in by pocketvision.train.defaults.with_teachers"
        )
    own = config.teacher_size == "own"
    return [teacher_of(source, classes, preprocess, own_size=own) for source in sources]


def with_teachers(job: Job, teachers: Sequence[Teacher], *, still: bool, looks: str = "") -> Job:
    """The job with teachers that look at every batch; the same job without any. `still` and `looks`
    as in `Lesson`.
    """
    if not teachers:
        return job
    config, spec = job.config, job.network.spec
    hard = losses.hard(config, balance.counts_of(job.train.truth, len(job.labels.names)))
    lesson = Lesson(config=config, hard=hard, teachers=teachers, still=still, looks=looks)
    if lesson.parts != ["kd"]:
        for teacher in teachers:
            paired(spec, teacher.network.spec)
    hints = regressors(spec, teachers, seed=config.seed) if "hint" in lesson.parts else None
    return replace(
        job,
        objective=lesson,
        about={**job.about, "teachers": [f"{t.network.spec.name} {t.digest}" for t in teachers]},
        taught=Taught(beside=hints, records=tuple(dict(t.record) for t in teachers)),
    )


def judged(job: Job, listen: Listening) -> Job:
    """The job with teachers that were measured on the validation images, each said in a line; their
    answers about training images are kept where one answer an image serves the whole run.

    Raises Interrupted once the listener asks for a stop.
    """
    lesson, taught = job.objective, job.taught
    if taught is None:
        return job
    assert isinstance(lesson, Lesson)
    answers = [_answers(job, t, "val", job.preprocess.size, listen) for t in lesson.teachers]
    records = _measured(job, lesson.teachers, answers, listen)
    if (views := known_views(job, still=lesson.still)) is not None:
        known = [_answers_about(views, job, t, lesson.looks, listen) for t in lesson.teachers]
        job = replace(job, objective=replace(lesson, known=known))
    return replace(job, taught=replace(taught, records=tuple(records), guess=first_loss(job)))


@dataclass(frozen=True, kw_only=True)
class Views:
    """What teachers say their word about once: whole images of size `hw`, or `count` augmented
    views of them.
    """

    hw: tuple[int, int]
    count: int | None = None


def known_views(job: Job, *, still: bool) -> Views | None:
    """Views of training images that are judged once for the whole run; None where teachers must
    look at every batch: they see other pixels or sizes each time, or maps are asked for.
    """
    config, plan = job.config, job.plan
    if config.distill != "kd":
        return None
    if config.teacher_views == "1":
        return Views(hw=job.preprocess.size)
    if plan.first_hw != plan.last_hw:
        return None
    if still:
        return Views(hw=plan.last_hw)
    mixed = config.mixup or config.cutmix
    # Copies of an image in one epoch differ, and shards are not at hand all at once.
    copies = config.repeats > 1 or job.quota is not None
    if config.views is None or mixed or copies or job.train.groups:
        return None
    return Views(hw=plan.last_hw, count=config.views)


def _answers_about(
    views: Views, job: Job, teacher: Teacher, rules: str, listen: Listening
) -> np.ndarray:
    """A teacher's answers (views, n, k) about the training images. Raises Interrupted."""
    if views.count is None:
        return _answers(job, teacher, "train", views.hw, listen)[None]
    looks = [Look(job, views.hw, rules, number=v, of=views.count) for v in range(views.count)]
    return np.stack([_answers(job, teacher, "train", views.hw, listen, look) for look in looks])


@dataclass(frozen=True)
class Look:
    """The `number`-th augmented view `of` so many of training images, at size `hw`. `rules`: the
    lesson's `looks`.
    """

    job: Job
    hw: tuple[int, int]
    rules: str
    number: int
    of: int

    def inputs(self, rows: np.ndarray) -> Tensor:
        """float32 (n, c, *hw): what steps see of these images."""
        values = augmented(rows, self.job, view=self.number, hw=self.hw)
        return normalised(values, self.job.preprocess)

    @property
    def name(self) -> str:
        """What sets its answers apart from those about other views."""
        return f"{self.rules} seed {self.job.config.seed} view {self.number}"


def first_loss(job: Job) -> float:
    """The loss of the first batch before any step: about what guessing costs."""
    network = states.fresh(job).network
    whole = batch(0, job, hw=job.plan.first_hw)
    seen = next(iter(parts(whole, job.config.accumulate, job.ranks)))
    see(network, seen.first, seen.whole)
    with torch.no_grad(), forked(job.device):
        torch.manual_seed(step.step_seed(job.config.seed, 0))
        loss = job.objective(network, seen) * (len(seen) / seen.whole)
    job.ranks.sum_([loss])
    return float(loss)


def _answers(
    job: Job,
    teacher: Teacher,
    split: str,
    hw: tuple[int, int],
    listen: Listening,
    look: Look | None = None,
) -> np.ndarray:
    """A teacher's answers (n, k) about a split, whole or by a look, with progress. Raises
    Interrupted.
    """
    images: Images = getattr(job, split)
    n, of, before = len(images), look.of if look else 1, look.number if look else 0

    def answer(rows: slice) -> Generator[int, None, np.ndarray]:
        part, alone = images, job.ranks.count == 1
        if rows != slice(0, n):
            part = replace(images, pixels=images.pixels[rows], truth=images.truth[rows])
        inputs = None if look is None else partial(_seen, look, rows.start)
        return answers_of(
            teacher,
            part,
            job.preprocess,
            hw=hw,
            cache=job.cache if alone else None,
            device=job.device,
            inputs=inputs,
            about=look.name if look else "",
        )

    run, done = in_rounds(job.ranks, n, answer), n * before
    while True:
        try:
            done += next(run)
        except StopIteration as end:
            answers: np.ndarray = end.value
            return answers
        listen.on_event(Answered(split=split, done=done, total=n * of))
        if job.ranks.agreed(listen.should_stop()):
            raise Interrupted("stopped while a teacher answered; no step was taken")


def _seen(look: Look, first: int, rows: slice) -> Tensor:
    return look.inputs(np.arange(first + rows.start, first + rows.stop))


def _measured(
    job: Job, teachers: Sequence[Teacher], answers: Sequence[np.ndarray], listen: Listening
) -> list[dict[str, object]]:
    """The teachers' records with their accuracy on validation images, each said in a line."""
    records = []
    for teacher, logits in zip(teachers, answers, strict=True):
        accuracy = _accuracy(job, logits)
        listen.on_event(Note(text=_line(f"teacher {teacher.name}", accuracy, job)))
        records.append({**teacher.record, "accuracy": accuracy})
    if len(teachers) > 1:
        mean = np.mean([torch.from_numpy(z).softmax(1).numpy() for z in answers], axis=0)
        listen.on_event(
            Note(text=_line(f"{len(teachers)} teachers together", _accuracy(job, mean), job))
        )
    return records


def _accuracy(job: Job, scores_nk: np.ndarray) -> float:
    return classify.measure(scores_nk, job.val.truth, labels=job.labels).accuracy


def _line(who: str, accuracy: float, job: Job) -> str:
    return f"{who}: accuracy {accuracy:.2%} on {len(job.val)} validation images"
