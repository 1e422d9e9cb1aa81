"""The files that a source was seen to have and has no longer: a table of the evidence.

A day becomes complete only with every file that its source ever had. A source that is mounted empty, or that lost a
file before it was copied, must not make a day complete. So a file that a listing lacks is remembered until the source
has it again, or an operator accepts that it is gone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from aurora_platform.archive.fixity_record import FixityRecord
from aurora_platform.fs.sqlite import Tables
from aurora_platform.fs.versions import FileVersion

VANISHED = """
CREATE TABLE IF NOT EXISTS vanished (
    stream TEXT NOT NULL,
    path TEXT NOT NULL,
    day TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    since INTEGER NOT NULL,
    accepted TEXT,
    PRIMARY KEY (stream, path)
) WITHOUT ROWID;
"""
VANISHED_BY_DAY = "CREATE INDEX IF NOT EXISTS vanished_by_day ON vanished (stream, day);"
# The listing is in the temporary table ``listed``. A file that was still being written is not remembered: an instrument
# may have written it under a temporary name. A file that another day has now has only a new mtime.
REMEMBER = """
INSERT OR REPLACE INTO vanished (stream, path, day, size, mtime_ns, sha256, since, accepted)
SELECT stream, path, day, size, mtime_ns, sha256, unixepoch(), NULL FROM file INDEXED BY file_by_day
WHERE stream = ? AND side = 'source' AND mtime_ns <= ? AND day IN (SELECT value FROM json_each(?))
AND path NOT IN (SELECT path FROM listed)
"""
_SELECT_LOST = """
SELECT s.day, s.path, EXISTS (
    SELECT 1 FROM file g WHERE g.stream = s.stream AND g.path = s.path AND g.side = 'gws'
    AND g.size = s.size AND (g.mtime_ns = s.mtime_ns OR same_mtime(g.mtime_ns, s.mtime_ns))
    AND g.sha256 IS NOT NULL AND coalesce(s.sha256, g.sha256) = g.sha256
) FROM file s LEFT JOIN listed l ON l.path = s.path
WHERE s.stream = ? AND s.side = 'source' AND s.day IN (SELECT value FROM json_each(?)) AND l.path IS NULL ORDER BY s.day
"""
FORGET_LISTED = "DELETE FROM vanished WHERE stream = ? AND path IN (SELECT path FROM listed)"


class Acceptance(StrEnum):
    """Why an operator accepts that files are gone."""

    PRUNED = "pruned"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class VanishedFile:
    """A file that a source had, in the version that it had last."""

    path: str
    record: FixityRecord
    accepted: str
    """An :class:`Acceptance`; empty where no operator has accepted that the file is gone."""


class VanishedFiles(Tables):
    """The table :data:`VANISHED` in open evidence."""

    def expected(self, stream: str, day: date) -> dict[str, FixityRecord]:
        """Return the files of a day that the source had, and whose absence nobody has accepted."""
        return self._records(stream, day, "accepted IS NULL")

    def lost(self, stream: str, day: date) -> dict[str, FixityRecord]:
        """Return the files of a day that an operator has accepted as lost."""
        return self._records(stream, day, f"accepted = '{Acceptance.LOST}'")

    def of_day(self, stream: str, day: date) -> list[VanishedFile]:
        """Return all vanished files of a day, also the accepted ones."""
        rows = self._db.execute(
            "SELECT path, size, mtime_ns, sha256, coalesce(accepted, '') FROM vanished"
            " WHERE stream = ? AND day = ? ORDER BY path",
            (stream, str(day)),
        )
        return [
            VanishedFile(path, FixityRecord(FileVersion(size, mtime_ns), sha256), accepted)
            for path, size, mtime_ns, sha256, accepted in rows
        ]

    def _records(self, stream: str, day: date, where: str) -> dict[str, FixityRecord]:
        rows = self._db.execute(
            f"SELECT path, size, mtime_ns, sha256 FROM vanished WHERE stream = ? AND day = ? AND {where} ORDER BY path",
            (stream, str(day)),
        )
        return {path: FixityRecord(FileVersion(size, mtime_ns), sha256) for path, size, mtime_ns, sha256 in rows}

    def accept(self, stream: str, day: date, files: Mapping[str, FixityRecord], acceptance: Acceptance) -> None:
        """Store that an operator accepts that these files of a day are gone: path -> the version that was last seen."""
        rows = (
            (stream, path, str(day), *record.version, record.sha256, str(acceptance)) for path, record in files.items()
        )
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO vanished (stream, path, day, size, mtime_ns, sha256, since, accepted)"
                " VALUES (?, ?, ?, ?, ?, ?, unixepoch(), ?)",
                rows,
            )

    def settle(self, stream: str, paths: Iterable[str]) -> None:
        """Delete files whose absence nobody has accepted: a finalization lists them, and expects them from now on."""
        with self._writing() as db:
            db.executemany(
                "DELETE FROM vanished WHERE stream = ? AND path = ? AND accepted IS NULL",
                ((stream, path) for path in paths),
            )

    def accept_days(self, stream: str, days: Collection[date]) -> None:
        """Store that an operator accepts what is missing of these days as pruned."""
        with self._writing() as db:
            db.executemany(
                f"UPDATE vanished SET accepted = '{Acceptance.PRUNED}'"
                " WHERE stream = ? AND day = ? AND accepted IS NULL",
                ((stream, str(day)) for day in days),
            )

    def missing_now(self, stream: str, days: Sequence[date]) -> Iterator[tuple[date, str, bool]]:
        """Yield the files of a source that its new listing lacks, while ``Evidence.replace_listing`` replaces the last.

        Yields day, path, and whether the archive proves the file; in order of the days.
        """
        rows = self._db.execute(_SELECT_LOST, (stream, _json(days)))
        return ((date.fromisoformat(day), path, bool(is_proved)) for day, path, is_proved in rows)

    def source_counts(self, stream: str, days: Sequence[date]) -> dict[date, int]:
        """Return day -> how many files the source had at its last listing."""
        rows = self._db.execute(
            "SELECT day, count(*) FROM file WHERE stream = ? AND side = 'source'"
            " AND day IN (SELECT value FROM json_each(?)) GROUP BY day",
            (stream, _json(days)),
        )
        return {date.fromisoformat(day): count for day, count in rows}

    def accept_empty(self, stream: str, is_accepted: bool) -> None:
        """Store whether the source of a stream may be empty, because an operator accepted the loss."""
        if is_accepted == self.may_be_empty(stream):
            return
        with self._writing() as db:
            if is_accepted:
                db.execute("INSERT OR REPLACE INTO accepted_empty VALUES (?)", (stream,))
            else:
                db.execute("DELETE FROM accepted_empty WHERE stream = ?", (stream,))

    def may_be_empty(self, stream: str) -> bool:
        """Whether an operator accepted an empty source, and no file was listed there since."""
        row = self._db.execute("SELECT 1 FROM accepted_empty WHERE stream = ?", (stream,))
        return row.fetchone() is not None


def _json(days: Iterable[date]) -> str:
    return json.dumps([str(day) for day in days])
