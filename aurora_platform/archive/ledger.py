"""The ledger: one row for each file and destination, with what was done to it and what is proved of it.

SQLite in WAL mode in ``paths.state``, shared by several archives and several writers: the runs that push, those that
verify, and an acquisition program that registers its own files (:meth:`Ledger.add_file`). It saves work and shows what
is going on; it is no evidence. A row says ``copied`` after the archive was listed and has the file in this version, and
``verified`` after both sides were read. What it does not know is found out again, so it may be lost:
:meth:`Ledger.rebuild` fills it from the two trees.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from aurora_platform.archive.replacement_log import REPLACED, Replacements
from aurora_platform.errors import LedgerError
from aurora_platform.fs.sqlite import Database, Schema
from aurora_platform.fs.versions import FileVersion, ScannedEntry, data_version
from aurora_platform.layout import REGISTERED

DIFFERS = "checksums differ"

_TABLES = """
CREATE TABLE IF NOT EXISTS file (
    archive TEXT NOT NULL,
    remote_path TEXT NOT NULL,
    local_path TEXT NOT NULL,
    file_group TEXT NOT NULL,
    day TEXT,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    local_sha256 TEXT,
    remote_sha256 TEXT,
    queued_at TEXT NOT NULL,
    copied_at TEXT,
    verified_at TEXT,
    parked_at TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    PRIMARY KEY (archive, remote_path)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_by_group ON file (archive, file_group, day, copied_at);
CREATE INDEX IF NOT EXISTS file_open ON file (archive, file_group, day) WHERE copied_at IS NULL;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
SCHEMA = Schema((f"{_TABLES} {REPLACED}",))
_COUNTED = (
    "count(*), sum(size), sum(copied_at IS NULL AND parked_at IS NULL), sum(parked_at IS NOT NULL),"
    " sum(copied_at IS NOT NULL AND parked_at IS NULL), sum(verified_at IS NOT NULL)"
)
_ROW = (
    "archive, remote_path, local_path, file_group, day, local_sha256, remote_sha256, queued_at, copied_at, verified_at,"
    " parked_at, attempts, last_error, size, mtime_ns"
)
_WAIT = timedelta(seconds=60)  # for another writer
_OTHER_VERSION = "excluded.size != size OR excluded.mtime_ns != mtime_ns"
# Another version is another file: what was done to the old one, or went wrong with it, says nothing of it.
_OFFER = f"""
INSERT INTO file (archive, remote_path, local_path, file_group, day, size, mtime_ns, queued_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (archive, remote_path) DO UPDATE SET
    local_path = excluded.local_path, file_group = excluded.file_group, day = excluded.day,
    size = excluded.size, mtime_ns = excluded.mtime_ns, queued_at = excluded.queued_at,
    local_sha256 = NULL, remote_sha256 = NULL, copied_at = NULL, verified_at = NULL, parked_at = NULL,
    attempts = 0, last_error = NULL
WHERE {_OTHER_VERSION}
"""


@dataclass(frozen=True, slots=True)
class Item:
    """A file and where it goes: local path, absolute remote path, version, UTC day."""

    local_path: str
    remote_path: str
    version: FileVersion
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger knows of a file; times are ISO 8601, UTC."""

    archive: str
    remote_path: str
    local_path: str
    file_group: str
    day: str | None
    local_sha256: str | None
    remote_sha256: str | None
    queued_at: str
    copied_at: str | None
    verified_at: str | None
    parked_at: str | None
    attempts: int
    last_error: str | None
    version: FileVersion


@dataclass(frozen=True, slots=True)
class Counts:
    """Files of one group of an archive, by what was done to them. files = queued + parked + copied."""

    group: str
    files: int
    bytes: int
    queued: int
    parked: int
    copied: int
    verified: int


class Ledger(Database):
    """The ledger of one site. A context manager; for one thread."""

    def __init__(self, path: Path) -> None:
        def not_ours(error: sqlite3.Error) -> LedgerError:
            return LedgerError(
                f"{path}: not a ledger ({error}). Move it away and run `aurora ledger --rebuild`: it is made again "
                "from the two trees."
            )

        self.path = path
        self._open(path, _WAIT.total_seconds(), "PRAGMA synchronous = FULL;", SCHEMA, not_ours)
        self.replaced = Replacements(self._db, self._writing)
        """What was replaced in the archives although a finalization vouched for it."""

    def add_file(self, local_path: str | os.PathLike[str], remote_path: str, archive: str) -> None:
        """Register a file of one's own, to be copied with the next push of the small products.

        Parameters
        ----------
        local_path
            A regular file of this machine, whole by now.
        remote_path
            Where it goes: absolute, below one of the archive's directories.
        archive
            The archive's name in the site file (``archive.name``).

        Raises
        ------
        OSError
            Where the file is not there.
        LedgerError
            Where it is no regular file, or the remote path may not be used.
        """
        place = Path(local_path).absolute()
        status = place.lstat()
        if not place.is_file() or place.is_symlink():
            raise LedgerError(f"{place}: not a regular file")
        if not remote_path.startswith("/") or not _is_plain(remote_path):
            raise LedgerError(f"{remote_path!r}: an absolute path without '..', empty parts or control characters")
        self.offer(archive, REGISTERED, [Item(str(place), remote_path, FileVersion.of(status))])

    def offer(self, archive: str, group: str, items: Iterable[Item]) -> None:
        """Put files into the queue; one that is known in this version stays as it is."""
        now = _now()
        rows = (
            (archive, i.remote_path, i.local_path, group, i.day and i.day.isoformat(), *i.version, now) for i in items
        )
        with self._writing() as db:
            db.executemany(_OFFER, rows)

    def to_send(self, archive: str, group: str, days: Sequence[date] | None = None) -> list[Item]:
        """What is queued of a group, newest day first; parked files are not."""
        rows = self._db.execute(
            "SELECT local_path, remote_path, size, mtime_ns, day FROM file WHERE archive = ? AND file_group = ?"
            " AND copied_at IS NULL AND parked_at IS NULL ORDER BY day DESC, remote_path",
            (archive, group),
        )
        items = (
            Item(here, there, FileVersion(size, mtime), day and date.fromisoformat(day))
            for here, there, size, mtime, day in rows
        )
        wanted = None if days is None else set(days)
        return [item for item in items if wanted is None or item.day in wanted]

    def first_to_send(self, archive: str, group: str) -> list[Item]:
        """One queued file of each day that has any."""
        rows = self._db.execute(
            "SELECT local_path, min(remote_path), size, mtime_ns, day FROM file WHERE archive = ? AND file_group = ?"
            " AND copied_at IS NULL AND parked_at IS NULL AND day IS NOT NULL GROUP BY day",
            (archive, group),
        )
        return [
            Item(here, there, FileVersion(size, mtime), date.fromisoformat(day))
            for here, there, size, mtime, day in rows
        ]

    def days_to_send(self, archive: str, group: str) -> set[date]:
        """The days of which something is queued."""
        rows = self._db.execute(
            "SELECT DISTINCT day FROM file WHERE archive = ? AND file_group = ? AND copied_at IS NULL"
            " AND parked_at IS NULL AND day IS NOT NULL",
            (archive, group),
        )
        return {date.fromisoformat(day) for (day,) in rows}

    def open_items(self, archive: str, group: str, items: Iterable[Item]) -> Iterator[Item]:
        """Those files that are not copied in this version; one that is parked in it does not count."""
        for item in items:
            row = self._db.execute(
                "SELECT size, mtime_ns, copied_at, parked_at FROM file"
                " WHERE archive = ? AND remote_path = ? AND file_group = ?",
                (archive, item.remote_path, group),
            ).fetchone()
            if row is None or FileVersion(*row[:2]) != item.version or not (row[2] or row[3]):
                yield item

    def open_days(self, archive: str, group: str, items: Iterable[Item]) -> set[date | None]:
        """The days of those files that are not copied in this version; see :meth:`open_items`."""
        found: set[date | None] = set()
        rest = (item for item in items if item.day not in found)  # one such file of a day is enough
        for item in self.open_items(archive, group, rest):
            found.add(item.day)
        return found

    def copied_since(self, archive: str, group: str, seconds: float) -> bool:
        """Whether a file of a group was copied since then (seconds since epoch)."""
        since = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        row = self._db.execute(
            "SELECT 1 FROM file WHERE archive = ? AND file_group = ? AND copied_at > ? LIMIT 1",
            (archive, group, since),
        )
        return row.fetchone() is not None

    def data_version(self, archive: str, group: str, days: Sequence[date]) -> str:
        """The identity of what of some days is in the archive."""
        rows = self._db.execute(
            "SELECT remote_path, size, mtime_ns FROM file WHERE archive = ? AND file_group = ?"
            " AND copied_at IS NOT NULL AND (day IS NULL OR day IN (SELECT value FROM json_each(?)))"
            " ORDER BY remote_path",
            (archive, group, json.dumps([str(day) for day in days])),
        )
        return data_version(
            f"{archive}/{group}", (ScannedEntry(path, FileVersion(*version)) for path, *version in rows)
        )

    def counts_of_day(self, archive: str, group: str, day: date) -> Counts:
        """What was done to the files of one day."""
        row = self._db.execute(
            f"SELECT {_COUNTED} FROM file WHERE archive = ? AND file_group = ? AND day = ?", (archive, group, str(day))
        ).fetchone()
        return Counts(group, *(value or 0 for value in row))

    def copied(self, archive: str, there: Iterable[ScannedEntry[str]]) -> int:
        """Note what the archive has, by a listing of it; returns how many rows that changed.

        ``path`` of each is absolute; only a row of the same size and mtime is taken for that file.
        """
        return self._stamp(archive, there, "copied_at = ?, parked_at = NULL, last_error = NULL")

    def _stamp(self, archive: str, files: Iterable[ScannedEntry[str]], assignment: str) -> int:
        now, changed = _now(), 0
        with self._writing() as db:
            for file in files:
                row = db.execute(
                    "SELECT size, mtime_ns FROM file WHERE archive = ? AND remote_path = ? AND copied_at IS NULL",
                    (archive, file.path),
                ).fetchone()
                if row is not None and FileVersion(*row).same_as(file.version):
                    db.execute(
                        f"UPDATE file SET {assignment} WHERE archive = ? AND remote_path = ?",
                        (now, archive, file.path),
                    )
                    changed += 1
        return changed

    def failed(self, archive: str, errors: Iterable[tuple[str, str]], max_attempts: int) -> list[str]:
        """Count an attempt for each (remote path, reason); returns those that are parked from now on."""
        now, parked = _now(), []
        with self._writing() as db:
            for remote_path, reason in errors:
                row = db.execute(
                    "UPDATE file SET attempts = attempts + 1, last_error = ?,"
                    " parked_at = CASE WHEN attempts + 1 >= ? THEN ? ELSE NULL END"
                    " WHERE archive = ? AND remote_path = ? AND copied_at IS NULL RETURNING parked_at",
                    (reason, max_attempts, now, archive, remote_path),
                ).fetchone()
                if row and row[0]:
                    parked.append(remote_path)
        return parked

    def verified(self, archive: str, proofs: Iterable[tuple[ScannedEntry[str], str, str]]) -> None:
        """Note the digests of both sides: (file with absolute remote path, local SHA-256, remote SHA-256).

        Only a row of the same size and mtime is taken for that file: another version may have been queued meanwhile.
        Only where they are equal the row is verified; where not, it says so and is not sent again by itself: which side
        is right is for ``aurora repair``.
        """
        now = _now()
        with self._writing() as db:
            for file, here, there in proofs:
                row = db.execute(
                    "SELECT size, mtime_ns FROM file WHERE archive = ? AND remote_path = ?", (archive, file.path)
                ).fetchone()
                if row is None or not FileVersion(*row).same_as(file.version):
                    continue
                good = here == there
                db.execute(
                    "UPDATE file SET local_sha256 = ?, remote_sha256 = ?, verified_at = ?, last_error = ?,"
                    " copied_at = coalesce(copied_at, ?) WHERE archive = ? AND remote_path = ?",
                    (here, there, now if good else None, None if good else DIFFERS, now, archive, file.path),
                )

    def lost(self, archive: str, remote_paths: Iterable[str], reason: str) -> None:
        """Put files back into the queue that a listing of the archive does not have in this version."""
        with self._writing() as db:
            db.executemany(
                "UPDATE file SET copied_at = NULL, verified_at = NULL, remote_sha256 = NULL, last_error = ?,"
                " queued_at = ? WHERE archive = ? AND remote_path = ? AND copied_at IS NOT NULL",
                ((reason, _now(), archive, path) for path in remote_paths),
            )

    def requeue(self, archive: str, remote_paths: Iterable[str]) -> None:
        """Put files back into the queue, parked or not, with a clean slate."""
        with self._writing() as db:
            db.executemany(
                "UPDATE file SET copied_at = NULL, verified_at = NULL, parked_at = NULL, attempts = 0,"
                " last_error = NULL, queued_at = ? WHERE archive = ? AND remote_path = ?",
                ((_now(), archive, path) for path in remote_paths),
            )

    def row(self, archive: str, remote_path: str) -> Row | None:
        """What is known of a file."""
        return next(iter(self._rows("archive = ? AND remote_path = ?", (archive, remote_path))), None)

    def parked(self, archive: str, group: str | None = None) -> list[Row]:
        """The files that are not tried any more."""
        if group is None:
            return list(self._rows("archive = ? AND parked_at IS NOT NULL", (archive,)))
        return list(self._rows("archive = ? AND file_group = ? AND parked_at IS NOT NULL", (archive, group)))

    def _rows(self, where: str, values: tuple[str, ...]) -> Iterator[Row]:
        rows = self._db.execute(f"SELECT {_ROW} FROM file WHERE {where}", values)
        return (Row(*(*row[:-2], FileVersion(*row[-2:]))) for row in rows)

    def counts(self, archive: str) -> list[Counts]:
        """A line for each group."""
        rows = self._db.execute(
            f"SELECT file_group, {_COUNTED} FROM file WHERE archive = ? GROUP BY file_group ORDER BY file_group",
            (archive,),
        )
        return [Counts(*row) for row in rows]

    def rebuild(self, archive: str, group: str, here: Iterable[Item], there: Iterable[ScannedEntry[str]]) -> int:
        """Fill the ledger from the two trees; returns how many files are in both in one version.

        ``here`` are the local files and where they belong, ``there`` the archive's, by absolute path. The ledger says
        from now on when that was done (:attr:`rebuilt_at`).
        """
        self.offer(archive, group, here)
        found = self.copied(archive, there)
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('rebuilt_at', ?)", (_now(),))
        return found

    @property
    def rebuilt_at(self) -> str | None:
        """When it was last rebuilt from the trees, ISO 8601, UTC; None where it has grown with what was done."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'rebuilt_at'").fetchone()
        return row and str(row[0])

    @property
    def is_empty(self) -> bool:
        """Whether it knows nothing: new, or lost."""
        return self._db.execute("SELECT 1 FROM file LIMIT 1").fetchone() is None


def _is_plain(path: str) -> bool:
    parts = path.split("/")[1:]
    return path.isprintable() and not {"", ".", ".."} & set(parts)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
