"""A transaction is atomic and raises the original error, even if SQLite has already rolled it back."""

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


def execute_and_raise(db: sqlite3.Connection, statement: str, error: Exception) -> None:
    with immediate(db):
        db.execute(statement)
        raise error


def test_a_transaction_is_rolled_back_on_an_error_and_committed_otherwise(db: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="no"):
        execute_and_raise(db, "INSERT INTO t VALUES (1)", ValueError("no"))
    assert (rows(db), db.in_transaction) == (0, False)
    with immediate(db):
        db.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    assert (rows(db), db.in_transaction) == (2, False)


def test_a_full_disk_raises_its_own_error_and_not_the_one_of_a_failed_rollback(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA max_page_count = 10")
    with pytest.raises(sqlite3.OperationalError, match="full"), immediate(db):
        db.executemany("INSERT INTO t VALUES (?)", ((b"x" * 4000,) for _ in range(20)))
    assert (rows(db), db.in_transaction) == (0, False)
    with pytest.raises(OSError, match="gone"):
        execute_and_raise(db, "ROLLBACK", OSError("gone"))  # as SQLite does by itself
    assert not db.in_transaction
