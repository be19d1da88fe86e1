"""Prepared images: the same from memory and from disk, and a cache that heals and stays small."""

import json
import os
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest

from pocketvision.data import cache as caching
from pocketvision.data import preparing
from pocketvision.data.cache import Cache, cache_folder, key, load_uint8
from pocketvision.data.dataset import Sample
from pocketvision.errors import DataError, PocketvisionError
from pocketvision.preprocess import Preprocess, decode, to_uint8

from .made import folder, listing, picture

P = Preprocess(size=(24, 32))


@pytest.fixture
def samples(tmp_path):
    files = sorted(folder(tmp_path / "data", {"a": 5}).rglob("*.png"))
    return [Sample(f, 0, f.name) for f in files]


@pytest.fixture
def cache(tmp_path):
    return Cache(folder=tmp_path / "cache")


def entries(cache):
    return sorted((cache.folder / "images").iterdir())


def spoil(samples, place=2):
    samples[place].path.write_bytes(b"<html>")


def test_each_row_is_what_the_contract_makes(samples):
    seen = []
    got = load_uint8(samples, P, workers=2, on_progress=lambda *at: seen.append(at))
    assert got.images.shape == (5, 24, 32, 3)
    for row, sample in zip(got.images, samples, strict=True):
        np.testing.assert_array_equal(row, to_uint8(decode(sample.path), P))
    assert got.kept.tolist() == [0, 1, 2, 3, 4]
    assert got.bad == []
    assert seen == [(i, 5) for i in range(1, 6)]


def test_pixels_go_the_same_way():
    pixels = np.array(picture(0))
    got = load_uint8([Sample(None, 0, "x", pixels)], P, workers=1)
    np.testing.assert_array_equal(got.images[0], to_uint8(pixels, P))


def test_memory_and_disk_agree(samples, cache):
    spoil(samples)
    plain = load_uint8(samples, P, workers=2, skip_bad=True)
    for _ in range(2):
        kept = load_uint8(samples, P, workers=2, skip_bad=True, cache=cache)
        np.testing.assert_array_equal(kept.images, plain.images)
        assert kept.kept.tolist() == plain.kept.tolist() == [0, 1, 3, 4]
        assert kept.bad == plain.bad == [(str(samples[2].path), "an HTML page, not an image")]


def test_the_second_time_nothing_is_decoded(samples, cache, monkeypatch):
    first = load_uint8(samples, P, workers=1, cache=cache)
    monkeypatch.setattr(preparing, "pixels_of", None)
    seen = []
    again = load_uint8(samples, P, workers=1, cache=cache, on_progress=lambda *at: seen.append(at))
    np.testing.assert_array_equal(again.images, first.images)
    assert seen == [(5, 5)]


def test_the_array_is_a_plain_file_that_writing_to_the_array_leaves_alone(samples, cache):
    got = load_uint8(samples, P, workers=1, cache=cache)
    (entry,) = entries(cache)
    before = np.load(entry / "images.npy")
    got.images[:] = 0
    np.testing.assert_array_equal(np.load(entry / "images.npy"), before)
    assert before.any()


def test_bad_files_stop_by_name_or_are_left_out(samples, cache):
    spoil(samples)
    for place in (None, cache):
        with pytest.raises(DataError, match=r"1 of 5 .*2\.png: an HTML page.*--skip-bad"):
            load_uint8(samples, P, workers=1, cache=place)
    for sample in samples:
        sample.path.write_bytes(b"")
    for place in (None, cache):
        with pytest.raises(DataError, match=r"5 of 5 .* nothing to work with"):
            load_uint8(samples, P, workers=1, cache=place, skip_bad=True)


def test_long_lists_are_cut():
    many = [Sample(None, 0, f"n{i}") for i in range(8)]
    with pytest.raises(DataError, match="n4: has neither a file nor pixels; and 3 more"):
        load_uint8(many, P, workers=1)


def test_the_data_folder_is_not_written_to(samples, cache):
    root = samples[0].path.parents[1]
    before = listing(root)
    load_uint8(samples, P, workers=2, cache=cache)
    assert listing(root) == before


# Keys ---------------------------------------------------------------------------------------------


def test_the_key_changes_with_all_that_decides_pixels(samples, cache):
    def now(rows, p=P):
        return key(rows, p, cache=cache)

    keys = [now(samples), now(samples[::-1]), now(samples[:4])]
    keys.append(now(samples, Preprocess(size=(24, 32), interpolation="bicubic")))
    picture(77).save(samples[0].path)
    keys.append(now(samples))
    samples[0].path.unlink()
    keys.append(now(samples))
    pixels = np.zeros((4, 4, 3), np.uint8)
    keys += [now([Sample(None, 0, "x", pixels + i)]) for i in range(2)]
    assert len(set(keys)) == len(keys)
    assert now(samples) == keys[-3]


def test_labels_names_places_and_times_of_files_do_not_change_the_key(samples, cache, tmp_path):
    before = key(samples, P, cache=cache)
    others = [Sample(s.path, 1, "other") for s in samples]
    assert key(others, P, cache=cache) == before
    os.utime(samples[0].path, (1, 1))
    assert key(samples, P, cache=cache) == before
    moved = [Sample(s.path.rename(tmp_path / f"{i}.png"), 0, "x") for i, s in enumerate(samples)]
    assert key(moved, P, cache=cache) == before


def test_files_are_read_again_only_when_something_changed(samples, cache, monkeypatch):
    before = key(samples, P, cache=cache)
    with monkeypatch.context() as patched:
        patched.setattr("pocketvision.data.contents._content", lambda sample: pytest.fail("read"))
        assert key(samples, P, cache=cache) == before
    (memory,) = (cache.folder / "contents").iterdir()
    memory.write_text("damaged")
    assert key(samples, P, cache=cache) == before


def make_entry(root):
    """What one of several processes does; the images it got, and how many it decoded itself."""
    counted = []
    decode_one = preparing.Source._one
    preparing.Source._one = lambda self, s: counted.append(s) or decode_one(self, s)
    files = sorted((root / "data").rglob("*.png"))
    rows = [Sample(f, 0, f.name) for f in files]
    loaded = load_uint8(rows, P, workers=1, cache=Cache(folder=root / "cache"))
    return zlib.crc32(loaded.images.tobytes()), len(counted)


def test_of_several_processes_one_decodes(samples, tmp_path):
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(make_entry, [tmp_path] * 3))
    assert sorted(count for _, count in found) == [0, 0, 5]
    assert len({checksum for checksum, _ in found}) == 1


# Damage -------------------------------------------------------------------------------------------


def flip(file, at=-1):
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(bytes(data))


def rewrite(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda e: flip(e / "images.npy"),
        lambda e: flip(e / "sums.npy"),
        lambda e: (e / "images.npy").write_bytes((e / "images.npy").read_bytes()[:-10]),
        lambda e: (e / "images.npy").write_bytes(b""),
        lambda e: (e / "images.npy").unlink(),
        lambda e: (e / "index.json").write_text("{"),
        lambda e: (e / "index.json").write_text('{"bad": [1]}'),
        lambda e: (e / "index.json").write_text("[]"),
        lambda e: rewrite(e / "index.json", format=2),
        lambda e: rewrite(e / "index.json", format=None),
        lambda e: (e / "images.npy").write_bytes((e / "images.npy").read_bytes()[:100]),
        lambda e: (e / "images.npy").write_bytes((e / "images.npy").read_bytes() + b"more"),
        lambda e: np.save(e / "images.npy", np.zeros((3, 3))),
        lambda e: np.save(e / "sums.npy", np.array([{}], dtype=object), allow_pickle=True),
    ],
)
def test_a_damaged_entry_is_made_again(samples, cache, damage):
    first = np.array(load_uint8(samples, P, workers=1, cache=cache).images)
    damage(entries(cache)[0])
    again = load_uint8(samples, P, workers=1, cache=cache)
    np.testing.assert_array_equal(again.images, first)
    third = json.loads((entries(cache)[0] / "index.json").read_text())
    assert third == {"format": 1, "samples": 5, "bad": []}


def test_an_entry_of_another_version_is_not_looked_at(samples, cache, monkeypatch):
    first = np.array(load_uint8(samples, P, workers=1, cache=cache).images)
    monkeypatch.setattr(caching, "FORMAT", 2)
    again = load_uint8(samples, P, workers=1, cache=cache)
    np.testing.assert_array_equal(again.images, first)
    formats = {json.loads((e / "index.json").read_text())["format"] for e in entries(cache)}
    assert formats == {1, 2}


def test_an_interruption_leaves_nothing(samples, cache):
    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_uint8(samples, P, workers=2, cache=cache, on_progress=stop)
    assert entries(cache) == []


# Bounds -------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes(samples, tmp_path):
    one = 5 * 24 * 32 * 3
    cache = Cache(folder=tmp_path / "cache", max_bytes=int(one * 2.5))
    contracts = [Preprocess(size=(24, 32), fill=i) for i in range(3)]
    for age, p in ((300, contracts[0]), (200, contracts[1])):
        load_uint8(samples, p, workers=1, cache=cache)
        entry = cache.folder / "images" / key(samples, p, cache=cache)
        os.utime(entry, (time.time() - age, time.time() - age))
    load_uint8(samples, contracts[0], workers=1, cache=cache)  # used again: now the younger one
    load_uint8(samples, contracts[2], workers=1, cache=cache)
    left = {e.name for e in entries(cache)}
    assert left == {
        key(samples, contracts[0], cache=cache),
        key(samples, contracts[2], cache=cache),
    }


def test_what_exceeds_the_bound_stays_in_memory(samples, tmp_path):
    cache = Cache(folder=tmp_path / "cache", max_bytes=100)
    assert len(load_uint8(samples, P, workers=1, cache=cache).images) == 5
    assert not cache.folder.exists()


def test_leftovers_of_killed_runs_go_after_a_day(samples, cache):
    old, new = (cache.folder / "images" / f".tmp-{n}" for n in ("old", "new"))
    for place in (old, new):
        place.mkdir(parents=True)
    os.utime(old, (1, 1))
    load_uint8(samples, P, workers=1, cache=cache)
    assert not old.exists()
    assert new.exists()


def test_a_place_that_cannot_be_written(samples, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PocketvisionError, match=r"cannot keep prepared .*POCKETVISION_CACHE"):
        load_uint8(samples, P, workers=1, cache=Cache(folder=tmp_path / "file"))


def test_a_full_disk(samples, cache, monkeypatch):
    monkeypatch.setattr(caching.shutil, "disk_usage", lambda place: SimpleNamespace(free=0))
    with pytest.raises(
        PocketvisionError, match=r"the disk has less than the 0\.0 GB it takes; free"
    ):
        load_uint8(samples, P, workers=1, cache=cache)
    assert entries(cache) == []


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder({}) == tmp_path / ".cache" / "pocketvision"
    assert cache_folder({"POCKETVISION_CACHE": "/x"}).as_posix() == "/x"
