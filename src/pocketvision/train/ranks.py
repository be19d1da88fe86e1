"""The processes that train one network together, and what they tell each other.

Every process takes the same steps on its own share of each batch; a single process is the case of
one rank, for which nothing here does anything. Exchanges are torch.distributed's; those of the
first part below must be reached by every process, in the same order.

Gradients are summed here, after the backward pass, and not by DistributedDataParallel: that one
averages over processes whose shares of a batch may differ by an image, is made for one fixed set of
parameters where stages are let go one by one, and answers only through its own `forward`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from pocketvision.errors import Interrupted, ProcessLost

ALIVE_S = 2.0  # between two signs of life
LOOK_S = 0.1  # between two looks for what another process said


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which of `count` processes this is: `rank` from 0, and the `local`-th of the `beside` ones on
    its machine. They meet at `store`, and wait for each other for `timeout_s` at most.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    beside: int = 1
    store: Any = field(default=None, repr=False, compare=False)
    timeout_s: float = 300.0

    def __deepcopy__(self, _memo: object) -> Ranks:
        return self  # networks that are copied hold it, and a store cannot be

    @property
    def first(self) -> bool:
        """True for the one that writes and prints."""
        return self.rank == 0

    def part(self, n: int) -> slice:
        """The rows of n that are this process's: shares in order that differ by one at most."""
        size, over = divmod(n, self.count)
        start = self.rank * size + min(self.rank, over)
        return slice(start, start + size + (self.rank < over))

    # ------------------------------------------------------------------------------- exchanges

    def sum_(self, values: list[Tensor]) -> None:
        """Replace each value by its sum over all processes: one exchange a type of number."""
        if self.count == 1:
            return
        for dtype in dict.fromkeys(v.dtype for v in values):
            same = [v for v in values if v.dtype == dtype]
            flat = torch.cat([v.reshape(-1) for v in same])
            with self._asking():
                dist.all_reduce(flat)
            for value, total in zip(same, flat.split([v.numel() for v in same]), strict=True):
                value.copy_(total.view(value.shape))

    def each(self, value: Tensor) -> Tensor:
        """The values (...) of all processes in order, (count, ...)."""
        if self.count == 1:
            return value[None]
        rows = [torch.empty_like(value) for _ in range(self.count)]
        with self._asking():
            dist.all_gather(rows, value.contiguous())
        return torch.stack(rows)

    def gathered(self, rows: np.ndarray, n: int) -> np.ndarray:
        """All n rows, where each process gives those of its `part(n)`."""
        if self.count == 1:
            return rows
        most = -(-n // self.count)
        padded = np.zeros((most, *rows.shape[1:]), rows.dtype)
        padded[: len(rows)] = rows
        every = self.each(torch.from_numpy(padded)).numpy()
        sizes = [n // self.count + (r < n % self.count) for r in range(self.count)]
        return np.concatenate([part[:size] for part, size in zip(every, sizes, strict=True)])

    def agreed(self, flag: bool) -> bool:
        """True on all where it is on any."""
        if self.count == 1:
            return flag
        return bool(self.each(torch.tensor(flag, dtype=torch.uint8)).any())

    def told(self, make: Callable[[], bytes]) -> bytes:
        """What the first process makes, on all."""
        if self.count == 1:
            return make()
        data = torch.frombuffer(bytearray(make()), dtype=torch.uint8) if self.first else None
        size = torch.tensor(0 if data is None else len(data))
        with self._asking():
            dist.broadcast(size, 0)
            data = torch.empty(int(size), dtype=torch.uint8) if data is None else data
            dist.broadcast(data, 0)
        return data.numpy().tobytes()

    def said(self, make: Callable[[], Any]) -> Any:
        """What the first process makes, JSON values, on all."""
        if self.count == 1:
            return make()
        return json.loads(self.told(lambda: json.dumps(make()).encode()))

    def same_(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values, in place."""
        if self.count == 1:
            return
        for value in tensors:
            whole = value.detach().contiguous()
            with self._asking():
                dist.broadcast(whole, 0)
            value.detach().copy_(whole)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what torch raises where another process is gone into one line."""
        try:
            yield
        except (RuntimeError, ValueError) as e:
            raise lost(self, str(e)) from None

    # --------------------------------------------------------------- waiting, without an exchange

    def say(self, what: str) -> None:
        """Leave word of something that others wait for."""
        if self.count > 1:
            with self._asking():
                self.store.set(f"{what}/{self.rank}", "1")

    @contextmanager
    def living(self) -> Iterator[None]:
        """Give signs of life during work that takes long, so that others go on waiting."""
        done = Event()
        thread = Thread(target=self._beat, args=(done,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, done: Event) -> None:
        beats = 0
        with suppress(RuntimeError):  # the store is gone: the next exchange says so
            while not done.wait(ALIVE_S):
                beats += 1
                self.store.set(f"alive/{self.rank}", str(beats))

    def wait_for(
        self, rank: int, what: str, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Return once `rank` said it. Raises Interrupted once `should_stop` says so, ProcessLost
        after `timeout_s` without a sign of life.
        """
        sign, since = b"", monotonic()
        while not self._has(f"{what}/{rank}"):
            sleep(LOOK_S)
            if should_stop():
                raise Interrupted("stopped while waiting for another process")
            if (newer := self._sign_of(rank)) != sign:
                sign, since = newer, monotonic()
            if monotonic() - since > self.timeout_s:
                raise lost(self, f"rank {rank} gave no sign of life for {self.timeout_s:.0f} s")

    def _has(self, key: str) -> bool:
        # Looked for now and then: the store's own wait writes lines to stderr when time runs out.
        with self._asking():
            return bool(self.store.check([key]))

    def _sign_of(self, rank: int) -> bytes:
        key = f"alive/{rank}"
        if not self._has(key):
            return b""
        with self._asking():
            return bytes(self.store.get(key))

    def meet(self, what: str, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Wait for all, however long they take while they are alive."""
        self.say(what)
        for rank in range(self.count if self.count > 1 else 0):
            self.wait_for(rank, what, should_stop)


ALONE = Ranks()


def lost(ranks: Ranks, reason: str) -> ProcessLost:
    """The error of a process that others left alone, with the first line of the reason."""
    line = (reason.strip().splitlines() or ["no answer"])[0]
    plain = re.sub(r"^(\[[^\]]*\]\s*)+", "", line).split(". ")[0].rstrip(".")
    return ProcessLost(
        f"the other processes are lost ({plain}): {ranks.count} train together and none can go on "
        "alone; find out what ended the first of them, then go on with --resume"
    )
