"""Time the preprocessing contract beside Pillow, on one core, in one interleaved run.

Command   OMP_NUM_THREADS=1 python recipes/bench_preprocess.py
Machine   any; one core is used
Time      about 20 s on a quiet machine
Expect    results/preprocess.json; at qualities 75 and 85 "contract" at least 1.8 times faster than
          "pillow", and no value more than 1/255 from the reference

Images are 1000x750 JPEGs of three qualities (the share of entropy decoding, which is the same work
for everybody, grows with it): real photos scaled to that size where POCKETVISION_DATA
names the data folder, else pictures made of blurred noise over many scales, as photos have it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.bench.clock import METHOD, Timings, interleaved
from pocketvision.bench.host import host
from pocketvision.decode import decode
from pocketvision.preprocess import Preprocess, placement, prepare, reference, to_tensor

RESULT = Path("results/preprocess.json")
SIZE_WH = (1000, 750)
QUALITIES = (75, 85, 95)
ROUNDS = 60
CONTRACT = Preprocess(size=(224, 224))
SCALED = replace(CONTRACT, scaled_decode=True)
PHOTOS = (
    "odd_images/exif_orientation/Landscape_1.jpg",
    "odd_images/webp/Photo (1).webp",
    "odd_images/webp/webpvp8.webp",
    "odd_images/pillow/junk_jpeg_header.jpg",
)


def photos(data: str | None) -> tuple[list[Image.Image], str]:
    """Pictures to encode, and where they are from."""
    if data:
        return [Image.fromarray(decode(Path(data) / name)) for name in PHOTOS], "real photos"
    return [made(seed) for seed in range(4)], "made"


def made(seed: int) -> Image.Image:
    """Noise whose strength falls with frequency, as in photos; alike in the three channels."""
    draw = np.random.Generator(np.random.PCG64(seed))
    total = np.zeros((SIZE_WH[1], SIZE_WH[0], 3))
    for cells in (4, 8, 16, 32, 64, 128, 256):
        coarse = draw.normal(size=(cells, cells, 1)) + 0.3 * draw.normal(size=(cells, cells, 3))
        planes = [Image.fromarray(c.astype(np.float32)) for c in np.moveaxis(coarse, 2, 0)]
        fine = [np.asarray(p.resize(SIZE_WH, Image.Resampling.BICUBIC)) for p in planes]
        total += np.stack(fine, axis=2) / cells**0.6
    total = 128 + total * 45 / total.std()
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, quality: int) -> bytes:
    """The picture as a 1000x750 JPEG."""
    out = io.BytesIO()
    resized = image.convert("RGB").resize(SIZE_WH, Image.Resampling.LANCZOS)
    resized.save(out, "JPEG", quality=quality)
    return out.getvalue()


def as_tensor(image: Image.Image) -> np.ndarray:
    """float32 (3, h, w), as it is usually written in numpy."""
    values = np.asarray(image, np.float32) / 255
    values = (values - np.float32(CONTRACT.mean)) / np.float32(CONTRACT.std)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def opened(data: bytes) -> Image.Image:
    """Decoded by Pillow."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def box(image: Image.Image) -> tuple[int, int, int, int]:
    """The contract's crop in Pillow's order."""
    top, left, height, width = placement((image.height, image.width), CONTRACT).source
    return left, top, left + width, top + height


def pillow(data: bytes) -> np.ndarray:
    """The contract's geometry in Pillow's words."""
    image = opened(data)
    image = image.crop(box(image)).resize(CONTRACT.size[::-1], Image.Resampling.BILINEAR)
    return as_tensor(image)


def pillow_whole(data: bytes) -> np.ndarray:
    """The other usual order: the whole image to a short side of 256, then its centre."""
    image = opened(data)
    image = image.resize((round(256 * image.width / image.height), 256), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return as_tensor(image.crop((left, top, left + 224, top + 224)))


def pillow_best(data: bytes) -> np.ndarray:
    """Crop and resize in one call, and the contract's own last step."""
    image = opened(data)
    image = image.resize(CONTRACT.size[::-1], Image.Resampling.BILINEAR, box=box(image))
    return to_tensor(np.asarray(image), CONTRACT)


RIVALS = {
    "pillow": pillow,
    "pillow, whole image resized": pillow_whole,
    "pillow, one call and our last step": pillow_best,
}


def worst_difference(images: list[bytes], p: Preprocess, *, against: Preprocess) -> float:
    """Largest difference of `prepare` from the reference of `against`, in steps of 1/255."""
    steps = 255 * np.array(p.std)[:, None, None]
    return max(
        float(np.abs((prepare(data, p) - reference(data, against)) * steps).max())
        for data in images
    )


def each(run: Callable[[bytes], np.ndarray], images: list[bytes]) -> None:
    """`run` on every image."""
    for data in images:
        run(data)


def measured(images: list[bytes]) -> Timings:
    """Each candidate takes all images once a round."""
    return interleaved(
        {
            "contract": partial(each, lambda data: prepare(data, CONTRACT), images),
            "contract, scaled decode": partial(each, lambda data: prepare(data, SCALED), images),
        }
        | {name: partial(each, rival, images) for name, rival in RIVALS.items()},
        rounds=ROUNDS,
    )


def row(images: list[bytes]) -> dict[str, object]:
    """The figures of one quality."""
    timings = measured(images)
    ratios = {rival: timings.compare("contract", rival) for rival in RIVALS}
    return {
        "bytes": [len(data) for data in images],
        "median_ms_per_image": {
            name: timing.median_ms / len(images) for name, timing in timings.rows.items()
        },
        "times_faster_than": {
            name: {"median": c.ratio, "low": c.low, "high": c.high} for name, c in ratios.items()
        },
        "worst_difference_255": {
            "contract": worst_difference(images, CONTRACT, against=CONTRACT),
            "scaled decode against full": worst_difference(images, SCALED, against=CONTRACT),
        },
    }


def main() -> None:
    """Measure, write the result and show it."""
    import torch

    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pictures, origin = photos(os.environ.get("POCKETVISION_DATA"))
    before = host(environment=os.environ)
    rows = {f"quality {q}": row([encoded(p, q) for p in pictures]) for q in QUALITIES}
    about = {
        "command": "make bench-preprocess",
        "method": METHOD,
        "images": f"{len(pictures)} {origin}, 1000x750",
        "threads": 1,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"host": before, **about, **rows}, indent=2) + "\n")
    print(json.dumps({**about, **rows}, indent=2))
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
