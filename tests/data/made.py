"""Small folders of images for the tests of this room."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, height: int = 64, width: int = 80) -> Image.Image:
    """A colourful picture that differs clearly from that of any other seed."""
    draw = np.random.Generator(np.random.PCG64(seed))
    coarse = Image.fromarray(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def folder(root: Path, layout: dict[str, int], *, start: int = 0) -> Path:
    """`{"train/cat": 3}` makes train/cat/0.png to 2.png; every picture is another one."""
    seed = start
    for place, count in layout.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture(seed).save(root / place / f"{i}.png")
            seed += 1
    return root


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """Everything below `root`, with sizes and times: to see that nothing was written."""
    return {
        p.relative_to(root).as_posix(): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in sorted(root.rglob("*"))
    }
