"""NASNet-A (mobile): two searched cells, repeated.

Source: arXiv:1707.07012, figure 4 and appendix A.2 ("4 @ 1056"); node 0 is the older input, node 1
the newer. The two first cells are reductions that read the stem.
"""

from __future__ import annotations

from pocketvision.spec import Activation, Cell, Conv, Edge, NetSpec, PreActivated
from pocketvision.zoo.frame import Resolution, assemble, checked_width
from pocketvision.zoo.rounding import make_divisible

STEM = 32
FILTERS = 44  # a normal cell gives six times as many: 4 cells @ 1056 = 24 * 44 at the end
REPEATS = 4

Nodes = tuple[tuple[Edge, ...], ...]


def _pair(op_a: str, a: int, op_b: str, b: int, *, halves: bool = False) -> tuple[Edge, Edge]:
    """The two edges of a node. In a reduction those that read an input have stride 2."""
    stride_a, stride_b = (2 if halves and source < 2 else 1 for source in (a, b))
    first = Edge(source=a, op=op_a, stride=stride_a)
    return first, Edge(source=b, op=op_b, stride=stride_b)


NORMAL: Nodes = (
    _pair("sep_5", 1, "sep_3", 0),
    _pair("sep_5", 0, "sep_3", 0),
    _pair("avg_3", 1, "skip", 0),
    _pair("avg_3", 0, "avg_3", 0),
    _pair("sep_3", 1, "skip", 1),
)
NORMAL_CONCAT = (0, 2, 3, 4, 5, 6)
REDUCTION: Nodes = (
    _pair("sep_5", 1, "sep_7", 0, halves=True),
    _pair("max_3", 1, "sep_7", 0, halves=True),
    _pair("avg_3", 1, "sep_5", 0, halves=True),
    _pair("skip", 3, "avg_3", 2, halves=True),
    _pair("sep_3", 2, "max_3", 1, halves=True),
)
REDUCTION_CONCAT = (3, 4, 5, 6)


def nasnet_mobile(
    *,
    width: float = 1.0,
    resolution: Resolution = 224,
    classes: int = 1000,
    in_channels: int = 3,
    numerics: str = "torch",
    dropout: float = 0.5,
) -> NetSpec:
    """NASNet-A (mobile) of any width.

    The stem is not padded. Raises SpecError.
    """
    w = checked_width(width)
    filters = make_divisible(FILTERS * w, 4)
    first = Conv(c_in=in_channels, c_out=make_divisible(STEM * w), kernel=3, stride=2,
                 padded=False)  # fmt: skip
    cells = _cells(first.c_out, filters)
    last = PreActivated(activation=Activation(channels=cells[-1].c_out, act="relu"))
    return assemble(
        "nasnet_mobile",
        "nasnet",
        stem=first,
        blocks=[*cells, last],
        resolution=resolution,
        classes=classes,
        dropout=dropout,
        numerics=numerics,
    )


def _cells(stem: int, filters: int) -> list[Cell]:
    """Stem cells, then three times (normal cells), a reduction between them."""
    plan = [(filters // 4, True), (filters // 2, True)]
    for stage in range(3):
        plan += [(filters << stage, True)] * bool(stage) + [(filters << stage, False)] * REPEATS
    cells: list[Cell] = []
    for channels, reduction in plan:
        outs = [stem, *(c.c_out for c in cells)]
        cells.append(
            Cell(
                c_older=outs[-2] if cells else stem,
                c_newer=outs[-1],
                channels=channels,
                nodes=REDUCTION if reduction else NORMAL,
                concat=REDUCTION_CONCAT if reduction else NORMAL_CONCAT,
                reduce_older=bool(cells) and cells[-1].nodes is REDUCTION,
                squeeze_older=bool(cells),
                inputs=(-2, -1) if cells else (-1, -1),
            )
        )
    return cells
