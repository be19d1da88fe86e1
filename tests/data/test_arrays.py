import os

import numpy as np
import pytest

from pocketvision.data.arrays import found_array, keep_array
from pocketvision.data.cache import Cache


def test_what_was_kept_comes_back(tmp_path):
    cache, rows = Cache(folder=tmp_path), np.arange(12, dtype=np.float32).reshape(4, 3)
    assert found_array(cache, "features", "k", rows=4) is None
    assert keep_array(cache, "features", "k", rows)
    assert np.array_equal(found_array(cache, "features", "k", rows=4), rows)
    assert found_array(cache, "features", "k", rows=5) is None
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-2], lambda b: b[:40], lambda b: b"", lambda b: b[:-1] + b"!"]
)
def test_a_damaged_entry_counts_as_none(tmp_path, damage):
    cache = Cache(folder=tmp_path)
    keep_array(cache, "features", "k", np.ones((4, 3), np.float32))
    file = tmp_path / "features" / "k" / "array.npy"
    file.write_bytes(damage(file.read_bytes()))
    assert found_array(cache, "features", "k", rows=4) is None
    assert keep_array(cache, "features", "k", np.ones((4, 3), np.float32))
    assert found_array(cache, "features", "k", rows=4) is not None


def test_objects_are_never_loaded(tmp_path):
    cache, place = Cache(folder=tmp_path), tmp_path / "features" / "k"
    place.mkdir(parents=True)
    np.save(place / "array.npy", np.array([{"a": 1}], object), allow_pickle=True)
    (place / "sum.txt").write_text("0")
    assert found_array(cache, "features", "k", rows=1) is None


def test_the_oldest_go_when_the_bound_is_reached(tmp_path):
    cache, row = Cache(folder=tmp_path, max_bytes=10_000), np.ones((1, 1000), np.float32)
    for i in range(3):
        keep_array(cache, "features", f"k{i}", row)
        os.utime(tmp_path / "features" / f"k{i}", (1000 + i, 1000 + i)) if i < 2 else None
    assert found_array(cache, "features", "k0", rows=1) is None
    assert found_array(cache, "features", "k2", rows=1) is not None
    assert not keep_array(cache, "features", "big", np.ones((1, 5000), np.float32))


def test_a_place_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "features").write_text("in the way")
    assert not keep_array(Cache(folder=tmp_path), "features", "k", np.ones((1, 2)))
