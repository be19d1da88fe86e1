"""Going on with a run: its checkpoint, what is no longer as it was, and what that means.

A run may always be made longer. Everything else that decides the losses must be as it was, unless
the caller allows changes; then they are written down with the step from which they hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketvision.errors import DataError, UsageError
from pocketvision.train import checkpoint, schedule
from pocketvision.train import state as states
from pocketvision.train.checkpoint import Checkpoint
from pocketvision.train.hashes import PROCESSES, unwritten
from pocketvision.train.job import Job
from pocketvision.train.ranks import Ranks
from pocketvision.train.schedule import Plan
from pocketvision.train.state import State
from pocketvision.train.thaw import thawed

# A change of these makes an optimizer whose state the old one's does not fit.
OPTIMIZERS = ("--optimizer", "--momentum", "--nesterov", "--rmsprop-decay", "--rmsprop-epsilon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that is not as it was before `step`; `exact`: the run is still the one that its
    settings say, to the bit, as if they had been so from the start. `longer`: it only goes on for
    longer.
    """

    step: int
    name: str
    words: str
    exact: bool = False
    longer: bool = False

    def row(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Where a run goes on, and all that has changed in it, now or at an earlier resume."""

    saved: Checkpoint
    new: tuple[Change, ...] = ()

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Every change as JSON values."""
        return [*self.saved.facts.get("changes", ()), *(c.row() for c in self.new)]

    @property
    def notes(self) -> list[str]:
        """A line for each newer checkpoint that was damaged, and for each new change."""
        passed_over = [
            f"{path} is damaged ({reason}); going on from {self.saved.path.name}, the one before"
            for path, reason in self.saved.rejected
        ]
        changed = [c.words if c.longer else f"changed, and going on: {c.words}" for c in self.new]
        return passed_over + changed

    def state(self, job: Job) -> State:
        """The state to go on from. Raises DataError where it does not fit the job."""
        new = any(c.name in OPTIMIZERS for c in self.new)
        state = states.restored(job, self.saved, new_optimizer=new)
        old = plan_of(self.saved)
        other = [c for c in self.new if c.name != PROCESSES]
        cut = other and old.steps % old.per_epoch and old.steps == state.step
        if cut and state.rows:  # its epoch was cut by the end, and goes on now
            state.rows.pop()
        return state


def resumable(folder: Path) -> Checkpoint:
    """The checkpoint that a run in `folder` would go on from. Raises DataError without one."""
    saved = checkpoint.newest(folder / "checkpoint")
    if saved is None:
        raise DataError(f"nothing to resume in {folder}: it has no checkpoint; leave --resume out")
    return saved


def plan_of(saved: Checkpoint) -> Plan:
    """The plan by which a checkpoint's last steps were taken."""
    return schedule.from_dict(dict(saved.facts["plan"]))


def going_on(
    folder: Path, trace: Mapping[str, Any], job: Job, *, allow_changes: bool = False
) -> Goal:
    """How a job, whose trace is given, goes on in `folder`. Raises DataError without a checkpoint,
    UsageError listing what decides the losses and differs, unless that is allowed, the run only
    becomes longer, or another number of processes takes the same steps.
    """
    saved = checkpoint.handed_out(job.ranks, lambda: resumable(folder))
    old, step = plan_of(saved), saved.facts["step"]
    differ = differences({**saved.facts["trace"], "plan": plain(old)}, trace)
    free = tuple(_change(step, *row) for row in differ if row[0] == PROCESSES)
    differ = [row for row in differ if row[0] != PROCESSES]
    if [name for name, _ in differ] == ["plan"] and job.plan.steps > old.steps:
        return Goal(saved=saved, new=(longer(old, job, step), *free))
    if differ and not allow_changes:
        raise UsageError(
            "this run cannot be resumed, it would not be the same run: "
            f"{'; '.join(words for _, words in differ)}. Repeat the call with what it was, go on "
            "all the same with --allow-changes, or start a new run under another --name"
        )
    return Goal(saved=saved, new=(*(_change(step, *row) for row in differ), *free))


def _change(step: int, name: str, words: str) -> Change:
    return Change(step=step, name=name, words=words)


def check_alike(trace: Mapping[str, Any], ranks: Ranks) -> None:
    """Raise UsageError where this process is about to train something else than the first one."""
    first: Mapping[str, Any] = ranks.said(lambda: trace)
    if ranks.count > 1 and (differ := differences(first, trace)):
        raise UsageError(
            "this process would not train what rank 0 does (was: there, is: here): "
            f"{'; '.join(words for _, words in differ)}. Give every process the same call, data "
            "and versions"
        )


# -------------------------------------------------------------------------------------- differences


def plain(plan: Plan) -> dict[str, Any]:
    """The plan as JSON gives it back."""
    row: dict[str, Any] = json.loads(json.dumps(plan.to_dict()))
    return row


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, words) of what two traces do not share. Of the plan, which follows from settings and
    data, no more than its length where these differ.
    """
    was, now = {**was, **unwritten(was, now)}, {**now, **unwritten(now, was)}
    names = [n for n in {**was, **now} if was.get(n) != now.get(n)]
    if "plan" in names and set(names) - {"plan", PROCESSES}:
        was, now = ({**row, "plan": {"steps": row["plan"]["steps"]}} for row in (was, now))
        names = [n for n in names if was.get(n) != now.get(n)]
    return [(name, in_words(name, was.get(name), now.get(name))) for name in names]


def in_words(name: str, was: Any, now: Any) -> str:
    """One difference between two traces."""
    if name == "plan":
        keys = [k for k in {**was, **now} if was.get(k) != now.get(k)]
        parts = (f"{k.replace('_', ' ')} was {was.get(k)}, is {now.get(k)}" for k in keys)
        return "the plan changed: " + ", ".join(parts)
    if isinstance(was, list) and isinstance(now, list) and set(was) != set(now):
        gone, new = sorted(set(was) - set(now)), sorted(set(now) - set(was))
        return f"{name} differ (gone: {', '.join(gone) or 'none'}; new: {', '.join(new) or 'none'})"
    if name == PROCESSES:
        return f"{name} were {was}, are {now}: the same steps but for rounding"
    if name.startswith("--") or name in ("torch", "processor"):
        one, other = ("left out" if value is None else value for value in (was, now))
        return f"{name} was {one}, is {other}"
    return f"the {name} changed"


# ------------------------------------------------------------------------------------------ longer


def longer(old: Plan, job: Job, step: int) -> Change:
    """What it means that a run which has taken `step` steps by a plan goes on by a longer one."""
    new = job.plan
    length = f"{old.epochs} epochs become {new.epochs}"
    if old.epochs == new.epochs:
        length = f"{old.steps} steps become {new.steps}"
    other = parting(old, job, step)
    if other is None:
        return Change(
            step=step,
            name="plan",
            words=f"{length}: to the bit the run that it would have been from the start",
            exact=True,
            longer=True,
        )
    what, first = other
    return Change(
        step=step,
        name="plan",
        words=f"{length}, from step {step} on by the longer plan: not the run that it would have "
        f"been from the start, whose {what} differs from step {first} on",
        longer=True,
    )


def parting(old: Plan, job: Job, step: int) -> tuple[str, int] | None:
    """(what, step counted from 1) in which the first `step` steps by an old plan first differ from
    what the job's own plan has for them; None where each of them is the same. The memory of the
    averaged weights needs no look: it knows the length only where the learning rate does, and
    takes notice of it later.
    """
    spec, config = job.network.spec, job.config
    columns = {
        "learning rate": lambda s, plan: schedule.lr(s, plan),
        "image size": lambda s, plan: schedule.size(s, plan),
        "share of the network that trains": lambda s, plan: thawed(s, plan.steps, config, spec),
    }
    for s in range(step):
        for what, value in columns.items():
            if value(s, old) != value(s, job.plan):
                return what, s + 1
    return None
