"""A consistent view of what is about to be copied: what the archive gets is whole, whatever happens here meanwhile.

Files that are published by rename are linked: the link keeps the version that it was made of. Files that may be
written in place are copied, until a copy is proved to be one version; of a file that only grows, the part that was
there first is one. A database is backed up. All of it lies in a private directory beside the originals, at the relative
paths that the files have there, and is gone after the push.
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
from aurora_platform.errors import NO_SPACE, AuroraError
from aurora_platform.fs.versions import FileVersion, same_mtime

YOUNG = timedelta(seconds=60)
"""A younger file of those that may be written in place is copied, and not linked."""
_ATTEMPTS = 3
_BLOCK = 1 << 20
# A kernel stamps files with the time of its last tick: what is written within one tick may not change the mtime.
_TICK_NS = 20_000_000
# Another file system, another owner (protected_hardlinks), too many links, a file system without links.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
# What SQLite says where it cannot write or make a file; of a full disk as well.
_WRITING = {
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC),
    *(sqlite3.SQLITE_IOERR_TRUNCATE, sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE),
    *(sqlite3.SQLITE_IOERR_SHMMAP, sqlite3.SQLITE_CANTOPEN),
}
_BESIDE = 1 << 16  # bytes; SQLite's own files beside the database and its backup
_FULL = NO_SPACE | {errno.EROFS}


class UnusableError(AuroraError):
    """A file cannot be taken into the view; the message is the reason."""


def database_mtime(database: Path) -> int:
    """When a database was last written, ns since epoch: the file itself, or what it has not taken in from its -wal."""
    newest = database.stat().st_mtime_ns
    try:
        wal = database.with_name(database.name + "-wal").stat()
    except FileNotFoundError:
        return newest
    return max(newest, wal.st_mtime_ns) if wal.st_size else newest  # an empty one is of a reader


def take(item: Item, target: Path, *, in_place: bool, is_database: bool) -> Item | None:
    """Take a file into the view.

    Parameters
    ----------
    item
        The file, as it was when it was queued.
    target
        Its place in the view; nothing is there yet.
    in_place
        Whether it may be written in place, and not only replaced.
    is_database
        Whether it is an SQLite database, of which a backup is made.

    Returns
    -------
    Item or None
        It as it is in the view; None where it was written all the while, and no copy is one version.

    Raises
    ------
    UnusableError
        Where it is gone, is no regular file, or cannot be read.
    OSError
        Where the view cannot be written: the disk is full, say.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_database:
            _back_up(Path(item.local_path), target)
        elif not (in_place and _is_young(item.local_path)) and _link(item.local_path, target):
            pass
        elif not _copy(item.local_path, target):
            return None
    except (FileNotFoundError, NotADirectoryError):
        raise UnusableError("gone from here") from None
    except sqlite3.Error as error:
        if _is_of_a_full_disk(error, Path(item.local_path), target.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from None
        raise UnusableError(f"no backup of this database can be made: {error}") from None
    except OSError as error:
        if error.errno in _FULL:
            raise
        raise UnusableError(f"cannot be taken into the view here: {error.strerror}") from None
    status = target.lstat()
    # The view may be on another file system, which keeps less of an mtime: it is the same version all the same.
    queued_ns, taken_ns = item.version.mtime_ns, status.st_mtime_ns
    version = FileVersion(status.st_size, queued_ns if same_mtime(queued_ns, taken_ns) else taken_ns)
    return replace(item, version=version)


def _is_of_a_full_disk(error: sqlite3.Error, database: Path, upload_tree: Path) -> bool:
    """Whether there was no room: SQLite has many names for it, and most of them may mean something else too."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return True
    if code not in _WRITING:
        return False
    wal = database.with_name(database.name + "-wal")
    # SQLite may have taken back what it had written, so the disk has room again, though not for a whole backup.
    wanted = _BESIDE + sum(path.stat().st_size for path in (database, wal) if path.is_file())
    disk = os.statvfs(upload_tree)
    return disk.f_bavail * disk.f_frsize < wanted or (disk.f_files > 0 and disk.f_favail == 0)


def _is_young(path: str) -> bool:
    return time.time_ns() - os.lstat(path).st_mtime_ns < YOUNG.total_seconds() * 1e9


def _link(path: str, target: Path) -> bool:
    """Link a file; False where that cannot be done."""
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    if not stat.S_ISREG(target.lstat().st_mode):
        target.unlink()
        raise UnusableError("not a regular file")
    return True


def _copy(path: str, target: Path) -> bool:
    """Copy one version of a file; False where it was written in every attempt."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnusableError("not a regular file") from None
        raise
    try:
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
            copy.write(block)
    after = os.fstat(source)
    is_one_version = FileVersion.of(after) == FileVersion.of(before)
    if not is_one_version and not (after.st_size > before.st_size and _begins_with(source, target, before.st_size)):
        return False
    os.utime(target, ns=(before.st_mtime_ns, before.st_mtime_ns))
    return target.stat().st_size == before.st_size


def _begins_with(source: int, copy: Path, size: int) -> bool:
    """Whether a file that has grown still begins with what was copied of it: then it was only appended to."""
    with copy.open("rb") as part:
        return all(block == part.read(len(block)) for block in _blocks(source, size)) and not part.read(1)


def _blocks(source: int, size: int) -> Iterator[bytes]:
    at = 0
    while at < size and (block := os.pread(source, min(_BLOCK, size - at), at)):
        at += len(block)
        yield block


def _back_up(database: Path, target: Path) -> None:
    """Back up a database, so that it can be read where nobody may write, without -wal and -shm."""
    mtime = database_mtime(database)  # before: what is committed meanwhile may be in the backup, and makes a new one
    with (
        closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    os.utime(target, ns=(mtime, mtime))
