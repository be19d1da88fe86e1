"""One convolution with the padding rule its weights were trained under, its norm and its
activation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "hard_sigmoid": nn.Hardsigmoid,
}


def activation(name: str) -> nn.Module:
    """The module of an activation's name in the spec; never in place."""
    return ACTIVATIONS[name]()


def fused(name: str) -> nn.Module:
    """The same behind a norm of our own, whose output nobody else reads: in place where it pays.

    ReLU and ReLU6 need only their output to go backwards, and a training step of MobileNetV3-Small
    is a tenth faster; the others would copy their input first, so that nothing is won.
    """
    in_place = name in ("relu", "relu6")
    return ACTIVATIONS[name](inplace=True) if in_place else activation(name)


def pads(size: int, kernel: int, stride: int, dilation: int, rule: str) -> tuple[int, int]:
    """(before, after) along one axis of `size`, by the padding rule of the spec ("none": no pads).

    Source: TensorFlow's SAME: total = (ceil(size / stride) - 1) * stride + reach - size, the odd
    pixel after; Keras applications `mobilenet.py`: ((0, 1), (0, 1)) at stride 2 at any parity.
    """
    reach = (kernel - 1) * dilation + 1
    if rule == "none":
        return 0, 0
    if rule == "same":
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        return total // 2, total - total // 2
    if rule == "bottom_right" and stride == 2:
        return (reach - 2) // 2, reach // 2
    return (reach - 1) // 2, (reach - 1) // 2


class PaddedConv(nn.Conv2d):
    """A Conv2d whose zero padding follows `rule` at the size it meets. (n, c, h, w) -> same
    layout.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        kernel: int,
        stride: int | tuple[int, int],
        groups: int,
        dilation: int,
        bias: bool,
        rule: str,
    ) -> None:
        # Odd sizes at stride 1 pad alike under every rule, so that the plain operator serves.
        fixed = rule in ("symmetric", "none") or stride in (1, (1, 1))
        pad = dilation * (kernel - 1) // 2 if fixed and rule != "none" else 0
        super().__init__(c_in, c_out, kernel, stride, pad, dilation, groups, bias)
        self.rule = None if fixed or kernel == 1 else rule

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x, padded by the rule."""
        if self.rule is not None:
            x = F.pad(x, self._pads(x.shape[-2], x.shape[-1]))
        return super().forward(x)

    def _pads(self, height: int, width: int) -> tuple[int, int, int, int]:
        k, (down, across), d = self.kernel_size[0], self.stride, self.dilation[0]
        assert self.rule is not None
        return (*pads(width, k, across, d, self.rule), *pads(height, k, down, d, self.rule))


class ConvNormAct(nn.Module):
    """conv -> norm -> act; with `rank`, a 1x1 to `rank` channels (`factor`) comes first.

    Without `norm` and without `bias` the convolution stands alone.

    Shapes: (n, c_in, h, w) -> (n, c_out, h', w').
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        *,
        kernel: int = 1,
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
        dilation: int = 1,
        norm: bool = True,
        bias: bool = False,
        act: str = "none",
        rank: int | None = None,
        rule: str = "symmetric",
        epsilon: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if rank is not None:
            self.factor = nn.Conv2d(c_in, rank, 1, bias=False)
        self.conv = PaddedConv(
            c_in if rank is None else rank,
            c_out,
            kernel=kernel,
            stride=stride,
            groups=groups,
            dilation=dilation,
            bias=bias,
            rule=rule,
        )
        if norm:
            self.norm = nn.BatchNorm2d(c_out, eps=epsilon, momentum=momentum)
        if act != "none":
            self.act = fused(act)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output; children run in the order they were made."""
        for child in self.children():
            x = child(x)
        return x


class MixedConvNormAct(nn.Module):
    """Convolutions over consecutive slices of the channels, joined, then one norm and act.

    Shapes: (n, sum of the parts' c_in, h, w) -> (n, sum of their c_out, h', w').
    Source: MixNet, arXiv:1907.09595, section 3.1.
    """

    def __init__(
        self,
        parts: list[PaddedConv],
        *,
        norm: bool = True,
        act: str = "none",
        epsilon: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.slices = [p.in_channels for p in parts]
        c_out = sum(p.out_channels for p in parts)
        self.norm = nn.BatchNorm2d(c_out, eps=epsilon, momentum=momentum) if norm else nn.Identity()
        self.act = fused(act)

    def forward(self, x: Tensor) -> Tensor:
        """The joined output."""
        slices = torch.split(x, self.slices, dim=1)
        joined = torch.cat([p(s) for p, s in zip(self.parts, slices, strict=True)], dim=1)
        return self.act(self.norm(joined))
