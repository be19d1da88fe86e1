"""The next batch prepared while a GPU works on this one.

On processors that would take a core from the step itself, which is slower (docs/log.md).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from pocketvision.train import schedule
from pocketvision.train.batches import Prepared, prepared, ready
from pocketvision.train.job import Batch, Job

Key = tuple[int, tuple[int, int]]


class Ahead:
    """Batches by step and size, the following one begun when one is asked for. What comes early is
    what would have come: a batch follows from its step alone.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: dict[Key, Future[Prepared]] = {}

    def batch(self, step: int, hw: tuple[int, int]) -> Batch:
        """`batches.batch` of the step."""
        found = self._next.pop((step, hw), None)
        self._next.clear()
        seen = self._pool.submit(self._made, step, hw) if found is None else found
        if step + 1 < self.job.plan.steps:
            after = schedule.size(step + 1, self.job.plan)
            self._next[step + 1, after] = self._pool.submit(self._made, step + 1, after)
        return ready(seen.result(), self.job)

    def _made(self, step: int, hw: tuple[int, int]) -> Prepared:
        return prepared(step, self.job, hw=hw)
