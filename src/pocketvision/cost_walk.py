"""The walk that costing makes over a network: rows so far, and the tensors alive at each moment.

The rules are stated in `pocketvision.cost`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.errors import SpecError
from pocketvision.spec import Conv, Gate, Layer, MixedConv, Pool

Size = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: where, what, and its cost. `out` is (channels, height, width)."""

    address: str
    kind: str
    operation: str
    kernel: int
    stride: int
    c_in: int
    out: Size
    params: int
    params_without_bn: int
    macs: int
    activations: int


def out_size(size: int, *, kernel: int, stride: int, dilation: int = 1, padding: str) -> int:
    """Length of one side after a convolution or pool under the padding rule of `spec.PADDINGS`.

    "none" leaves the edges alone; "ceil" too, but a last window may hang over the end (pools).
    """
    reach = dilation * (kernel - 1) + 1
    if padding == "none":
        return (size - reach) // stride + 1
    if padding == "ceil":
        return -(-max(size - reach, 0) // stride) + 1
    if padding == "same":
        return -(-size // stride)
    if padding == "bottom_right" and stride == 2:
        return (size + max(0, reach - 2) - reach) // stride + 1
    return (size + 2 * ((reach - 1) // 2) - reach) // stride + 1


def operation_of(conv: Conv) -> str:
    """Which of `OPERATIONS` a convolution is."""
    if conv.depthwise:
        return "depthwise"
    if conv.groups > 1:
        return "grouped"
    return "1x1" if conv.kernel == 1 else "dense"


class Walk:
    """Rows so far, and the tensors that are alive, by name."""

    def __init__(self, padding: str) -> None:
        self.padding = padding
        self.rows: list[Row] = []
        self.live: dict[str, Size] = {}
        self.total = 0  # elements of all that is alive
        self.peak, self.peak_address = 0, ""

    def make(self, name: str, size: Size, *, at: str) -> None:
        """A tensor comes into being while operation `at` runs."""
        self.live[name] = size
        self.total += size[0] * size[1] * size[2]
        if self.total > self.peak:
            self.peak, self.peak_address = self.total, at

    def drop(self, name: str) -> None:
        """Nothing reads this tensor any more."""
        c, h, w = self.live.pop(name)
        self.total -= c * h * w

    def rename(self, old: str, new: str) -> None:
        """An operation in place: the same memory under the name of its result."""
        self.live[new] = self.live.pop(old)

    def copy(self, source: str, out: str, *, free: bool) -> None:
        """An elementwise operation: in place if the source is free, else into a new tensor."""
        if free:
            self.rename(source, out)
        else:
            self.make(out, self.live[source], at=out)

    def layer(
        self, address: str, kind: str, layer: Layer, source: str, out: str, *, free: bool
    ) -> None:
        """Any layer from tensor `source` to `out`; `free`: nothing else reads the source later."""
        if isinstance(layer, Conv) and layer.rank is not None:
            first = Conv(c_in=layer.c_in, c_out=layer.rank)
            layer = Conv(c_in=layer.rank, c_out=layer.c_out, norm=layer.norm, bias=layer.bias)
            waist = f"{out}.factor"
            self.conv(f"{address}.factor", kind, first, source, waist, free=free, norm="bare")
            source, free = waist, True
        if isinstance(layer, Conv):
            self.conv(address, kind, layer, source, out, free=free)
        elif isinstance(layer, MixedConv):
            parts = {f"parts.{i}": part for i, part in enumerate(layer.parts)}
            self.joined(address, kind, parts, source, out, free=free, norm=layer.norm)
        elif isinstance(layer, Pool):
            self.pool(address, kind, layer, source, out, free=free)
        else:
            if isinstance(layer, Gate):
                self._gate(address, kind, layer, source)
            self.copy(source, out, free=free)

    def conv(
        self,
        address: str,
        kind: str,
        conv: Conv,
        source: str,
        out: str,
        *,
        free: bool,
        norm: str = "",
    ) -> None:
        """One convolution from `source` to `out`; `norm` "bare" means neither norm nor bias."""
        size = self._after(conv, self.live[source], address)
        self.make(out, size, at=address)
        self.rows.append(_row(address, kind, conv, size, norm or conv.norm))
        if free:
            self.drop(source)

    def joined(
        self,
        address: str,
        kind: str,
        parts: dict[str, Conv],
        source: str,
        out: str,
        *,
        free: bool,
        norm: str,
    ) -> None:
        """Convolutions by name whose outputs are the slices of one tensor `out`."""
        sizes = [self._after(p, self.live[source], address) for p in parts.values()]
        self.make(out, (sum(s[0] for s in sizes), *sizes[0][1:]), at=address)
        for (name, part), size in zip(parts.items(), sizes, strict=True):
            self.rows.append(_row(f"{address}.{name}", kind, part, size, norm))
        if free:
            self.drop(source)

    def pool(
        self, address: str, kind: str, pool: Pool, source: str, out: str, *, free: bool
    ) -> None:
        """Pooling over windows: no parameters."""
        rule = self.padding if pool.padded else "ceil"
        size = self._shrunk(self.live[source], pool.channels, pool.kernel, pool.stride, 1, rule,
                            address)  # fmt: skip
        self.make(out, size, at=address)
        self.rows.append(_pool_row(address, kind, pool.kernel, pool.stride, size))
        if free:
            self.drop(source)

    def global_pool(self, address: str, kind: str, source: str, out: str) -> None:
        """The mean of each channel."""
        c, h, _ = self.live[source]
        self.make(out, (c, 1, 1), at=address)
        self.rows.append(_pool_row(address, kind, h, 1, (c, 1, 1)))

    def _gate(self, address: str, kind: str, gate: Gate, source: str) -> None:
        pooled, reduced = f"{address}.pool", f"{address}.reduce"
        self.make(pooled, (gate.channels, 1, 1), at=pooled)
        self.conv(reduced, kind, gate.reduce, pooled, reduced, free=True)
        self.conv(f"{address}.expand", kind, gate.expand, reduced, f"{address}.expand", free=True)
        self.drop(f"{address}.expand")

    def _after(self, conv: Conv, size: Size, address: str) -> Size:
        rule = self.padding if conv.padded else "none"
        k, d = conv.kernel, conv.dilation
        c, h, w = self._shrunk(size, conv.c_out, k, conv.stride, d, rule, address)
        if conv.stride_w is not None:
            w = self._shrunk(size, conv.c_out, k, conv.stride_w, d, rule, address)[2]
        return c, h, w

    def _shrunk(
        self, size: Size, c_out: int, kernel: int, stride: int, dilation: int, rule: str, at: str
    ) -> Size:
        """The size after a window has gone over a map. Raises SpecError where nothing is left."""
        h = out_size(size[1], kernel=kernel, stride=stride, dilation=dilation, padding=rule)
        w = h
        if size[2] != size[1]:
            w = out_size(size[2], kernel=kernel, stride=stride, dilation=dilation, padding=rule)
        if h < 1 or w < 1:
            raise SpecError(
                f"{at}: a {size[1]}x{size[2]} map is too small for kernel {kernel}, stride "
                f"{stride} under {rule!r} padding; use a larger resolution"
            )
        return (c_out, h, w)


def _pool_row(address: str, kind: str, kernel: int, stride: int, size: Size) -> Row:
    return Row(address, kind, "pool", kernel, stride, size[0], size, 0, 0, 0, 0)


def _row(address: str, kind: str, conv: Conv, size: Size, norm: str) -> Row:
    """The row of one convolution; `norm` is "batch", "none" (then a bias) or "bare" (neither)."""
    c_out, h, w = size
    weights = conv.kernel**2 * (conv.c_in // conv.groups) * c_out
    plain = weights + (c_out if conv.bias or norm == "none" else 0)
    params = plain + (2 * c_out if norm == "batch" else 0)
    macs, activations = weights * h * w, c_out * h * w
    what = operation_of(conv)
    return Row(address, kind, what, conv.kernel, conv.stride, conv.c_in, size,
               params, plain, macs, activations)  # fmt: skip
