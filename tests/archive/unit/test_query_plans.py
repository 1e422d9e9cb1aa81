"""The statements of a verification search rows by day or by path: none reads a whole stream, or the whole ledger."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from aurora_platform.archive.fixity import Evidence
from aurora_platform.archive.ledger import Ledger
from aurora_platform.fs.sqlite import Database
from tests.archive.places import DAY, Observatory, name_of

# Of `file`, by no more than the stream (evidence) or the archive or group (ledger).
READS_TOO_MUCH = re.compile(
    r"SCAN file\b|SEARCH (file|[sfghl]) USING .*\((stream=\?|archive=\?|archive=\? AND file_group=\?)\)"
)
SMALL = re.compile(r"(SCAN|SEARCH) (l|c|listed|proof|checksum)\b")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The statements that the databases run, each as (name of the database, SQL)."""
    found: set[tuple[str, str]] = set()

    def traced(kind: type[Database]) -> Callable[..., None]:
        opened = kind.__init__

        def open_traced(self: Database, path: Path) -> None:
            opened(self, path)  # type: ignore[call-arg]
            self._db.set_trace_callback(lambda sql: found.add((kind.__name__, sql)))

        return open_traced

    for kind in (Evidence, Ledger):
        monkeypatch.setattr(kind, "__init__", traced(kind))
    return found


def plan_of(db: sqlite3.Connection, sql: str) -> list[str]:
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]


def test_no_statement_of_a_verification_reads_a_whole_stream_or_the_whole_ledger(
    tmp_path: Path, statements: set[tuple[str, str]]
) -> None:
    observatory = Observatory(tmp_path)
    observatory.fill(4)
    observatory.verify_all(publish_now=True)
    observatory.place("gws", name_of(1)).unlink()
    observatory.flip("gws", name_of(2))
    statements.clear()
    for full in (True, False):  # with a file that is missing, a file that differs, and files that are read
        observatory.verify_and_publish(DAY, DAY + timedelta(days=1), full=full, publish_now=False)
    databases = {"Evidence": observatory.records.evidence(), "Ledger": observatory.records.ledger()}
    checked, wrong = 0, []
    with databases["Evidence"] as evidence, databases["Ledger"] as ledger:
        for kind, sql in statements:
            if re.match(r"(SELECT|UPDATE|DELETE|INSERT)\b", sql.strip()) and "EXPLAIN" not in sql:
                plan = plan_of({"Evidence": evidence, "Ledger": ledger}[kind]._db, sql)
                checked += 1
                # The finalizations of a stream: a row for each day, and not for each file; and one row of any day.
                if "/manifests'" in sql or "copied_at < " in sql or "LIMIT 1" in sql:
                    continue
                wrong += [(sql, step) for step in plan if READS_TOO_MUCH.match(step) and not SMALL.match(step)]
    assert checked > 20
    assert wrong == []
