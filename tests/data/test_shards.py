"""Shards: what is written is what the data hold; what is read is believed in nothing."""

import contextlib
import hashlib
import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvision.data import shard_files, shard_tar, shard_write, shards
from pocketvision.data.cache import Cache
from pocketvision.data.read import read
from pocketvision.data.shard_files import with_files
from pocketvision.data.shard_write import write_shards
from pocketvision.decode import decode
from pocketvision.errors import DataError, OutputExists, UsageError
from tests.data.made import folder, listing

LAYOUT = {"train/cat": 20, "train/dog": 10, "train/fish": 5, "val/cat": 3, "val/dog": 2,
          "val/fish": 2}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("photos"), LAYOUT)


@pytest.fixture
def cache(tmp_path):
    return Cache(folder=tmp_path / "cache")


def written(photos, out, *, shard_bytes=60_000, **more):
    write_shards(read(photos), out, shard_bytes=shard_bytes, workers=1, **more)
    return out


# ------------------------------------------------------------------------------------------ written


def test_another_program_reads_what_was_written(photos, tmp_path):
    out = written(photos, tmp_path / "out")
    index = json.loads((out / "shards.json").read_text())
    assert index["classes"] == ["cat", "dog", "fish"]
    seen = {"train": [], "val": []}
    for row in index["shards"]:
        data = (out / row["name"]).read_bytes()
        assert len(data) == row["size_bytes"] <= 60_000
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        with tarfile.open(out / row["name"]) as tar:
            entries = tar.getmembers()
            assert all(e.isreg() and (e.mtime, e.uid, e.gid) == (0, 0, 0) for e in entries)
            texts = [tar.extractfile(e).read() for e in entries]
        names = [e.name for e in entries]
        assert [n.rpartition(".")[2] for n in names] == ["png", "cls"] * row["labels"].__len__()
        keys = [n.partition(".")[0] for n in names]
        assert keys[::2] == keys[1::2] == sorted(set(keys))
        assert [int(t) for t in texts[1::2]] == row["labels"]
        seen[row["split"]] += zip(texts[::2], row["labels"], strict=True)
    assert len([r for r in index["shards"] if r["split"] == "train"]) > 3
    for split, rows in seen.items():
        files = {p.read_bytes(): p.parent.name for p in (photos / split).rglob("*.png")}
        assert len(files) == len(rows)
        assert {d: index["classes"][label] for d, label in rows} == files


def test_every_shard_is_a_fair_sample(photos, tmp_path):
    out = written(photos, tmp_path / "out", most_images=7, shard_bytes=10**6)
    made = shards.opened(str(out)).of("train")
    assert [len(s) for s in made] == [7] * 5
    for shard in made:  # 20, 10 and 5 of 35 in 7: 4, 2, 1, and no more than one off
        assert np.abs(np.bincount(shard.labels, minlength=3) - [4, 2, 1]).max() <= 1


def test_the_same_call_gives_the_same_bytes_and_another_seed_another_order(photos, tmp_path):
    a = written(photos, tmp_path / "a")
    b = written(photos, tmp_path / "b")
    c = written(photos, tmp_path / "c", seed=1)
    files = sorted(p.name for p in a.iterdir())
    assert files == sorted(p.name for p in b.iterdir())
    assert all((a / f).read_bytes() == (b / f).read_bytes() for f in files)
    first = "train-00000.tar"
    assert (a / first).read_bytes() != (c / first).read_bytes()


def test_the_data_stay_as_they_are(photos, tmp_path):
    before = listing(photos)
    written(photos, tmp_path / "out")
    assert listing(photos) == before


def test_pixels_that_came_along_go_in_as_png(tmp_path):
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    data = read("digits")
    few = {split: rows[:40] for split, rows in data.splits.items()}
    few["train"] = tuple({s.label: s for s in data.splits["train"]}.values())
    write_shards(replace(data, splits=few), tmp_path / "out", shard_bytes=10**6, workers=1)
    made = shards.opened(str(tmp_path / "out"))
    (shard,) = made.of("val")
    rows = shard_files.members(made, shard, Cache(folder=tmp_path / "cache"))
    found = {row.data: row.label for row in rows}
    pixels = {decode(d).tobytes(): label for d, label in found.items()}
    assert pixels == {s.pixels.tobytes(): s.label for s in few["val"]}


def test_what_cannot_be_read_is_left_out_and_listed(photos, tmp_path):
    root = folder(tmp_path / "photos", {"cat": 6, "dog": 6}, start=500)
    (root / "cat/3.png").write_bytes(b"<html>no picture</html>")
    (root / "dog/0.png").write_bytes((root / "dog/0.png").read_bytes()[:-30])
    index = write_shards(read(root), tmp_path / "out", shard_bytes=10**6, workers=1)
    assert sorted(name for name, _ in index.left_out) == ["cat/3.png", "dog/0.png"]
    assert any("HTML" in reason for _, reason in index.left_out)
    again = shards.opened(str(tmp_path / "out"))
    assert sorted(again.left_out) == sorted(index.left_out)
    assert sum(map(len, again.shards)) == 10


def test_a_class_that_cannot_be_read_at_all_is_an_error(tmp_path):
    root = folder(tmp_path / "photos", {"train/cat": 2, "train/dog": 2, "val/cat": 1, "val/dog": 1})
    for file in (root / "train/dog").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="no image of 'dog' in train can be read"):
        written(root, tmp_path / "out")
    assert not (tmp_path / "out/shards.json").exists()


# ----------------------------------------------------------------------------------- interruptions


class Stop(Exception):
    pass


def stop_after(count):
    def on_progress(what, done, _total):
        if what == "writing" and done >= count:
            raise Stop

    return on_progress


def test_an_interrupted_call_goes_on_and_ends_with_the_same_bytes(photos, tmp_path, monkeypatch):
    whole, out = written(photos, tmp_path / "whole"), tmp_path / "out"
    with pytest.raises(Stop):
        written(photos, out, on_progress=stop_after(10))
    kept = {p.name: p.stat().st_mtime_ns for p in out.glob("*.tar")}
    assert kept
    assert not (out / "shards.json").exists()
    monkeypatch.setattr(shard_write, "inspect", None)  # nothing is decoded again
    written(photos, out)
    assert all((out / name).stat().st_mtime_ns == time for name, time in kept.items())
    files = sorted(p.name for p in whole.iterdir())
    assert sorted(p.name for p in out.iterdir()) == files  # nothing is left over
    assert all((out / f).read_bytes() == (whole / f).read_bytes() for f in files)


def test_a_shard_that_was_damaged_since_is_written_again(photos, tmp_path):
    whole, out = written(photos, tmp_path / "whole"), tmp_path / "out"
    with pytest.raises(Stop):
        written(photos, out, on_progress=stop_after(10))
    data = bytearray((out / "train-00000.tar").read_bytes())
    data[700] ^= 1
    (out / "train-00000.tar").write_bytes(data)
    written(photos, out)
    first = "train-00000.tar"
    assert (out / first).read_bytes() == (whole / first).read_bytes()


def test_another_call_does_not_go_on_and_leaves_nothing_of_the_first(photos, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Stop):
        written(photos, out, shard_bytes=20_000, on_progress=stop_after(30))
    (out / "mine.tar").write_bytes(b"not ours")
    written(photos, out, shard_bytes=10**6)
    assert {p.name for p in out.iterdir()} == {
        "mine.tar", "shards.json", "train-00000.tar", "val-00000.tar"}  # fmt: skip


def test_an_index_is_replaced_only_when_told(photos, tmp_path):
    out = written(photos, tmp_path / "out")
    with pytest.raises(OutputExists, match=r"shards\.json exists already; add --overwrite"):
        written(photos, out)
    written(photos, out, shard_bytes=10**6, overwrite=True)
    assert sorted(p.name for p in out.glob("*.tar")) == ["train-00000.tar", "val-00000.tar"]
    with pytest.raises(UsageError, match=r"no split 'tset' \(splits: train, val\)"):
        written(photos, tmp_path / "other", splits=["tset"])
    with pytest.raises(UsageError, match="lies in shards already"):
        written(out, tmp_path / "twice")


# --------------------------------------------------------------------------------------------- read


def test_shards_read_like_the_data(photos, tmp_path, cache):
    out = written(photos, tmp_path / "out")
    for place in (out, out / "shards.json"):
        data = read(str(place))
        assert data.counts() == read(photos).counts()
        assert data.classes == read(photos).classes
    unpacked = with_files(data, "val", cache=cache)
    assert with_files(unpacked, "val", cache=cache) is unpacked
    held = {p.read_bytes(): p.parent.name for p in (photos / "val").rglob("*.png")}
    found = {s.path.read_bytes(): data.classes[s.label] for s in unpacked.splits["val"]}
    assert found == held
    assert all(s.path.parent.parent == cache.folder / "unpacked" for s in unpacked.splits["val"])
    names = [s.name for s in unpacked.splits["val"]]
    assert names == [f"val/{i:08d}.png" for i in range(7)]
    assert unpacked.splits["train"] is data.splits["train"]
    unpacked.splits["val"][2].path.unlink()
    again = with_files(data, "val", cache=cache)
    assert [s.path.exists() for s in again.splits["val"]] == [True] * 7
    with pytest.raises(DataError, match="GB, more than the cache may"):
        with_files(data, "train", cache=replace(cache, max_bytes=1000))
    with pytest.raises(DataError, match="need a cache"):
        with_files(data, "val", cache=None)


def index_of(photos, tmp_path):
    out = written(photos, tmp_path / "out")
    return out, json.loads((out / "shards.json").read_text())


def set_in(row, value, *keys):
    for key in keys[:-1]:
        row = row[key]
    row[keys[-1]] = value


BAD = [
    (("format",), 2, "format 1"),
    (("name",), "../../etc", "no name of a data set"),
    (("name",), "..", "no name of a data set"),
    (("classes",), ["a", "a", "b"], "named twice"),
    (("classes",), "cat", "no list of names"),
    (("shards",), [], "names no shard"),
    (("shards",), None, "not iterable"),
    (("more",), 1, "unknown field 'more'"),
    (("shards", 0, "name"), "../x.tar", "not like train-00000.tar"),
    (("shards", 0, "name"), "/etc/passwd", "not like train-00000.tar"),
    (("shards", 0, "name"), "train-00001.tar", "named twice"),
    (("shards", 0, "split"), "trian", "of split 'trian'"),
    (("shards", 0, "sha256"), "0" * 63, "no sha256"),
    (("shards", 0, "size_bytes"), 10**15, "cannot hold"),
    (("shards", 0, "size_bytes"), True, "cannot hold"),
    (("shards", 0, "size_bytes"), 2048, "cannot hold"),
    (("shards", 0, "labels"), [0, 3], "beyond the 3 classes"),
    (("shards", 0, "labels"), [0, -1], "beyond the 3 classes"),
    (("shards", 0, "labels"), [0, 0.5], "not whole numbers"),
    (("shards", 0, "labels"), [[0], [1]], "not whole numbers"),
    (("shards", 0, "labels"), [True], "not whole numbers"),
    (("shards", 0, "labels"), [10**30], "not whole numbers"),
    (("shards", 0, "labels"), [], "lists no labels"),
    (("shards", 0, "url"), "http://elsewhere", "unknown field 'url'"),
]


@pytest.mark.parametrize(("keys", "value", "words"), BAD, ids=[w for *_, w in BAD])
def test_a_wrong_index_is_refused_in_words(photos, tmp_path, keys, value, words):
    out, row = index_of(photos, tmp_path)
    set_in(row, value, *keys)
    (out / "shards.json").write_text(json.dumps(row))
    with pytest.raises(DataError, match=words) as e:
        read(out)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"[]", b'{"format": 1}'])
def test_an_index_that_is_none(tmp_path, text):
    (tmp_path / "shards.json").write_bytes(text)
    with pytest.raises(DataError, match="is no index of shards"):
        read(tmp_path)


# ------------------------------------------------------------------------------------- hostile tars


def entry(name, data=b"", form=tarfile.USTAR_FORMAT, **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    head = info.tobuf(form)
    return head + data + bytes(-len(data) % 512)


def good(key="00000000", label=0, data=b"bytes of a picture"):
    return entry(f"{key}.jpg", data) + entry(f"{key}.cls", str(label).encode())


END = bytes(1024)
TARS = {
    "cut off: no end": good(),
    "entry '00000000.jpg': cut off": good()[:600],
    "is cut off": good()[:100],
    "checksum is wrong": b"x" * 512,
    "entry '/etc/passwd': not named": entry("/etc/passwd", b"x") + END,
    r"entry '../../00000000.jpg': not named": entry("../../00000000.jpg", b"x") + END,
    "entry '00000000.jpg': not a plain file": entry(
        "00000000.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd") + END,
    "entry '00000001.jpg': not a plain file": entry(
        "00000001.jpg", type=tarfile.LNKTYPE, linkname="x") + END,
    "entry '00000002.jpg/': not a plain file": entry("00000002.jpg", type=tarfile.DIRTYPE) + END,
    "entry '00000003.jpg': not a plain file": entry("00000003.jpg", type=tarfile.FIFOTYPE) + END,
    "entry '00000004.jpg': not a plain file": entry(
        "00000004.jpg", b"x", type=tarfile.GNUTYPE_SPARSE) + END,
    "not a plain file with a short name": entry(
        "a" * 120 + ".jpg", b"x", form=tarfile.GNU_FORMAT) + END,
    "not followed by 00000000.cls": entry("00000000.jpg", b"x") + END,
    "entry '00000000.cls': out of order": entry("00000000.cls", b"0") + END,
    "entry '00000000.png': out of order": good() + entry("00000000.png", b"x") + END,
    "entry '00000000.cls': is not the number": entry("00000000.jpg", b"x")
    + entry("00000000.cls", b"0x1") + END,
    "its size is over 256 MiB": entry("00000000.jpg", size=2**40, form=tarfile.GNU_FORMAT)[:512]
    + END,
}  # fmt: skip


@pytest.mark.parametrize(("words", "data"), TARS.items(), ids=list(TARS))
def test_a_hostile_tar_is_refused_in_words(words, data):
    with pytest.raises(DataError, match=words) as e:
        list(shard_tar.members(io.BytesIO(data), "s.tar"))
    assert str(e.value).startswith("s.tar")
    assert "\n" not in str(e.value)


def test_a_plain_tar_of_another_program_is_read():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in (("00000007.webp", b"abc"), ("00000007.cls", b"12")):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid, info.uname = len(data), 1e9, 1000, "me"
            tar.addfile(info, io.BytesIO(data))
    out.seek(0)
    assert list(shard_tar.members(out, "s")) == [("00000007", "webp", b"abc", 12)]


BASE = good("00000000", 1, b"x" * 700) + good("00000001", 0, b"y" * 100) + END


@settings(max_examples=300, deadline=None)
@given(
    at=st.integers(0, len(BASE) - 1),
    patch=st.binary(min_size=1, max_size=24),
    cut=st.integers(0, len(BASE)),
)
def test_mutated_tars_end_in_words_or_in_whole_members(at, patch, cut):
    data = (BASE[:at] + patch + BASE[at + len(patch) :])[: cut or None]
    rows = []
    with contextlib.suppress(DataError):
        rows.extend(shard_tar.members(io.BytesIO(data), "s"))
    assert len(rows) <= 2
    assert sum(len(r.data) for r in rows) <= len(data)


# ----------------------------------------------------------------- a file that is not the index's


def rewritten(out, change):
    """The first training shard with other bytes, and an index that agrees to them."""
    row = json.loads((out / "shards.json").read_text())
    first = row["shards"][0]
    data = change((out / first["name"]).read_bytes(), first)
    (out / first["name"]).write_bytes(data)
    first["size_bytes"], first["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    (out / "shards.json").write_text(json.dumps(row))
    return shards.opened(str(out))


def first_members(made, cache):
    return list(shard_files.members(made, made.of("train")[0], cache))


def test_bytes_that_are_not_the_index_s(photos, tmp_path, cache):
    out = written(photos, tmp_path / "out")
    made = shards.opened(str(out))
    path = out / "train-00000.tar"
    data = path.read_bytes()
    path.write_bytes(data[:-512])
    with pytest.raises(DataError, match=rf"has {len(data) - 512} bytes, the index says"):
        first_members(made, cache)
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(DataError, match="its sha256 is another one"):
        first_members(made, cache)
    path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*train-00000\.tar: no such file"):
        first_members(made, cache)


def test_counts_and_classes_that_are_not_the_index_s(photos, tmp_path, cache):
    out = written(photos, tmp_path / "out", most_images=7, shard_bytes=10**6)

    def fewer(data, row):
        row["labels"] = row["labels"][:-1]
        return data

    with pytest.raises(DataError, match="holds more than the 6 images of the index"):
        first_members(rewritten(out, fewer), cache)

    def more(data, row):
        row["labels"] += [0, 0]
        return data + bytes(8192)

    with pytest.raises(DataError, match="holds 7 images, the index says 8"):
        first_members(rewritten(out, more), cache)

    def other(data, row):
        row["labels"] = [(label + 1) % 3 for label in row["labels"][:7]]
        return data

    with pytest.raises(DataError, match=r"is of class \d, the index says \d"):
        first_members(rewritten(out, other), cache)
