"""SQLite databases that several programs write to: opens them, migrates them, and runs transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from aurora_platform.errors import newer_error
from aurora_platform.fs.sqlite_aside import inode_of, move_aside, move_aside_if_damaged
from aurora_platform.fs.sqlite_errors import Holding, damage_mark, explaining, is_damage, lacks

_PAUSE = 0.02  # s

Migration = str | Callable[[sqlite3.Connection], None]
"""SQL statements, or a function that runs them, in the caller's transaction, which it must not end."""


@contextmanager
def immediate(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction: commit at its end, roll back on any exception.

    The block may end the transaction itself. The lock is taken at the beginning, so that two writers wait instead of
    failing.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        if db.in_transaction:
            db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # on a full disk SQLite has already rolled back
            db.execute("ROLLBACK")
        raise


class Tables:
    """Some tables of an open database."""

    def __init__(
        self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[sqlite3.Connection]]
    ) -> None:
        """``writing`` opens one transaction of ``db``."""
        self._db = db
        self._writing = writing


@dataclass(frozen=True)
class Schema:
    """The schema of one kind of database, as a list of migrations, oldest first.

    ``PRAGMA user_version`` of a database is the number of migrations that it has. The first migration makes missing
    tables only: a database with tables and version 0 was made before there were versions, and is kept as it is.
    """

    migrations: tuple[Migration, ...]

    @property
    def version(self) -> int:
        return len(self.migrations)

    def migrate(self, db: sqlite3.Connection, file: Path, *, lazily: bool = False) -> None:
        """Migrate a database to this version, in one transaction; writes nothing if there is nothing to do.

        ``lazily``: if only the version number is missing, it is not written, so that the file stays unchanged;
        :meth:`stamp` writes it with the next change.

        Raises
        ------
        NewerError
            If a newer Aurora has written the database.
        """
        if self.check(db, file) == self.version:
            return
        with immediate(db):
            before = _changes(db)
            for migration in self.migrations[self.check(db, file) :]:  # another process may have done it meanwhile
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
        """Write the version number into a migrated database, in the caller's transaction."""
        if db.execute("PRAGMA user_version").fetchone()[0] != self.version:
            db.execute(f"PRAGMA user_version = {self.version}")

    def missing_from(self, db: sqlite3.Connection) -> list[str]:
        """The names of the tables and columns of this version that a database lacks."""
        found = set(db.execute(_LIST_COLUMNS))
        return [f"{table}.{column}" for table, column in _columns_of(self) if (table, column) not in found]

    def require_in(self, db: sqlite3.Connection, path: Path, holding: Holding) -> None:
        """Raise the error of ``holding`` where a database lacks tables or columns: it may be another program's."""
        if missing := self.missing_from(db):
            raise holding.error(lacks(path, ", ".join(missing[:3]), holding), False)

    def check(self, db: sqlite3.Connection, file: Path) -> int:
        """The version of a database; :class:`NewerError` if it is not supported. An older one may be read."""
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if not 0 <= version <= self.version:
            raise newer_error(file, version, self.version)
        return version


@cache
def _columns_of(schema: Schema) -> list[tuple[str, str]]:
    """The table and name of each column of a new database."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db, Path(":memory:"))
        return db.execute(_LIST_COLUMNS).fetchall()


def _changes(db: sqlite3.Connection) -> tuple[int, int]:
    """Counters that differ after any change of a table or a row within a transaction."""
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
        raise ValueError(f"incomplete statement: {statement!r}")


def open_wal(path: Path, wait: float) -> sqlite3.Connection:
    """Open a database in WAL mode; create it if it is missing. Other writers are waited for, up to ``wait`` s."""
    db = sqlite3.connect(path, timeout=wait, isolation_level=None)
    until = time.monotonic() + wait
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite itself does not wait for this: if two processes create a database at once, one would fail.
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY and time.monotonic() < until:
                time.sleep(_PAUSE)
                continue
            db.close()
            raise
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db


def create_verified(path: Path, schema: Schema) -> None:
    """Create a database with the tables of ``schema``, ready to be published, and verify it.

    Not in WAL mode: there a commit is in the log. A last checkpoint on a full disk fails silently and leaves a main
    file that is useless without its log.

    Raises
    ------
    sqlite3.Error
        If the database is incomplete.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        schema.migrate(db, path)
    # Read the file itself, not the cache of the connection that wrote it.
    with (
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as expected,
    ):
        schema.migrate(expected, path)
        (integrity,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        same = db.execute(_LIST_TABLES).fetchall() == expected.execute(_LIST_TABLES).fetchall()
        if integrity != "ok" or not same or schema.check(db, path) != schema.version:
            reason = integrity if integrity != "ok" else "tables are missing"
            raise sqlite3.DatabaseError(f"the new database is incomplete: {reason}")


_LIST_COLUMNS = (
    "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1, 2"
)
_LIST_TABLES = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"


class Database:
    """A database that several programs write to in short transactions. A context manager; for one thread.

    Errors of SQLite leave it as errors of Aurora (:mod:`aurora_platform.fs.sqlite_errors`).
    """

    _db: sqlite3.Connection
    _path: Path
    _holding: Holding

    def _open(self, path: Path, wait: float, script: str, schema: Schema, holding: Holding) -> None:
        """Open the database, run ``script``, and migrate it to ``schema``; create it if it is missing.

        It can be made again: a damaged one is moved aside. If that fails, nothing stays open.
        """
        self._path, self._holding = path, holding
        path.parent.mkdir(parents=True, exist_ok=True)
        with explaining(path, holding):
            if damage_mark(path).exists():
                move_aside_if_damaged(path, schema)
            inode = inode_of(path)
            try:
                self._db = _open_and_migrate(path, wait, script, schema)
            except sqlite3.Error as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
                    raise holding.error(lacks(path, f"a table or column ({error})", holding), False) from error
                if not is_damage(error):
                    raise
                move_aside(path, inode, str(error))
                self._db = _open_and_migrate(path, wait, script, schema)
            with _closed_on_error(self._db):
                schema.require_in(self._db, path, holding)

    def _open_readonly(self, path: Path, wait: float, script: str, schema: Schema, holding: Holding) -> None:
        """Open a database that exists, without writing to it or beside it.

        Without a log (``-wal``) nobody has it open, and SQLite would make one: then it is read as it is.
        """
        self._path, self._holding = path, holding
        log = path.with_name(f"{path.name}-wal")
        how = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
        with explaining(path, holding):
            db = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=wait, isolation_level=None)
            with _closed_on_error(db):
                db.executescript(script)
                schema.check(db, path)
        self._db = db

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            with explaining(self._path, self._holding):
                raise error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with immediate(self._db):
            yield self._db


def _open_and_migrate(path: Path, wait: float, script: str, schema: Schema) -> sqlite3.Connection:
    db = open_wal(path, wait)
    with _closed_on_error(db):
        db.executescript(script)
        schema.migrate(db, path)
    return db


@contextmanager
def _closed_on_error(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        db.close()
        raise
