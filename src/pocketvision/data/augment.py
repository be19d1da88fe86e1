"""Random changes to training images, on batches of uint8 tensors.

What happens to an image depends on (seed, epoch, its sample index) and on its own pixels alone.
Images are changed one by one, so that what is in hand stays in the cache of the processor: whole
batches in float took three to ten times as long. A crop is resampled in 8 bit like the contract
does it; only turning, shifting and zooming need a sampled grid.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from pocketvision.data.config import AugmentConfig, PolicyConfig
from pocketvision.data.counter import bits, uniforms
from pocketvision.data.policies import change_

# What each drawn number is for; a new one goes to the end, so that the others stay as they were.
DRAWS = (
    *("flip", "area", "aspect", "top", "left", "angle", "down", "right", "zoom"),
    *("brightness", "contrast", "saturation"),
    *("erase", "erase_area", "erase_aspect", "erase_top", "erase_left"),
)
NOISE_FROM = 64  # noise takes its numbers from here on, behind those of the draws
LEAST_ERASED = 0.02  # of the area
ERASED_ASPECT = 10 / 3  # most that an erased rectangle is wider than high, or higher than wide
PIXELS = 8  # multiplied at once when colours change
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class Change:
    """What is drawn for one image. Boxes are (top, left, height, width) in whole pixels: `crop` of
    the given image, `erased` of the result, empty where nothing is erased.
    """

    crop: tuple[int, int, int, int]
    flip: bool
    angle: float
    shift: tuple[float, float]
    zoom: float
    factors: tuple[float, float, float]
    erased: tuple[int, int, int, int]


def augment(
    images: Tensor,
    *,
    indices: Sequence[int] | np.ndarray | Tensor,
    epoch: int,
    seed: int,
    config: AugmentConfig,
    size: tuple[int, int] | None = None,
    policy: PolicyConfig | None = None,
) -> Tensor:
    """uint8 (n, c, h, w) -> uint8 (n, c, *size), by default of the same size; a new tensor in
    channels-last memory.

    `indices` (n,) are the samples' places in the dataset. Channels-last memory, as a cache of
    (n, h, w, c) gives it when permuted, is read twice as fast. Runs on the CPU. A `policy` comes
    after the changes of `config`, but before erasing.
    """
    height, width = images.shape[2:]
    size = size or (height, width)
    numbers = np.asarray(indices)
    drawn = uniforms(seed=seed, epoch=epoch, indices=numbers, count=len(DRAWS))
    changes = [
        planned(dict(zip(DRAWS, row, strict=True)), config, (height, width), size)
        for row in drawn.tolist()
    ]
    out = changed(images, changes, config, size)
    for i, change in enumerate(changes):
        if policy is not None:
            change_(out[i], policy, seed=seed, epoch=epoch, index=int(numbers[i]))
        _erase(out[i], change.erased, seed=seed, epoch=epoch, index=int(numbers[i]))
    return torch.from_numpy(out).permute(0, 3, 1, 2)


def changed(
    images: Tensor, changes: Sequence[Change], config: AugmentConfig, size: tuple[int, int]
) -> np.ndarray:
    """uint8 (n, *size, c): images uint8 (n, c, h, w), each changed its way, but for erasing."""
    channels = images.shape[1]
    out = np.empty((len(changes), *size, channels), np.uint8)
    colours = _colours(changes, channels, math.gcd(math.prod(size), PIXELS))
    for i, change in enumerate(changes):
        _apply(images[i : i + 1], change, config, colours[i], out[i])
    return out


def planned(
    u: dict[str, float], config: AugmentConfig, image: tuple[int, int], size: tuple[int, int]
) -> Change:
    """The change that the numbers `u` in [0, 1) stand for."""
    return Change(
        crop=_crop(u, config, image),
        flip=u["flip"] < config.flip,
        angle=math.radians(config.rotate_deg * (2 * u["angle"] - 1)),
        shift=(config.shift * (2 * u["down"] - 1), config.shift * (2 * u["right"] - 1)),
        zoom=1 + config.zoom * (2 * u["zoom"] - 1),
        factors=(
            1 + config.brightness * (2 * u["brightness"] - 1),
            1 + config.contrast * (2 * u["contrast"] - 1),
            1 + config.saturation * (2 * u["saturation"] - 1),
        ),
        erased=_erased(u, config, size),
    )


def _crop(
    u: dict[str, float], config: AugmentConfig, image: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A box of even share of the area and even logarithm of the aspect, anywhere inside.

    Source: the training crops of arXiv:1409.4842, section 6.
    """
    area = config.crop_area + (1 - config.crop_area) * u["area"]
    aspect = config.crop_aspect ** (2 * u["aspect"] - 1)
    # A crop that is too wide is narrowed to the image, not drawn again.
    return _box(image, math.sqrt(area / aspect), math.sqrt(area * aspect), u["top"], u["left"])


def _erased(
    u: dict[str, float], config: AugmentConfig, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A box of even share of the area, up to `erase_area`, and even logarithm of the aspect, so
    that tall and wide ones come alike.

    Source: arXiv:1708.04896, with its limits; there the aspect itself is even, and a box that does
    not fit is drawn again instead of narrowed.
    """
    if u["erase"] >= config.erase:
        return 0, 0, 0, 0
    least = min(LEAST_ERASED, config.erase_area)
    area = least + (config.erase_area - least) * u["erase_area"]
    aspect = ERASED_ASPECT ** (2 * u["erase_aspect"] - 1)
    high, wide = math.sqrt(area / aspect), math.sqrt(area * aspect)
    return _box(size, high, wide, u["erase_top"], u["erase_left"])


def _box(
    outer: tuple[int, int], high: float, wide: float, down: float, right: float
) -> tuple[int, int, int, int]:
    """Whole pixels: shares of the sides, at shares of the free room."""
    height = min(outer[0], max(1, round(outer[0] * high)))
    width = min(outer[1], max(1, round(outer[1] * wide)))
    return int(down * (outer[0] - height + 1)), int(right * (outer[1] - width + 1)), height, width


def _apply(
    image: Tensor, change: Change, config: AugmentConfig, colours: Tensor, out: np.ndarray
) -> None:
    """Write the changed uint8 (1, c, h, w) to `out`, uint8 (*size, c)."""
    size = (out.shape[0], out.shape[1])
    moved = _turned(image, change, config, size) if config.turns else _cut(image, change, size)
    values = moved[0].permute(1, 2, 0)
    if change.flip:
        values = values.flip(1)
    if config.recolours:
        values = _recoloured(values, change, colours)
    elif values.dtype != torch.uint8:
        values = values + 0.5
    # numpy casts to 8 bit six times as fast as torch does.
    np.copyto(out, values.numpy(), casting="unsafe")


def _erase(
    out: np.ndarray, box: tuple[int, int, int, int], *, seed: int, epoch: int, index: int
) -> None:
    """Fill a box of uint8 (h, w, c) with noise, a number for each value, as arXiv:1708.04896."""
    top, left, height, width = box
    part = out[top : top + height, left : left + width]
    if part.size:
        words = bits(
            seed=seed,
            epoch=epoch,
            indices=np.array([index]),
            count=-(-part.size // 8),
            first=NOISE_FROM,
        )
        part[:] = words.astype("<u8").view(np.uint8).ravel()[: part.size].reshape(part.shape)


def _cut(image: Tensor, change: Change, size: tuple[int, int]) -> Tensor:
    top, left, height, width = change.crop
    part = image[:, :, top : top + height, left : left + width]
    if (height, width) == size:
        return part
    return interpolate(part, size=size, mode="bilinear", antialias=True)


def _turned(image: Tensor, change: Change, config: AugmentConfig, size: tuple[int, int]) -> Tensor:
    """The crop turned about its centre, shifted and zoomed; float32, the outside filled."""
    matrix = np.array(_matrix(change, (image.shape[2], image.shape[3]), size), np.float32)
    grid = torch.from_numpy(_centres(size) @ matrix.T).view(1, *size, 2)
    # Padding is zero; with `fill` taken off first, it becomes the fill.
    values = image.float().sub_(config.fill)
    return grid_sample(values, grid, align_corners=False).add_(config.fill)


@functools.cache
def _centres(size: tuple[int, int]) -> np.ndarray:
    """float32 (h * w, 3): x, y of each pixel's centre, -1..1 from edge to edge, and 1."""
    y, x = ((np.arange(n, dtype=np.float32) * 2 + 1) / n - 1 for n in size)
    both = np.stack([*np.meshgrid(x, y), np.ones(size, np.float32)], axis=2)
    return both.reshape(-1, 3).astype(np.float32)


def _matrix(change: Change, image: tuple[int, int], size: tuple[int, int]) -> list[list[float]]:
    """2x3: from the output's coordinates to the image's, both -1..1 from edge to edge.

    Angles keep their size in pixels of the output, so an oblong one is not sheared.
    """
    top, left, height, width = change.crop
    cos, sin = math.cos(change.angle) / change.zoom, math.sin(change.angle) / change.zoom
    oblong = size[1] / size[0]
    down, right = change.shift
    # Output to the crop's own coordinates, then the crop's place in the image.
    rows = [[cos, -sin / oblong, -2 * right], [sin * oblong, cos, -2 * down]]
    shares = (width / image[1], height / image[0])
    centres = ((2 * left + width) / image[1] - 1, (2 * top + height) / image[0] - 1)
    return [
        [share * a, share * b, share * c + centre]
        for (a, b, c), share, centre in zip(rows, shares, centres, strict=True)
    ]


def _colours(changes: Sequence[Change], channels: int, pixels: int) -> Tensor:
    """(n, m, m) with m = pixels * channels: what each image's colours are multiplied by.

    Several pixels at a time, for products of three numbers are too short to be quick.
    """
    b, c, s = np.reshape([change.factors for change in changes], (-1, 3)).T[:, :, None, None]
    own, grey = np.eye(channels), np.repeat(_grey(channels)[:, None], channels, axis=1)
    matrix = b * c * (s * own + (1 - s) * grey)
    blocks = np.einsum("pq,nij->npiqj", np.eye(pixels), matrix)
    m = pixels * channels
    return torch.from_numpy(blocks.reshape(len(changes), m, m).astype(np.float32))


def _grey(channels: int) -> np.ndarray:
    """Shares of the channels in the grey of a picture."""
    return LUMA if channels == 3 else np.full(channels, 1 / channels)


def _recoloured(values: Tensor, change: Change, colours: Tensor) -> Tensor:
    """(h, w, c) -> the same in float32, to be cut off to uint8: brightness, then contrast about
    the mean grey, then saturation, as one linear step.

    With factors b, c, s, grey g and its mean m: y = s c b x + (1 - s) c b g + (1 - c) b m.
    """
    bright, contrast, _ = change.factors
    x = values.float().contiguous()
    # Rows first: long vectors in memory.
    means = x.view(len(x), -1).mean(0).view(-1, x.shape[2]).mean(0).numpy()
    constant = (1 - contrast) * bright * float(means @ _grey(len(means))) + 0.5
    y = torch.mm(x.view(-1, len(colours)), colours).add_(constant).clamp_(0, 255)
    return y.view(x.shape)
