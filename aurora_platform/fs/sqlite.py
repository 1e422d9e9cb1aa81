"""SQLite databases that several programs write to: how they are opened, their versions, one transaction at a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from aurora_platform.errors import newer

_PAUSE = 0.02  # s

Migration = str | Callable[[sqlite3.Connection], None]
"""SQL statements, or a function that runs them; in a transaction of the caller's, which it must not end."""


@contextmanager
def immediate(db: sqlite3.Connection) -> Iterator[None]:
    """One transaction, unless the block has ended it: all of it, or nothing where anything is raised.

    The lock is taken at its begin, so that two writers wait instead of failing.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        if db.in_transaction:
            db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # on a full disk SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise


@dataclass(frozen=True)
class Schema:
    """The tables of one kind of database: the migrations that made them, oldest first.

    A database says by ``PRAGMA user_version`` how many of them it has. The first makes the tables where they are
    missing: a database that has them and says 0 was made before there were versions, and is taken over as it is.
    """

    migrations: tuple[Migration, ...]

    @property
    def version(self) -> int:
        return len(self.migrations)

    def migrate(self, db: sqlite3.Connection, file: Path, *, lazily: bool = False) -> None:
        """Bring a database forward to this version, in one transaction; it does not write where nothing is to do.

        ``lazily``: where all is there but the number, that is not written for its own sake, so that the file stays as
        it is; :meth:`stamp` writes it with the next change.

        Raises
        ------
        NewerError
            Where a newer Aurora has written it.
        """
        if self.check(db, file) == self.version:
            return
        with immediate(db):
            before = _changes(db)
            for migration in self.migrations[self.check(db, file) :]:  # somebody else may have done it meanwhile
                if isinstance(migration, str):
                    # Not executescript, which ends the transaction first.
                    for statement in _statements(migration):
                        db.execute(statement)
                else:
                    migration(db)
            if lazily and _changes(db) == before:
                db.execute("ROLLBACK")
                return
            self.stamp(db)

    def stamp(self, db: sqlite3.Connection) -> None:
        """Write the number into a database that has been brought forward; in a transaction of the caller's."""
        if db.execute("PRAGMA user_version").fetchone()[0] != self.version:
            db.execute(f"PRAGMA user_version = {self.version}")

    def check(self, db: sqlite3.Connection, file: Path) -> int:
        """The version of a database; :class:`NewerError` where it is not one of ours. An older one may be read."""
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
        if not 0 <= found <= self.version:
            raise newer(file, found, self.version)
        return found


def _changes(db: sqlite3.Connection) -> tuple[int, int]:
    """What is another after any change of a table or a row, within a transaction."""
    return int(db.execute("PRAGMA schema_version").fetchone()[0]), db.total_changes


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one at a time."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""
    if statement.strip(" \n;"):
        raise ValueError(f"not a whole statement: {statement!r}")


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


def create_verified(place: Path, schema: Schema) -> None:
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
        schema.migrate(db, place)
    # What is in the file, and not what the connection that wrote it remembers.
    with (
        closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as wanted,
    ):
        schema.migrate(wanted, place)
        (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        same = db.execute(_DESCRIBED).fetchall() == wanted.execute(_DESCRIBED).fetchall()
        if verdict != "ok" or not same or schema.check(db, place) != schema.version:
            raise sqlite3.DatabaseError(f"it is not whole: {verdict if verdict != 'ok' else 'tables are missing'}")


_DESCRIBED = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"


class Database:
    """A database that several programs write to in short transactions. A context manager; for one thread."""

    _db: sqlite3.Connection

    def _open(
        self, path: Path, wait: float, script: str, schema: Schema, not_ours: Callable[[sqlite3.Error], Exception]
    ) -> None:
        """Open it, run ``script``, and bring it to ``schema``; make it where there is none.

        Nothing stays open where that fails.

        ``not_ours`` is what is raised where the file is damaged, or is no database; a lock or a full disk may pass, and
        is raised as it is.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            db = open_wal(path, wait)
            try:
                db.executescript(script)
                schema.migrate(db, path)
            except BaseException:
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
        with immediate(self._db):
            yield self._db
