"""A network's answers to prepared images, in batches, without gradients."""

from __future__ import annotations

import numpy as np
import torch

from pocketvision.model import Network
from pocketvision.preprocess import Preprocess
from pocketvision.tasks import classify
from pocketvision.train.device import where
from pocketvision.train.ranks import Ranks


@torch.no_grad()
def logits_of(network: Network, images_nhwc: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """float32 (n, classes) from uint8 (n, h, w, c); the network's mode is left as it was."""
    was_training = network.training
    network.eval()
    try:
        return classify.answers(
            lambda x: {"": _answer(network, x)}, classify.batches(images_nhwc, preprocess)
        )
    finally:
        network.train(was_training)


def shared_logits(
    network: Network, images_nhwc: np.ndarray, preprocess: Preprocess, ranks: Ranks
) -> np.ndarray:
    """The same, each process answering to its part of the images; all get all answers."""
    n = len(images_nhwc)
    if n < ranks.count:
        return logits_of(network, images_nhwc, preprocess)
    return ranks.gathered(logits_of(network, images_nhwc[ranks.part(n)], preprocess), n)


def _answer(network: Network, x_nchw: np.ndarray) -> np.ndarray:
    # Free where the network runs in planes: the first convolution takes either order.
    x = torch.from_numpy(x_nchw).contiguous(memory_format=torch.channels_last)
    return network(x.to(where(network))).cpu().numpy()
