"""What was replaced in an archive although a finalization vouched for it, and where the earlier version is kept.

A table of the ledger. A row is written before a transfer and taken back where nothing was replaced, so that a run that
is killed meanwhile leaves one row too many, and never one too few.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

REPLACED = """
CREATE TABLE IF NOT EXISTS replaced (
    archive TEXT NOT NULL,
    remote_path TEXT NOT NULL,
    file_group TEXT NOT NULL,
    kept_in TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (archive, remote_path, kept_in)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A file that took the place of a finalized one, the directory that keeps the earlier version, and when (UTC)."""

    remote_path: str
    kept_in: str
    at: str


class Replacements:
    """The table :data:`REPLACED` in an open ledger."""

    def __init__(
        self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[sqlite3.Connection]]
    ) -> None:
        """``writing`` is one transaction of ``db``."""
        self._db = db
        self._writing = writing

    def begin(self, archive: str, kept_in: str, files: Iterable[tuple[str, str]]) -> None:
        """Note files (group of the ledger, remote path) that are about to be replaced."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO replaced VALUES (?, ?, ?, ?, ?)",
                ((archive, remote_path, group, kept_in, now) for group, remote_path in files),
            )

    def take_back(self, archive: str, kept_in: str, remote_paths: Iterable[str]) -> None:
        """Forget files of which nothing was replaced."""
        with self._writing() as db:
            db.executemany(
                "DELETE FROM replaced WHERE archive = ? AND kept_in = ? AND remote_path = ?",
                ((archive, kept_in, path) for path in remote_paths),
            )

    def since(self, archive: str, group: str, time: datetime) -> list[Replaced]:
        """What was replaced of a group since then, newest first."""
        rows = self._db.execute(
            "SELECT remote_path, kept_in, at FROM replaced WHERE archive = ? AND file_group = ? AND at >= ?"
            " ORDER BY at DESC, remote_path",
            (archive, group, time.astimezone(UTC).isoformat(timespec="milliseconds")),
        )
        return [Replaced(*row) for row in rows]
