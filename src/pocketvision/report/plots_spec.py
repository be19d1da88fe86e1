"""Pictures of a network from its spec alone: where its cost lies, and its shape block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketvision.cost import OPERATIONS, cost
from pocketvision.cost_walk import Row
from pocketvision.report import palette
from pocketvision.report.figure import drawn_text, new_figure, plain_axes
from pocketvision.report.words import count, percent
from pocketvision.spec import TAGS, NetSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS = {
    "1x1": "1x1",
    "depthwise": "depthwise",
    "grouped": "grouped",
    "dense": "full",
    "fully_connected": "fully connected",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of cost that belong together: the stem, one block, or a head."""

    name: str
    kind: str
    rows: tuple[Row, ...]

    @property
    def channels(self) -> tuple[int, int]:
        """(widest, last) output channels."""
        sizes = [r.out[0] for r in self.rows]
        return max(sizes), sizes[-1]

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the output."""
        return self.rows[-1].out[1:]

    def total(self, field: str, operation: str | None = None) -> int:
        """Sum of a column, of one operation or of all."""
        rows = [r for r in self.rows if operation in (None, r.operation)]
        return sum(getattr(r, field) for r in rows)


def groups(spec: NetSpec) -> list[Group]:
    """The spec's rows of cost as stem, blocks and heads, in running order."""
    found: dict[str, list[Row]] = {}
    for row in cost(spec).rows:
        found.setdefault(_group_of(row.address), []).append(row)
    kinds = {f"blocks.{i}": TAGS[type(b)] for i, b in enumerate(spec.blocks)}
    return [Group(n, kinds.get(n, n.split(".")[0]), tuple(rows)) for n, rows in found.items()]


def _group_of(address: str) -> str:
    pieces = address.split(".")
    return pieces[0] if pieces[0] == "stem" else ".".join(pieces[:2])


def cost_bars(spec: NetSpec) -> Figure:
    """Shares of multiply-adds and of parameters by operation, as two rows of bars."""
    total = cost(spec)
    used = [o for o in OPERATIONS if total.by_operation()[o] or total.by_operation("params")[o]]
    figure = new_figure(8, 1.6 + 0.42 * len(used))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, field, title in ((left, "macs", "multiply-adds"), (right, "params", "parameters")):
        _bars(axes, used, total.by_operation(field), f"{count(getattr(total, field))} {title}")
    figure.suptitle(drawn_text(f"{spec.name}, {spec.resolution[0]} x {spec.resolution[1]}"),
                    x=0.01, ha="left", color=palette.INK, fontweight="bold")  # fmt: skip
    return figure


def _bars(axes: Axes, used: Sequence[str], sums: dict[str, int], title: str) -> None:
    plain_axes(axes, grid=None)
    whole = sum(sums.values()) or 1
    shares = [sums[o] / whole for o in used]
    at = range(len(used))
    axes.barh(at, shares, height=0.62, color=palette.BLUE)
    for y, (operation, share) in enumerate(zip(used, shares, strict=True)):
        words = f"{count(sums[operation])} ({percent(share)})"
        axes.text(share + 0.02, y, words, va="center", fontsize=9, color=palette.INK)
    axes.set_yticks(at, [WORDS.get(o, o) for o in used])
    axes.set_ylim(len(used) - 0.4, -0.6)
    axes.set_xlim(0, 1.55)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=10, color=palette.INK)


def spec_picture(spec: NetSpec) -> Figure:
    """Block by block: channels with the map's size above, multiply-adds and parameters below."""
    found = groups(spec)
    figure = new_figure(max(7.0, 0.42 * len(found) + 1.6), 6.2)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    _channels(top, found)
    _stacked(middle, found, "macs", "multiply-adds")
    _stacked(bottom, found, "params", "parameters")
    bottom.set_xticks(range(len(found)), [_tick(g) for g in found], rotation=90)
    middle.legend(frameon=False, fontsize=8, labelcolor=palette.INK, ncols=5, loc="lower left",
                  bbox_to_anchor=(0, 1.0), borderaxespad=0.1)  # fmt: skip
    total = cost(spec)
    title = f"{spec.name}: {count(total.params)} parameters, {count(total.macs)} multiply-adds"
    figure.suptitle(drawn_text(title), x=0.01, ha="left", color=palette.INK, fontweight="bold")
    return figure


def _tick(group: Group) -> str:
    return group.name.removeprefix("blocks.").removeprefix("heads.")


def _channels(axes: Axes, found: Sequence[Group]) -> None:
    """Widest and last channels of each block; the size of the map where it changes."""
    plain_axes(axes)
    at = range(len(found))
    widest, last = zip(*(g.channels for g in found), strict=True)
    axes.bar(at, widest, width=0.8, color=palette.PALE, label="widest inside")
    axes.bar(at, last, width=0.8, color=palette.BLUE, label="out")
    axes.set_ylim(0, 1.18 * max(widest))
    before = None
    for x, group in enumerate(found):
        if group.size != before:
            height, width = group.size
            axes.text(x, widest[x] + 0.02 * max(widest), f"{height}x{width}", ha="center",
                      va="bottom", fontsize=8, color=palette.INK)  # fmt: skip
            before = group.size
    axes.set_ylabel("channels", color=palette.INK)
    axes.legend(frameon=False, fontsize=8, labelcolor=palette.INK, loc="upper left")


def _stacked(axes: Axes, found: Sequence[Group], field: str, title: str) -> None:
    plain_axes(axes)
    base = [0.0] * len(found)
    for operation, colour in zip(OPERATIONS, palette.OPERATIONS, strict=True):
        heights = [g.total(field, operation) for g in found]
        if any(heights):
            axes.bar(range(len(found)), heights, bottom=base, width=0.8, color=colour,
                     label=WORDS.get(operation, operation))  # fmt: skip
            base = [b + h for b, h in zip(base, heights, strict=True)]
    axes.set_ylim(0, 1.08 * max(base) or 1)
    axes.yaxis.set_major_formatter(lambda value, _: count(value).replace(".00 ", " "))
    axes.locator_params(axis="y", nbins=4)
    axes.set_ylabel(title, color=palette.INK)
