"""The first phase of a run that starts from weights: the trunk runs once over every image, frozen,
and the last layer is fitted to what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from pocketvision.errors import Interrupted
from pocketvision.model import MapHead, Network
from pocketvision.train import balance
from pocketvision.train.events import Event, Extracted
from pocketvision.train.features import features_of
from pocketvision.train.head import Fitted, Layer, fitted
from pocketvision.train.job import Images, Job
from pocketvision.train.rounds import in_rounds, part_of
from pocketvision.train.start import last_layer

Stop = Callable[[], bool]


def extracted(
    network: Network, job: Job, split: str, should_stop: Stop
) -> Generator[Event, None, np.ndarray]:
    """Returns the features (n, d) of a split, "train" or "val"; yields how far it is. Raises
    Interrupted once `should_stop` says so; what is done stays in the job's cache.
    """
    images: Images = getattr(job, split)
    network.eval()

    def answer(rows: slice) -> Generator[int, None, np.ndarray]:
        part = part_of(images.pixels, rows)
        return features_of(network, part, job.preprocess, cache=job.cache)

    run, done = in_rounds(job.ranks, len(images), answer), 0
    while True:
        try:
            done += next(run)
        except StopIteration as end:
            features: np.ndarray = end.value
            return features
        yield Extracted(split=split, done=done, total=len(images))
        if job.ranks.agreed(should_stop()):
            raise Interrupted("stopped while the frozen trunk ran over the images")


def fit_last_(network: Network, features: np.ndarray, job: Job, should_stop: Stop) -> float:
    """Fit the network's last layer to features (n, d) of the training images, in place; near the
    rows that the source gave where it knew the classes. Returns the loss that is left. Of several
    processes the first one does it. Raises Interrupted.
    """
    if job.ranks.count == 1:
        return _fit_last_(network, features, job, should_stop).loss
    loss = None
    if job.ranks.first:
        with suppress(Interrupted):
            loss = _fit_last_(network, features, job, should_stop).loss
    loss = job.ranks.said(lambda: loss)
    if loss is None:
        raise Interrupted("stopped while the last layer was fitted")
    job.ranks.same_(last_layer(network).state_dict().values())
    return float(loss)


def _fit_last_(network: Network, features: np.ndarray, job: Job, should_stop: Stop) -> Fitted:
    anchored = job.start is not None and job.start.rows is not None
    layer = read_layer(network)
    end = fitted(
        features,
        job.train.truth,
        layer,
        anchored=anchored,
        seed=job.config.seed,
        should_stop=should_stop,
        **_lean(job),
    )
    module = last_layer(network)
    with torch.no_grad():
        module.weight.copy_(end.layer.weight.view_as(module.weight))
        if module.bias is not None:
            module.bias.copy_(end.layer.bias)
    return end


def _lean(job: Job) -> dict[str, Any]:
    """What --balance asks of the fit: weights of the classes, drawn images as their mean, or what
    is added to the logits.
    """
    counts = balance.counts_of(job.train.truth, len(job.labels.names))
    if job.config.balance == "sampler":
        return {"weights": balance.draw_weights(counts)}
    if job.config.balance == "loss":
        return {"weights": balance.class_weights(counts)}
    return {"prior": np.log(balance.prior(counts))} if job.config.balance == "logit-adjust" else {}


def read_layer(network: Network) -> Layer:
    """The network's last layer as a value, on the processor."""
    (head,) = network.heads.values()
    module = last_layer(network)
    weight = module.weight.detach().flatten(1).cpu().clone()
    bias = torch.zeros(len(weight)) if module.bias is None else module.bias.detach().cpu().clone()
    act = head.act if isinstance(head, MapHead) else None
    return Layer(weight=weight, bias=bias, act=act, biased=module.bias is not None)


def logits_of_features(network: Network, features: np.ndarray) -> np.ndarray:
    """float32 (n, classes) from features (n, d)."""
    with torch.no_grad():
        return read_layer(network).logits(torch.from_numpy(features)).numpy()
