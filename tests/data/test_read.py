"""Layouts that are recognised, splits that stay put, and what is said about folders that do not
fit.
"""

import os
import unicodedata
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.data.dataset import Dataset, Sample, natural, relabeled
from pocketvision.data.read import image_files, read
from pocketvision.data.split import split
from pocketvision.errors import DataError, LabelError

from .made import folder


def error(source, **options):
    with pytest.raises(DataError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(samples):
    return [s.name for s in samples]


# Folders ------------------------------------------------------------------------------------------


def test_split_folders(tmp_path):
    folder(tmp_path, {"train/cat": 2, "train/dog": 3, "valid/cat": 1, "valid/dog": 1})
    folder(tmp_path, {"test/cat": 1, "test/dog": 2})
    data = read(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.counts() == {"train": (2, 3), "val": (1, 1), "test": (1, 2)}
    assert data.layout == "train/class/*, valid/class/*, test/class/*"
    assert names(data.splits["val"]) == ["valid/cat/0.png", "valid/dog/0.png"]
    assert data.splits["val"][1].path == tmp_path / "valid/dog/0.png"


@pytest.mark.parametrize("name", ["val", "validation", "Valid", "VAL"])
def test_names_of_val(tmp_path, name):
    folder(tmp_path, {"train/a": 1, "train/b": 1, f"{name}/a": 1, f"{name}/b": 1})
    assert read(tmp_path).counts() == {"train": (1, 1), "val": (1, 1)}


def test_a_missing_val_comes_out_of_train(tmp_path):
    folder(tmp_path, {"train/a": 10, "train/b": 5, "test/a": 1, "test/b": 1})
    data = read(tmp_path, val_fraction=0.2)
    assert data.counts() == {"train": (8, 4), "val": (2, 1), "test": (1, 1)}
    assert "20% of each class held out as val by seed 0" in data.layout
    assert list(data.splits) == ["train", "val", "test"]


def test_class_folders(tmp_path):
    folder(tmp_path, {"b": 5, "a": 10})
    data = read(tmp_path, val_fraction=0.4)
    assert data.classes == ("a", "b")
    assert data.counts() == {"train": (6, 3), "val": (4, 2)}
    assert data.layout.startswith("class/*; 40% of each class held out")


def test_what_is_passed_over_and_what_is_not(tmp_path):
    folder(tmp_path, {"a": 2, "b": 2, ".hidden": 2, "a/deeper": 2, "a/.cache": 1})
    for name in (".DS_Store", "._0.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "a" / name).write_bytes(b"x")
    (tmp_path / "b" / "PHOTO.JPG").write_bytes(b"x")
    (tmp_path / "b" / "phone.HEIC").write_bytes(b"x")  # refused by name later, not lost
    found = sorted(s.name for s in [*read(tmp_path).splits["train"], *read(tmp_path).splits["val"]])
    assert found == [
        *("a/0.png", "a/1.png", "a/deeper/0.png", "a/deeper/1.png"),
        *("b/0.png", "b/1.png", "b/PHOTO.JPG", "b/phone.HEIC"),
    ]


def test_classes_in_natural_order(tmp_path):
    folder(tmp_path, {f"class {i}": 2 for i in (10, 9, 1, 2)})
    assert read(tmp_path).classes == ("class 1", "class 2", "class 9", "class 10")


@given(st.lists(st.text(max_size=8), unique=True))
def test_natural_order_is_total(words):
    # Two different names never share a key, or their order would depend on the file system.
    assert len({natural(w) for w in words}) == len(words)


def test_names_of_a_mac_match(tmp_path):
    composed, decomposed = (unicodedata.normalize(f, "café") for f in ("NFC", "NFD"))
    assert composed != decomposed
    folder(tmp_path, {f"train/{composed}": 1, "train/b": 1, f"val/{decomposed}": 1, "val/b": 1})
    assert read(tmp_path).counts() == {"train": (1, 1), "val": (1, 1)}


def test_class_folders_behind_links(tmp_path):
    folder(tmp_path / "elsewhere", {"a": 3})
    folder(tmp_path / "data", {"b": 3})
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere" / "a")
    assert read(tmp_path / "data").classes == ("a", "b")


def test_file_names_that_are_not_text(tmp_path):
    folder(tmp_path, {"a": 2, "b": 2})
    os.rename(os.fsencode(tmp_path / "a/0.png"), os.fsencode(tmp_path / "a") + b"/\xff\xfe.png")  # noqa: PTH104
    (tmp_path / "b/0.png").rename(tmp_path / "b/two\nlines.png")
    data = read(tmp_path)
    found = {s.name: s for samples in data.splits.values() for s in samples}
    assert found.keys() == {"a/\\xff\\xfe.png", "a/1.png", "b/1.png", "b/two\\x0alines.png"}
    assert all(s.path.exists() for s in found.values())


def test_image_files_are_found_deep_down_and_in_order(tmp_path):
    folder(tmp_path, {"x": 11, "x/y": 1})
    found = [p.relative_to(tmp_path).as_posix() for p in image_files(tmp_path)]
    assert found[:3] == ["x/0.png", "x/1.png", "x/2.png"]
    assert "x/y/0.png" in found
    assert len(found) == 12


# Splits -------------------------------------------------------------------------------------------


def samples(count, label=0, prefix="a"):
    return [Sample(None, label, f"{prefix}/{i}.jpg") for i in range(count)]


@given(count=st.integers(1, 60), seed=st.integers(), fraction=st.floats(0.05, 0.95))
def test_split_is_whole_and_stratified(count, seed, fraction):
    both = samples(count) + samples(2 * count, 1, "b")
    kept, held = split(both, seed=seed, fraction=fraction)
    assert sorted(names(kept) + names(held)) == sorted(names(both))
    for label, size in ((0, count), (1, 2 * count)):
        n = sum(s.label == label for s in held)
        assert abs(n - size * fraction) <= 1
        assert n < size
        assert n > 0 or size == 1


def test_split_depends_on_names_and_seed_only():
    all_of_them = samples(200)
    _, held = split(all_of_them, seed=0, fraction=0.2)
    _, again = split(all_of_them[::-1], seed=0, fraction=0.2)
    _, other = split(all_of_them, seed=1, fraction=0.2)
    assert set(names(held)) == set(names(again))
    assert 10 < len(set(names(held)) & set(names(other))) + 10 < 30


@given(more=st.integers(1, 30))
def test_added_files_move_few_others(more):
    few, many = samples(100), samples(100 + more)
    _, before = split(few, seed=0, fraction=0.2)
    _, after = split(many, seed=0, fraction=0.2)
    old = set(names(few))
    moved = (set(names(before)) ^ set(names(after))) & old
    assert len(moved) <= more


# Tables -------------------------------------------------------------------------------------------


def table(tmp_path, text, name="data.csv", **options):
    file = tmp_path / name
    file.write_text(text, **options)
    return file


def test_table_with_splits(tmp_path):
    file = table(
        tmp_path,
        "image,label,split\nimg/1.jpg,cat,train\nimg/2.jpg,dog,train\n/abs/3.jpg,cat,validation\n",
    )
    data = read(file)
    assert data.classes == ("cat", "dog")
    assert data.counts() == {"train": (1, 1), "val": (1, 0)}
    assert data.splits["train"][0].path == tmp_path / "img/1.jpg"
    assert str(data.splits["val"][0].path) == "/abs/3.jpg"
    assert data.layout == "table of image, label, split"


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_of_other_programs(tmp_path, mark):
    rows = [["Label", "Image", "note"], ["x", "1.jpg", "a"], ["y", "2.jpg", ""], ["x", '"3.jpg"']]
    rows += [["y", "4.jpg", "b"], [""]]
    text = "\ufeff" + "\r\n".join(mark.join(r) for r in rows) + "\r\n"
    data = read(table(tmp_path, text, encoding="utf-8", newline=""), val_fraction=0.5)
    assert data.classes == ("x", "y")
    assert data.counts() == {"train": (1, 1), "val": (1, 1)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column 'image'"),
        ("path,label\na,b\n", "lacks the column 'image' in its first line (path, label)"),
        ("image,label\n", "has no rows below its header"),
        ("image,label\na.jpg,\n", "line 2: no label"),
        ("image,label\na.jpg\n", "line 2: no label"),
        ("image,label\na.jpg,x\na.jpg,y\n", "lists 'a.jpg' twice, in lines 2 and 3"),
        ("image,label,split\na.jpg,x,dev\n", "line 2: split 'dev' is unknown"),
        ("image,label,split\na.jpg,x,val\n", "no row of split train"),
        ('image,label\n"a.jpg,x\n', "is not a valid table"),
        ("image,label\na.jpg,x\nb.jpg,x\n", "only one class, 'x'"),
    ],
)
def test_wrong_tables_are_named_by_line(tmp_path, text, words):
    assert words in error(table(tmp_path, text))


def test_a_label_that_train_lacks(tmp_path):
    file = table(tmp_path, "image,label,split\n1,a,train\n2,b,train\n3,c,val\n")
    with pytest.raises(LabelError, match=r"line 4: label 'c' of split val does not occur in train"):
        read(file)


def test_a_table_that_is_not_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"image,label\n\xff\xfe,1\n")
    assert "is not UTF-8 text" in error(tmp_path / "x.csv")


# What does not fit --------------------------------------------------------------------------------


def test_empty_folder(tmp_path):
    assert "has no class folders; make one folder per class" in error(tmp_path)


def test_images_without_classes(tmp_path):
    folder(tmp_path, {".": 2})
    assert "has images but no class folders" in error(tmp_path)


def test_no_images(tmp_path):
    folder(tmp_path, {"a": 0, "b": 0})
    assert "holds no images (looked for .jpg" in error(tmp_path)


def test_an_empty_class(tmp_path):
    folder(tmp_path, {"a": 2, "b": 0, "c": 1})
    assert "class folders without images: 'b'" in error(tmp_path)


def test_one_class(tmp_path):
    folder(tmp_path, {"a": 2})
    assert "has only one class, 'a'; a classifier needs two or more" in error(tmp_path)


def test_nothing_to_hold_out(tmp_path):
    folder(tmp_path, {"a": 1, "b": 1})
    assert "none can be held out" in error(tmp_path)


def test_a_fraction_that_is_none(tmp_path):
    folder(tmp_path, {"a": 2, "b": 2})
    assert "must lie between 0 and 1" in error(tmp_path, val_fraction=1.5)


def test_classes_that_differ_between_splits(tmp_path):
    folder(tmp_path, {"train/cat": 1, "train/dog": 1, "val/cat": 1, "val/Dog": 1})
    with pytest.raises(LabelError, match="val lacks 'dog'; val has 'Dog', which train lacks"):
        read(tmp_path)


def test_two_folders_for_one_split(tmp_path):
    folder(tmp_path, {"train/a": 1, "train/b": 1, "val/a": 1, "valid/a": 1})
    assert "has both val/ and valid/, which mean the same" in error(tmp_path)


def test_places_that_hold_no_data(tmp_path):
    folder(tmp_path, {"flowers/a": 1})
    (tmp_path / "x.zip").write_bytes(b"")
    assert "did you mean" in error(tmp_path / "flowrs")
    assert "flowers" in error(tmp_path / "flowrs")
    assert "did you mean 'digits'?" in error("digts")
    assert "file of another kind; give a folder" in error(tmp_path / "x.zip")
    assert "no data at" in error(tmp_path / "no" / "such" / "place")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    folder(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "b").chmod(0)
    try:
        assert "permission denied" in error(tmp_path)
    finally:
        (tmp_path / "b").chmod(0o700)


# Labels -------------------------------------------------------------------------------------------


def test_labels_are_matched_by_name():
    data = Dataset("d", None, ("b", "a"), {"train": (Sample(None, 0, "x"),)}, "")
    moved = relabeled(data, ["a", "b", "c"])
    assert moved.classes == ("a", "b", "c")
    assert moved.splits["train"][0].label == 1
    assert data.splits["train"][0].label == 0


def test_labels_outside_the_table_are_named():
    data = Dataset("d", None, ("cat", "hors"), {"train": ()}, "")
    with pytest.raises(LabelError, match=r"d has 'hors', which .* did you mean 'horse'"):
        relabeled(data, ["cat", "horse"])


# Digits -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return read("digits")


def test_digits_are_the_1797_real_ones(digits):
    counts = digits.counts()
    total = [sum(pair) for pair in zip(*counts.values(), strict=True)]
    # Test part of the UCI set: 178, 182, 177, 183, 181, 182, 181, 179, 174, 180.
    assert total == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len(digits.splits["val"]) == 359
    assert not {s.name for s in digits.splits["val"]} & {s.name for s in digits.splits["train"]}


def test_digits_are_blended_as_worked_out_by_hand(digits):
    """Enlarging by 4 reads the source at 1/8, 3/8, 5/8 and 7/8 of a pixel: a block's mean is 3/4 of
    its own pixel and 1/8 of each neighbour, and an edge stands in for what lies outside.
    """
    from sklearn.datasets import load_digits

    blend = np.eye(8) * 0.75 + (np.eye(8, k=1) + np.eye(8, k=-1)) * 0.125
    blend[0, 0] = blend[7, 7] = 0.875
    images = load_digits().images
    for sample in digits.splits["val"][:50]:
        assert sample.pixels.shape == (32, 32, 3)
        assert (sample.pixels == sample.pixels[..., :1]).all()
        source = images[int(sample.name.split("/")[-1])] * 255 / 16
        means = sample.pixels[..., 0].reshape(8, 4, 8, 4).mean((1, 3))
        np.testing.assert_allclose(means, blend @ source @ blend.T, atol=0.5)


def test_a_split_by_hand_is_a_table(tmp_path):
    """The rule `crc32(file name) % 5` of a published split, written as a table, is kept."""
    folder(tmp_path, {"a": 30, "b": 30})
    files = [p.relative_to(tmp_path).as_posix() for p in image_files(tmp_path)]
    held = {f for f in files if zlib.crc32(f.encode()) % 5 == 0}
    rows = [f"{f},{f[0]},{'val' if f in held else 'train'}" for f in files]
    data = read(table(tmp_path, "\n".join(["image,label,split", *rows])))
    assert set(names(data.splits["val"])) == held
