"""Atomic publication: a product gets its name complete or not at all. Also sweeps what killed runs left staged."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from aurora_platform.errors import AuroraError, BusyError
from aurora_platform.fs.locks import hold_lock

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class Staging:
    """A directory on the file system of the products, where products are written before they get their names.

    Each entry is protected by the lock of the same name. An entry whose lock is not held was left by a killed run;
    :meth:`sweep` removes it.
    """

    def __init__(self, directory: Path, locks: Path, wait: timedelta = timedelta(minutes=10)) -> None:
        self.directory = directory
        self.locks = locks
        self.wait = wait

    @contextmanager
    def claim(self, name: str) -> Iterator[Path]:
        """Yield a path at which nothing exists yet, reserved until the block ends; then it is removed."""
        with hold_lock(self.locks, name, self.wait):
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / name
            remove(path)
            try:
                yield path
            finally:
                remove(path)

    def sweep(self) -> int:
        """Remove the entries that killed runs left; returns their number."""
        removed = 0
        for path in sorted(self.directory.iterdir()) if self.directory.is_dir() else ():
            with suppress(BusyError), hold_lock(self.locks, path.name, timedelta(0)):
                removed += remove(path)
        return removed


def nearest(path: Path) -> Path:
    """Return the path, or its nearest parent directory that exists."""
    while not path.exists():
        path = path.parent
    return path


def remove(path: Path) -> bool:
    """Remove a file or a tree; never follows a symlink. Returns whether there was one."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    return True


def flush(path: Path) -> None:
    """Flush a file's bytes, or a directory's names, to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish_file(staged: Path, target: Path) -> None:
    """Give a finished file its name. A reader sees the old file or the new one, never a part."""
    target.parent.mkdir(parents=True, exist_ok=True)
    flush(staged)
    staged.replace(target)
    flush(target.parent)


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines to a file in one write and flush them; an incomplete line of a killed run is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(b"".join(line.encode() + b"\n" for line in lines))
    flush(path)


def publish_tree(staged: Path, target: Path) -> None:
    """Give a finished directory its name; an existing one of that name is exchanged with it in one step.

    The caller must have flushed the files inside. The earlier directory is left at ``staged``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    flush(staged)
    try:
        _exchange(staged, target)
    except FileNotFoundError:
        staged.rename(target)
    flush(target.parent)


def _exchange(staged: Path, target: Path) -> None:
    # rename(2) cannot replace a directory that is not empty; renameat2 can exchange two. Python has no binding for it.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(staged), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE) == 0:
        return
    code = ctypes.get_errno()
    if code == errno.ENOENT and staged.exists():
        raise FileNotFoundError(code, os.strerror(code), str(target))
    if code in (errno.EINVAL, errno.ENOSYS):
        raise AuroraError(
            f"{target}: this file system cannot exchange two directories in one step, so a rebuilt day cannot be "
            "published atomically. Keep paths.products on ext4, xfs, btrfs or tmpfs."
        )
    raise OSError(code, os.strerror(code), str(target))
