"""The evidence: a database of the fixity records and the last listings of each stream, per side.

SQLite in ``paths.state``. A new listing replaces the records of its days. A checksum is kept while path, size and mtime
stay the same, so a second verification reads only new files. When the database is lost, the next verifications rebuild
it by listing and reading all three sides, and take over from the manifests of the days which files the source had.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from aurora_platform.archive.day_records import DayRecords
from aurora_platform.archive.earlier_evidence import EarlierEvidence
from aurora_platform.archive.finalized_keys import FinalizedKeys
from aurora_platform.archive.fixity_record import FixityRecord, ListingRecord
from aurora_platform.archive.fixity_tables import (
    COUNT_UNREAD,
    CREATE_TEMPORARY,
    DELETE_GONE,
    INSERT_LISTED,
    SAVE_CHECKSUMS,
    SCHEMA,
    SELECT_IDENTICAL,
    SELECT_TO_READ,
)
from aurora_platform.archive.read_budget import ReadBudget
from aurora_platform.archive.source_changes import SourceChanges
from aurora_platform.archive.vanished_files import FORGET_LISTED, REMEMBER, VanishedFiles
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.sqlite import Database
from aurora_platform.fs.sqlite_errors import Holding
from aurora_platform.fs.versions import FileVersion, ScannedEntry, same_mtime
from aurora_platform.layout import SIDE_NAMES, SIDES, Side
from aurora_platform.transport.checksums import Checksum

HOLDING = Holding(
    "the evidence",
    lambda text, transient: EvidenceError(text, transient=transient),
    "aurora evidence --rebuild",
    "aurora evidence --rebuild --apply",
)
_WAIT_SECONDS = 120.0  # for another writer; a day's listing is one transaction
_BATCH = 2000  # files per query
_AHEAD_SECONDS = 60.0  # a record dated further ahead is from before the local clock was set back: its age is unknown
_KEEP_SECONDS = 5.0  # between two writes of checksums: a killed run loses those since its last write


class Evidence(Database):
    """The evidence of one site. A context manager; for one thread."""

    def __init__(self, path: Path) -> None:
        # Consistent after a crash, but perhaps without the last second: the next verification reads that again.
        script = f"PRAGMA synchronous = NORMAL; PRAGMA temp_store = FILE; {CREATE_TEMPORARY}"
        self._open_database(path, script)
        self.changes = SourceChanges(self._db, self._writing)
        """The decisions about finalized files that have changed at their source."""
        self.vanished = VanishedFiles(self._db, self._writing)
        """The files that a source had once and has no longer."""
        self.earlier = EarlierEvidence(self._db, self._writing)
        """What a lost database had recorded."""
        self.finalized = FinalizedKeys(self._db, self._writing)
        """What was ever finalized."""
        self.budget = ReadBudget(self._db, self._writing)
        """How much was read on the source hosts."""
        self._db.create_function("spread", 1, _spread, deterministic=True)
        self._db.create_function("same_mtime", 2, same_mtime, deterministic=True)
        self.days = DayRecords(self._db, self._writing)
        """What the manifests of each day say, and which days have changed since."""

    def _open_database(self, path: Path, script: str) -> None:
        self._open(path, _WAIT_SECONDS, script, SCHEMA, HOLDING)

    def count_files(self) -> list[tuple[str, Side, int, int]]:
        """Count the recorded files per stream and side, and those of them with a checksum."""
        counted = "SELECT stream, side, count(*), count(sha256) FROM file GROUP BY stream, side ORDER BY stream, side"
        return self._db.execute(counted).fetchall()

    def set_location(self, stream: str, side: Side, base: str) -> None:
        """Store the location of a side; a new location deletes its listings and checksums, which are of the old one."""
        stored = self._db.execute("SELECT base FROM place WHERE stream = ? AND side = ?", (stream, side)).fetchone()
        if stored == (base,):
            return
        with self._writing() as db:
            if stored is not None:
                db.execute("DELETE FROM look WHERE stream = ? AND side = ?", (stream, side))
                db.execute(
                    "UPDATE file SET sha256 = NULL, hashed_at = NULL, error = NULL WHERE stream = ? AND side = ?",
                    (stream, side),
                )
            db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", (stream, side, base))

    def replace_listing(
        self,
        stream: str,
        side: Side,
        days: Sequence[date],
        files: Iterable[tuple[date, ScannedEntry[str]]],
        trusted_days: Callable[[], Sequence[date]] | None = None,
        remember_ns: int | None = None,
    ) -> None:
        """Replace the records of some days of a side by a new listing; consumes ``files`` first.

        ``trusted_days`` returns the days whose listing is trusted, and may ask which files are missing now; the records
        of the other days stay. Where it raises, all records stay. ``files`` may have files of other days too, which
        change no record. Files that are gone are remembered as vanished, if their mtime is at most ``remember_ns``;
        None remembers nothing.
        """
        self._collect(days, files)
        trusted = _json(days if trusted_days is None else trusted_days())
        with self._writing() as db:
            if remember_ns is not None:
                db.execute(REMEMBER, (stream, remember_ns, trusted))
                db.execute(FORGET_LISTED, (stream,))
            db.execute(DELETE_GONE, (stream, side, trusted, trusted))
            db.execute(INSERT_LISTED, (stream, side, trusted))
        self._db.execute("DELETE FROM listed")

    def _collect(self, days: Sequence[date], files: Iterable[tuple[date, ScannedEntry[str]]]) -> None:
        """Write a listing into the temporary table."""
        texts = {day: str(day) for day in days}
        rows = ((file.path, texts.get(day) or str(day), *file.version) for day, file in files)
        # A host may take minutes to list its files. This transaction locks nothing: it only writes to a temporary
        # table. Without it, each row would be a transaction of its own.
        self._db.execute("BEGIN")
        try:
            self._db.execute("DELETE FROM listed")
            self._db.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?)", rows)
        finally:
            self._db.execute("COMMIT")

    def save_listings(self, stream: str, side: Side, listings: Mapping[date, ListingRecord]) -> None:
        """Store when days were listed on a side, or why they could not be listed."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO look VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (stream, str(day), side, record.at, record.clock_ns, record.host, record.refused, record.error)
                    for day, record in listings.items()
                ),
            )

    def listings(self, stream: str, day: date) -> dict[Side, ListingRecord]:
        """The last listing of a day on each side."""
        rows = self._db.execute(
            "SELECT side, at, clock_ns, host, refused, error FROM look WHERE stream = ? AND day = ?",
            (stream, str(day)),
        )
        return {side: ListingRecord(*rest) for side, *rest in rows}

    def to_read(
        self,
        stream: str,
        side: Side,
        days: Sequence[date],
        *,
        older_than_ns: int,
        scrub: timedelta,
        again_before: float,
    ) -> Iterator[list[str]]:
        """Yield batches of paths to read: never read in this version, or read too long ago.

        Parameters
        ----------
        older_than_ns
            Younger files (by mtime) may still change and wait.
        scrub
            Each file is read again within that time. A hash of the path spreads the files of one day over the second
            half of it.
        again_before
            Seconds since epoch: files that were read before that are read again.
        """
        waiting = list[str]()
        for day in sorted(days):
            now, after, is_more = time.time(), "", True
            while is_more:
                values = {"stream": stream, "day": str(day), "side": side, "after": after, "most": _BATCH}
                values |= {"older_than_ns": older_than_ns, "again_before": again_before, "now": now}
                values |= {"ahead": now + _AHEAD_SECONDS, "scrub": scrub.total_seconds()}
                paths = [path for (path,) in self._db.execute(SELECT_TO_READ, values)]
                is_more = len(paths) == _BATCH
                after = paths[-1] if is_more else ""
                waiting += paths
                if len(waiting) >= _BATCH:
                    yield waiting
                    waiting = []
        if waiting:
            yield waiting

    def save_checksums(self, stream: str, side: Side, checksums: Iterable[Checksum]) -> int:
        """Store checksums as they arrive, each for the version that was read; returns how many files were not read.

        Checksums that arrived before ``checksums`` raised are kept. A file that changed since it was listed gets none:
        the next listing has its new version.
        """
        failed, waiting, since = 0, list[Checksum](), time.monotonic()
        try:
            for checksum in checksums:
                waiting.append(checksum)
                # Not one transaction for all: reading may take hours, and other processes write too.
                if len(waiting) >= _BATCH or time.monotonic() - since > _KEEP_SECONDS:
                    failed += self._save(stream, side, waiting)
                    waiting, since = [], time.monotonic()
        finally:
            failed += self._save(stream, side, waiting)
        return failed

    def _save(self, stream: str, side: Side, checksums: Sequence[Checksum]) -> int:
        if not checksums:
            return 0
        rows = ((c.path, *c.version, c.sha256, c.error or None) for c in checksums)
        with self._writing() as db:
            db.execute("DELETE FROM checksum")
            db.executemany("INSERT OR REPLACE INTO checksum VALUES (?, ?, ?, ?, ?)", rows)
            values = {"stream": stream, "side": side, "now": time.time()}
            db.execute(SAVE_CHECKSUMS, values)
            return int(db.execute(COUNT_UNREAD, values).fetchone()[0])

    def files(self, stream: str, day: date) -> Iterator[tuple[str, dict[Side, FixityRecord]]]:
        """Yield the files of a day in order of their paths, each with its record per side."""
        # By the index: for the order of the paths SQLite would search the whole stream by the primary key.
        rows = self._db.execute(
            "SELECT path, side, size, mtime_ns, sha256, error FROM file INDEXED BY file_by_day"
            " WHERE stream = ? AND day = ? ORDER BY path",
            (stream, str(day)),
        )
        for path, group in groupby(rows, key=lambda row: row[0]):
            yield path, {side: _record(*rest) for _, side, *rest in group}

    def records_of(self, stream: str, path: str) -> dict[Side, FixityRecord]:
        """Return the records of one file, per side that has it."""
        rows = self._db.execute(
            "SELECT side, size, mtime_ns, sha256, error FROM file WHERE stream = ? AND path = ?", (stream, path)
        )
        return {side: _record(*rest) for side, *rest in rows}

    def read_times(self, stream: str, path: str) -> dict[Side, float]:
        """When one file was last read, in s since epoch, per side where it was."""
        rows = self._db.execute(
            "SELECT side, hashed_at FROM file WHERE stream = ? AND path = ? AND hashed_at IS NOT NULL", (stream, path)
        )
        return dict(rows.fetchall())

    def clear_verdicts(self, stream: str, days: Iterable[date]) -> None:
        """Delete the verdicts of some days before they are verified, so that a killed run leaves no old verdict."""
        with self._writing() as db:
            db.executemany("DELETE FROM verdict WHERE stream = ? AND day = ?", ((stream, str(day)) for day in days))

    def save_verdicts(self, stream: str, counts: dict[date, str]) -> None:
        """Store the verdicts of some days, as JSON."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO verdict VALUES (?, ?, ?)",
                ((stream, str(day), text) for day, text in counts.items()),
            )

    def verdicts(self, stream: str) -> dict[date, str]:
        """The verdict of each day that has one, as JSON."""
        rows = self._db.execute("SELECT day, counts FROM verdict WHERE stream = ?", (stream,))
        return {date.fromisoformat(day): counts for day, counts in rows}

    def verdict(self, stream: str, day: date) -> str | None:
        """The verdict of one day, as JSON; None where it was not compared."""
        row = self._db.execute("SELECT counts FROM verdict WHERE stream = ? AND day = ?", (stream, str(day)))
        return next((str(counts) for (counts,) in row), None)

    def newest_day(self, stream: str) -> date | None:
        """The newest day of a stream of which a file is recorded; None without files."""
        (day,) = self._db.execute("SELECT max(day) FROM file WHERE stream = ?", (stream,)).fetchone()
        return None if day is None else date.fromisoformat(day)

    def refused(self, stream: str) -> int:
        """The number of entries of the source that were refused, over all days."""
        row = self._db.execute("SELECT sum(refused) FROM look WHERE stream = ? AND side = 'source'", (stream,))
        return int(row.fetchone()[0] or 0)

    def source_clock(self, stream: str) -> datetime | None:
        """The latest time that the clock of a stream's source has shown; None where it was never listed."""
        row = self._db.execute(
            "SELECT max(clock_ns) FROM look WHERE stream = ? AND side = 'source' AND error IS NULL", (stream,)
        )
        clock_ns = row.fetchone()[0]
        return None if clock_ns is None else datetime.fromtimestamp(clock_ns / 1e9, UTC)

    def oldest_attempt(self, stream: str, first: date, last: date) -> float:
        """The oldest of the last attempts to list each day, in s since epoch; 0 where a day was never tried."""
        count, at, newest = self._db.execute(
            "SELECT count(*), min(at), max(at) FROM look WHERE stream = ? AND day BETWEEN ? AND ?",
            (stream, str(first), str(last)),
        ).fetchone()
        is_complete = count == len(SIDES) * ((last - first).days + 1) and newest <= time.time() + _AHEAD_SECONDS
        return float(at) if is_complete else 0.0

    def oldest_listing(self, stream: str, first: date, last: date) -> tuple[float, str]:
        """Return the time of the oldest last listing of any day from ``first`` to ``last``, on any side.

        Returns seconds since epoch, and a message; 0 where a side never listed a day, could not list it, or where the
        day was not compared since.
        """
        days = (last - first).days + 1
        if days <= 0:
            return time.time(), "no day is old enough"
        rows = self._db.execute(
            "SELECT side, count(*), min(at), max(at), min(CASE WHEN error IS NOT NULL THEN day END), max(error)"
            " FROM look WHERE stream = ? AND day BETWEEN ? AND ? GROUP BY side",
            (stream, str(first), str(last)),
        )
        by_side = {side: rest for side, *rest in rows}
        oldest = time.time()
        for side in SIDES:
            count, at, newest, bad_day, error = by_side.get(side, (0, 0, 0, None, None))
            if bad_day is not None:
                return 0, f"{SIDE_NAMES[side]} could not be listed on {bad_day}: {error}"
            if count < days:
                return 0, f"{SIDE_NAMES[side]} was never listed on {days - count} of {days} days"
            if newest > time.time() + _AHEAD_SECONDS:
                return 0, f"a listing of {SIDE_NAMES[side]} is dated in the future: this machine's clock was set back"
            oldest = min(oldest, at)
        compared, *_ = self._db.execute(
            "SELECT count(*) FROM verdict WHERE stream = ? AND day BETWEEN ? AND ?", (stream, str(first), str(last))
        ).fetchone()
        if compared < days:
            return 0, f"{days - compared} of {days} days were listed and not compared since"
        return oldest, f"the oldest listing is of {datetime.fromtimestamp(oldest).astimezone():%Y-%m-%d %H:%M:%S %Z}"

    def identical_everywhere(
        self, stream: str, *, first: date, until: date, older_than_ns: int, read_since: float
    ) -> Iterator[tuple[str, int, float]]:
        """Return the files that are identical on all three sides and were read recently.

        Yields path, size, and when the first of the three was last read (s since epoch).
        """
        # Many days are read faster in the order of the paths, one day by the index.
        index = "INDEXED BY file_by_day" if first == until else ""
        values = (stream, str(first), str(until), older_than_ns, read_since, time.time() + _AHEAD_SECONDS)
        return iter(self._db.execute(SELECT_IDENTICAL.format(index=index), values))

    def forget_checksums(self, stream: str, paths: Iterable[str]) -> None:
        """Delete the checksums of some files on all sides, so that they are read again whatever a listing shows."""
        with self._writing() as db:
            db.executemany(
                "UPDATE file SET sha256 = NULL, hashed_at = NULL, error = NULL WHERE stream = ? AND path = ?",
                ((stream, path) for path in paths),
            )

    def old_files(self, stream: str, until: date) -> tuple[int, int, int, int]:
        """Count files and bytes of the source: of days up to ``until``, then of later days."""
        row = self._db.execute(
            "SELECT sum(day <= ?1), sum(CASE WHEN day <= ?1 THEN size END), sum(day > ?1),"
            " sum(CASE WHEN day > ?1 THEN size END) FROM file WHERE stream = ?2 AND side = 'source'",
            (str(until), stream),
        ).fetchone()
        old, old_bytes, young, young_bytes = (int(number or 0) for number in row)
        return old, old_bytes, young, young_bytes

    def release(self, stream: str, day: date, path: str, record: FixityRecord) -> None:
        """Store that the local copy of a file is deleted, with its record."""
        with self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO released VALUES (?, ?, ?, ?, ?, ?, ?)",
                (stream, path, str(day), *record.version, record.sha256, int(time.time())),
            )
            db.execute("DELETE FROM file WHERE stream = ? AND path = ? AND side = 'local'", (stream, path))

    def released(self, stream: str, day: date) -> dict[str, FixityRecord]:
        """Return the records of the deleted local copies of a day."""
        rows = self._db.execute(
            "SELECT path, size, mtime_ns, sha256 FROM released WHERE stream = ? AND day = ?", (stream, str(day))
        )
        return {path: _record(*rest) for path, *rest in rows}

    def released_version(self, stream: str, path: str) -> FileVersion | None:
        """The version of the local copy of a file that was deleted; None where none was."""
        row = self._db.execute("SELECT size, mtime_ns FROM released WHERE stream = ? AND path = ?", (stream, path))
        return next((FileVersion(*version) for version in row), None)

    def released_at(self, stream: str, path: str) -> datetime | None:
        """When the local copy of a file was deleted; None where it never was."""
        row = self._db.execute("SELECT at FROM released WHERE stream = ? AND path = ?", (stream, path))
        return next((datetime.fromtimestamp(at, UTC) for (at,) in row), None)


def _record(size: int, mtime_ns: int, sha256: str | None, error: str | None = None) -> FixityRecord:
    return FixityRecord(FileVersion(size, mtime_ns), sha256, error)


def _json(days: Iterable[date]) -> str:
    return "[" + ",".join(f'"{day}"' for day in days) + "]"


def _spread(path: str) -> float:
    """Return a number from 0 to 1 that is always the same for a path."""
    return zlib.crc32(path.encode("utf-8", "surrogateescape")) / 0xFFFFFFFF
