"""Builds the upload tree: consistent versions of the files to copy, whatever happens to the originals meanwhile.

Files that are published by rename are hard-linked: the link keeps its version. Files that may be written in place are
copied, until a copy is proved to be one version; of a file that only grows, its first part is one version. A database
is backed up. The tree is a private directory beside the originals, with the relative paths of the archive. It is
removed after the push.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from aurora_platform.archive.ledger import Item
from aurora_platform.errors import AuroraError
from aurora_platform.fs.disk_errors import OF_DISKS, naming
from aurora_platform.fs.links import hard_link
from aurora_platform.fs.versions import FileVersion, same_mtime

YOUNG = timedelta(seconds=60)
"""A file that may be written in place and is younger than this is copied instead of linked."""
_ATTEMPTS = 3
_BLOCK = 1 << 20
# A kernel stamps files with the time of its last tick: a second write within one tick may not change the mtime.
_TICK_NS = 20_000_000
# SQLite's errors where it cannot write or create a file, also on a full disk.
_WRITING = {
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC),
    *(sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE),
    *(sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_CANTOPEN),
}
_BESIDE = 1 << 16  # bytes; SQLite's own files beside the database and its backup


class UnusableError(AuroraError):
    """A file cannot be added to the upload tree; the message is the reason."""


def database_mtime(database: Path) -> int:
    """When a database was last written, ns since epoch: the newer mtime of the file and of its non-empty -wal."""
    newest = database.stat().st_mtime_ns
    try:
        wal = database.with_name(database.name + "-wal").stat()
    except FileNotFoundError:
        return newest
    return max(newest, wal.st_mtime_ns) if wal.st_size else newest  # an empty -wal is from a reader


def add_to_upload_tree(item: Item, target: Path, *, in_place: bool, is_database: bool) -> Item | None:
    """Add a file to the upload tree.

    Parameters
    ----------
    item
        The file, in the version that was queued.
    target
        Its path in the upload tree; it must not exist yet.
    in_place
        Whether the file may be written in place, and not only replaced.
    is_database
        Whether it is an SQLite database, which is backed up.

    Returns
    -------
    Item or None
        The file in the version of the upload tree; None where it was written during every copy.

    Raises
    ------
    UnusableError
        Where it is gone, is not a regular file, or cannot be read.
    OSError
        Where the upload tree cannot be written, for example because the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_database:
            _back_up_database(Path(item.local_path), target)
        elif not (in_place and _is_young(item.local_path)) and _link(item.local_path, target):
            pass
        elif not _copy(item.local_path, target):
            return None
    except (FileNotFoundError, NotADirectoryError):
        raise UnusableError("the local file is gone") from None
    except sqlite3.Error as error:
        if _is_disk_full(error, Path(item.local_path), target.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from None
        raise UnusableError(f"this database cannot be backed up: {error}") from None
    except OSError as error:
        # What fails on the tree's own disk is not the file's fault.
        if error.errno in OF_DISKS and (error.filename2 or error.filename) != item.local_path:
            raise
        raise UnusableError(f"cannot be added to the upload tree: {error.strerror}") from None
    status = target.lstat()
    # The upload tree may be on a file system with coarser mtimes: that is still the same version.
    queued_ns, tree_ns = item.version.mtime_ns, status.st_mtime_ns
    version = FileVersion(status.st_size, queued_ns if same_mtime(queued_ns, tree_ns) else tree_ns)
    return replace(item, version=version)


def _is_disk_full(error: sqlite3.Error, database: Path, upload_tree: Path) -> bool:
    """Whether the disk was full: SQLite has many errors for it, and most of them may mean something else too."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return True
    if code not in _WRITING:
        return False
    wal = database.with_name(database.name + "-wal")
    # SQLite may have removed what it had written, so the disk has room again, but not for a complete backup.
    wanted = _BESIDE + sum(path.stat().st_size for path in (database, wal) if path.is_file())
    disk = os.statvfs(upload_tree)
    return disk.f_bavail * disk.f_frsize < wanted or (disk.f_files > 0 and disk.f_favail == 0)


def _is_young(path: str) -> bool:
    return time.time_ns() - os.lstat(path).st_mtime_ns < YOUNG.total_seconds() * 1e9


def _link(path: str, target: Path) -> bool:
    """Hard-link a file; False where the file system does not allow it."""
    if not hard_link(path, target):
        return False
    if not stat.S_ISREG(target.lstat().st_mode):
        target.unlink()
        raise UnusableError("not a regular file")
    return True


def _copy(path: str, target: Path) -> bool:
    """Copy one version of a file; False where it was written during every attempt."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnusableError("not a regular file") from None
        raise
    try:
        with naming(path):
            return any(_copy_once(source, target) for _ in range(_ATTEMPTS))
    finally:
        os.close(source)


def _copy_once(source: int, target: Path) -> bool:
    before = os.fstat(source)
    if not stat.S_ISREG(before.st_mode):
        raise UnusableError("not a regular file")
    if 0 <= time.time_ns() - before.st_mtime_ns < _TICK_NS:
        time.sleep(_TICK_NS / 1e9)
    with target.open("wb") as copy:
        for block in _blocks(source, before.st_size):
            with naming(target):
                copy.write(block)
    after = os.fstat(source)
    is_one_version = FileVersion.of(after) == FileVersion.of(before)
    if not is_one_version and not (after.st_size > before.st_size and _begins_with(source, target, before.st_size)):
        return False
    os.utime(target, ns=(before.st_mtime_ns, before.st_mtime_ns))
    return target.stat().st_size == before.st_size


def _begins_with(source: int, copy: Path, size: int) -> bool:
    """Whether a file that has grown still begins with its copy: then it was only appended to."""
    with copy.open("rb") as part:
        return all(block == part.read(len(block)) for block in _blocks(source, size)) and not part.read(1)


def _blocks(source: int, size: int) -> Iterator[bytes]:
    offset = 0
    while offset < size and (block := os.pread(source, min(_BLOCK, size - offset), offset)):
        offset += len(block)
        yield block


def _back_up_database(database: Path, target: Path) -> None:
    """Back up a database, so that it can be read on a read-only file system, without -wal and -shm."""
    mtime = database_mtime(database)  # before the backup: a later commit may be in it, and gets a new backup
    with (
        closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    os.utime(target, ns=(mtime, mtime))
