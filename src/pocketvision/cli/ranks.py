"""The processes of a run, as the launcher (torchrun) describes them in the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pocketvision.errors import PocketvisionError, UsageError
from pocketvision.train.duration import seconds

if TYPE_CHECKING:
    from pocketvision.train.join import Place
    from pocketvision.train.ranks import Ranks

NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def entered(environment: Mapping[str, str], timeout: str) -> Iterator[Ranks]:
    """The processes of this run, met; a single one where no launcher says otherwise. Errors of all
    but the first one say whose they are.

    Raises UsageError for an environment that cannot be, ProcessLost where they do not meet.
    """
    from pocketvision.train.join import joined
    from pocketvision.train.ranks import ALONE

    if environment.get("WORLD_SIZE", "1") == "1":
        yield ALONE
        return
    ranks, place = described(environment, timeout_s=seconds(timeout, flag="--rank-timeout"))
    try:
        with joined(ranks, place) as ranks:
            yield ranks
    except PocketvisionError as e:
        if not ranks.first:
            e.args = (f"rank {ranks.rank} of {ranks.count}: {e}",)
        raise


def described(environment: Mapping[str, str], *, timeout_s: float) -> tuple[Ranks, Place]:
    """(which process this is, where they meet). Raises UsageError."""
    from pocketvision.train.join import Place
    from pocketvision.train.ranks import Ranks

    missing = [name for name in NAMES if not environment.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is set, {' and '.join(missing)} is not; start "
            "with torchrun --nproc-per-node N -m pocketvision train ..., or unset WORLD_SIZE"
        )
    rank, count = (_number(environment, name) for name in ("RANK", "WORLD_SIZE"))
    ranks = Ranks(
        rank=rank,
        count=count,
        local=_number(environment, "LOCAL_RANK", rank),
        beside=_number(environment, "LOCAL_WORLD_SIZE", count),
        timeout_s=timeout_s,
    )
    if not 0 <= rank < count:
        raise UsageError(f"RANK must be from 0 to WORLD_SIZE - 1 = {count - 1}, got {rank}")
    hosted = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    port = _number(environment, "MASTER_PORT")
    return ranks, Place(address=environment["MASTER_ADDR"], port=port, hosted=hosted)


def _number(environment: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    text = environment.get(name, "" if otherwise is None else str(otherwise))
    if not text.isdigit() or int(text) >= 2**16:
        raise UsageError(f"{name} in the environment must be a whole number, got {text!r}")
    return int(text)
