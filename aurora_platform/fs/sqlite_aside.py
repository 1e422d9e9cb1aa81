"""Moves a damaged database aside, so that the next program makes it anew. Nothing of it is deleted at once."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from aurora_platform.fs.atomic import flush, publish_text
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.sqlite_errors import beside, check_whole, damage_mark, open_beside_writers

_log = logging.getLogger(__name__)
ASIDE = "damaged"
"""Name of the directory, beside the databases, that gets them."""
_KEPT = 3  # of each database, the newest
_WAIT = timedelta(seconds=60)


class HasTables(Protocol):
    """The part of a schema that tells which tables a database lacks."""

    @property
    def version(self) -> int: ...
    def missing_from(self, db: sqlite3.Connection) -> list[str]: ...


def inode_of(path: Path) -> int:
    """The inode of a database, 0 if there is none: whether another program has made it anew meanwhile."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def what_is_wrong(path: Path, schema: HasTables) -> str:
    """Read a whole database: an empty text, or what is damaged or missing in it."""
    if reason := check_whole(path):
        return reason
    with closing(open_beside_writers(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        # One of an earlier version lacks what its next writer adds.
        missing = schema.missing_from(db) if version == schema.version else []
    return f"no such table or column: {', '.join(missing[:5])}" if missing else ""


def move_aside_if_damaged(path: Path, schema: HasTables) -> None:
    """Look at all of a database that an error has marked as damaged: move it aside, or remove the mark."""
    inode = inode_of(path)
    if inode and (reason := what_is_wrong(path, schema)):
        move_aside(path, inode, reason)
    damage_mark(path).unlink(missing_ok=True)


def move_aside(path: Path, inode: int, reason: str) -> Path | None:
    """Move a database and its log to the directory :data:`ASIDE`, unless another program has done it meanwhile.

    Returns the new place. A file of the same name with ``.txt`` has the reason and the time.
    """
    directory = path.parent / ASIDE
    with hold_lock(path.parent, f".{path.name}.aside", _WAIT):
        if inode_of(path) != inode:
            return None
        directory.mkdir(exist_ok=True)
        now = datetime.now(UTC)
        place = directory / f"{path.name}.{now:%Y%m%dT%H%M%S.%fZ}"
        publish_text(f"{now.isoformat(timespec='seconds')} {reason}\n", place.with_name(f"{place.name}.txt"))
        for file in reversed(beside(path)):  # the database last: a program that dies before it finds it damaged again
            with suppress(FileNotFoundError):
                file.rename(directory / file.name.replace(path.name, place.name, 1))
        flush(directory)
        damage_mark(path).unlink(missing_ok=True)
        for note in moved_aside(path)[:-_KEPT]:
            for file in directory.glob(f"{note.name.removesuffix('.txt')}*"):
                file.unlink()
    _log.warning("%s was damaged (%s): it was moved to %s, and is made anew", path, reason, place)
    return place


def moved_aside(path: Path) -> list[Path]:
    """The notes about the times when a database was moved aside, oldest first."""
    return sorted((path.parent / ASIDE).glob(f"{path.name}.*.txt"))
