"""Remembers which days and lists were ever finalized, so that a finalization that is lost on this machine is missed.

A table of the evidence. No comparison of a day takes a row back.
"""

from __future__ import annotations

from contextlib import suppress

from aurora_platform.fs.sqlite import Tables
from aurora_platform.layout import FinalizedKey, read_finalized_key

# Evidence from before this table knows the days, and not the revisions.
FINALIZED = """
CREATE TABLE IF NOT EXISTS finalized (
    stream TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (stream, key)
) WITHOUT ROWID;
"""
FILL_FINALIZED = """
INSERT OR IGNORE INTO finalized SELECT stream, day, 0 FROM day_manifest WHERE finalization != '';
"""


class FinalizedKeys(Tables):
    """The table :data:`FINALIZED` in open evidence."""

    def revisions(self, stream: str) -> dict[FinalizedKey, int]:
        """Return the newest revision of each finalization that was ever seen; 0 where it is unknown."""
        found = dict[FinalizedKey, int]()
        for key, revision in self._db.execute("SELECT key, revision FROM finalized WHERE stream = ?", (stream,)):
            with suppress(ValueError):  # not of ours
                found[read_finalized_key(key)] = revision
        return found

    def note(self, stream: str, key: FinalizedKey, revision: int) -> None:
        """Store the revision of a finalization; writes only what is new."""
        rows = self._db.execute("SELECT revision FROM finalized WHERE stream = ? AND key = ?", (stream, str(key)))
        if rows.fetchone() == (revision,):
            return
        with self._writing() as db:
            db.execute(
                "INSERT INTO finalized VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET revision = excluded.revision"
                " WHERE excluded.revision > revision",
                (stream, str(key), revision),
            )
