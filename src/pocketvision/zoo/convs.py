"""The convolutions that the tables are made of, in one line each.

They are values, and tables repeat them: each is made and checked once.
"""

from __future__ import annotations

from functools import lru_cache

from pocketvision.spec import Conv


@lru_cache(maxsize=4096)
def depthwise(channels: int, kernel: int = 3, *, stride: int = 1, act: str = "none") -> Conv:
    """Each channel filtered alone: conv, norm, act."""
    c = channels
    return Conv(c_in=c, c_out=c, kernel=kernel, stride=stride, groups=c, act=act)


@lru_cache(maxsize=4096)
def pointwise(c_in: int, c_out: int, *, act: str = "none") -> Conv:
    """1x1: conv, norm, act."""
    return Conv(c_in=c_in, c_out=c_out, act=act)


def stem(c_in: int, c_out: int, *, act: str) -> Conv:
    """The first 3x3 at stride 2: conv, norm, act."""
    return Conv(c_in=c_in, c_out=c_out, kernel=3, stride=2, act=act)
