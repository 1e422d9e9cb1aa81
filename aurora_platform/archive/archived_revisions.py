"""Remembers which finalizations a listing of an archive has shown, and when; and whether a ledger has a history.

Rows of the ledger's table ``meta``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from aurora_platform.fs.sqlite import Tables
from aurora_platform.layout import EVIDENCE, FinalizedKey, read_finalized_key


class ArchivedRevisions(Tables):
    """What an open ledger knows of the finalizations in the archives."""

    def listed_at(self, archive: str, name: str) -> datetime | None:
        """When the finalizations of a stream or collection were listed in the archive; None: never."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (f"finalizations/{archive}/{name}",)).fetchone()
        return None if row is None else datetime.fromisoformat(row[0])

    def note(self, archive: str, name: str, revisions: Mapping[FinalizedKey, int]) -> None:
        """Store that they were listed now, and the newest revision of each in the archive."""
        rows = [(f"finalized/{archive}/{name}/{key}", str(revision)) for key, revision in revisions.items()]
        with self._writing() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
            db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                (f"finalizations/{archive}/{name}", datetime.now(UTC).isoformat(timespec="milliseconds")),
            )

    def revisions(self, archive: str, name: str) -> dict[FinalizedKey, int]:
        """Return the newest revision of each finalization that a listing of the archive has shown."""
        start = f"finalized/{archive}/{name}/"
        rows = self._db.execute("SELECT key, value FROM meta WHERE key >= ? AND key < ?", (start, f"{start[:-1]}0"))
        return {read_finalized_key(key.removeprefix(start)): int(revision) for key, revision in rows}

    def has_copied_before(self, archive: str, group: str, time: datetime) -> bool:
        """Whether a file of a group was copied before a time."""
        row = self._db.execute(
            "SELECT 1 FROM file WHERE archive = ? AND file_group = ? AND copied_at < ? LIMIT 1",
            (archive, group, time.astimezone(UTC).isoformat(timespec="milliseconds")),
        )
        return row.fetchone() is not None

    def has_copied_finalizations(self, archive: str) -> bool:
        """Whether a finalization of any stream or collection was copied."""
        row = self._db.execute(
            "SELECT 1 FROM file WHERE archive = ? AND file_group >= ? AND file_group < ?"
            " AND copied_at IS NOT NULL LIMIT 1",
            (archive, f"{EVIDENCE}/", f"{EVIDENCE}0"),
        )
        return row.fetchone() is not None
