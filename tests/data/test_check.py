"""What the check finds in folders made to be wrong, and that a bad file harms nothing else."""

import io
import json
import subprocess

import numpy as np
import pytest
from PIL import Image

from pocketvision.data import inspection
from pocketvision.data.check import check
from pocketvision.data.dataset import Dataset, Sample
from pocketvision.data.fingerprint import MAX_BITS, fingerprint, near_groups
from pocketvision.data.inspection import inspect
from pocketvision.data.read import read

from .made import folder, listing, picture


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """Good images, and one of each kind of trouble; with the report on it."""
    root = folder(tmp_path_factory.mktemp("spoilt"), {"train/a": 12, "train/b": 1})
    folder(root, {"val/a": 2, "val/b": 2}, start=100)
    jpeg = io.BytesIO()
    picture(50).save(jpeg, "JPEG")
    (root / "train/b/half.jpg").write_bytes(jpeg.getvalue()[:-300])
    (root / "train/b/empty.png").write_bytes(b"")
    (root / "train/b/page.jpg").write_bytes(b"<html>404</html>")
    (root / "val/b/same.png").write_bytes((root / "train/a/3.png").read_bytes())
    picture(4).save(root / "val/a/again.jpg", quality=60)
    (root / "train/a/copy.png").write_bytes((root / "train/a/5.png").read_bytes())
    before = listing(root)
    seen = []
    report = check(
        read(root), workers=2, on_progress=lambda done, total: seen.append((done, total))
    )
    assert listing(root) == before
    assert seen == [(i, 23) for i in range(1, 24)]
    return report


def test_bad_files_are_named_with_reasons(spoilt):
    assert {(b.place.name, b.reason) for b in spoilt.bad} == {
        ("train/b/half.jpg", "cut off: the picture data end early"),
        ("train/b/empty.png", "the file is empty"),
        ("train/b/page.jpg", "an HTML page, not an image"),
    }


def test_copies_are_found_across_splits_and_classes(spoilt):
    found = {(g.kind, tuple(p.name for p in g.places)): g for g in spoilt.groups}
    assert found.keys() == {
        ("exact", ("train/a/3.png", "val/b/same.png")),
        ("exact", ("train/a/5.png", "train/a/copy.png")),
        ("near", ("train/a/4.png", "val/a/again.jpg")),
    }
    assert {g.places[0].name for g in spoilt.leaks} == {"train/a/3.png", "train/a/4.png"}
    assert [g.places[0].name for g in spoilt.conflicts] == ["train/a/3.png"]


def test_counts_and_imbalance(spoilt):
    assert spoilt.counts == {"train": {"a": 13, "b": 4}, "val": {"a": 3, "b": 3}}
    assert spoilt.images == 23
    assert spoilt.imbalance == 13 / 4
    assert spoilt.sizes == ((64, 80), (64, 80))
    assert not spoilt.ok


def test_the_report_can_be_read_by_people_and_programs(spoilt):
    text = "\n".join(spoilt.lines())
    assert "cannot be read (3):" in text
    assert "  train/b/page.jpg: an HTML page, not an image" in text
    assert "  train/a/4.png = val/a/again.jpg (near)" in text
    assert "imbalance" not in text
    assert text.endswith("needs a look")
    assert "and 2 more" in "\n".join(spoilt.lines(most=1))
    row = json.loads(json.dumps(spoilt.as_dict()))
    assert row["images"] == 23
    assert row["groups"][0]["leak"] is True
    assert row["bad"][0]["place"]["split"] == "train"


def test_a_clean_folder(tmp_path):
    report = check(read(folder(tmp_path, {"a": 23, "b": 2})), workers=1)
    assert report.ok
    assert "the largest class of train has 18 times the images" in "\n".join(report.lines())
    assert report.lines()[-1] == "nothing wrong found"


def test_pixels_that_came_along_are_checked_too():
    pixels = np.zeros((32, 32, 3), np.uint8)
    train = (Sample(None, 0, "x", pixels), Sample(None, 1, "y", pixels + 1))
    data = Dataset("d", None, ("0", "1"), {"train": train, "val": train[:1]}, "builtin")
    report = check(data)
    assert [tuple(p.name for p in g.places) for g in report.leaks] == [("x", "x")]
    assert "x [train] = x [val] (exact)" in "\n".join(report.lines())


# Files that harm the process ----------------------------------------------------------------------

SABOTAGED = """
import os, sys, time; sys.path.insert(0, sys.argv[1])
from pocketvision.data import child
def look(path, plain=child.look):
    if "hang" in path.name: time.sleep(60)
    if "crash" in path.name: os.kill(os.getpid(), 11)
    if "leave" in path.name: os._exit(7)
    if "eat" in path.name: bytearray(2**33)
    return plain(path)
def eating(path):
    try: return look(path)
    except MemoryError: return {"reason": "needs more memory than allowed"}
child.look = eating
child.main(int(sys.argv[2]))
"""


def test_a_file_that_hangs_or_crashes_is_named_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "PROGRAM", SABOTAGED)
    folder(tmp_path, {"a": 6})
    for name in ("crash", "hang", "leave", "eat"):
        (tmp_path / "a" / "0.png").rename(tmp_path / "a" / f"{name}.png")
        picture(1).save(tmp_path / "a" / "0.png")
    files = sorted((tmp_path / "a").iterdir())
    samples = [Sample(f, 0, f.name) for f in files]
    reasons = {
        s.name: f.reason
        for s, f in zip(samples, inspect(samples, workers=2, timeout_s=3), strict=True)
    }
    assert reasons.pop("hang.png") == "takes more than 3 s to decode"
    assert reasons.pop("crash.png") == "crashed its decoder (exit -11)"
    assert reasons.pop("leave.png") == "crashed its decoder (exit 7)"
    assert reasons.pop("eat.png") == "needs more memory than allowed"
    assert set(reasons.values()) == {""}
    assert len(reasons) == 6


def test_an_interruption_ends_the_processes(tmp_path, monkeypatch):
    files = sorted(folder(tmp_path, {"a": 20}).rglob("*.png"))
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **options):
            started.append(self)
            super().__init__(*args, **options)

    def stop(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(inspection.subprocess, "Popen", Recorded)
    with pytest.raises(KeyboardInterrupt):
        inspect([Sample(f, 0, f.name) for f in files], workers=2, on_progress=stop)
    assert started
    assert all(process.returncode is not None for process in started)


def test_a_module_in_the_data_folder_is_not_run(tmp_path, monkeypatch):
    file = next(folder(tmp_path, {"a": 1}).rglob("*.png"))
    (tmp_path / "numpy.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    assert inspect([Sample(file, 0, "x")], workers=1)[0].reason == ""


# Fingerprints -------------------------------------------------------------------------------------


def distance(a, b):
    x = np.frombuffer(a[:32], np.uint8) ^ np.frombuffer(b[:32], np.uint8)
    return int(np.unpackbits(x).sum())


def variants(image):
    width, height = image.size
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=50)
    yield Image.open(jpeg)
    yield image.resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    yield image.resize((int(width * 1.4), int(height * 1.4)))
    yield image.point(lambda v: min(255, int(v * 1.05)))


def test_a_picture_changed_a_little_stays_close_and_another_is_far():
    for seed in range(8):
        image = picture(seed, 128, 160)
        mark = fingerprint(np.array(image))
        for other in variants(image):
            assert distance(mark, fingerprint(np.array(other.convert("RGB")))) <= MAX_BITS
        assert distance(mark, fingerprint(np.array(picture(seed + 100, 128, 160)))) > 60


def test_pictures_without_detail_have_no_fingerprint():
    assert fingerprint(np.full((100, 100, 3), 200, np.uint8)) is None
    assert fingerprint(np.array(picture(0, 32, 32))) is None
    assert near_groups([None, None]) == []


def noisy(mark, count, seed):
    """The mark with `count` bits of its hash turned."""
    draw = np.random.Generator(np.random.PCG64(seed))
    bits = np.unpackbits(np.frombuffer(mark[:32], np.uint8))
    bits[draw.choice(256, count, replace=False)] ^= 1
    return np.packbits(bits).tobytes() + mark[32:]


def test_groups_equal_those_of_comparing_all_pairs():
    draw = np.random.Generator(np.random.PCG64(0))
    marks = [draw.bytes(80) for _ in range(60)]
    marks += [noisy(marks[i], n, i) for i, n in enumerate((0, 1, 5, 15, 15, 15, 15, 40))]
    marks += [noisy(marks[60 + 1], 12, 5), None]
    pairs = {
        (i, j)
        for i, a in enumerate(marks)
        for j, b in enumerate(marks)
        if i < j and a and b and distance(a, b) <= MAX_BITS and a[32:] == b[32:]
    }
    found = near_groups(marks)
    assert {(i, j) for g in found for i in g for j in g if i < j} >= pairs
    assert sorted(len(g) for g in found) == [2, 2, 2, 2, 2, 2, 3]


def test_colour_tells_apart_what_grey_does_not():
    grey = np.array(picture(3).convert("L").convert("RGB"))
    tinted = np.clip(grey + np.array([60, -15, -40]), 0, 255).astype(np.uint8)
    a, b = fingerprint(grey), fingerprint(tinted)
    assert near_groups([a, a]) == [(0, 1)]
    assert near_groups([a, b]) == []


def test_many_alike_are_one_group_quickly():
    mark = fingerprint(np.array(picture(0)))
    assert near_groups([mark] * 1500) == [tuple(range(1500))]
