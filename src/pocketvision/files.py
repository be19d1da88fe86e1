"""Writing so that a reader sees the old state or the new one, never half of it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from pocketvision.errors import OutputExists, PocketvisionError


def _failure(path: Path, error: OSError) -> PocketvisionError:
    """What went wrong with the output, in words that say what to do."""
    if error.errno == errno.ENOSPC:
        return PocketvisionError(
            f"cannot write {path}: the disk is full; free some space, then repeat"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PocketvisionError(
            f"cannot write {path}: no permission to write there; choose another place with --output"
        )
    return PocketvisionError(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError about the output `path` into one line that says what to do."""
    try:
        yield
    except OSError as e:
        raise _failure(path, e) from None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` at the end, by a rename; after an error nothing is left.

    Raises PocketvisionError where it cannot be written.
    """
    temporary = path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as f:
                yield f
                f.flush()
                os.fsync(f.fileno())
            temporary.replace(path)
            _settle(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes | str) -> Path:
    """Write `data` to `path` through a temporary neighbour and a rename. Raises
    PocketvisionError.
    """
    with replacing(path) as f:
        f.write(data.encode() if isinstance(data, str) else data)
    return path


def _settle(path: Path) -> None:
    """Have the system put a file's data, or the names in a folder, on the disk now."""
    if os.name == "nt" and path.is_dir():  # there folders cannot be opened
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def append(path: Path, data: bytes, *, at: int) -> None:
    """Put `data` behind the first `at` bytes of `path`, whatever came after them, and on the disk
    before this returns. Raises PocketvisionError.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "xb") as f:
            f.truncate(at)
            f.seek(at)
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        _settle(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove what a writer that was killed left half done in `folder`."""
    for path in folder.glob(".tmp-*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExists when `path` is there and may not be replaced."""
    if path.exists() and not overwrite:
        raise OutputExists(f"{path} exists already; add --overwrite, or choose another --output")


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False, durable: bool = False) -> Iterator[Path]:
    """A temporary folder to fill, renamed to `path` at the end; after an error nothing is left.
    A `durable` one is on the disk before its name is, so that a power cut leaves all or nothing.

    Raises OutputExists when `path` is there and `overwrite` is not given, PocketvisionError when
    the place cannot be written.
    """
    check_free(path, overwrite=overwrite)
    temporary = path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")
    with writing(path):
        temporary.mkdir(parents=True)
    try:
        with writing(path):
            yield temporary
            if durable:
                for file in (*temporary.iterdir(), temporary):
                    _settle(file)
            _swap(temporary, path)
            if durable:
                _settle(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(temporary: Path, path: Path) -> None:
    """Put the full folder in the place of the old one, which goes only when the new one stands."""
    if not path.exists():
        temporary.rename(path)
        return
    old = path.with_name(f".tmp-old-{path.name}-{secrets.token_hex(4)}")
    path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        old.rename(path)
        raise
    if old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that the file `path` stands for, made where it is not there; other processes
    wait. The system frees it when a process dies. Raises OSError where the file cannot be made.

    Without file locks (Windows) nothing is held: writes by rename stay whole, work is done twice.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as f:
        if fcntl is not None:
            fcntl.flock(f, fcntl.LOCK_EX)
        yield
