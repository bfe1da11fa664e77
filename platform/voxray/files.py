"""Files and folders that appear whole or not at all, whenever the process is killed.

Each is written under a name of its own beside its place, `NAME.PID.part`, and renamed when it is on the disk.
"""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # renameat2(2)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to, whose file takes the place of `path` when the block ends without an error."""
    part = _part_of(path)
    try:
        yield part
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write to, which takes the place of `path` if the block ends without an error.

    The folder that was there stays until then, and is removed.
    """
    part = _part_of(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        replace_directory(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def replace_directory(part: Path, path: Path) -> None:
    """Move the folder `part` to `path`, on the same file system, in place of a folder that may be there.

    On Linux a kill at any moment leaves the old or the new folder at `path`; where the system cannot exchange
    two names, a kill in the wrong instant leaves the old one at `NAME.PID.old`.
    """
    for file in (*part.rglob("*"), part):
        _sync(file)
    try:
        part.rename(path)
    except OSError as e:
        if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _exchange(part, path):
            old = path.with_name(f"{path.name}.{os.getpid()}.old")
            path.rename(old)
            part.rename(path)
            part = old
        shutil.rmtree(part, ignore_errors=True)
    _sync(path.parent)


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two names in one step; return False where that is not possible."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    return renameat2 is not None and not renameat2(
        _AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE
    )


def _sync(path: Path) -> None:
    """Wait until `path` is on the disk, so that a rename never gets there before the contents."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
