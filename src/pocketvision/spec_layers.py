"""The layers that blocks are made of: convolution, mixed convolution, gate, activation, pool.

Each carries everything that decides its tensors, in absolute channels, and is checked when it is
made. `pocketvision.spec` is where the rest of the package takes them from.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketvision.errors import SpecError, closest

ACTIVATIONS = ("none", "relu", "relu6", "hard_swish", "silu", "sigmoid", "hard_sigmoid")
NORMS = ("batch", "none", "bare")
POOLS = ("max", "mean", "mean_zeros")
# "same": TensorFlow's rule, the odd pixel at the bottom and right, by the parity of the input.
# "symmetric": PyTorch's k//2 on both sides.
# "bottom_right": Keras' MobileNetV1, one pixel at the bottom and right at stride 2, any parity.
PADDINGS = ("same", "symmetric", "bottom_right")


def check(ok: bool, message: str) -> None:
    """Raise SpecError(message) unless `ok`. The message is written either way: keep it cheap."""
    if not ok:
        raise SpecError(message)


def positive(owner: object, **values: int) -> None:
    """Raise SpecError naming the field of `owner` that is no whole number from 1."""
    for name, value in values.items():
        if type(value) is not int or value < 1:  # a bool is an int by isinstance
            raise SpecError(f"{type(owner).__name__}.{name} must be an integer >= 1, got {value!r}")


def one_of(owner: object, field: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise SpecError naming the field of `owner` whose value is not among `allowed`."""
    if value not in allowed:
        raise SpecError(
            f"{type(owner).__name__}.{field} must be one of {', '.join(allowed)}, "
            f"got {value!r}{closest(str(value), allowed)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """One convolution with its norm and activation: conv -> norm -> act.

    `norm="none"` means that the convolution has a bias instead (as in folded files and after
    pooling), `norm="bare"` neither (the depthwise of a separable pair); `bias=True` beside a norm
    keeps both. `padded=False` leaves the edges alone, whatever the network's rule. `rank` factors
    a 1x1 in two: c_in -> rank -> c_out. `stride_w` is the stride along the width where it differs
    (networks that read lines of text keep the width).
    """

    c_in: int
    c_out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    norm: str = "batch"
    bias: bool = False
    act: str = "none"
    rank: int | None = None
    padded: bool = True
    stride_w: int | None = None

    def __post_init__(self) -> None:
        positive(self, c_in=self.c_in, c_out=self.c_out, kernel=self.kernel, stride=self.stride)
        positive(self, groups=self.groups, dilation=self.dilation, stride_w=self.strides[1])
        one_of(self, "norm", self.norm, NORMS)
        one_of(self, "act", self.act, ACTIVATIONS)
        if self.c_in % self.groups or self.c_out % self.groups:
            raise SpecError(f"Conv.groups must divide c_in and c_out, got {self}")
        if self.rank is not None:
            positive(self, rank=self.rank)
            if self.kernel != 1 or self.groups != 1:
                raise SpecError(f"Conv.rank factors only a plain 1x1 convolution, got {self}")

    @property
    def depthwise(self) -> bool:
        """True when every channel is filtered alone."""
        return self.groups == self.c_in == self.c_out and self.groups > 1

    @property
    def strides(self) -> tuple[int, int]:
        """Along (height, width)."""
        return self.stride, self.stride if self.stride_w is None else self.stride_w


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedConv:
    """Parallel convolutions over consecutive slices of the channels, joined, then one norm and act.

    Source: MixNet, arXiv:1907.09595, section 3; parts carry neither norm nor activation of their
    own.
    """

    parts: tuple[Conv, ...]
    norm: str = "batch"
    act: str = "none"

    def __post_init__(self) -> None:
        check(len(self.parts) >= 2, f"MixedConv.parts needs two or more, got {len(self.parts)}")
        one_of(self, "norm", self.norm, NORMS)
        one_of(self, "act", self.act, ACTIVATIONS)
        bare = all(p.norm == "none" and p.act == "none" and p.rank is None for p in self.parts)
        check(bare, "MixedConv.parts must have norm='none' and act='none'; the whole carries them")
        check(len({p.strides for p in self.parts}) == 1, "MixedConv.parts must share one stride")

    @property
    def c_in(self) -> int:
        """Channels in, over all parts."""
        return sum(p.c_in for p in self.parts)

    @property
    def c_out(self) -> int:
        """Channels out, over all parts."""
        return sum(p.c_out for p in self.parts)

    @property
    def stride(self) -> int:
        """The one stride of all parts."""
        return self.parts[0].stride


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Squeeze-and-excite: x * gate(expand(act(norm(reduce(mean over space of x))))), both 1x1 with
    bias.

    Source: arXiv:1709.01507; `norm="batch"` after the reduction is ReXNet's.
    """

    channels: int
    squeeze: int
    act: str = "relu"
    gate: str = "hard_sigmoid"
    norm: str = "none"

    def __post_init__(self) -> None:
        positive(self, channels=self.channels, squeeze=self.squeeze)
        one_of(self, "act", self.act, ACTIVATIONS)
        one_of(self, "gate", self.gate, ("sigmoid", "hard_sigmoid"))
        one_of(self, "norm", self.norm, NORMS)

    @property
    def c_in(self) -> int:
        """Channels in (and out)."""
        return self.channels

    @property
    def c_out(self) -> int:
        """Channels out (and in)."""
        return self.channels

    @property
    def reduce(self) -> Conv:
        """The 1x1 that squeezes."""
        bias = True
        return Conv(c_in=self.channels, c_out=self.squeeze, norm=self.norm, bias=bias, act=self.act)

    @property
    def expand(self) -> Conv:
        """The 1x1 that gives a factor for each channel."""
        return Conv(c_in=self.squeeze, c_out=self.channels, norm="none", bias=True, act=self.gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """An activation that stands alone in a block (ReXNet's comes after the gate)."""

    channels: int
    act: str

    def __post_init__(self) -> None:
        positive(self, channels=self.channels)
        one_of(self, "act", self.act, ACTIVATIONS)

    @property
    def c_in(self) -> int:
        """Channels in (and out)."""
        return self.channels

    @property
    def c_out(self) -> int:
        """Channels out (and in)."""
        return self.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Pooling over square windows, without parameters.

    `op`: "max"; "mean" over the real pixels of each window; "mean_zeros", whose padding counts as
    zeros. Padded by the network's rule, or not at all with `padded=False`; then a last window may
    hang over the end (PyTorch's `ceil_mode`).
    """

    channels: int
    kernel: int
    stride: int = 2
    op: str = "max"
    padded: bool = True

    def __post_init__(self) -> None:
        positive(self, channels=self.channels, kernel=self.kernel, stride=self.stride)
        one_of(self, "op", self.op, POOLS)
        if self.kernel < self.stride:
            raise SpecError(
                f"Pool.kernel={self.kernel} is below its stride {self.stride}: pixels would be lost"
            )

    @property
    def c_in(self) -> int:
        """Channels in (and out)."""
        return self.channels

    @property
    def c_out(self) -> int:
        """Channels out (and in)."""
        return self.channels


Layer = Conv | MixedConv | Gate | Activation | Pool
