"""Machines that C is written for: vector length, registers, compiler flags.

A kernel holds `rows x vectors` sums in registers; which shapes run well is a matter of how many
registers there are and of how many loads go beside a multiply-add. The figures of x86-64-v4
were measured; the others are estimates from the number of registers, which only choose shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pocketvision.errors import UsageError, closest

LONG = 128  # input numbers


@dataclass(frozen=True, kw_only=True)
class Target:
    """A machine. `lanes` floats a vector; `half` a vector of half that many is as fast a lane.

    `tiles` maps a number of vectors side by side (a panel) to the most pixels a kernel takes with
    it; `efficiency` is the share of peak that such a kernel reaches.
    """

    name: str
    lanes: int
    flags: tuple[str, ...]
    compilers: tuple[str, ...] = ("gcc", "clang", "cc")
    tiles: dict[int, int] = field(hash=False)
    half_tiles: dict[int, int] = field(default_factory=dict, hash=False)
    efficiency: dict[int, float] = field(hash=False)
    half_efficiency: dict[int, float] = field(default_factory=dict, hash=False)
    # The same for more input numbers than LONG: a panel's weights then leave the first cache, and
    # wide panels read the pixels less often.
    long_efficiency: dict[int, float] = field(default_factory=dict, hash=False)
    depthwise_tile: int = 7
    cache_bytes: int = 512 * 1024  # what a band and its weights should fit in
    threads: bool = True
    runner: tuple[str, ...] = ()  # what runs a program of this machine here, where it is not ours


_WIDE: dict[str, Any] = {
    "lanes": 16,
    "tiles": {1: 14, 2: 14, 4: 7},
    "half_tiles": {1: 20, 3: 9, 5: 5},
    "efficiency": {1: 1.0, 2: 0.95, 4: 0.93},
    "long_efficiency": {1: 0.92, 2: 0.98, 4: 0.985},
    "half_efficiency": {1: 0.8, 3: 0.94, 5: 0.97},
}
_AVX2: dict[str, Any] = {
    "lanes": 8,
    "tiles": {1: 10, 2: 6, 3: 4},
    "efficiency": {1: 0.6, 2: 0.9, 3: 0.95},
    "depthwise_tile": 4,
}

TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target(name="x86-64-v4", flags=("-march=x86-64-v4", "-mprefer-vector-width=512"), **_WIDE),
        Target(name="x86-64-v3", flags=("-march=x86-64-v3",), **_AVX2),
        Target(
            name="aarch64",
            lanes=4,
            flags=("-march=armv8-a",),
            compilers=("aarch64-linux-gnu-gcc",),
            tiles={1: 14, 2: 10, 4: 6},
            efficiency={1: 0.6, 2: 0.85, 4: 0.95},
            runner=("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
        ),
        Target(
            name="wasm32",
            lanes=4,
            flags=("-msimd128",),
            compilers=("clang",),
            tiles={1: 8, 2: 5, 4: 2},
            efficiency={1: 0.6, 2: 0.9, 4: 0.85},
            threads=False,
            runner=("node",),
        ),
        Target(
            name="c99",
            lanes=1,
            flags=("-std=c99",),
            tiles={1: 4, 2: 4, 4: 2},
            efficiency={1: 0.6, 2: 0.9, 4: 0.9},
            depthwise_tile=2,
        ),
    )
}


def target(name: str) -> Target:
    """The target of that name. Raises UsageError with the nearest name otherwise."""
    if name not in TARGETS:
        allowed = ", ".join(("native", *TARGETS))
        raise UsageError(
            f"--target must be one of {allowed}, got {name!r}{closest(name, ('native', *TARGETS))}"
        )
    return TARGETS[name]
