"""What is known of each file of a stream in its three places, and when that was seen: source, here, and the archive.

SQLite in ``paths.state``. A listing replaces what was known of its days; a checksum is kept for as long as path, size
and mtime are the same, so a second verification reads only what is new. It is a memory that saves work: lost, it is
made again by listing and reading all three places.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import cast

from aurora_platform.archive.fixity_record import FixityRecord, Look
from aurora_platform.archive.fixity_tables import GONE, LISTED, SCHEMA, TAKE
from aurora_platform.errors import EvidenceError
from aurora_platform.fs.sqlite import Database
from aurora_platform.fs.versions import FileVersion, ScannedEntry, same_mtime
from aurora_platform.layout import SIDES, Side
from aurora_platform.transport.checksums import Checksum

_WAIT_SECONDS = 120.0  # for another writer; a day's listing is one transaction
_BATCH = 2000  # files that are asked for together
_AHEAD_SECONDS = 60.0  # what is dated further ahead was noted before our clock was set back, and has no known age
_KEEP_SECONDS = 5.0  # for so long checksums are collected before they are written: what a killed run reads again


class Evidence(Database):
    """The evidence of one site. A context manager; for one thread."""

    def __init__(self, path: Path) -> None:
        def not_ours(error: sqlite3.Error) -> EvidenceError:
            return EvidenceError(
                f"{path}: not the evidence ({error}). Move it away, with its -wal and -shm: the next "
                "verifications make it again, and read every file once more."
            )

        # Whole after a crash, but perhaps without the last second: it would be found out again.
        script = f"PRAGMA synchronous = NORMAL; PRAGMA temp_store = FILE; {LISTED}"
        self._open(path, _WAIT_SECONDS, script, SCHEMA, not_ours)
        self._db.create_function("spread", 1, _spread, deterministic=True)
        self._db.create_function("same_mtime", 2, same_mtime, deterministic=True)

    def at(self, stream: str, side: Side, base: str) -> None:
        """Say where a place is. Of one that is elsewhere now nothing is known: no look and no checksum is of there."""
        known = self._db.execute("SELECT base FROM place WHERE stream = ? AND side = ?", (stream, side)).fetchone()
        if known == (base,):
            return
        with self._writing() as db:
            if known is not None:
                db.execute("DELETE FROM look WHERE stream = ? AND side = ?", (stream, side))
                db.execute(
                    "UPDATE file SET sha256 = NULL, hashed_at = NULL, error = NULL WHERE stream = ? AND side = ?",
                    (stream, side),
                )
            db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", (stream, side, base))

    def take(
        self,
        stream: str,
        side: Side,
        days: Sequence[date],
        files: Iterable[tuple[date, ScannedEntry[str]]],
        believed: Callable[[], Sequence[date]] | None = None,
    ) -> None:
        """Replace what is known of some days of a place by a listing of it; ``files`` is used up before that.

        ``believed`` says of which of the days the listing is to be believed, and may ask :meth:`at_risk`; what is known
        of the others stays. Where it raises, all stays.
        """
        self._db.execute("DELETE FROM listed")
        rows = ((file.path, day.isoformat(), *file.version) for day, file in files)
        # Outside of the transaction: a host may take minutes to say what it has.
        self._db.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?)", rows)
        taken = _json(days if believed is None else believed())
        with self._writing() as db:
            db.execute(GONE, (stream, side, taken))
            db.execute(TAKE, (stream, side, taken))
        self._db.execute("DELETE FROM listed")

    def at_risk(self, stream: str, days: Sequence[date]) -> Iterator[tuple[date, str, bool]]:
        """What a source had of some days when it was last listed, and the archive is not known to have.

        Returns day, path, and whether the listing that :meth:`take` is about has it no more; in order of the days.
        """
        rows = self._db.execute(
            "SELECT s.day, s.path, l.path IS NULL FROM file s LEFT JOIN listed l ON l.path = s.path"
            " WHERE s.stream = ? AND s.side = 'source' AND s.day IN (SELECT value FROM json_each(?))"
            " AND NOT EXISTS (SELECT 1 FROM file g WHERE g.stream = s.stream AND g.path = s.path AND g.side = 'gws'"
            " AND g.size = s.size AND same_mtime(g.mtime_ns, s.mtime_ns)"
            " AND g.sha256 IS NOT NULL AND coalesce(s.sha256, g.sha256) = g.sha256) ORDER BY s.day",
            (stream, _json(days)),
        )
        return ((date.fromisoformat(day), path, bool(is_gone)) for day, path, is_gone in rows)

    def accept_empty(self, stream: str, is_accepted: bool) -> None:
        """Say that the source of a stream may have nothing at all, because an operator has said so; or not any more."""
        if is_accepted == self.may_be_empty(stream):
            return
        with self._writing() as db:
            if is_accepted:
                db.execute("INSERT OR REPLACE INTO accepted_empty VALUES (?)", (stream,))
            else:
                db.execute("DELETE FROM accepted_empty WHERE stream = ?", (stream,))

    def may_be_empty(self, stream: str) -> bool:
        """Whether that was said, and nothing was seen there since."""
        row = self._db.execute("SELECT 1 FROM accepted_empty WHERE stream = ?", (stream,))
        return row.fetchone() is not None

    def looked(self, stream: str, side: Side, looks: Mapping[date, Look]) -> None:
        """Remember when days were listed in a place, or why they could not be."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO look VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (stream, str(day), side, look.at, look.clock_ns, look.host, look.refused, look.error)
                    for day, look in looks.items()
                ),
            )

    def looks(self, stream: str, day: date) -> dict[Side, Look]:
        """The last look at each place of a day."""
        rows = self._db.execute(
            "SELECT side, at, clock_ns, host, refused, error FROM look WHERE stream = ? AND day = ?",
            (stream, str(day)),
        )
        return {side: Look(*rest) for side, *rest in rows}

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
        """Batches of paths whose bytes are to be read: never read in this version, or not for long.

        Parameters
        ----------
        older_than_ns
            Younger files (by mtime) may still change and wait.
        scrub
            Each file is read again within that time. Which day that is depends on its path, so that the files of one
            day are spread over the second half of it.
        again_before
            Seconds since epoch: whatever was read before that is read again.
        """
        after, spread_over = "", scrub.total_seconds()
        while True:
            now = time.time()
            age = (again_before, now + _AHEAD_SECONDS, now, spread_over)
            rows = self._db.execute(
                "SELECT path FROM file WHERE stream = ? AND side = ? AND path > ? AND mtime_ns <= ?"
                " AND day IN (SELECT value FROM json_each(?))"
                " AND (hashed_at IS NULL OR hashed_at < ? OR hashed_at > ?"
                " OR hashed_at <= ? - ? * (0.5 + 0.5 * spread(path))) ORDER BY path LIMIT ?",
                (stream, side, after, older_than_ns, _json(days), *age, _BATCH),
            ).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield [path for (path,) in rows]

    def read(self, stream: str, side: Side, checksums: Iterable[Checksum]) -> int:
        """Remember checksums as they come, each for the version that was read; returns how many could not be had.

        What came before ``checksums`` broke off is kept. One that changed since it was listed keeps none: the next
        listing will say what it is now.
        """
        failed, waiting, since = 0, list[Checksum](), time.monotonic()
        try:
            for checksum in checksums:
                waiting.append(checksum)
                # Not one transaction over all of them: reading may take hours, and others write here too.
                if len(waiting) >= _BATCH or time.monotonic() - since > _KEEP_SECONDS:
                    failed += self._keep(stream, side, waiting)
                    waiting, since = [], time.monotonic()
        finally:
            failed += self._keep(stream, side, waiting)
        return failed

    def _keep(self, stream: str, side: Side, checksums: Sequence[Checksum]) -> int:
        now, failed = time.time(), 0
        with self._writing() as db:
            for one in checksums:
                row = db.execute(
                    "SELECT size, mtime_ns FROM file WHERE stream = ? AND side = ? AND path = ?",
                    (stream, side, one.path),
                ).fetchone()
                if row is None:
                    continue
                sha256, error = one.sha256, one.error or None
                if sha256 and not FileVersion(*row).same_as(one.version):
                    sha256, error = None, "changed since it was listed"
                failed += sha256 is None
                db.execute(
                    "UPDATE file SET sha256 = ?, error = ?, hashed_at = ? WHERE stream = ? AND side = ? AND path = ?",
                    (sha256, error, now if sha256 else None, stream, side, one.path),
                )
        return failed

    def files(self, stream: str, day: date) -> Iterator[tuple[str, dict[Side, FixityRecord]]]:
        """The files of a day in order of their paths, each with the places that have it."""
        rows = self._db.execute(
            "SELECT path, side, size, mtime_ns, sha256, error FROM file WHERE stream = ? AND day = ? ORDER BY path",
            (stream, str(day)),
        )
        for path, group in groupby(rows, key=lambda row: row[0]):
            yield path, {side: _record(*rest) for _, side, *rest in group}

    def of_file(self, stream: str, path: str) -> dict[Side, FixityRecord]:
        """What is known of one file, in each place that has it."""
        rows = self._db.execute(
            "SELECT side, size, mtime_ns, sha256, error FROM file WHERE stream = ? AND path = ?", (stream, path)
        )
        return {side: _record(*rest) for side, *rest in rows}

    def side(self, stream: str, side: Side) -> Iterator[tuple[str, FixityRecord]]:
        """All files of a stream in one place, in order of their paths."""
        rows = self._db.execute(
            "SELECT path, size, mtime_ns, sha256, error FROM file WHERE stream = ? AND side = ? ORDER BY path",
            (stream, side),
        )
        return ((path, _record(*rest)) for path, *rest in rows)

    def unjudged(self, stream: str, days: Iterable[date]) -> None:
        """Forget the verdict of some days: they are looked at now, and a run that dies meanwhile has none."""
        with self._writing() as db:
            db.executemany("DELETE FROM verdict WHERE stream = ? AND day = ?", ((stream, str(day)) for day in days))

    def newest(self, stream: str, side: Side) -> int | None:
        """mtime (ns since epoch) of the newest file of a stream in one place; None where there is none."""
        row = self._db.execute("SELECT max(mtime_ns) FROM file WHERE stream = ? AND side = ?", (stream, side))
        return cast(int | None, row.fetchone()[0])

    def judged(self, stream: str, counts: dict[date, str]) -> None:
        """Remember the verdict of some days, as JSON."""
        with self._writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO verdict VALUES (?, ?, ?)",
                ((stream, str(day), text) for day, text in counts.items()),
            )

    def verdicts(self, stream: str) -> dict[date, str]:
        """The verdict of each day that has one, as JSON."""
        rows = self._db.execute("SELECT day, counts FROM verdict WHERE stream = ?", (stream,))
        return {date.fromisoformat(day): counts for day, counts in rows}

    def refused(self, stream: str) -> int:
        """Entries of the source that may not be used, over all days."""
        row = self._db.execute("SELECT sum(refused) FROM look WHERE stream = ? AND side = 'source'", (stream,))
        return int(row.fetchone()[0] or 0)

    def source_clock(self, stream: str) -> datetime | None:
        """The latest that the clock of a stream's source has shown; None where it was never asked."""
        row = self._db.execute(
            "SELECT max(clock_ns) FROM look WHERE stream = ? AND side = 'source' AND error IS NULL", (stream,)
        )
        clock_ns = row.fetchone()[0]
        return None if clock_ns is None else datetime.fromtimestamp(clock_ns / 1e9, UTC)

    def oldest_attempt(self, stream: str, first: date, last: date) -> float:
        """When the day was tried to be looked at that was not for longest, in s since epoch; 0 where one never was."""
        count, at, newest = self._db.execute(
            "SELECT count(*), min(at), max(at) FROM look WHERE stream = ? AND day BETWEEN ? AND ?",
            (stream, str(first), str(last)),
        ).fetchone()
        is_known = count == len(SIDES) * ((last - first).days + 1) and newest <= time.time() + _AHEAD_SECONDS
        return float(at) if is_known else 0.0

    def oldest_look(self, stream: str, first: date, last: date) -> tuple[float, str]:
        """Of days from ``first`` to ``last``: when the one was looked at that was not for longest, in any place.

        Returns seconds since epoch, and words for it; 0 where a day was never looked at in a place, or could not be,
        or was not compared since.
        """
        days = (last - first).days + 1
        if days <= 0:
            return time.time(), "no day is old enough"
        rows = self._db.execute(
            "SELECT side, count(*), min(at), max(at), min(CASE WHEN error IS NOT NULL THEN day END), max(error)"
            " FROM look WHERE stream = ? AND day BETWEEN ? AND ? GROUP BY side",
            (stream, str(first), str(last)),
        )
        seen = {side: rest for side, *rest in rows}
        oldest = time.time()
        for side in SIDES:
            count, at, newest, bad_day, error = seen.get(side, (0, 0, 0, None, None))
            if bad_day is not None:
                return 0, f"{side} could not be looked at on {bad_day}: {error}"
            if count < days:
                return 0, f"{side} was never looked at on {days - count} of {days} days"
            if newest > time.time() + _AHEAD_SECONDS:
                return 0, f"a look at {side} is dated in the future: this machine's clock was set back"
            oldest = min(oldest, at)
        compared, *_ = self._db.execute(
            "SELECT count(*) FROM verdict WHERE stream = ? AND day BETWEEN ? AND ?", (stream, str(first), str(last))
        ).fetchone()
        if compared < days:
            return 0, f"{days - compared} of {days} days were looked at and not compared since"
        return oldest, f"the oldest look is of {datetime.fromtimestamp(oldest).astimezone():%Y-%m-%d %H:%M:%S %Z}"

    def identical_everywhere(
        self, stream: str, *, first: date, until: date, older_than_ns: int, read_since: float
    ) -> Iterator[tuple[str, int]]:
        """Path and size of each file of some days that is the same in all three places, read there not long ago."""
        return iter(
            self._db.execute(
                "SELECT s.path, s.size FROM file s JOIN file h USING (stream, path) JOIN file g USING (stream, path)"
                " WHERE s.stream = ? AND s.side = 'source' AND h.side = 'local' AND g.side = 'gws'"
                " AND s.day BETWEEN ? AND ?"
                " AND s.mtime_ns <= ? AND s.size = h.size AND h.size = g.size AND s.sha256 = h.sha256"
                " AND h.sha256 = g.sha256 AND same_mtime(s.mtime_ns, h.mtime_ns) AND same_mtime(h.mtime_ns, g.mtime_ns)"
                " AND min(s.hashed_at, h.hashed_at, g.hashed_at) >= ?"
                " AND max(s.hashed_at, h.hashed_at, g.hashed_at) <= ? ORDER BY s.path",
                (stream, str(first), str(until), older_than_ns, read_since, time.time() + _AHEAD_SECONDS),
            )
        )

    def forget(self, stream: str, paths: Iterable[str]) -> None:
        """Forget the checksums of some files in all places: they are read again, whatever a listing shows."""
        with self._writing() as db:
            db.executemany(
                "UPDATE file SET sha256 = NULL, hashed_at = NULL, error = NULL WHERE stream = ? AND path = ?",
                ((stream, path) for path in paths),
            )

    def old_files(self, stream: str, until: date) -> tuple[int, int, int, int]:
        """What the source has: files and bytes of days up to one, and files and bytes of later days."""
        row = self._db.execute(
            "SELECT sum(day <= ?1), sum(CASE WHEN day <= ?1 THEN size END), sum(day > ?1),"
            " sum(CASE WHEN day > ?1 THEN size END) FROM file WHERE stream = ?2 AND side = 'source'",
            (str(until), stream),
        ).fetchone()
        old, old_bytes, young, young_bytes = (int(number or 0) for number in row)
        return old, old_bytes, young, young_bytes

    def release(self, stream: str, day: date, path: str, record: FixityRecord) -> None:
        """Remember that our working copy of a file is deleted, and what it was."""
        with self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO released VALUES (?, ?, ?, ?, ?, ?, ?)",
                (stream, path, str(day), *record.version, record.sha256, int(time.time())),
            )
            db.execute("DELETE FROM file WHERE stream = ? AND path = ? AND side = 'local'", (stream, path))

    def released(self, stream: str, day: date) -> dict[str, FixityRecord]:
        """The working copies of a day that were deleted."""
        rows = self._db.execute(
            "SELECT path, size, mtime_ns, sha256 FROM released WHERE stream = ? AND day = ?", (stream, str(day))
        )
        return {path: _record(*rest) for path, *rest in rows}


def _record(size: int, mtime_ns: int, sha256: str | None, error: str | None = None) -> FixityRecord:
    return FixityRecord(FileVersion(size, mtime_ns), sha256, error)


def _json(days: Iterable[date]) -> str:
    return "[" + ",".join(f'"{day}"' for day in days) + "]"


def _spread(path: str) -> float:
    """A number from 0 to 1 that is the same for a path each time."""
    return zlib.crc32(path.encode("utf-8", "surrogateescape")) / 0xFFFFFFFF
