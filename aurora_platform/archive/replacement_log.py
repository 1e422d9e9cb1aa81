"""The log of finalized files that were replaced in an archive, and where their earlier versions are kept.

A table of the ledger. A row is written before the transfer, so that a killed run leaves a record. It counts only when
it is settled: after a listing of the archive shows that the earlier version is kept completely.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from aurora_platform.fs.sqlite import Tables

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


def add_is_reported(db: sqlite3.Connection) -> None:
    """Add the column that tells what an operator requested: such a replacement needs no check that reports it."""
    if "is_reported" not in {row[1] for row in db.execute("PRAGMA table_info(replaced)")}:
        db.execute("ALTER TABLE replaced ADD COLUMN is_reported INTEGER NOT NULL DEFAULT 1")


@dataclass(frozen=True, slots=True)
class KeptVersions:
    """The earlier versions that an archive keeps."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """A finalized file that was replaced, the directory that keeps the earlier version, and when (UTC)."""

    remote_path: str
    kept_in: str
    at: str


UNKNOWN = -1
"""The size of a version that no listing has shown before the transfer."""


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """A version that will be replaced: its path, its path below the directory that keeps it, and its size in bytes."""

    remote_path: str
    kept_path: str
    size: int


class Replacements(Tables):
    """The table :data:`REPLACED` in an open ledger."""

    def begin(self, archive: str, group: str, kept_in: str, files: Iterable[EarlierVersion]) -> None:
        """Store the files of a group that will be replaced."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO replaced"
                " (archive, remote_path, file_group, kept_in, kept_path, size, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((archive, file.remote_path, group, kept_in, file.kept_path, file.size, now) for file in files),
            )

    def open(self, archive: str, group: str) -> dict[str, list[EarlierVersion]]:
        """Return directory -> files for which it is not yet known whether the earlier version is kept."""
        rows = self._db.execute(
            "SELECT kept_in, remote_path, kept_path, size FROM replaced"
            " WHERE archive = ? AND file_group = ? AND NOT is_settled ORDER BY kept_in, remote_path",
            (archive, group),
        ).fetchall()
        found: dict[str, list[EarlierVersion]] = {}
        for kept_in, *rest in rows:
            found.setdefault(kept_in, []).append(EarlierVersion(*rest))
        return found

    def settle(self, archive: str, kept_in: str, kept: Mapping[str, int], *, is_reported: bool) -> None:
        """Settle the rows of a directory: ``kept`` is remote path -> size of each earlier version that it keeps.

        Of the other paths nothing was replaced, and their rows are deleted. Without ``is_reported`` an operator
        requested the replacement: then :meth:`since` does not return it.
        """
        with self._writing() as db:
            db.executemany(
                "UPDATE replaced SET is_settled = 1, is_reported = ?, size = ?"
                " WHERE archive = ? AND kept_in = ? AND remote_path = ?",
                ((is_reported, size, archive, kept_in, path) for path, size in kept.items()),
            )
            db.execute("DELETE FROM replaced WHERE archive = ? AND kept_in = ? AND NOT is_settled", (archive, kept_in))

    def kept(self, archive: str, group: str | None = None) -> KeptVersions:
        """Count the earlier versions that are kept, of one group or of all."""
        count, size = self._db.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM replaced"
            " WHERE archive = ? AND is_settled AND file_group = coalesce(?, file_group)",
            (archive, group),
        ).fetchone()
        return KeptVersions(count, size)

    def is_kept(self, archive: str, remote_path: str, size: int | None, since: datetime) -> bool:
        """Whether a version of this size (bytes; None: of any) was replaced since a time, and is kept."""
        row = self._db.execute(
            "SELECT 1 FROM replaced WHERE archive = ? AND remote_path = ? AND size = coalesce(?, size) AND at >= ?"
            " AND is_settled",
            (archive, remote_path, size, since.astimezone(UTC).isoformat(timespec="milliseconds")),
        )
        return row.fetchone() is not None

    def since(self, archive: str, group: str, time: datetime) -> list[Replaced]:
        """Return the files of a group that were replaced since a time, newest first."""
        rows = self._db.execute(
            "SELECT remote_path, kept_in, at FROM replaced WHERE archive = ? AND file_group = ? AND at >= ?"
            " AND is_settled AND is_reported ORDER BY at DESC, remote_path",
            (archive, group, time.astimezone(UTC).isoformat(timespec="milliseconds")),
        )
        return [Replaced(*row) for row in rows]
