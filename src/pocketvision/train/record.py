"""What a run writes below its folder while it goes, in the order that a crash cannot harm.

trace.json     what run it is, once
results.csv    an epoch a line, written anew after each
losses.csv     a step a line, on the disk before the checkpoint that knows of them
checkpoint/    where it goes on: every few minutes, at the end of epochs, when it is stopped
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter

from pocketvision.errors import PocketvisionError
from pocketvision.files import remove_leftovers
from pocketvision.train import checkpoint, hashes, schedule, tables
from pocketvision.train import state as states
from pocketvision.train.hashes import Identity
from pocketvision.train.losses_csv import LossesCsv
from pocketvision.train.schedule import Plan
from pocketvision.train.state import State

# Checkpoints at the end of epochs may take this share of a run; where epochs last a moment, some
# have none.
SHARE = 0.02


class Record:
    """The files of a run. Every writer raises PocketvisionError that names the last good state.
    Of several processes one writes, and the others keep nothing.
    """

    def __init__(
        self, folder: Path, identity: Identity, plan: Plan, *, writes: bool = True
    ) -> None:
        self.folder, self.identity, self.plan, self.writes = folder, identity, plan, writes
        self.losses = LossesCsv(folder, writes=writes)
        self.saved_at = perf_counter()
        self.took_s = 0.0
        self.saved: tuple[int, bool] | None = None  # which state the newest checkpoint holds

    def begin(self, state: State, *, resumed: bool) -> list[str]:
        """Say what run it is; go on in losses.csv behind the state's step. What a person should
        know of that comes back.
        """
        self.losses = LossesCsv(self.folder, step=state.step, writes=self.writes)
        if not self.writes:
            return []
        remove_leftovers(self.folder)
        if resumed:
            self.saved = _mark(state)
        with self.keeping():
            hashes.write(self.folder, self.identity)
        if not self.losses.begins:
            return []
        return [f"losses.csv begins at step {self.losses.begins + 1}, what came before is lost"]

    def results(self, state: State) -> None:
        """results.csv."""
        if self.writes:
            with self.keeping():
                tables.write_results(self.folder, state.rows)

    def checkpoint(self, state: State) -> Path:
        """Write the state, unless it was just written."""
        begin, place = perf_counter(), self.folder / "checkpoint"
        if not self.writes:
            self.losses.put()
            return place
        if self.saved == _mark(state):
            return checkpoint.found(place)[-1]
        fixed = {
            "plan": self.plan.to_dict(),
            "trace": dict(self.identity.trace),
            "changes": [dict(row) for row in self.identity.changes],
        }
        with self.keeping():
            self.losses.put()
            path = states.save(state, place, fixed)
        self.saved, self.saved_at = _mark(state), perf_counter()
        self.took_s = self.saved_at - begin
        return path

    def is_due(self, *, minutes: float, epoch_over: bool) -> bool:
        """A checkpoint should be written now: so many minutes after the last one, or at the end of
        an epoch, as long as that stays cheap.
        """
        since_s = perf_counter() - self.saved_at
        return since_s >= 60 * minutes or (epoch_over and self.took_s <= SHARE * since_s)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Say where the run can go on, where writing failed."""
        try:
            yield
        except PocketvisionError as e:
            raise PocketvisionError(f"{e}; {self.last_good()}") from None

    def advice(self, problem: str, at: int) -> str:
        """One line: what happened at a step, what to try, what is kept."""
        plan = self.plan
        with suppress(PocketvisionError):  # the losses up to here help to see why
            self.losses.put()
        return (
            f"{problem} at step {at + 1} (epoch {at // plan.per_epoch + 1}, learning rate "
            f"{schedule.lr(at, plan):.3g}); try --lr {plan.peak_lr / 3:.1g}, --grad-clip 1 or a "
            f"longer --warmup-epochs, in a new run or, with --allow-changes, in this one; "
            f"{self.last_good()}"
        )

    def last_good(self) -> str:
        """Which state is kept, in words."""
        kept = checkpoint.found(self.folder / "checkpoint")
        if not kept:
            return "no checkpoint had been written"
        return f"the last good state is {kept[-1]}, from which --resume {self.folder} goes on"


def _mark(state: State) -> tuple[int, bool]:
    return state.step, state.fitted
