"""The cost of a block with branches: its steps in order, each tensor alive to its last reader.

The rules are stated in `pocketvision.cost`.
"""

from __future__ import annotations

from pocketvision.cost_walk import Walk
from pocketvision.spec import TAGS, Branching, Layer
from pocketvision.spec_steps import INPUT, Add, Slice, Step, widths


def branches(run: Walk, address: str, block: Branching, source: str, *, keep: bool) -> None:
    """Rows of a block's steps; its result lives under `address`. `keep`: others read `source`."""
    kind, steps, channels = TAGS[type(block)], block.steps, widths(block)
    tensors = _tensors(address, steps, source)
    last = {tensors[name]: i for i, s in enumerate(steps) for name in s.reads}
    if keep:
        last[source] = len(steps)
    for i, s in enumerate(steps):
        sources = [tensors[name] for name in s.reads]
        dying = [name for name in dict.fromkeys(sources) if last[name] == i]
        _step(run, kind, s, sources, tensors[s.name], channels[s.name], dying)
    run.rename(tensors[steps[-1].name], address)


def _tensors(address: str, steps: tuple[Step, ...], source: str) -> dict[str, str]:
    """The tensor that holds each step's result: a slice lies in the map that it is cut from."""
    tensors = {INPUT: source}
    for s in steps:
        cut = isinstance(s.op, Slice)
        tensors[s.name] = tensors[s.reads[0]] if cut else f"{address}.{s.name}"
    return tensors


def _step(
    run: Walk, kind: str, s: Step, sources: list[str], out: str, channels: int, dying: list[str]
) -> None:
    """One step that gives `channels`; `dying` are the tensors that nothing reads after it."""
    first = sources[0]
    if isinstance(s.op, Slice):
        return
    if isinstance(s.op, Layer):
        run.layer(out, kind, s.op, first, out, free=first in dying)
        return
    if isinstance(s.op, Add):
        own = [name for name in dying if run.live[name][0] == channels]
        if own:  # the sum takes the place of an operand that nothing else reads
            run.rename(own[0], out)
            dying = [name for name in dying if name != own[0]]
    if out not in run.live:
        size = run.live[sources[-1]]
        run.make(out, (channels, size[1], size[2]), at=out)
    for name in dying:
        run.drop(name)
