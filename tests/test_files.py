import errno
import os
import stat
from pathlib import Path

import pytest

from pocketvision.errors import OutputExists, PocketvisionError
from pocketvision.files import new_folder, replace_file


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_file_is_replaced_whole(tmp_path):
    target = tmp_path / "deep" / "a.json"
    replace_file(target, "one")
    replace_file(target, b"two")
    assert target.read_text() == "two"
    assert names(target.parent) == {"a.json"}


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = replace_file(tmp_path / "a.json", "old")

    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PocketvisionError, match="the disk is full; free some space"):
        replace_file(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_folder_appears_at_the_end(tmp_path):
    with new_folder(tmp_path / "out") as temporary:
        (temporary / "x").write_text("1")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == {"out"}
    assert (tmp_path / "out" / "x").read_text() == "1"


def test_after_an_error_nothing_is_left(tmp_path):
    def half_done():
        with new_folder(tmp_path / "out") as temporary:
            (temporary / "x").write_text("1")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        half_done()
    assert names(tmp_path) == set()


def test_existing_folder_needs_overwrite_and_survives_a_failure(tmp_path):
    with new_folder(tmp_path / "out") as t:
        (t / "old").write_text("1")
    with pytest.raises(OutputExists, match="--overwrite"), new_folder(tmp_path / "out"):
        pass
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out", overwrite=True):
        raise RuntimeError("stop")
    assert names(tmp_path / "out") == {"old"}
    with new_folder(tmp_path / "out", overwrite=True) as t:
        (t / "new").write_text("2")
    assert names(tmp_path / "out") == {"new"}
    assert names(tmp_path) == {"out"}


def test_full_disk_inside_a_folder_says_so(tmp_path):
    with pytest.raises(PocketvisionError, match="disk is full"), new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == set()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_place_says_so(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(PocketvisionError, match="no permission"), new_folder(tmp_path / "out"):
        pass


def test_a_file_in_the_way_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(PocketvisionError, match="cannot write"),
        new_folder(tmp_path / "file" / "x"),
    ):
        pass
