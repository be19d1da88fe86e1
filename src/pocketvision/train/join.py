"""How the processes of a run find each other, and part again."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from time import monotonic, sleep

import torch
import torch.distributed as dist

from pocketvision.errors import PocketvisionError, ProcessLost
from pocketvision.train.ranks import Ranks

JOIN_S = 60.0  # to find all others, at most
RETRY_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where processes meet: the first one's machine. `hosted`: a launcher keeps the store there,
    not the first process itself.
    """

    address: str
    port: int
    hosted: bool = False

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@contextmanager
def joined(ranks: Ranks, place: Place) -> Iterator[Ranks]:
    """The ranks with their store, once every process is there; parted at the end.

    Raises ProcessLost where the others cannot be found in time, PocketvisionError where this
    PyTorch knows no other processes.
    """
    if not dist.is_available():
        raise PocketvisionError(
            "this build of PyTorch has no torch.distributed, so that only one process can train; "
            "start pocketvision without torchrun, or install another build"
        )
    ranks = _met(ranks, place, until=monotonic() + min(JOIN_S, ranks.timeout_s))
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def _met(ranks: Ranks, place: Place, *, until: float) -> Ranks:
    serves = ranks.first and not place.hosted
    if not serves:
        _reach(ranks, place, until)
    try:
        store = dist.TCPStore(
            place.address,
            place.port,
            is_master=serves,
            timeout=_left(until),
            wait_for_workers=False,
            multi_tenant=serves,
        )
        _wait_for_all(ranks, store, place, until)
        dist.init_process_group(
            backend(),
            store=dist.PrefixStore("group", store),
            rank=ranks.rank,
            world_size=ranks.count,
            timeout=timedelta(seconds=ranks.timeout_s),
        )
    except RuntimeError as e:
        raise _unreachable(ranks, place, str(e).splitlines()[0]) from None
    return replace(ranks, store=store)


def backend() -> str:
    """What carries the exchanges: gloo, and NCCL for tensors that are on a GPU."""
    on_gpu = torch.cuda.is_available() and dist.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if on_gpu else "gloo"


def _reach(ranks: Ranks, place: Place, until: float) -> None:
    """Wait until something listens there. torch would do so too, with a page of its own on stderr
    at each attempt.
    """
    while True:
        try:
            socket.create_connection((place.address, place.port), timeout=RETRY_S * 10).close()
        except OSError as e:
            if monotonic() > until:
                raise _unreachable(ranks, place, e.strerror or str(e)) from None
            sleep(RETRY_S)
        else:
            return


def _wait_for_all(ranks: Ranks, store: dist.Store, place: Place, until: float) -> None:
    """Raise ProcessLost naming those that did not come."""
    names = [f"here/{rank}" for rank in range(ranks.count)]
    store.set(names[ranks.rank], "1")
    while absent := [str(r) for r, name in enumerate(names) if not store.check([name])]:
        if monotonic() > until:
            raise _unreachable(ranks, place, f"rank {', '.join(absent)} did not come")
        sleep(RETRY_S)


def _left(until: float) -> timedelta:
    return timedelta(seconds=max(until - monotonic(), 1.0))


def _unreachable(ranks: Ranks, place: Place, reason: str) -> ProcessLost:
    return ProcessLost(
        f"the {ranks.count} processes of this run did not meet at {place} ({reason.lower()}); "
        "check MASTER_ADDR and MASTER_PORT, that the port is open between the machines, and that "
        "every process was started"
    )
