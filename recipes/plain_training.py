"""The training script that everybody writes first, to measure ours against: PyTorch's eager mode,
float32, NCHW, and a DataLoader with two worker processes that decode, crop, mirror and scale one
image at a time with Pillow.

Nothing of pocketvision's training is used here but the network itself and the learning rate's
course, so that both train the same thing. The crop is the usual one of arXiv:1409.4842 (area 8% to
100%, aspect 3/4 to 4/3).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WORKERS = 2
Row = tuple[Path, int]


class Photos(Dataset[tuple[Tensor, int]]):
    """Files and their classes, decoded each time; cropped at random, or whole."""

    def __init__(self, rows: Sequence[Row], size: int, *, train: bool) -> None:
        self.rows, self.size, self.train = rows, size, train

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.rows[index]
        image = Image.open(path).convert("RGB")
        if self.train:
            image = random_crop(image, self.size)
            if random.random() < 0.5:
                image = ImageOps.mirror(image)
        else:
            image = ImageOps.fit(image, (self.size, self.size), Image.Resampling.BILINEAR)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None], label


def random_crop(image: Image.Image, size: int) -> Image.Image:
    """A box of random area and aspect, resized to a square."""
    width, height = image.size
    for _ in range(10):
        area = width * height * random.uniform(0.08, 1)
        aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if w <= width and h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            box = (left, top, left + w, top + h)
            return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return image.resize((size, size), Image.Resampling.BILINEAR)


def loader(rows: Sequence[Row], size: int, batch_size: int, *, train: bool) -> DataLoader[object]:
    """Batches in worker processes, shuffled for training."""
    return DataLoader(
        Photos(rows, size, train=train),
        batch_size=batch_size,
        shuffle=train,
        num_workers=WORKERS,
        drop_last=train and len(rows) % batch_size == 1,  # batch-norm cannot take one image
        persistent_workers=True,
        worker_init_fn=seed_worker,
    )


def seed_worker(_number: int) -> None:
    """Python's own generator follows PyTorch's, which differs by worker."""
    random.seed(torch.initial_seed())


def steps(
    network: nn.Module,
    batches: DataLoader[object],
    optimizer: torch.optim.Optimizer,
    lr: Callable[[int], float],
    *,
    smoothing: float,
) -> Iterator[int]:
    """Train for ever; the number of images of each step."""
    loss_of, step = nn.CrossEntropyLoss(label_smoothing=smoothing), 0
    while True:
        network.train()
        for x, y in batches:
            for group in optimizer.param_groups:
                group["lr"] = lr(step)
            optimizer.zero_grad()
            loss_of(network(x), y).backward()
            optimizer.step()
            step += 1
            yield len(x)


@torch.no_grad()
def accuracy(network: nn.Module, batches: DataLoader[object]) -> float:
    """Share of images whose first answer is right."""
    network.eval()
    right = [(network(x).argmax(1) == y).float() for x, y in batches]
    return float(torch.cat(right).mean())
