"""Images that lie in shards are the images; what is at hand decides nothing but time."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.data import sharded
from pocketvision.data.cache import Cache, load_uint8
from pocketvision.data.order import windowed_order
from pocketvision.data.read import read
from pocketvision.data.shard_files import with_files
from pocketvision.data.shard_write import write_shards
from pocketvision.data.sharded import ShardedPixels
from pocketvision.data.shards import opened
from pocketvision.errors import DataError
from pocketvision.preprocess import Preprocess
from tests.data.made import folder

P = Preprocess(size=(16, 24), crop_fraction=1.0)
IMAGE = 16 * 24 * 3


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    folder(root, {"train/cat": 30, "train/dog": 13, "val/cat": 1, "val/dog": 1})
    out = tmp_path_factory.mktemp("out")
    write_shards(read(root), out, shard_bytes=10**6, most_images=5, workers=1)
    return out


@pytest.fixture
def cache(tmp_path):
    return Cache(folder=tmp_path / "cache")


@pytest.fixture
def images(out, tmp_path):
    """The same images by the other route: unpacked files, through the ordinary cache."""
    data = with_files(read(out), "train", cache=Cache(folder=tmp_path / "other"))
    return load_uint8(data.splits["train"], P, workers=1).images


def pixels(out, cache, **more):
    return ShardedPixels(opened(str(out)), "train", P, cache=cache, workers=1, **more)


# -------------------------------------------------------------------------------------------- order


def test_a_windowed_order_is_a_permutation_and_a_pure_function():
    sizes = (5, 9, 1, 7, 5, 6, 8)
    first = windowed_order(sizes, seed=3, epoch=2)
    assert sorted(first.tolist()) == list(range(41))
    assert np.array_equal(first, windowed_order(sizes, seed=3, epoch=2))
    assert not np.array_equal(first, windowed_order(sizes, seed=3, epoch=1))
    assert not np.array_equal(first, windowed_order(sizes, seed=4, epoch=2))


@pytest.mark.parametrize("window", [1, 2, 4])
def test_any_stretch_needs_few_groups(window):
    sizes = [200] * 20
    found = windowed_order(sizes, seed=0, epoch=0, window=window) // 200
    stretches = [set(found[i : i + 50].tolist()) for i in range(0, 4000, 50)]
    # A stretch of a quarter of a group's images: the window, and one that comes or goes.
    assert max(map(len, stretches)) <= window + 1
    assert np.mean([len(s) for s in stretches]) > 0.8 * window


def test_the_window_is_mixed_evenly():
    found = windowed_order([300] * 12, seed=1, epoch=5, window=4) // 300
    for i in range(0, 3600, 400):  # 100 of each on the mean
        counts = np.bincount(found[i : i + 400], minlength=12)
        assert counts.max() < 180
        assert (counts > 30).sum() >= 4


def test_fewer_groups_than_the_window_are_all_mixed():
    found = windowed_order([1000, 1000], seed=0, epoch=0) // 1000
    halves = [np.bincount(found[i : i + 200], minlength=2) for i in range(0, 2000, 200)]
    assert np.abs(np.array(halves) - 100).max() < 40


# -------------------------------------------------------------------------------------------- array


def test_the_array_holds_the_images(out, cache, images):
    lazy = pixels(out, cache)
    assert lazy.shape == images.shape == (43, 16, 24, 3)
    assert (lazy.dtype, lazy.nbytes, len(lazy)) == (images.dtype, images.nbytes, 43)
    wanted = np.random.default_rng(0).permutation(43)
    assert np.array_equal(lazy[wanted], images[wanted])
    assert np.array_equal(lazy[[3, 3, 42]], images[[3, 3, 42]])
    for key in (slice(2, 17), slice(None), slice(40, 99), slice(0, 43, 9), slice(5, 5)):
        assert np.array_equal(lazy[key], images[key])


@pytest.mark.parametrize("slots", [1, 2, 5, 100])
def test_what_is_at_hand_is_bounded_and_changes_nothing(out, cache, images, slots):
    lazy = pixels(out, replace(cache, max_bytes=slots * 5 * IMAGE + 100))
    assert lazy.slots == slots
    assert lazy.roomy == (slots >= 5)
    for epoch in range(2):
        found = windowed_order(lazy.sizes, seed=0, epoch=epoch)
        for start in range(0, 43, 8):
            lazy.expect(found[start + 8 : start + 16])
            wanted = found[start : start + 8]
            assert np.array_equal(lazy[wanted], images[wanted])
            assert len(lazy.open) <= slots
    entries = [p for p in (cache.folder / "shards").iterdir() if not p.name.startswith(".tmp")]
    assert len(entries) <= max(slots, 1)


def test_each_shard_is_made_once_where_there_is_room(out, cache, monkeypatch):
    made = []
    files = ShardedPixels._files
    monkeypatch.setattr(
        ShardedPixels, "_files", lambda self, part: made.append(part.name) or files(self, part)
    )
    lazy = pixels(out, cache)
    for epoch in range(2):
        for i in windowed_order(lazy.sizes, seed=0, epoch=epoch):
            lazy[np.array([i])]
    assert sorted(made) == [f"train-{i:05d}.tar" for i in range(9)]
    pixels(out, cache)[:]
    assert len(made) == 9  # the next run takes them from the disk


def test_what_is_expected_is_prepared_meanwhile(out, cache, images):
    lazy = pixels(out, cache)
    lazy.expect(np.array([0, 1, 2, 41]))
    waited = 0
    while len(lazy.open) < 2 and waited < 500:
        time.sleep(0.02)
        waited += 1
    assert sorted(lazy.open) == [0, 8]
    assert not lazy.coming
    assert np.array_equal(lazy[[41, 0]], images[[41, 0]])


def test_several_threads_get_the_same(out, cache, images):
    lazy, bad = pixels(out, replace(cache, max_bytes=2 * 5 * IMAGE + 9)), []

    def look(seed):
        for _ in range(6):
            wanted = np.random.default_rng(seed).permutation(43)[:9]
            lazy.expect(wanted)
            if not np.array_equal(lazy[wanted], images[wanted]):
                bad.append(seed)

    threads = [threading.Thread(target=look, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not bad


def test_a_shard_that_is_not_there_is_named_and_tried_again(out, cache, images):
    lazy, path = pixels(out, cache), out / "train-00003.tar"
    path.rename(out / "away.tar")
    try:
        lazy.expect(np.array([15]))
        with pytest.raises(DataError, match=r"cannot read .*train-00003\.tar: no such file"):
            lazy[[0, 15]]
    finally:
        (out / "away.tar").rename(path)
    assert np.array_equal(lazy[[0, 15]], images[[0, 15]])


def test_an_image_that_cannot_be_decoded_is_named(tmp_path, cache, monkeypatch):
    root = folder(tmp_path / "photos", {"train/a": 3, "train/b": 3, "val/a": 1, "val/b": 1})
    (root / "train/a/1.png").write_bytes(b"<html>no picture</html>")
    clean = "pocketvision.data.shard_write.inspect"
    from pocketvision.data.inspection import Finding

    monkeypatch.setattr(clean, lambda samples, **_: [Finding()] * len(samples))
    write_shards(read(root), tmp_path / "out", shard_bytes=10**6)
    lazy = pixels(tmp_path / "out", cache)
    words = r"train-00000\.tar: image \d cannot be read \(an HTML page.*write the shards again"
    with pytest.raises(DataError, match=words):
        lazy[[0]]


def test_a_cache_that_holds_no_shard_is_refused(out, cache, monkeypatch):
    with pytest.raises(DataError, match="a shard of 5 images takes"):
        pixels(out, replace(cache, max_bytes=5 * IMAGE - 1))
    usage = sharded.shutil.disk_usage(out)._replace(free=8 * IMAGE)
    monkeypatch.setattr(sharded.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match="POCKETVISION_CACHE to another disk"):
        pixels(out, cache)
