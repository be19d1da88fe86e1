"""Parts that are found in a graph: what a reading collects, gates, what follows a depthwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from pocketvision.spec import AnyBlock, Classifier, Conv, Gate
from pocketvision.weights.graph import Filter, Node


@dataclass
class Reading:
    """What was found: parts of a spec, and by address the filters and the tensors that come out."""

    stem: Conv
    blocks: list[AnyBlock] = field(default_factory=list)
    heads: list[tuple[str, Classifier]] = field(default_factory=list)
    filters: dict[str, Filter] = field(default_factory=dict)
    edges: dict[str, str] = field(default_factory=dict)
    used: int = 0
    unused: list[str] = field(default_factory=list)
    softmax: str = ""


@dataclass(frozen=True)
class FoundGate:
    """The nodes of a squeeze-and-excite."""

    pool: Node
    reduce: Node
    expand: Node
    product: Node

    @property
    def spec(self) -> Gate:
        """The gate as a layer of ours."""
        weight = filter_of(self.reduce).weight
        norm = "none" if filter_of(self.reduce).norm is None else "batch"
        return Gate(
            channels=weight.shape[1],
            squeeze=len(weight),
            act=self.reduce.act,
            gate=self.expand.act,
            norm=norm,
        )


@dataclass(frozen=True)
class Filtered:
    """A depthwise with what follows it."""

    depthwise: Node
    gate: FoundGate | None
    project: Node

    @property
    def gate_spec(self) -> Gate | None:
        """The gate as a layer of ours, if there is one."""
        return None if self.gate is None else self.gate.spec


def filter_of(node: Node) -> Filter:
    """The filter of a node that has one."""
    assert node.filter is not None
    return node.filter


def conv_of(node: Node) -> Conv:
    """The spec of a node's convolution."""
    f = filter_of(node)
    return Conv(
        c_in=f.weight.shape[1] * f.groups,
        c_out=f.weight.shape[0],
        kernel=f.kernel,
        stride=f.stride[0],
        stride_w=None if f.stride[0] == f.stride[1] else f.stride[1],
        groups=f.groups,
        dilation=f.dilation,
        norm="none" if f.norm is None else "batch",
        act=node.act,
    )
