"""The training loop: a generator of events over a state, from the first step or from a checkpoint.

    for event in fit(job, folder, should_stop=stop.is_set):
        ...

Writes only below `folder`: results.csv after every epoch, checkpoint/ every few minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from pocketvision.errors import DataError, Interrupted, PocketvisionError
from pocketvision.tasks import classify
from pocketvision.train import checkpoint, schedule, step, tables, warm
from pocketvision.train import state as states
from pocketvision.train.checkpoint import Checkpoint
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
from pocketvision.train.job import Job, check_same
from pocketvision.train.judge import logits_of
from pocketvision.train.pace import Pace


def never() -> bool:
    """Do not stop."""
    return False


def fit(
    job: Job,
    folder: Path,
    *,
    should_stop: Callable[[], bool] = never,
    resume: bool = False,
) -> Iterator[Event]:
    """Train a copy of the job's network; the last event is `Finished`, with the result.

    Raises Interrupted, after a checkpoint, once `should_stop` says so; PocketvisionError for a
    loss that is not finite or explodes (the last checkpoint stays); UsageError where a run to
    resume was another one; DataError where it has no checkpoint.
    """
    trace = job.trace()
    run = _Run(job, folder, fixed={"plan": job.plan.to_dict(), "trace": trace})
    if resume:
        saved = resumable(folder)
        check_same(saved.facts["trace"], trace)
        yield from (Note(text=text) for text in passed_over(saved))
        run.state = states.restored(job, saved)
    yield Planned(plan=job.plan, step=run.state.step)
    yield from run.first_phase(should_stop)
    yield from run.steps(should_stop)
    yield run.saved()
    yield run.finished()


def resumable(folder: Path) -> Checkpoint:
    """The checkpoint that a run in `folder` would go on from. Raises DataError without one."""
    saved = checkpoint.newest(folder / "checkpoint")
    if saved is None:
        raise DataError(f"nothing to resume in {folder}: it has no checkpoint; leave --resume out")
    return saved


def passed_over(saved: Checkpoint) -> list[str]:
    """A line for each newer checkpoint that was damaged."""
    return [
        f"{path} is damaged ({reason}); going on from {saved.path.name}, the one before"
        for path, reason in saved.rejected
    ]


class _Run:
    """The state of a run and its clock."""

    def __init__(self, job: Job, folder: Path, *, fixed: Mapping[str, Any]) -> None:
        self.job, self.folder, self.fixed = job, folder, fixed
        self.state = states.fresh(job)
        self.pace = Pace()
        self.spent: dict[str, float] = {}
        guess = 0.0 if job.taught is None else job.taught.guess
        self.watch = step.Watch(len(job.labels.names), guess=guess)
        self.saved_at = perf_counter()
        self.val_features: np.ndarray | None = None

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
        end = warm.fit_last_(state.network, features, job, should_stop)
        state.network.train()
        state.fitted = True
        if state.average:
            state.average.update(0.0)
        state.seconds += perf_counter() - begin
        yield self.epoch_zero(end.loss, images_per_s=pace)
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
        tables.write_results(self.folder, state.rows)
        return EpochDone(row=row, epochs=plan.epochs)

    def steps(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        """Every step that is left, with what follows from it."""
        while self.state.step < self.job.plan.steps and not self.out_of_patience():
            before = self.state.thawed
            yield self.stepped()
            if self.job.config.freeze == "gradual" and self.state.thawed != before:
                yield self.joined()
            if self.epoch_is_over():
                yield self.epoch_done()
            if should_stop():
                yield self.saved()
                raise Interrupted(self.words("stopped"))
            if perf_counter() - self.saved_at >= 60 * self.job.config.checkpoint_minutes:
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
        except PocketvisionError as e:
            raise PocketvisionError(self.advice(str(e), at)) from None
        took_s = perf_counter() - begin
        state.seconds += took_s
        state.epoch_seconds += took_s
        self.pace.add(done.images, took_s)
        add_(self.spent, done.seconds)
        return StepDone(
            step=state.step,
            steps=plan.steps,
            epoch=at // plan.per_epoch + 1,
            loss=done.loss,
            lr=schedule.lr(at, plan),
            images_per_s=self.pace.images_per_s,
        )

    def advice(self, problem: str, at: int) -> str:
        """One line: what happened, where, what to try, what is kept."""
        lr = schedule.lr(at, self.job.plan)
        kept = checkpoint.found(self.folder / "checkpoint")
        words = f"the last good state is {kept[-1]}" if kept else "no checkpoint had been written"
        return (
            f"{problem} at step {at + 1} (epoch {at // self.job.plan.per_epoch + 1}, learning rate "
            f"{lr:.3g}); try --lr {self.job.plan.peak_lr / 3:.1g}, --grad-clip 1 or a longer "
            f"--warmup-epochs; {words}"
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
        state.loss_sum, state.seen, state.epoch_seconds = 0.0, 0, 0.0
        tables.write_results(self.folder, state.rows)
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
            logits = logits_of(network, job.val.pixels, job.preprocess)
        else:
            logits = warm.logits_of_features(network, self.val_features)
        return classify.measure(logits, job.val.truth, labels=job.labels), logits

    def saved(self) -> Saved:
        """Write a checkpoint."""
        begin = perf_counter()
        path = states.save(self.state, self.folder / "checkpoint", self.fixed)
        self.saved_at = perf_counter()
        self.state.seconds += self.saved_at - begin
        add_(self.spent, {"checkpoints": self.saved_at - begin})
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
            network=states.bare(state.judged).eval(),
            metrics=metrics,
            logits=logits,
            epoch=epoch,
            seconds=state.seconds,
            spent=self.spent,
        )
