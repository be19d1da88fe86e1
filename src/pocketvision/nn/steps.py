"""A block with branches: named steps, each reading earlier ones, and the joins between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketvision.nn.chain import drop_path
from pocketvision.nn.conv import fused

INPUT = "x"


class Sum(nn.Module):
    """a + b, then an activation. `drop_path` drops whole samples of the first, in training only."""

    drop = staticmethod(drop_path)

    def __init__(self, act: str = "none", *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.act = fused(act)
        self.drop_path = drop_path

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum."""
        if self.training and self.drop_path:
            a = self.drop(a, self.drop_path)
        return self.act(a + b)


class Joined(nn.Module):
    """Maps side by side along the channels."""

    def forward(self, *maps: Tensor) -> Tensor:
        """The joined map."""
        return torch.cat(maps, dim=1)


class Shuffled(nn.Module):
    """Channels cut into `groups` runs and dealt out in turn. (n, c, h, w) -> same."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """The same maps in another order."""
        return F.channel_shuffle(x, self.groups)


class Channels(nn.Module):
    """Channels `start` up to `stop`, as a view."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        """(n, stop - start, h, w)."""
        return x[:, self.start : self.stop]


class Enlarged(nn.Module):
    """The first map at the size of the second, by the nearest pixel."""

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """(n, channels of x, height and width of `like`)."""
        return F.interpolate(x, size=like.shape[-2:], mode="nearest")


class Steps(nn.Module):
    """Modules by name, each applied to the results of those it names; the last one's is the output.

    Shapes: (n, c_in, h, w) -> (n, c_out, h', w').
    """

    def __init__(self, steps: Sequence[tuple[str, nn.Module, tuple[str, ...]]]) -> None:
        super().__init__()
        last = {source: i for i, (_, _, reads) in enumerate(steps) for source in reads}
        self.plan = []
        for i, (name, module, reads) in enumerate(steps):
            self.add_module(name, module)
            self.plan.append((name, reads, [s for s in dict.fromkeys(reads) if last[s] == i]))

    def forward(self, x: Tensor) -> Tensor:
        """The output of the last step; what nothing reads any more is let go."""
        values = {INPUT: x}
        y = x
        for name, reads, done in self.plan:
            y = getattr(self, name)(*(values[source] for source in reads))
            values[name] = y
            for source in done:
                del values[source]
        return y
