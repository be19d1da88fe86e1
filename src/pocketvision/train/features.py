"""What the last layer reads of each image, computed once by the rest of the network and kept.

With a frozen trunk these numbers never change, so that training the last layer takes seconds. On
disk they lie in pieces of so many images, each named by a hash of the weights, of the contract's
scaling and of the pixels: a run that was stopped goes on where it was, and another run over the
same images finds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision.data.arrays import found_array, keep_array
from pocketvision.data.cache import Cache
from pocketvision.model import Head, Network
from pocketvision.preprocess import Preprocess, scale_and_bias, to_tensor
from pocketvision.train.device import where

FORMAT = 1
PIECE = 256  # images whose features are kept together
BATCH_SIZE = 32


def reading(network: Network, x: Tensor) -> Tensor:
    """What the last layer reads: a vector an image (n, d), or a map (n, d, h, w) where the head
    answers at every pixel.
    """
    (head,) = network.heads.values()
    y = network.trunk(x)
    return head.embed(y) if isinstance(head, Head) else y


def features_of(
    network: Network,
    images_nhwc: np.ndarray,
    preprocess: Preprocess,
    *,
    cache: Cache | None = None,
) -> Generator[int, None, np.ndarray]:
    """Returns float32 (n, d) or (n, d, h, w): `reading` of each image uint8 (h, w, c) by a network
    in eval mode. Yields how many images came with each batch, so that the caller may stop.

    Images go through the network once, those of kept pieces not at all.
    """
    base = _base(network, preprocess) if cache else b""
    pieces = []
    for start in range(0, len(images_nhwc), PIECE):
        part = np.ascontiguousarray(images_nhwc[start : start + PIECE])
        pieces.append((yield from _piece(network, part, preprocess, base, cache)))
    return np.concatenate(pieces)


def weights_digest(network: nn.Module, *, skip: str = " ") -> str:
    """sha256 of a network's tensors by name, those whose name holds `skip` left out."""
    total = hashlib.sha256()
    for name, value in network.state_dict().items():
        if skip not in name:
            total.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            total.update(value.detach().contiguous().cpu().numpy().tobytes())
    return total.hexdigest()


def _base(network: Network, preprocess: Preprocess) -> bytes:
    """Hash of all that decides features but the pixels."""
    spec = network.spec
    total = hashlib.sha256(weights_digest(network, skip=".classifier.").encode())
    total.update(repr((FORMAT, torch.__version__, spec.numerics, spec.stem, spec.blocks)).encode())
    total.update(repr([head.hidden for _, head in spec.heads]).encode())
    for values in scale_and_bias(preprocess):
        total.update(values.tobytes())
    return total.digest()


def _piece(
    network: Network,
    images: np.ndarray,
    preprocess: Preprocess,
    base: bytes,
    cache: Cache | None,
) -> Generator[int, None, np.ndarray]:
    """Features of some images, from the cache or through the network."""
    key = _key(base, images) if cache else ""
    if cache and (found := found_array(cache, "features", key, rows=len(images))) is not None:
        yield len(images)
        return found
    rows = []
    for batch in _batches(images, preprocess):
        rows.append(_run(network, batch))
        yield len(batch)
    made = np.concatenate(rows)
    if cache:
        keep_array(cache, "features", key, made)
    return made


def _key(base: bytes, images: np.ndarray) -> str:
    total = hashlib.sha256(base + repr((images.shape, str(images.dtype))).encode())
    total.update(images.data)
    return total.hexdigest()[:32]


def _batches(images: np.ndarray, preprocess: Preprocess) -> Iterator[Tensor]:
    for start in range(0, len(images), BATCH_SIZE):
        x = torch.from_numpy(to_tensor(images[start : start + BATCH_SIZE], preprocess))
        yield x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _run(network: Network, x: Tensor) -> np.ndarray:
    return reading(network, x.to(where(network))).contiguous().cpu().numpy()
