"""What was replaced in an archive although a finalization vouched for it, and where the earlier version is kept.

A table of the ledger. A row is written before a transfer, because of a run that is killed nobody else would know; it
says nothing until it is settled: until the archive was listed, and has the earlier version whole where it is kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

REPLACED = """
CREATE TABLE IF NOT EXISTS replaced (
    archive TEXT NOT NULL,
    remote_path TEXT NOT NULL,
    file_group TEXT NOT NULL,
    kept_in TEXT NOT NULL,
    kept_path TEXT NOT NULL,
    size INTEGER NOT NULL,
    at TEXT NOT NULL,
    is_settled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (archive, remote_path, kept_in)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A file that took the place of a finalized one, the directory that keeps the earlier version, and when (UTC)."""

    remote_path: str
    kept_in: str
    at: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """A version that is about to be replaced: where it is, where it goes below its directory, and its size in bytes."""

    remote_path: str
    kept_path: str
    size: int


class Replacements:
    """The table :data:`REPLACED` in an open ledger."""

    def __init__(
        self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[sqlite3.Connection]]
    ) -> None:
        """``writing`` is one transaction of ``db``."""
        self._db = db
        self._writing = writing

    def begin(self, archive: str, group: str, kept_in: str, files: Iterable[Earlier]) -> None:
        """Note files of a group that are about to be replaced."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO replaced VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                ((archive, file.remote_path, group, kept_in, file.kept_path, file.size, now) for file in files),
            )

    def open(self, archive: str, group: str) -> dict[str, list[Earlier]]:
        """Directory -> the files of which nobody knows yet whether it keeps an earlier version."""
        rows = self._db.execute(
            "SELECT kept_in, remote_path, kept_path, size FROM replaced"
            " WHERE archive = ? AND file_group = ? AND NOT is_settled ORDER BY kept_in, remote_path",
            (archive, group),
        ).fetchall()
        found: dict[str, list[Earlier]] = {}
        for kept_in, *rest in rows:
            found.setdefault(kept_in, []).append(Earlier(*rest))
        return found

    def settle(self, archive: str, kept_in: str, kept: Collection[str], *, is_told: bool) -> None:
        """Say of which remote paths a directory keeps the earlier version whole; of all others nothing was replaced.

        Where somebody has asked for it, nobody need be told (``is_told``), and the rows go.
        """
        with self._writing() as db:
            if not is_told:
                kept = ()
            db.executemany(
                "UPDATE replaced SET is_settled = 1 WHERE archive = ? AND kept_in = ? AND remote_path = ?",
                ((archive, kept_in, path) for path in kept),
            )
            db.execute("DELETE FROM replaced WHERE archive = ? AND kept_in = ? AND NOT is_settled", (archive, kept_in))

    def since(self, archive: str, group: str, time: datetime) -> list[Replaced]:
        """What was replaced of a group since then, newest first."""
        rows = self._db.execute(
            "SELECT remote_path, kept_in, at FROM replaced WHERE archive = ? AND file_group = ? AND at >= ?"
            " AND is_settled ORDER BY at DESC, remote_path",
            (archive, group, time.astimezone(UTC).isoformat(timespec="milliseconds")),
        )
        return [Replaced(*row) for row in rows]
