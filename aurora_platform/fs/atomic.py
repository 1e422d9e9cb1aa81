"""How a product gets its name: whole or not at all, from a staging directory that a killed run leaves clean."""

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
    """Where products are written before they get their names: a directory on the file system of the products.

    An entry is guarded by the lock of the same name. Whatever lies here without its lock being held was left by a run
    that died, and :meth:`sweep` removes it.
    """

    def __init__(self, directory: Path, locks: Path, wait: timedelta = timedelta(minutes=10)) -> None:
        self.directory = directory
        self.locks = locks
        self.wait = wait

    @contextmanager
    def claim(self, name: str) -> Iterator[Path]:
        """Yield the path of an empty place (nothing exists there yet) that is ours until the block ends."""
        with hold_lock(self.locks, name, self.wait):
            self.directory.mkdir(parents=True, exist_ok=True)
            place = self.directory / name
            remove(place)
            try:
                yield place
            finally:
                remove(place)

    def sweep(self) -> int:
        """Remove what dead runs left behind; returns how many entries that were."""
        removed = 0
        for place in sorted(self.directory.iterdir()) if self.directory.is_dir() else ():
            with suppress(BusyError), hold_lock(self.locks, place.name, timedelta(0)):
                removed += remove(place)
        return removed


def nearest(path: Path) -> Path:
    """A path, or the nearest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def remove(path: Path) -> bool:
    """Remove a file or a tree, if there is one; never follows a symlink."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    return True


def flush(path: Path) -> None:
    """Make sure that a file's bytes, or a directory's names, are on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish_file(staged: Path, target: Path) -> None:
    """Give a finished file its name. A reader sees the old file or the new one, never less."""
    target.parent.mkdir(parents=True, exist_ok=True)
    flush(staged)
    staged.replace(target)
    flush(target.parent)


def append_lines(place: Path, lines: Iterable[str]) -> None:
    """Add lines to a file in one write and flush them; what a killed run had begun is ended first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(b"".join(line.encode() + b"\n" for line in lines))
    flush(place)


def publish_tree(staged: Path, target: Path) -> None:
    """Give a finished directory its name; an earlier one of that name changes places with it in one step.

    The files inside must have been flushed by who wrote them. What was there before is left at ``staged``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    flush(staged)
    try:
        _exchange(staged, target)
    except FileNotFoundError:
        staged.rename(target)
    flush(target.parent)


def _exchange(one: Path, other: Path) -> None:
    # rename(2) cannot replace a directory that is not empty; renameat2 can swap two. Python has no binding for it.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    code = ctypes.get_errno()
    if code == errno.ENOENT and one.exists():
        raise FileNotFoundError(code, os.strerror(code), str(other))
    if code in (errno.EINVAL, errno.ENOSYS):
        raise AuroraError(
            f"{other}: this file system cannot exchange two directories in one step, so a rebuilt day could not be "
            "published whole. Keep paths.products on ext4, xfs, btrfs or tmpfs."
        )
    raise OSError(code, os.strerror(code), str(other))
