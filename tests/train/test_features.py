import numpy as np
import pytest
import torch

from pocketvision.data.cache import Cache
from pocketvision.preprocess import to_tensor
from pocketvision.train.features import features_of, reading
from tests.train.sources import CONTRACT, bundle


def pixels(n=300, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), np.uint8)


def collected(run):
    counts = []
    while True:
        try:
            counts.append(next(run))
        except StopIteration as end:
            return end.value, counts


class Counted:
    """A network that counts the images which its trunk sees."""

    def __init__(self, network):
        self.network, self.images = network, 0
        network.stem.register_forward_pre_hook(self.count)

    def count(self, _module, x):
        self.images += len(x[0])


@pytest.fixture
def net():
    return Counted(bundle(width=0.35).network())


def test_features_equal_direct_ones_and_come_once(net, tmp_path):
    cache, images = Cache(folder=tmp_path), pixels()
    first, counts = collected(features_of(net.network, images, CONTRACT, cache=cache))
    assert net.images == sum(counts) == 300
    again, counts = collected(features_of(net.network, images, CONTRACT, cache=cache))
    assert net.images == sum(counts) == 300
    assert np.array_equal(first, again)
    with torch.no_grad():
        direct = reading(net.network, torch.from_numpy(to_tensor(images, CONTRACT))).numpy()
    np.testing.assert_allclose(first, direct, rtol=1e-4, atol=1e-5)
    bare, _ = collected(features_of(net.network, images, CONTRACT))
    assert np.array_equal(first, bare)


def test_a_changed_image_weight_or_scale_is_another_entry(net, tmp_path):
    cache, images = Cache(folder=tmp_path), pixels()
    collected(features_of(net.network, images, CONTRACT, cache=cache))
    changed = images.copy()
    changed[290, 5, 5, 0] ^= 1
    collected(features_of(net.network, changed, CONTRACT, cache=cache))
    assert net.images == 300 + 44  # the first 256 are as they were
    other = CONTRACT.__class__(size=(32, 32))
    collected(features_of(net.network, images, other, cache=cache))
    assert net.images == 344 + 300
    with torch.no_grad():
        net.network.heads["label"].classifier.weight += 1  # no part of what is kept
    collected(features_of(net.network, images, CONTRACT, cache=cache))
    assert net.images == 644
    with torch.no_grad():
        net.network.blocks[3].expand.conv.weight[0] += 1
    collected(features_of(net.network, images, CONTRACT, cache=cache))
    assert net.images == 944


def test_a_damaged_piece_is_made_again(net, tmp_path):
    cache, images = Cache(folder=tmp_path), pixels()
    first, _ = collected(features_of(net.network, images, CONTRACT, cache=cache))
    file = next(tmp_path.glob("features/*/array.npy"))
    data = bytearray(file.read_bytes())
    data[-3] ^= 0xFF
    file.write_bytes(bytes(data))
    again, _ = collected(features_of(net.network, images, CONTRACT, cache=cache))
    assert np.array_equal(first, again)
    assert net.images > 300


def test_a_run_that_was_stopped_goes_on_where_it_was(net, tmp_path):
    cache, images = Cache(folder=tmp_path), pixels(600)
    run = features_of(net.network, images, CONTRACT, cache=cache)
    for _ in range(12):
        next(run)
    run.close()
    seen = net.images
    collected(features_of(net.network, images, CONTRACT, cache=cache))
    assert net.images - seen == 600 - 256


def test_maps_for_a_head_that_answers_at_every_pixel():
    net = bundle("squeezenet_1_1").network()
    found, _ = collected(features_of(net, pixels(3), CONTRACT))
    assert found.shape[:2] == (3, 512)
    assert found.ndim == 4
