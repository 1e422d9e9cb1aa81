"""SQLite databases that several programs write to: how they are opened, and one transaction at a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_PAUSE = 0.02  # s


def open_wal(path: Path, wait: float) -> sqlite3.Connection:
    """Open a database in WAL mode, make it where there is none, and wait for other writers for so many seconds."""
    db = sqlite3.connect(path, timeout=wait, isolation_level=None)
    until = time.monotonic() + wait
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # For this SQLite itself does not wait: of two that make one database at once, one would fail.
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY and time.monotonic() < until:
                time.sleep(_PAUSE)
                continue
            db.close()
            raise
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db


def make_whole(place: Path, schema: str) -> None:
    """Make a database with the tables of ``schema``, for somebody to publish; it is proved before this returns.

    Not in WAL mode: there a commit lies in the log, and a last checkpoint that finds the disk full fails without a word
    and leaves a main file that is nothing without its log.

    Raises
    ------
    sqlite3.Error
        Where it is not whole.
    """
    with closing(sqlite3.connect(place, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(f"BEGIN; {schema} COMMIT;")
    # What is in the file, and not what the connection that wrote it remembers.
    with (
        closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db,
        closing(sqlite3.connect(":memory:")) as wanted,
    ):
        wanted.executescript(schema)
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok" or db.execute(_DESCRIBED).fetchall() != wanted.execute(_DESCRIBED).fetchall():
            raise sqlite3.DatabaseError(f"it is not whole: {verdict if verdict != 'ok' else 'tables are missing'}")


_DESCRIBED = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"


class Database:
    """A database that several programs write to in short transactions. A context manager; for one thread."""

    _db: sqlite3.Connection

    def _open(self, path: Path, wait: float, script: str, not_ours: Callable[[sqlite3.Error], Exception]) -> None:
        """Open it, make it where there is none, and run ``script``; nothing stays open where that fails.

        ``not_ours`` is what is raised where the file is damaged, or is no database; a lock or a full disk may pass, and
        is raised as it is.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            db = open_wal(path, wait)
            try:
                db.executescript(script)
            except sqlite3.Error:
                db.close()
                raise
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise not_ours(error) from None
        self._db = db

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; the lock is taken at its begin, so that two writers wait instead of failing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
