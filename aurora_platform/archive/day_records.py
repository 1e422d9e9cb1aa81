"""The day records of the evidence: what the manifests of each UTC day say, and which days have changed since.

A day record has the counts of the day, the revision of its manifest files, and the verdict and the finalization that
they were made with. It changes only when a pass has compared the day and written its files, so a publication may read
the records of a stream at any time: they always fit the files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from aurora_platform.fs.sqlite import Tables


class DayCounts(NamedTuple):
    """The counts of a day, or their sums over all days of a stream; the field names are columns."""

    source_count: int
    local_count: int
    gws_count: int
    source_newest_ns: int | None
    """mtime of the newest file, ns since epoch; None without files."""
    gws_newest_ns: int | None
    local_missing_count: int
    local_mismatch_count: int
    gws_missing_count: int
    gws_mismatch_count: int
    pending_count: int
    identical_count: int
    is_final: int
    """1 for a finalized day; of a stream, the number of finalized days."""


@dataclass(frozen=True, slots=True)
class DayRecord:
    """What a pass stores of a day."""

    written: int
    """The revision of its manifest files; 0 where it has none, because no side has a file."""
    verdict: str
    """As JSON."""
    finalization: str
    """The fingerprint of its finalization (:meth:`Finalizations.fingerprint`)."""
    counts: DayCounts


@dataclass(frozen=True, slots=True)
class DayState:
    """What is stored of a day that a pass verifies again."""

    written: int
    is_stale: bool
    """Whether its files do not have its newest rows, because a pass was killed."""
    verdict: str
    finalization: str


@dataclass(frozen=True, slots=True)
class StreamDays:
    """The day records of a stream at one moment."""

    revision: int
    """Grows with each change of a day record."""
    days: int
    files: Mapping[date, int]
    """Day -> revision of its manifest files, for the days with files; oldest first."""
    counts: DayCounts


_SUMMED = ", ".join(
    f"max({name})" if name.endswith("_newest_ns") else f"coalesce(sum({name}), 0)" for name in DayCounts._fields
)
_COUNT_COLUMNS = ", ".join(DayCounts._fields)
_SAVE = f"""
INSERT OR REPLACE INTO day_manifest (stream, day, revision, written, is_stale, verdict, finalization, {_COUNT_COLUMNS})
VALUES (?, ?, ?, ?, 0, ?, ?{", ?" * len(DayCounts._fields)})
"""
# Revision 0: no publication counts it.
_ADD_STALE = f"""
INSERT INTO day_manifest (stream, day, revision, written, is_stale, verdict, finalization, {_COUNT_COLUMNS})
SELECT :stream, :day, 0, 0, 1, '', ''{"".join(", NULL" if "newest" in name else ", 0" for name in DayCounts._fields)}
WHERE NOT EXISTS (SELECT 1 FROM day_manifest WHERE stream = :stream AND day = :day)
"""


class DayRecords(Tables):
    """The day records of one site, in the database of its evidence."""

    def with_files(self, stream: str) -> set[date]:
        """Return the days of which a file is recorded."""
        rows = self._db.execute("SELECT DISTINCT day FROM file WHERE stream = ?", (stream,))
        return {date.fromisoformat(day) for (day,) in rows}

    def changed(self, stream: str) -> set[date]:
        """Return the days of which a row has changed since their manifest files were written."""
        rows = self._db.execute(
            "SELECT day FROM day_changed WHERE stream = :stream"
            " UNION SELECT day FROM day_manifest WHERE stream = :stream AND is_stale",
            {"stream": stream},
        )
        return {date.fromisoformat(day) for (day,) in rows}

    def states(self, stream: str, days: Sequence[date]) -> dict[date, DayState]:
        """Return what is stored of these days; a day that was never compared is absent."""
        rows = self._db.execute(
            "SELECT day, written, is_stale, verdict, finalization FROM day_manifest"
            " WHERE stream = ? AND day BETWEEN ? AND ?",
            (stream, str(min(days)), str(max(days))),
        )
        wanted = {str(day) for day in days}
        return {
            date.fromisoformat(day): DayState(written, bool(is_stale), verdict, finalization)
            for day, written, is_stale, verdict, finalization in rows
            if day in wanted
        }

    def begin(self, stream: str, days: Iterable[date]) -> None:
        """Note that the files of some days are about to be written: rows that change from now on count as changed.

        Until :meth:`save`, the days are stale, so that a killed pass is made up for by the next.
        """
        keys = [{"stream": stream, "day": str(day)} for day in days]
        if not keys:
            return
        with self._writing() as db:
            db.executemany(_ADD_STALE, keys)
            db.executemany("UPDATE day_manifest SET is_stale = 1 WHERE stream = :stream AND day = :day", keys)
            db.executemany("DELETE FROM day_changed WHERE stream = :stream AND day = :day", keys)

    def next_revision(self, stream: str) -> int:
        """Return a revision that is higher than any of the stream, also than those of a database that was lost."""
        (newest,) = self._db.execute("SELECT max(revision) FROM day_manifest WHERE stream = ?", (stream,)).fetchone()
        return max((newest or 0) + 1, time.time_ns() // 10**6)

    def save(self, stream: str, revision: int, records: Mapping[date, DayRecord]) -> None:
        """Store the records of days whose files are written; the counts of all of them change at once."""
        rows = (
            (stream, str(day), revision, record.written, record.verdict, record.finalization, *record.counts)
            for day, record in records.items()
        )
        with self._writing() as db:
            db.executemany(_SAVE, rows)

    def withdraw(self, stream: str, revision: int, days: Iterable[date]) -> None:
        """Store that some days could not be compared: nothing of them is proved, until a pass has compared them."""
        with self._writing() as db:
            db.executemany(
                "UPDATE day_manifest SET revision = ?, verdict = '', is_final = 0, identical_count = 0"
                " WHERE stream = ? AND day = ? AND revision > 0 AND verdict != ''",
                ((revision, stream, str(day)) for day in days),
            )

    def mark_changed(self, stream: str, day: date) -> None:
        """Make the next pass write the files of a day again."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO day_changed VALUES (?, ?)", (stream, str(day)))

    def of_stream(self, stream: str) -> StreamDays:
        """Return the day records of a stream at one moment; none, with revision 0, where no pass has made any."""
        self._db.execute("BEGIN")  # both statements read the same moment
        try:
            revision, days, *counts = self._db.execute(
                f"SELECT max(revision), count(*), {_SUMMED} FROM day_manifest WHERE stream = ? AND revision > 0",
                (stream,),
            ).fetchone()
            rows = self._db.execute(
                "SELECT day, written FROM day_manifest WHERE stream = ? AND written > 0 ORDER BY day", (stream,)
            ).fetchall()
        finally:
            self._db.execute("COMMIT")
        files = {date.fromisoformat(day): written for day, written in rows}
        return StreamDays(revision or 0, days, files, DayCounts(*counts))

    def revision_until(self, stream: str, until: date) -> int:
        """Return the newest revision of the days up to ``until``; 0 without any."""
        row = self._db.execute(
            "SELECT max(revision) FROM day_manifest WHERE stream = ? AND day <= ?", (stream, str(until))
        )
        return int(row.fetchone()[0] or 0)

    def newest_listing(self, stream: str) -> tuple[float, dict[str, str]]:
        """Return when the stream was last listed (s since epoch), and the errors of its newest listed day, per side."""
        (at,) = self._db.execute("SELECT max(at) FROM look WHERE stream = ?", (stream,)).fetchone()
        rows = self._db.execute(
            "SELECT side, error FROM look WHERE stream = :stream AND error IS NOT NULL"
            " AND day = (SELECT max(day) FROM look WHERE stream = :stream)",
            {"stream": stream},
        )
        return float(at or 0), dict(rows.fetchall())
