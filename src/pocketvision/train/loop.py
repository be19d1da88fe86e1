"""The training loop: a generator of events over a state, from the first step or from a checkpoint.

    for event in fit(job, folder, should_stop=stop.is_set):
        ...

Writes only below `folder`, what `record` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from pocketvision.errors import DataError, Interrupted, PocketvisionError, ProcessLost
from pocketvision.tasks import classify
from pocketvision.train import schedule, step, warm
from pocketvision.train import state as states
from pocketvision.train.clock import add_
from pocketvision.train.events import (
    EpochDone,
    Event,
    Finished,
    Note,
    Planned,
    Row,
    Saved,
    StepDone,
)
from pocketvision.train.hashes import Identity, context
from pocketvision.train.job import Job
from pocketvision.train.judge import shared_logits
from pocketvision.train.pace import Pace
from pocketvision.train.record import Record
from pocketvision.train.resume import Goal, check_alike, going_on


def never() -> bool:
    """Do not stop."""
    return False


def fit(
    job: Job,
    folder: Path,
    *,
    should_stop: Callable[[], bool] = never,
    resume: bool = False,
    allow_changes: bool = False,
) -> Iterator[Event]:
    """Train a copy of the job's network; the last event is `Finished`, with the result.

    A run to resume may have become longer; other changes of what decides the losses are refused
    unless `allow_changes`, then said and written down.

    Raises Interrupted, after a checkpoint, once `should_stop` says so; PocketvisionError for a
    loss that is not finite or explodes, or a disk that is full (the last checkpoint stays);
    UsageError where a run to resume was another one; DataError where it has no checkpoint.
    """
    trace, goal = job.trace(), None
    check_alike(trace, job.ranks)
    if resume:
        goal = going_on(folder, trace, job, allow_changes=allow_changes)
        yield from (Note(text=text) for text in goal.notes)
    run = _Run(job, folder, trace=trace, goal=goal)
    yield from run.begun()
    yield from run.first_phase(should_stop)
    yield from run.steps(should_stop)
    yield run.saved()
    yield run.finished()


class _Run:
    """The state of a run and its clock."""

    def __init__(
        self, job: Job, folder: Path, *, trace: Mapping[str, Any], goal: Goal | None
    ) -> None:
        self.job, self.folder, self.goal = job, folder, goal
        changes = () if goal is None else goal.changes
        self.identity = Identity(trace=trace, context=context(job.config), changes=changes)
        self.state = states.fresh(job) if goal is None else goal.state(job)
        self.record = Record(folder, self.identity, job.plan, writes=job.ranks.first)
        self.pace = Pace()
        self.spent: dict[str, float] = {}
        guess = 0.0 if job.taught is None else job.taught.guess
        self.watch = step.Watch(len(job.labels.names), guess=guess)
        self.val_features: np.ndarray | None = None

    def begun(self) -> Iterator[Event]:
        """What comes before the first step; changes are in a checkpoint from here on."""
        yield Planned(plan=self.job.plan, step=self.state.step)
        notes = self.record.begin(self.state, resumed=self.goal is not None)
        yield from (Note(text=text) for text in notes)
        known = self.job.ranks.said(lambda: self.record.losses.last(step.EXPLODED_STEPS))
        self.watch.losses.extend(known)
        if self.goal is not None and self.goal.new:
            self.record.saved = None
            yield self.saved()

    def first_phase(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Fit the last layer to what the frozen trunk gives, unless that was done or is not asked
        for; where the trunk stays frozen its answers about validation images serve to the end.
        """
        frozen = self.job.config.freeze == "trunk"
        if self.job.config.freeze is None or (self.state.fitted and not frozen):
            return
        try:
            yield from self.fitted(should_stop)
        except Interrupted:
            yield self.saved()
            raise Interrupted(self.words("stopped before the first step,")) from None
        yield self.saved()

    def fitted(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """The features, the last layer, and epoch 0. Raises Interrupted."""
        state, job, begin = self.state, self.job, perf_counter()
        self.val_features = yield from warm.extracted(state.network, job, "val", should_stop)
        if state.fitted:
            return
        features = yield from warm.extracted(state.network, job, "train", should_stop)
        pace = (len(job.val) + len(job.train)) / (perf_counter() - begin)
        loss = warm.fit_last_(state.network, features, job, should_stop)
        state.network.train()
        state.fitted = True
        if state.average:
            state.average.update(0.0)
        state.seconds += perf_counter() - begin
        yield self.epoch_zero(loss, images_per_s=pace)
        if job.config.freeze != "trunk":
            self.val_features = None

    def epoch_zero(self, loss: float, *, images_per_s: float) -> EpochDone:
        """The row of the fitted last layer; results.csv."""
        state, plan, (metrics, _) = self.state, self.job.plan, self.measured()
        row = Row(
            epoch=0,
            step=0,
            seconds=state.seconds,
            images_per_s=images_per_s,
            lr=0.0,
            train_loss=loss,
            val_loss=metrics.loss,
            val_accuracy=metrics.accuracy,
        )
        state.rows.append(row)
        self.record.results(state)
        return EpochDone(row=row, epochs=plan.epochs)

    def steps(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Every step that is left, with what follows from it."""
        while self.state.step < self.job.plan.steps and not self.out_of_patience():
            before = self.state.thawed
            yield self.stepped()
            if self.job.config.freeze == "gradual" and self.state.thawed != before:
                yield self.joined()
            over, minutes = self.epoch_is_over(), self.job.config.checkpoint_minutes
            if over:
                yield self.epoch_done()
            if self.job.ranks.agreed(should_stop()):
                yield self.saved()
                raise Interrupted(self.words("stopped"))
            if self.watch.calm and self.record.is_due(minutes=minutes, epoch_over=over):
                yield self.saved()

    def joined(self) -> Note:
        """How many stages of a gradual run train from the step that was just taken on."""
        count, every = self.state.thawed - 1, len(self.state.network.stages)
        return Note(text=f"from step {self.state.step}: the last {count} of {every} stages train")

    def stepped(self) -> StepDone:
        """Take one step. Raises PocketvisionError with what to try, where the loss is bad."""
        state, plan = self.state, self.job.plan
        at, begin = state.step, perf_counter()
        try:
            done = step.taken(state, self.job)
            self.watch.see(done.loss)
        except DataError as e:  # a shard that cannot be got; no weight has moved
            self.saved()
            raise DataError(f"{e}; {self.words('stopped')}, --resume goes on") from None
        except ProcessLost as e:
            raise ProcessLost(f"{e}; {self.record.last_good()}") from None
        except PocketvisionError as e:
            raise PocketvisionError(self.record.advice(str(e), at)) from None
        took_s = perf_counter() - begin
        state.seconds += took_s
        state.epoch_seconds += took_s
        self.pace.add(done.images, took_s)
        add_(self.spent, done.seconds)
        epoch, lr = at // plan.per_epoch + 1, schedule.lr(at, plan)
        self.record.losses.add(state.step, epoch, done.loss, lr)
        return StepDone(
            step=state.step,
            steps=plan.steps,
            epoch=epoch,
            loss=done.loss,
            lr=lr,
            images_per_s=self.pace.images_per_s,
        )

    def epoch_is_over(self) -> bool:
        """True after the last step of an epoch, and after the last of all."""
        plan = self.job.plan
        return self.state.step % plan.per_epoch == 0 or self.state.step == plan.steps

    def epoch_done(self) -> EpochDone:
        """Close the epoch: its row, with an evaluation where one is due; results.csv."""
        state, plan = self.state, self.job.plan
        begin = perf_counter()
        epoch = -(-state.step // plan.per_epoch)
        row = Row(
            epoch=epoch,
            step=state.step,
            seconds=state.seconds,
            images_per_s=state.seen / max(state.epoch_seconds, 1e-9),
            lr=schedule.lr(state.step - 1, plan),
            train_loss=state.loss_sum / state.seen,
        )
        if epoch % plan.eval_every == 0 or state.step == plan.steps:
            row = self.judged(row)
        took_s = perf_counter() - begin
        state.seconds += took_s
        add_(self.spent, {"evaluation": took_s})
        row = replace(row, seconds=state.seconds)
        state.rows.append(row)
        if state.step % plan.per_epoch == 0:  # an epoch cut by the end goes on if that moves
            state.loss_sum, state.seen, state.epoch_seconds = 0.0, 0, 0.0
        self.record.results(state)
        return EpochDone(row=row, epochs=plan.epochs)

    def judged(self, row: Row) -> Row:
        """The row with its figures on validation images; the best weights are remembered where
        --patience asks for them.
        """
        metrics, _ = self.measured()
        state = self.state
        if self.job.config.patience is not None and metrics.accuracy > state.best_accuracy:
            state.best_accuracy, state.best_epoch = metrics.accuracy, row.epoch
            state.best = {k: v.clone() for k, v in state.judged.state_dict().items()}
        return replace(row, val_loss=metrics.loss, val_accuracy=metrics.accuracy)

    def out_of_patience(self) -> bool:
        """True once too many evaluations in a row were no better than the best."""
        patience, state = self.job.config.patience, self.state
        if patience is None or not state.best:
            return False
        later = [r for r in state.rows if r.epoch > state.best_epoch and r.val_accuracy is not None]
        return len(later) >= patience

    def measured(self) -> tuple[classify.Metrics, np.ndarray]:
        """Figures and logits (n, k) on the validation images."""
        job, network = self.job, self.state.judged
        if self.val_features is None:
            logits = shared_logits(network, job.val.pixels, job.preprocess, job.ranks)
        else:
            logits = warm.logits_of_features(network, self.val_features)
        return classify.measure(logits, job.val.truth, labels=job.labels), logits

    def saved(self) -> Saved:
        """Write a checkpoint, unless there is one of this very state."""
        begin = perf_counter()
        path = self.record.checkpoint(self.state)
        took_s = perf_counter() - begin
        self.state.seconds += took_s
        add_(self.spent, {"checkpoints": took_s})
        return Saved(path=path, step=self.state.step)

    def words(self, what: str) -> str:
        """Where the run stands."""
        return (
            f"{what} at step {self.state.step} of {self.job.plan.steps}; everything is saved in "
            f"{self.folder}"
        )

    def finished(self) -> Finished:
        """The result: the best weights where they were asked for, else the last ones."""
        state = self.state
        if state.best:
            state.judged.load_state_dict(state.best)
        metrics, logits = self.measured()
        epoch = state.best_epoch or -(-state.step // self.job.plan.per_epoch)
        return Finished(
            network=states.bare(state.judged).cpu().eval(),
            metrics=metrics,
            logits=logits,
            epoch=epoch,
            seconds=state.seconds,
            spent=self.spent,
            identity=self.identity,
        )
