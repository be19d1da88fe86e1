"""The spec: a network as a frozen value, with absolute channels, checked when it is made.

A `NetSpec` is a stem, a tuple of blocks and named heads, plus the numerics that trained weights
depend on (padding rule, batch-norm epsilon). Blocks are built of *layers* (`Conv`, `MixedConv`,
`Gate`, ...), each of which carries everything that decides its tensors: channels, kernel, stride,
groups, dilation, rank, norm, activation. Every layer has an address (`stem`, `blocks.13.expand`,
`heads.label.classifier`), which cost rows, weight names, quantization and pruning share.

The parts live in files of their own: `spec_layers` (layers), `spec_blocks` (blocks that are a chain
of layers), `spec_steps` and `spec_branches` (blocks with branches), `spec_cell` (searched cells).
Only the standard library is imported here: listing, costing and searching stay instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from pocketvision.errors import SpecError
from pocketvision.spec_blocks import Bottleneck as Bottleneck
from pocketvision.spec_blocks import DoubleDepthwise as DoubleDepthwise
from pocketvision.spec_blocks import FusedInverted as FusedInverted
from pocketvision.spec_blocks import InvertedResidual as InvertedResidual
from pocketvision.spec_blocks import LinearBottleneck as LinearBottleneck
from pocketvision.spec_blocks import NarrowDepthwise as NarrowDepthwise
from pocketvision.spec_blocks import Pooling as Pooling
from pocketvision.spec_blocks import PreActivated as PreActivated
from pocketvision.spec_blocks import Sandglass as Sandglass
from pocketvision.spec_blocks import Separable as Separable
from pocketvision.spec_blocks import Single as Single
from pocketvision.spec_blocks import UniversalInverted as UniversalInverted
from pocketvision.spec_branches import Fire as Fire
from pocketvision.spec_branches import GhostBottleneck as GhostBottleneck
from pocketvision.spec_branches import HarmoniousBottleneck as HarmoniousBottleneck
from pocketvision.spec_branches import Residual as Residual
from pocketvision.spec_branches import SeparableResidual as SeparableResidual
from pocketvision.spec_branches import ShuffleUnit as ShuffleUnit
from pocketvision.spec_branches import SplitUnit as SplitUnit
from pocketvision.spec_cell import CELL_OPS as CELL_OPS
from pocketvision.spec_cell import Cell as Cell
from pocketvision.spec_cell import Edge as Edge
from pocketvision.spec_layers import ACTIVATIONS as ACTIVATIONS
from pocketvision.spec_layers import NORMS as NORMS
from pocketvision.spec_layers import PADDINGS as PADDINGS
from pocketvision.spec_layers import Activation as Activation
from pocketvision.spec_layers import Conv as Conv
from pocketvision.spec_layers import Gate as Gate
from pocketvision.spec_layers import Layer as Layer
from pocketvision.spec_layers import MixedConv as MixedConv
from pocketvision.spec_layers import Pool as Pool
from pocketvision.spec_layers import check, one_of, positive
from pocketvision.spec_steps import Branching as Branching

AnyBlock = (
    Single
    | Separable
    | InvertedResidual
    | DoubleDepthwise
    | Sandglass
    | Bottleneck
    | NarrowDepthwise
    | LinearBottleneck
    | UniversalInverted
    | FusedInverted
    | PreActivated
    | Pooling
    | Fire
    | ShuffleUnit
    | SplitUnit
    | SeparableResidual
    | Residual
    | GhostBottleneck
    | HarmoniousBottleneck
    | Cell
)

KINDS: Mapping[str, type] = MappingProxyType(
    {
        "single": Single,
        "separable": Separable,
        "inverted_residual": InvertedResidual,
        "double_depthwise": DoubleDepthwise,
        "sandglass": Sandglass,
        "bottleneck": Bottleneck,
        "narrow_depthwise": NarrowDepthwise,
        "linear_bottleneck": LinearBottleneck,
        "universal_inverted": UniversalInverted,
        "fused_inverted": FusedInverted,
        "pre_activated": PreActivated,
        "pooling": Pooling,
        "fire": Fire,
        "shuffle_unit": ShuffleUnit,
        "split_unit": SplitUnit,
        "separable_residual": SeparableResidual,
        "residual": Residual,
        "ghost_bottleneck": GhostBottleneck,
        "harmonious_bottleneck": HarmoniousBottleneck,
        "cell": Cell,
    }
)
TAGS: Mapping[type, str] = MappingProxyType({cls: tag for tag, cls in KINDS.items()})


# -------------------------------------------------------------------------------------------- heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """Pool over space, hidden 1x1 layers (after the pool: MobileNetV3's 1280), dropout, linear to
    classes. `bias=False` leaves the last bias out (megvii's ShuffleNetV1).
    """

    c_in: int
    classes: int
    hidden: tuple[Conv, ...] = ()
    dropout: float = 0.0
    bias: bool = True

    def __post_init__(self) -> None:
        positive(self, c_in=self.c_in, classes=self.classes)
        _check_dropout(self)
        width = self.c_in
        for conv in self.hidden:
            plain = (conv.kernel, *conv.strides) == (1, 1, 1)
            check(plain, "Classifier.hidden layers must be 1x1, stride 1")
            check(conv.c_in == width, f"Classifier.hidden takes {conv.c_in} channels, got {width}")
            width = conv.c_out

    @property
    def features(self) -> int:
        """Width of the vector that the last linear layer reads."""
        return self.hidden[-1].c_out if self.hidden else self.c_in


@dataclass(frozen=True, slots=True, kw_only=True)
class MapClassifier:
    """Dropout, a 1x1 with bias to the classes at every pixel, activation, then the mean over space.

    Source: SqueezeNet, arXiv:1602.07360, section 4, with the activation before the mean.
    """

    c_in: int
    classes: int
    dropout: float = 0.0
    act: str = "relu"
    hidden: ClassVar[tuple[Conv, ...]] = ()

    def __post_init__(self) -> None:
        positive(self, c_in=self.c_in, classes=self.classes)
        _check_dropout(self)
        one_of(self, "act", self.act, ACTIVATIONS)

    @property
    def features(self) -> int:
        """Width of what the last layer reads at each pixel."""
        return self.c_in


def _check_dropout(head: Classifier | MapClassifier) -> None:
    if not 0.0 <= head.dropout < 1.0:
        raise SpecError(f"{type(head).__name__}.dropout must be in [0, 1), got {head.dropout}")


AnyHead = Classifier | MapClassifier

HEADS: Mapping[str, type] = MappingProxyType(
    {"classifier": Classifier, "map_classifier": MapClassifier}
)
HEAD_TAGS: Mapping[type, str] = MappingProxyType({cls: tag for tag, cls in HEADS.items()})


# ---------------------------------------------------------------------------------------------- net


@dataclass(frozen=True, slots=True, kw_only=True)
class Numerics:
    """What trained weights depend on beside their values; `name` is the source whose rules these
    are.
    """

    name: str = "torch"
    padding: str = "symmetric"
    bn_epsilon: float = 1e-5
    bn_momentum: float = 0.1

    def __post_init__(self) -> None:
        one_of(self, "padding", self.padding, PADDINGS)
        check(
            0.0 < self.bn_epsilon < 1.0,
            f"Numerics.bn_epsilon must be in (0, 1), got {self.bn_epsilon}",
        )
        check(
            0.0 < self.bn_momentum <= 1.0,
            f"Numerics.bn_momentum must be in (0, 1] (PyTorch's sense), got {self.bn_momentum}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSpec:
    """A whole network. `resolution` is (height, width); `heads` maps a name to its head, in
    order. Without heads it is a trunk, which gives its last map.
    """

    name: str
    resolution: tuple[int, int]
    stem: Conv
    blocks: tuple[AnyBlock, ...]
    heads: tuple[tuple[str, AnyHead], ...]
    numerics: Numerics = Numerics()

    def __post_init__(self) -> None:
        positive(self, height=self.resolution[0], width=self.resolution[1])
        names = [name for name, _ in self.heads]
        check(len(set(names)) == len(names), f"NetSpec.heads has a name twice: {names}")
        check(all(n.isidentifier() for n in names), f"NetSpec.heads names must be words: {names}")
        self._check_joints()

    def _check_joints(self) -> None:
        outs = [self.stem.c_out]
        for i, block in enumerate(self.blocks):
            sources = [len(outs) + k for k in block.inputs]
            if min(sources) < 0 and not isinstance(block, Cell):
                raise SpecError(f"blocks.{i} reads before the stem")
            got = [outs[max(s, 0)] for s in sources]
            want = [block.c_older, block.c_newer] if isinstance(block, Cell) else [block.c_in]
            if got != want:
                raise SpecError(f"blocks.{i} takes {want} channels but its inputs give {got}")
            outs.append(block.c_out)
        for name, head in self.heads:
            if head.c_in != outs[-1]:
                raise SpecError(f"heads.{name} takes {head.c_in} channels, got {outs[-1]}")

    @property
    def in_channels(self) -> int:
        """Channels of the image."""
        return self.stem.c_in

    def head(self, name: str | None = None) -> AnyHead:
        """The head called `name`, or the only one. Raises SpecError."""
        table = dict(self.heads)
        if name is None and len(table) == 1:
            return next(iter(table.values()))
        if name not in table:
            raise SpecError(f"no head called {name!r}; heads: {', '.join(table)}")
        return table[name]


def layers(spec: NetSpec) -> Iterator[tuple[str, Layer]]:
    """Every layer of stem, blocks (not cells) and heads with its address, as they run."""
    yield "stem", spec.stem
    for i, block in enumerate(spec.blocks):
        if not isinstance(block, Cell):
            for name, layer in block.layers:
                yield f"blocks.{i}.{name}", layer
    for name, head in spec.heads:
        for i, conv in enumerate(head.hidden):
            yield f"heads.{name}.hidden.{i}", conv
