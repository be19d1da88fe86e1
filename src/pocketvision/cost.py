"""What a network costs, by arithmetic on its spec: parameters, MACs, activations, peak memory.

`cost(spec)` walks the layers in running order and gives one `Row` an operation, under its address.

Counting rules
- MACs: multiply-accumulates of convolutions and linear layers only (squeeze-and-excite's 1x1
  included); norms, activations, pooling and additions are not counted.
- Parameters: every learnable number, batch-norm scale and shift included (2 a channel); running
  means and variances are not learnable and not counted. `params_without_bn` leaves the scale and
  shift out, as TF-slim's READMEs do.
- Activations: elements of the outputs of all convolutions and linear layers, one image.
- Peak memory: one image in float32, one operation after the other. Each operation reads its input
  and writes its output, both whole; the input is freed when nothing later reads it. Norms,
  activations, the gate's scaling and the shortcut's addition happen in place; the parts of a mixed
  convolution write into one joined tensor; the input of a block with a shortcut stays until it is
  added. Between branches, joining, shuffling and enlarging write a new map; a slice is a view of
  its map. The image itself counts while the stem reads it. Weights do not count: `weights_bytes`.

Cells (`spec.Cell`), the definition that `model.build` follows too
- squeeze (both inputs): relu, 1x1, norm. `reduce_older`: relu, then two 1x1 at stride 2, the second
  reading the map moved by one pixel (zeros at the end), each giving half of the channels (the first
  one less if odd), joined, then norm. A `skip` edge at stride 2 is the same; at stride 1 it is the
  identity.
- `sep_k`: twice (relu, depthwise k, 1x1, norm), the stride in the first depthwise.
- `dil_k`: relu, depthwise k with dilation 2 and the stride, 1x1, norm.
- `max_3`, `avg_3`: pooling over 3x3 (average over real pixels only), no parameters; padded, like
  every other window, by the network's rule.
- An older input that is not squeezed (`squeeze_older=False`) is node 0 as it stands; its filters
  change the width in their first 1x1.
- The depthwise convolutions have neither norm nor bias. A relu works in place when nothing else
  reads its operand; joining the nodes copies them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pocketvision.cost_steps import branches
from pocketvision.cost_walk import Row, Walk
from pocketvision.errors import SpecError
from pocketvision.spec import (
    TAGS,
    AnyBlock,
    AnyHead,
    Branching,
    Cell,
    Conv,
    Edge,
    MapClassifier,
    NetSpec,
    Pool,
)

FLOAT_BYTES = 4
OPERATIONS = ("1x1", "depthwise", "grouped", "dense", "fully_connected", "pool")


@dataclass(frozen=True, slots=True)
class Cost:
    """Rows in running order and their totals; `peak_address` is where memory is fullest."""

    rows: tuple[Row, ...]
    params: int
    params_without_bn: int
    macs: int
    activations: int
    peak_bytes: int
    peak_address: str

    @property
    def weights_bytes(self) -> int:
        """Size of all learnable parameters in float32."""
        return self.params * FLOAT_BYTES

    def by_operation(self, field: str = "macs") -> dict[str, int]:
        """Sum of a column ("macs", "params", "params_without_bn", "activations") by operation."""
        sums = dict.fromkeys(OPERATIONS, 0)
        for row in self.rows:
            sums[row.operation] += getattr(row, field)
        return sums


def cost(spec: NetSpec) -> Cost:
    """Cost of `spec` at its own resolution, one image. Raises SpecError if a map becomes empty."""
    run = Walk(spec.numerics.padding)
    run.make("image", (spec.in_channels, *spec.resolution), at="image")
    run.layer("stem", "stem", spec.stem, "image", "stem", free=True)
    names = ["stem", *(f"blocks.{i}" for i in range(len(spec.blocks)))]
    last_reader = _last_readers(spec)
    for i, block in enumerate(spec.blocks):
        needed = [name for k, name in enumerate(names[: i + 1]) if last_reader[k] > i]
        _block(run, block, names, i, needed)
        for name in names[: i + 1]:
            if name in run.live and name not in needed:
                run.drop(name)
    for i, (head_name, head) in enumerate(spec.heads, start=1):
        _head(run, f"heads.{head_name}", head, names[-1], free=i == len(spec.heads))
    return _total(run)


def _total(run: Walk) -> Cost:
    rows = run.rows
    return Cost(
        rows=tuple(rows),
        params=sum(r.params for r in rows),
        params_without_bn=sum(r.params_without_bn for r in rows),
        macs=sum(r.macs for r in rows),
        activations=sum(r.activations for r in rows),
        peak_bytes=run.peak * FLOAT_BYTES,
        peak_address=run.peak_address,
    )


# ------------------------------------------------------------------------------------ blocks, heads


def _last_readers(spec: NetSpec) -> list[int]:
    """For the stem and each block: the index of the last block that reads its output."""
    last = [-1] * (len(spec.blocks) + 1)
    for i, block in enumerate(spec.blocks):
        for k in block.inputs:
            last[max(i + 1 + k, 0)] = i
    last[-1] = len(spec.blocks)
    return last


def _block(run: Walk, block: AnyBlock, names: list[str], i: int, needed: list[str]) -> None:
    sources = [names[max(i + 1 + k, 0)] for k in block.inputs]
    address = names[i + 1]
    if isinstance(block, Cell):
        _cell(run, address, block, sources, needed)
        return
    if isinstance(block, Branching):
        branches(run, address, block, sources[0], keep=sources[0] in needed)
        return
    keep = bool(block.shortcut) or sources[0] in needed
    current = sources[0]
    for name, layer in block.layers:
        out = f"{address}.{name}"
        free = current != sources[0] or not keep
        run.layer(out, TAGS[type(block)], layer, current, out, free=free)
        current = out
    run.rename(current, address)


def _head(run: Walk, address: str, head: AnyHead, source: str, *, free: bool) -> None:
    if isinstance(head, MapClassifier):
        _map_head(run, address, head, source, free=free)
        return
    current = f"{address}.pool"
    run.global_pool(current, "classifier", source, current)
    if free:
        run.drop(source)
    for i, conv in enumerate(head.hidden):
        out = f"{address}.hidden.{i}"
        run.layer(out, "classifier", conv, current, out, free=True)
        current = out
    out = f"{address}.classifier"
    run.make(out, (head.classes, 1, 1), at=out)
    run.drop(current)
    weights = head.features * head.classes
    params = weights + (head.classes if head.bias else 0)
    size = (head.classes, 1, 1)
    run.rows.append(Row(out, "classifier", "fully_connected", 1, 1, head.features, size,
                        params, params, weights, head.classes))  # fmt: skip


def _map_head(run: Walk, address: str, head: MapClassifier, source: str, *, free: bool) -> None:
    out = f"{address}.classifier"
    conv = Conv(c_in=head.c_in, c_out=head.classes, norm="none", act=head.act)
    run.layer(out, "map_classifier", conv, source, out, free=free)
    run.global_pool(f"{address}.pool", "map_classifier", out, f"{address}.pool")
    run.drop(out)


# --------------------------------------------------------------------------------------------- cell


def _cell(run: Walk, address: str, cell: Cell, sources: list[str], needed: list[str]) -> None:
    """A cell's operations in order; a node lives from its first edge to its last reader."""
    older, newer = sources
    nodes = [f"{address}.older", f"{address}.newer"]
    shared = older == newer
    if cell.squeeze_older:
        bring = _reduction if cell.reduce_older else _squeeze
        bring(run, nodes[0], older, cell.channels, not shared and older not in needed)
        _squeeze(run, nodes[1], newer, cell.channels, newer not in needed)
    else:
        _squeeze(run, nodes[1], newer, cell.channels, not shared and newer not in needed)
        nodes[0] = older
    readers = [e.source for edges in cell.nodes for e in edges] + list(cell.concat)
    for n, edges in enumerate(cell.nodes):
        node = f"{address}.nodes.{n + 2}"
        for k, edge in enumerate(edges):
            readers.remove(edge.source)
            source, last = nodes[edge.source], edge.source not in readers
            last = last and source not in needed
            _edge(run, f"{address}.ops.{n}.{k}", edge, source, node, cell.channels, last)
        nodes.append(node)
    _join(run, address, [nodes[i] for i in cell.concat])


def _edge(
    run: Walk, address: str, edge: Edge, source: str, node: str, channels: int, free: bool
) -> None:
    """One edge into tensor `address`, then into its node; the source is dropped if `free`."""
    if edge.op == "skip" and edge.stride == 1:
        run.copy(source, address, free=free)
    elif edge.op == "skip":
        _reduction(run, address, source, channels, free)
    elif edge.op in ("max_3", "avg_3"):
        pool = Pool(channels=channels, kernel=3, stride=edge.stride)
        run.pool(address, "cell", pool, source, address, free=False)
    else:
        _filters(run, address, edge, source, channels, free)
    if free and source in run.live:
        run.drop(source)
    if node in run.live:
        _same_size(run, address, node)
        run.drop(address)
    else:
        run.rename(address, node)


def _filters(run: Walk, address: str, edge: Edge, source: str, channels: int, free: bool) -> None:
    """(relu, depthwise, 1x1) once at dilation 2, or twice; numbered as the built modules are."""
    kind, kernel = edge.op.split("_")
    passes = (edge.stride, 1) if kind == "sep" else (edge.stride,)
    for i, stride in enumerate(passes):
        width = channels if i else run.live[source][0]
        depthwise, pointwise = _pair(width, channels, int(kernel), stride, kind)
        relu, wide = f"{address}.{4 * i}", f"{address}.{4 * i + 1}"
        run.copy(address if i else source, relu, free=bool(i) or free)
        run.conv(wide, "cell", depthwise, relu, wide, free=True, norm="bare")
        run.conv(f"{address}.{4 * i + 2}", "cell", pointwise, wide, address, free=True)


@lru_cache(maxsize=1024)
def _pair(c_in: int, c_out: int, kernel: int, stride: int, kind: str) -> tuple[Conv, Conv]:
    """The depthwise and the 1x1 of a filter; cells repeat theirs."""
    dilation = 1 if kind == "sep" else 2
    depthwise = Conv(c_in=c_in, c_out=c_in, kernel=kernel, stride=stride, groups=c_in,
                     dilation=dilation)  # fmt: skip
    return depthwise, Conv(c_in=c_in, c_out=c_out)


def _squeeze(run: Walk, out: str, source: str, channels: int, free: bool) -> None:
    run.copy(source, f"{out}.relu", free=free)
    conv = Conv(c_in=run.live[f"{out}.relu"][0], c_out=channels)
    run.conv(f"{out}.1", "cell", conv, f"{out}.relu", out, free=True)


def _reduction(run: Walk, out: str, source: str, channels: int, free: bool) -> None:
    run.copy(source, f"{out}.relu", free=free)
    c_in, half = run.live[f"{out}.relu"][0], channels // 2
    even = Conv(c_in=c_in, c_out=half, stride=2)
    odd = Conv(c_in=c_in, c_out=channels - half, stride=2)
    parts = {"even": even, "odd": odd}
    run.joined(out, "cell", parts, f"{out}.relu", out, free=True, norm="batch")


def _join(run: Walk, address: str, nodes: list[str]) -> None:
    for node in nodes:
        _same_size(run, node, nodes[0])
    c, h, w = run.live[nodes[0]]
    run.make(address, (c * len(nodes), h, w), at=address)
    for name in [n for n in run.live if n.startswith(f"{address}.")]:
        run.drop(name)


def _same_size(run: Walk, a: str, b: str) -> None:
    if run.live[a] != run.live[b]:
        (_, h, w), (_, h2, w2) = run.live[a], run.live[b]
        raise SpecError(f"{a} is {h}x{w} but joins {b}, which is {h2}x{w2}: check the strides")
