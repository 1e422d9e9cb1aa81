"""A transaction is all or nothing, and what went wrong in it is what is raised, also where SQLite has ended it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_platform.fs.sqlite import immediate


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    db.execute("CREATE TABLE t (x)")
    yield db
    db.close()


def rows(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def then_raise(db: sqlite3.Connection, statement: str, error: Exception) -> None:
    with immediate(db):
        db.execute(statement)
        raise error


def test_a_block_that_raises_leaves_nothing_and_one_that_ends_leaves_all(db: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="no"):
        then_raise(db, "INSERT INTO t VALUES (1)", ValueError("no"))
    assert (rows(db), db.in_transaction) == (0, False)
    with immediate(db):
        db.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    assert (rows(db), db.in_transaction) == (2, False)


def test_a_full_disk_is_what_is_raised_and_not_that_there_is_nothing_to_roll_back(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA max_page_count = 10")
    with pytest.raises(sqlite3.OperationalError, match="full"), immediate(db):
        db.executemany("INSERT INTO t VALUES (?)", ((b"x" * 4000,) for _ in range(20)))
    assert (rows(db), db.in_transaction) == (0, False)
    with pytest.raises(OSError, match="gone"):
        then_raise(db, "ROLLBACK", OSError("gone"))  # as SQLite does by itself
    assert not db.in_transaction
