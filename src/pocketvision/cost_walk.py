"""The walk that costing makes over a network: rows so far, and the tensors alive at each moment.

The rules are stated in `pocketvision.cost`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.errors import SpecError
from pocketvision.spec import Conv, Gate, Layer, MixedConv

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
    """Length of one side after a convolution under the padding rule of `spec.PADDINGS`."""
    reach = dilation * (kernel - 1) + 1
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
        self.peak, self.peak_address = 0, ""

    def make(self, name: str, size: Size, *, at: str) -> None:
        """A tensor comes into being while operation `at` runs."""
        self.live[name] = size
        total = sum(c * h * w for c, h, w in self.live.values())
        if total > self.peak:
            self.peak, self.peak_address = total, at

    def drop(self, name: str) -> None:
        """Nothing reads this tensor any more."""
        del self.live[name]

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

    def pool(self, address: str, kind: str, source: str, out: str, *, kernel: int,
             stride: int) -> None:  # fmt: skip
        """Pooling without parameters; kernel 0 pools the whole map."""
        c, h, w = self.live[source]
        sides = [out_size(n, kernel=kernel, stride=stride, padding="symmetric") for n in (h, w)]
        size = (c, sides[0], sides[1]) if kernel else (c, 1, 1)
        self.make(out, size, at=address)
        self.rows.append(Row(address, kind, "pool", kernel or h, stride, c, size, 0, 0, 0, 0))

    def _gate(self, address: str, kind: str, gate: Gate, source: str) -> None:
        pooled, reduced = f"{address}.pool", f"{address}.reduce"
        self.make(pooled, (gate.channels, 1, 1), at=pooled)
        self.conv(reduced, kind, gate.reduce, pooled, reduced, free=True)
        self.conv(f"{address}.expand", kind, gate.expand, reduced, f"{address}.expand", free=True)
        self.drop(f"{address}.expand")

    def _after(self, conv: Conv, size: Size, address: str) -> Size:
        k, s, d = conv.kernel, conv.stride, conv.dilation
        h, w = (out_size(n, kernel=k, stride=s, dilation=d, padding=self.padding) for n in size[1:])
        if min(h, w) < 1:
            raise SpecError(
                f"{address}: a {size[1]}x{size[2]} map is too small for kernel {k}, stride {s} "
                f"under {self.padding!r} padding; use a larger resolution"
            )
        return (conv.c_out, h, w)


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
