"""SQLite databases that several programs write to: how they are opened, and one transaction at a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


class Database:
    """A database that several programs write to in short transactions. A context manager; for one thread."""

    _db: sqlite3.Connection

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
