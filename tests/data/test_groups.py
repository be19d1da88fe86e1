"""Groups stay whole: on one side of a split, in one fold; and what is said where they cannot."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvision.data.dataset import Dataset, Sample
from pocketvision.data.folds import fold_datasets, folds_of, pooled
from pocketvision.data.groups import parsed
from pocketvision.data.read import read
from pocketvision.data.split import rank, split
from pocketvision.errors import DataError, UsageError

from .made import folder

# (class, group) of each image
places = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=2, max_size=60)


def samples_of(rows):
    return [Sample(None, label, f"{i}.jpg", group=f"g{g}") for i, (label, g) in enumerate(rows)]


def singles(counts):
    return [Sample(None, c, f"{c}/{i}") for c, n in enumerate(counts) for i in range(n)]


def names(samples):
    return {s.name for s in samples}


# Splits -------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(places, st.integers(0, 99), st.floats(0.05, 0.95))
def test_no_group_is_on_both_sides(rows, seed, fraction):
    samples = samples_of(rows)
    kept, held = split(samples, seed=seed, fraction=fraction)
    assert not {s.group for s in kept} & {s.group for s in held}
    assert sorted(names(kept) | names(held)) == sorted(names(samples))
    assert len(kept) + len(held) == len(samples)
    assert {s.label for s in kept} == {s.label for s in samples}  # all classes can be learned


@given(places, st.integers(0, 99))
def test_the_split_follows_from_seed_and_names_alone(rows, seed):
    samples = samples_of(rows)
    _, held = split(samples, seed=seed, fraction=0.3)
    _, again = split(samples[::-1], seed=seed, fraction=0.3)
    assert names(held) == names(again)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(0, 99), st.floats(0.05, 0.9)
)
def test_groups_of_one_are_split_like_images(counts, seed, fraction):
    """By another route: of each class the lowest ranks, as many as the share rounds to."""
    samples = singles(counts)
    alone = [Sample(None, s.label, s.name, group=s.name) for s in samples]
    expected = set()
    for c, n in enumerate(counts):
        ranked = sorted((s.name for s in samples if s.label == c), key=lambda x: (rank(x, seed), x))
        expected |= set(ranked[: min(max(int(n * fraction + 0.5), 1), n - 1)])
    for given_ in (samples, alone):
        assert names(split(given_, seed=seed, fraction=fraction)[1]) == expected


@given(st.integers(0, 99))
def test_even_groups_come_near_the_share(seed):
    rows = [(c, 20 * c + i // 5) for c in range(3) for i in range(100)]
    _, held = split(samples_of(rows), seed=seed, fraction=0.2)
    assert Counter(s.label for s in held) == {0: 20, 1: 20, 2: 20}


def test_a_class_in_two_large_groups_is_held_out_all_the_same():
    rows = [(0, 0)] * 10 + [(0, 1)] * 9 + [(1, 10 + i) for i in range(20)]
    _, held = split(samples_of(rows), seed=0, fraction=0.2)
    assert Counter(s.label for s in held) == {0: 9, 1: 4}  # 9 is nearer to 4 than 10 is


# Folds --------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(places, st.integers(2, 6), st.integers(0, 99))
def test_folds_hold_everything_once_and_groups_whole(rows, count, seed):
    samples = samples_of(rows)
    if len({s.group for s in samples}) < count:
        with pytest.raises(DataError, match=f"--folds {count} needs as many"):
            folds_of(samples, count, seed=seed)
        return
    parts = folds_of(samples, count, seed=seed)
    assert Counter(s.name for part in parts for s in part) == Counter(names(samples))
    assert all(parts)
    groups = [{s.group for s in part} for part in parts]
    assert sum(map(len, groups)) == len(set().union(*groups))
    again = folds_of(samples[::-1], count, seed=seed)
    assert [names(p) for p in parts] == [names(p) for p in again]


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(2, 6), st.integers(0, 99))
def test_folds_are_stratified_within_one_image(counts, count, seed):
    if sum(counts) < count:
        return
    parts = folds_of(singles(counts), count, seed=seed)
    for label in range(len(counts)):
        sizes = [sum(s.label == label for s in part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
    whole = [len(part) for part in parts]
    assert max(whole) - min(whole) <= len(counts)


def test_another_seed_gives_other_folds():
    one, other = (folds_of(singles([30, 30]), 3, seed=s) for s in (0, 1))
    assert [names(p) for p in one] != [names(p) for p in other]


def dataset_of(samples, classes, **splits):
    return Dataset("d", None, classes, {"train": tuple(samples), **splits}, "")


def test_fold_datasets_leave_the_test_split_alone():
    held = (Sample(None, 0, "t/0"),)
    val = (Sample(None, 1, "v/0"),)
    data = dataset_of(singles([6, 6]), ("a", "b"), val=val, test=held)
    made = fold_datasets(data, 3, seed=0)
    everything = names(pooled(data))
    assert len(everything) == 13
    for one in made:
        assert one.splits["test"] == held
        assert names(one.splits["train"]) | names(one.splits["val"]) == everything
        assert not names(one.splits["train"]) & names(one.splits["val"])
    assert Counter(s.name for one in made for s in one.splits["val"]) == Counter(everything)


def test_a_class_that_a_fold_would_take_away():
    rows = [(0, i) for i in range(9)] + [(1, 20)] * 5
    data = dataset_of(samples_of(rows), ("many", "alone"))
    with pytest.raises(DataError, match="class 'alone' would have no image to train on"):
        fold_datasets(data, 3, seed=0)


@pytest.mark.parametrize("count", [0, 1, 51, -2])
def test_a_count_of_folds_that_cannot_be(count):
    with pytest.raises(UsageError, match=f"--folds must be from 2 to 50, got {count}"):
        folds_of(singles([5, 5]), count, seed=0)


# What is read -------------------------------------------------------------------------------------


def groups_in(data):
    return {split: {s.group for s in samples} for split, samples in data.splits.items()}


def test_folders_below_the_class(tmp_path):
    layout = {f"{c}/p{i}/deep": 3 for c in ("cat", "dog") for i in range(5)}
    folder(tmp_path, layout)
    folder(tmp_path, {"cat": 2})  # these lie in no folder: each for itself
    data = read(tmp_path, group_by="folder", val_fraction=0.4)
    found = groups_in(data)
    assert not found["train"] & found["val"]
    assert found["train"] | found["val"] == {
        *(f"p{i}/" for i in range(5)),
        "cat/0.png",
        "cat/1.png",
    }
    assert "7 groups kept whole" in data.layout
    # p0 below cat and p0 below dog are one patient.
    assert all(len({s.label for s in data.splits["train"] if s.group == g}) == 2
               for g in found["train"] if g.startswith("p"))  # fmt: skip


def test_folders_of_a_split(tmp_path):
    folder(tmp_path, {f"train/{c}/p{i}": 2 for c in "ab" for i in range(4)})
    data = read(tmp_path, group_by="folder", val_fraction=0.25)
    assert data.counts() == {"train": (6, 6), "val": (2, 2)}
    assert groups_in(data)["val"] < {"p0/", "p1/", "p2/", "p3/"}


def test_a_part_of_the_file_name(tmp_path):
    folder(tmp_path, {"a": 20, "b": 20})
    for path in sorted(tmp_path.rglob("*.png")):
        path.rename(path.with_name(f"p{int(path.stem) % 4}_{path.name}"))
    data = read(tmp_path, group_by=r"regex:p(\d+)_", val_fraction=0.25)
    assert data.counts() == {"train": (15, 15), "val": (5, 5)}
    assert len(groups_in(data)["val"]) == 1


def table(tmp_path, text):
    file = tmp_path / "list.csv"
    file.write_text(text)
    return file


ROWS = "".join(f"img/{i}.jpg,{'xy'[i % 2]},p{i // 4}\n" for i in range(20))


def test_a_column_of_a_table(tmp_path):
    data = read(table(tmp_path, f"image,label,Patient\n{ROWS}"), group_by="column:patient")
    found = groups_in(data)
    assert not found["train"] & found["val"]
    assert len(found["val"]) == 1
    assert data.counts() == {"train": (8, 8), "val": (2, 2)}


def test_folders_of_a_table(tmp_path):
    rows = "".join(f"film{i // 4}/{i}.jpg,{'xy'[i % 2]}\n" for i in range(20))
    data = read(table(tmp_path, f"image,label\n{rows}"), group_by="folder")
    assert data.counts() == {"train": (8, 8), "val": (2, 2)}


def refused(kind, source, group_by):
    with pytest.raises(kind) as caught:
        read(source, group_by=group_by)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_grouped_by(tmp_path):
    folder(tmp_path, {"a": 3, "b": 3})
    assert "did you mean 'folder'?" in refused(UsageError, tmp_path, "foldr")
    for text in ("folder:x", "regex", "regex:", "column:", ""):
        assert "must be folder, regex:PATTERN or column" in refused(UsageError, tmp_path, text)
    assert "is not a pattern: missing )" in refused(UsageError, tmp_path, "regex:(a")
    assert "in parentheses" in refused(UsageError, tmp_path, r"regex:\d+")
    words = refused(DataError, tmp_path, r"regex:p(\d+)_")
    assert "fits none of 6 file names, not '0.png'" in words
    assert "fits only 2 of 6 file names, not '1.png'" in refused(DataError, tmp_path, "regex:(0)")
    words = refused(DataError, tmp_path, "folder")
    assert "no folder to group by: 'a/0.png' lies directly in its class" in words
    assert "needs a table" in refused(UsageError, tmp_path, "column:patient")
    words = refused(DataError, tmp_path, r"regex:\d\.(png)")
    assert "all images are of one group, 'png'" in words
    assert "came without any groups" in refused(UsageError, "digits", "folder")


def test_a_column_that_is_not_there_or_empty(tmp_path):
    file = table(tmp_path, f"image,label,patient\n{ROWS}")
    words = refused(UsageError, file, "column:pateint")
    assert "no such column; did you mean 'patient'? (columns: image, label, patient)" in words
    file = table(tmp_path, "image,label,patient\n1.jpg,x,p1\n2.jpg,y,\n")
    assert "line 3: no group" in refused(DataError, file, "column:patient")


def test_splits_of_the_data_that_tear_a_group_apart(tmp_path):
    folder(tmp_path, {"train/a/p1": 1, "train/b/p2": 1, "val/a/p1": 1, "val/b/p3": 1})
    words = refused(DataError, tmp_path, "folder")
    assert "group 'p1/' is in train (train/a/p1/0.png) and in val (val/a/p1/0.png)" in words
    folder(tmp_path / "good", {"train/a/p1": 1, "train/b/p2": 1, "val/a/p4": 1, "val/b/p3": 1})
    assert "4 groups, none in two splits" in read(tmp_path / "good", group_by="folder").layout


def test_patterns_are_read():
    assert parsed(r"regex:a:(\d)").what == r"a:(\d)"
    assert parsed("folder").kind == "folder"
