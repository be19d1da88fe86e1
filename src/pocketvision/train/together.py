"""What is special about several processes before the first step."""

from __future__ import annotations

from collections.abc import Callable

from pocketvision.errors import UsageError
from pocketvision.train.job import Job, shares
from pocketvision.train.outputs import Data
from pocketvision.train.prepare import Listening
from pocketvision.train.ranks import Ranks


def check_ranks(job: Job) -> None:
    """Raise UsageError for what several processes cannot do."""
    least, count = len(job.train) // job.plan.per_epoch, job.ranks.count
    least = min(size for _, _, size in shares(least, job.config.accumulate, job.ranks))
    if least < count:
        raise UsageError(
            f"a batch of {least} images cannot be shared by {count} processes; give a larger "
            "--batch-size, or start fewer processes"
        )
    if count > 1 and job.config.compile == "on":
        raise UsageError(
            "--compile on is for one process: what several exchange within a step cannot be "
            "compiled; leave --compile out"
        )


def in_turn(ranks: Ranks, listen: Listening, read: Callable[[], Data]) -> Data:
    """What `read` gives: on each machine to one process first, so that the others find the images
    in the cache. Comes back when all have theirs; a process that reads is waited for as long as it
    lives.
    """
    if ranks.count == 1:
        return read()
    with ranks.living():
        if ranks.local:
            ranks.wait_for(ranks.rank - ranks.local, "images", listen.should_stop)
        data = read()
        ranks.meet("images", listen.should_stop)
    return data
