"""A trained network that answers for the classes of a run, on what the network in training sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketvision import spec_json
from pocketvision.data.arrays import found_array, keep_array
from pocketvision.data.augment import augment
from pocketvision.data.cache import Cache
from pocketvision.data.config import NONE
from pocketvision.errors import LabelError, UsageError
from pocketvision.model import Network
from pocketvision.preprocess import Preprocess, scale_and_bias
from pocketvision.train.batches import normalised
from pocketvision.train.device import CPU
from pocketvision.train.features import weights_digest
from pocketvision.train.job import Images
from pocketvision.train.source import Source
from pocketvision.train.start import rows_of

FORMAT = 1
KIND = "teacher"  # of arrays in the cache
BATCH_SIZE = 64
MAX_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A network in eval mode, frozen.

    rows      for each class of the run its row in the network's answer
    scale     a number x of the run's input is scale x + shift in the teacher's, by channel (c,)
    size      (h, w) that its images are brought to; None: they stay as they are
    record    where it is from
    digest    sha256 of all that decides its answers
    """

    network: Network
    rows: Tensor
    scale: Tensor
    shift: Tensor
    size: tuple[int, int] | None
    record: Mapping[str, Any] = field(default_factory=dict)
    digest: str

    @property
    def name(self) -> str:
        """The model and where it is from, for people."""
        return f"{self.network.spec.name} ({self.record.get('name', 'given')})"

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Logits (n, k) of the run's classes, for its inputs (n, c, h, w)."""
        return self._own(self.network(self.inputs(x)))

    @torch.no_grad()
    def staged(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`answer`, and the outputs of the teacher's stages."""
        logits, maps = self.network.to(x.device).staged(self.inputs(x))
        return self._own(logits), maps

    def _own(self, logits: Tensor) -> Tensor:
        return logits[:, self.rows.to(logits.device)]

    def inputs(self, x: Tensor) -> Tensor:
        """The same pixels by the teacher's contract, at its size."""
        self.network.to(x.device)
        scale, shift = (v.to(x.device)[:, None, None] for v in (self.scale, self.shift))
        same = bool((self.scale == 1).all() and (self.shift == 0).all())
        y = x if same else torch.addcmul(shift, x, scale)
        if self.size is not None and y.shape[2:] != self.size:
            y = F.interpolate(y, size=self.size, mode="bilinear", antialias=True)
        return y.contiguous(memory_format=torch.channels_last)


def teacher_of(
    source: Source, classes: Sequence[str], preprocess: Preprocess, *, own_size: bool = False
) -> Teacher:
    """A teacher for a run over `classes` whose inputs are made by `preprocess`.

    Raises UsageError for a network of several heads or of other channels, LabelError, naming them,
    where it does not know every class.
    """
    bundle = source.bundle
    rows = _rows(source, classes)
    if bundle.spec.in_channels != preprocess.channels:
        kinds = {1: "grey", 3: "colour"}
        raise UsageError(
            f"the teacher {_name(source)} takes {kinds[bundle.spec.in_channels]} images, this run "
            f"{kinds[preprocess.channels]} ones; give --in-channels {bundle.spec.in_channels}, or "
            "another teacher"
        )
    scale, shift = between(preprocess, bundle.preprocess)
    network = bundle.network().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = bundle.spec.resolution if own_size else None
    return Teacher(
        network=network,
        rows=torch.tensor(rows),
        scale=scale,
        shift=shift,
        size=size,
        record=source.record,
        digest=_digest(network, bundle.preprocess, rows, size),
    )


def _rows(source: Source, classes: Sequence[str]) -> tuple[int, ...]:
    heads = source.bundle.spec.heads
    if len(heads) != 1:
        names = ", ".join(name for name, _ in heads) or "none: it is a trunk"
        raise UsageError(f"a teacher has one head, {_name(source)} has {names}; choose another one")
    rows = rows_of(source.bundle, classes)
    if rows is None:
        raise LabelError(_unknown(source, classes))
    return rows


def _unknown(source: Source, classes: Sequence[str]) -> str:
    """What the teacher does not know, and how it can learn it."""
    labels = source.bundle.labels[source.bundle.spec.heads[0][0]]
    known = {n for i, n in enumerate(labels.names) if i not in labels.hidden}
    missing = [name for name in classes if name not in known]
    shown = ", ".join(map(repr, missing[:MAX_NAMED]))
    more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    return (
        f"the teacher {_name(source)} does not know {shown}{more} (it knows {len(known)} classes); "
        "train it on these data first: pocketvision train DATA --from TEACHER"
    )


def _name(source: Source) -> str:
    return f"{source.record.get('name', 'given')} ({source.bundle.spec.name})"


def between(own: Preprocess, other: Preprocess) -> tuple[Tensor, Tensor]:
    """(scale, shift) float32 (c,): an input x by `own` is scale x + shift by `other`.

    x = (p - m) / s of a pixel p, so that (p - m') / s' = x s / s' + (m - m') / s'.
    """
    mean, std, new_mean, new_std = (
        torch.tensor(v, dtype=torch.float64) for v in (own.mean, own.std, other.mean, other.std)
    )
    return (std / new_std).float(), ((mean - new_mean) / new_std).float()


def _digest(
    network: Network, preprocess: Preprocess, rows: Sequence[int], size: tuple[int, int] | None
) -> str:
    total = hashlib.sha256(weights_digest(network).encode())
    total.update(spec_json.dumps(network.spec).encode())
    total.update(repr((preprocess.mean, preprocess.std, rows, size)).encode())
    return total.hexdigest()


# ------------------------------------------------------------------------------------------- known


def answers_of(
    teacher: Teacher,
    images: Images,
    preprocess: Preprocess,
    *,
    hw: tuple[int, int],
    cache: Cache | None = None,
    device: torch.device = CPU,
    inputs: Callable[[slice], Tensor] | None = None,
    about: str = "",
) -> Generator[int, None, np.ndarray]:
    """Returns float32 (n, k): the teacher's answers about whole images at the size `hw` of the run,
    or about the `inputs` that are made of rows of them. Yields how many images came with each
    batch, so that the caller may stop.

    In a cache they lie by a hash of the teacher, the images, the run's contract, and `about`, which
    stands for what `inputs` does.
    """
    key = _key(teacher, images, preprocess, hw, about) if cache else ""
    if cache and (found := found_array(cache, KIND, key, rows=len(images))) is not None:
        yield len(images)
        return found
    rows = []
    for start in range(0, len(images), BATCH_SIZE):
        at = slice(start, min(start + BATCH_SIZE, len(images)))
        if inputs is None:
            x = whole(np.ascontiguousarray(images.pixels[at]), preprocess, hw)
        else:
            x = inputs(at)
        rows.append(teacher.answer(x.to(device)).cpu().numpy())
        yield len(x)
    made = np.concatenate(rows)
    if cache:
        keep_array(cache, KIND, key, made)
    return made


def whole(pixels_nhwc: np.ndarray, preprocess: Preprocess, hw: tuple[int, int]) -> Tensor:
    """Inputs float32 (n, c, *hw) of images uint8 (n, h, w, c) as a step without augmentation."""
    x = torch.from_numpy(pixels_nhwc).permute(0, 3, 1, 2)
    still = augment(x, indices=range(len(x)), epoch=0, seed=0, config=NONE, size=hw)
    return normalised(still.contiguous(memory_format=torch.channels_last), preprocess)


def _key(
    teacher: Teacher, images: Images, preprocess: Preprocess, hw: tuple[int, int], about: str
) -> str:
    total = hashlib.sha256(f"{teacher.digest} {images.digest()}{about}".encode())
    # The number of threads decides the last bits of sums.
    total.update(repr((FORMAT, torch.__version__, torch.get_num_threads(), hw)).encode())
    for values in scale_and_bias(preprocess):
        total.update(values.tobytes())
    return total.hexdigest()[:32]
