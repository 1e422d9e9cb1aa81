"""The one door through which errors of SQLite leave: each names the file, what it holds, and the cure."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aurora_platform.errors import AuroraError, is_transient
from aurora_platform.fs.disk_errors import next_step

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_NO_SHARED_MEMORY = (
    *(sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP),
    *(sqlite3.SQLITE_IOERR_SHMLOCK, sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_IOERR_RDLOCK),
)
_BY_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_AUTH: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.ENOENT,
}


@dataclass(frozen=True)
class Holding:
    """What a kind of database holds, for the messages about its errors."""

    name: str
    """As in "the catalogue"."""
    error: Callable[[str, bool], AuroraError]
    """Makes the exception from a message and whether the error is transient."""
    rebuild: str
    """The command that shows what making it again would do."""
    apply: str
    """The command that does it."""
    is_cache: bool = True
    """Whether a damaged one is moved aside and made anew without being asked."""
    leaves_mark: bool = True
    """Whether damage is marked beside the database; whoever only reads writes nothing."""


@contextmanager
def explaining(path: Path, holding: Holding) -> Iterator[None]:
    """Turn each error of SQLite in the block into one of ours; mistakes in a statement stay as they are.

    Damage leaves a mark beside the database, so that the next program that opens it looks at all of it.
    """
    try:
        yield
    except sqlite3.Error as error:
        if is_damage(error):
            if holding.leaves_mark:
                mark_damaged(path)
        elif not _is_of_the_file(error):
            raise
        raise holding.error(describe(error, path, holding), is_transient(error)) from error


def describe(error: sqlite3.Error, path: Path, holding: Holding) -> str:
    """Describe an error in one line: path, what the database holds, the reason, and the cure."""
    code = getattr(error, "sqlite_errorcode", 0)
    if is_damage(error):
        return damaged(path, str(error), holding)
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        step = f"Another program writes to it for too long: `fuser -v {path}` lists them. The next run tries again."
    elif code in _NO_SHARED_MEMORY or code & 0xFF in (sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS):
        step = (
            f"{next_step(errno.ENOSPC, path)} If there is room, its file system may have no shared memory or no locks, "
            "as some network file systems: keep the directory on a local disk with ext4, xfs or btrfs."
        )
    elif code & 0xFF == sqlite3.SQLITE_IOERR:
        step = f"{next_step(errno.ENOSPC, path)} If there is room: {next_step(errno.EIO, path)}"
    elif code & 0xFF == sqlite3.SQLITE_NOMEM:
        step = "This machine has too little memory: `free -h`. The next run tries again."
    else:
        step = next_step(_BY_ERRNO[code & 0xFF], path)
        if code & 0xFF == sqlite3.SQLITE_CANTOPEN:  # SQLite does not tell why
            step = " Or: ".join((next_step(errno.ENOSPC, path), next_step(errno.EACCES, path), step))
    return f"{path}: {holding.name} cannot be read or written ({error}). {step}"


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is no database, or its pages are not as they were written."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def damaged(path: Path, reason: str, holding: Holding) -> str:
    """The message for a database that is damaged, or lacks tables."""
    if holding.is_cache:
        cure = f"The next run that writes moves it aside and makes it anew; `{holding.apply}` does it at once."
    else:
        cure = f"Readers see it like this until it is made again: `{holding.rebuild}` shows what that would do."
    return f"{path}: {holding.name} is damaged ({reason}). {cure}"


def lacks(path: Path, what: str, holding: Holding) -> str:
    """The message for a database whose tables are not those of this version."""
    return (
        f"{path}: {holding.name} lacks {what}: it was written by another program, or is damaged. If it is nobody's, "
        f"move it away with its -wal and -shm; then `{holding.apply}` makes it anew."
    )


def _is_of_the_file(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    ours = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS)
    return code in (*_BY_ERRNO, *ours, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM)


def damage_mark(path: Path) -> Path:
    """The empty file that says: an error of this database was one of damage."""
    return path.with_name(f".{path.name}.damaged")


def mark_damaged(path: Path) -> None:
    """Leave the mark; a disk on which that is impossible has told its own error."""
    with suppress(OSError):
        damage_mark(path).touch()


def beside(path: Path) -> tuple[Path, ...]:
    """A database and the files that belong to it."""
    return (path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal")))


def open_beside_writers(path: Path, wait: float = 10) -> sqlite3.Connection:
    """Open a database for reading, beside programs that write to it; a read-only copy without its log as it is."""
    location = path.absolute().as_uri()
    db = sqlite3.connect(f"{location}?mode=ro", uri=True, timeout=wait)
    try:
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        # SQLite cannot make its files beside a copy in a directory that is read-only; nobody writes such a copy.
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        db.close()
        return sqlite3.connect(f"{location}?mode=ro&immutable=1", uri=True, timeout=wait)
    except sqlite3.DatabaseError:
        pass  # damage: the caller meets it again, and says so
    return db


def check_whole(path: Path) -> str:
    """Read a whole database: an empty text, or what is wrong with it. It writes nothing beside it.

    Raises
    ------
    sqlite3.OperationalError
        If another program holds it, or the disk fails.
    """
    db = open_beside_writers(path)
    try:
        rows = db.execute("PRAGMA integrity_check(3)").fetchall()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        raise
    finally:
        db.close()
    found = "; ".join(str(row[0]) for row in rows)
    return "" if found == "ok" else found
