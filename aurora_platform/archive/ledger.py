"""The ledger: one row per file and destination, with its state: queued, copied, verified or parked.

SQLite in WAL mode in ``paths.state``, shared by several archives and several writers: the runs that push, the runs that
verify, and acquisition programs that register their own files (:meth:`Ledger.add_file`). It saves work and shows
progress; it is no evidence. A row is ``copied`` after a listing of the archive has the file in this version, and
``verified`` after both sides were read. It may be lost: :meth:`Ledger.rebuild` fills it from the local tree and the
archive.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from pathlib import Path

from aurora_platform.archive.archived_revisions import ArchivedRevisions
from aurora_platform.archive.ledger_rows import Counts as Counts
from aurora_platform.archive.ledger_rows import Item as Item
from aurora_platform.archive.ledger_rows import Row as Row
from aurora_platform.archive.ledger_tables import (
    CREATE_TEMPORARY,
    IS_LISTED_VERSION,
    MARK_VERIFIED,
    OFFER,
    SCHEMA,
)
from aurora_platform.archive.replacement_log import Replacements
from aurora_platform.archive.sending import Sending
from aurora_platform.errors import LedgerError
from aurora_platform.fs.sqlite import Database
from aurora_platform.fs.sqlite_errors import Holding
from aurora_platform.fs.versions import FileVersion, ScannedEntry, data_version, same_mtime
from aurora_platform.layout import REGISTERED

DIFFERS = "checksums differ"

_COUNTED = (
    "count(*), sum(size), sum(copied_at IS NULL AND parked_at IS NULL), sum(parked_at IS NOT NULL),"
    " sum(copied_at IS NOT NULL AND parked_at IS NULL), sum(verified_at IS NOT NULL)"
)
_ROW = (
    "archive, remote_path, local_path, file_group, day, local_sha256, remote_sha256, queued_at, copied_at, verified_at,"
    " parked_at, attempts, last_error, size, mtime_ns"
)
HOLDING = Holding(
    "the ledger of copies",
    lambda text, transient: LedgerError(text, transient=transient),
    "aurora ledger --rebuild --dry-run",
    "aurora ledger --rebuild",
)
_WAIT = timedelta(seconds=60)  # for another writer
_BATCH = 1000  # files per query


class Ledger(Database):
    """The ledger of one site. A context manager; for one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open_database(path)
        self._db.executescript(CREATE_TEMPORARY)
        self._db.create_function("same_mtime", 2, same_mtime, deterministic=True)
        self.replaced = Replacements(self._db, self._writing)
        """The finalized files that were replaced in the archives."""
        self.sending = Sending(self._db, self._writing)
        """What pushes are sending."""
        self.archived = ArchivedRevisions(self._db, self._writing)
        """Which finalizations the archives have."""

    def _open_database(self, path: Path) -> None:
        self._open(path, _WAIT.total_seconds(), "PRAGMA synchronous = FULL;", SCHEMA, HOLDING)

    def add_file(self, local_path: str | os.PathLike[str], remote_path: str | os.PathLike[str], archive: str) -> None:
        """Register a file of another program; the next push of the small products copies it.

        Parameters
        ----------
        local_path
            A regular local file, completely written.
        remote_path
            The destination: an absolute path below one of the archive's directories.
        archive
            The archive's name in the site file (``archive.name``).

        Raises
        ------
        OSError
            Where the file does not exist.
        LedgerError
            Where it is not a regular file, the remote path is not allowed, or no push ever used an archive of that
            name.
        """
        path, remote = Path(local_path).absolute(), os.fspath(remote_path)
        status = path.lstat()
        if not path.is_file() or path.is_symlink():
            raise LedgerError(f"{path}: not a regular file")
        if not isinstance(remote, str) or not remote.startswith("/") or not _is_plain(remote):
            raise LedgerError(f"{remote!r}: must be an absolute path without '..', empty parts or control characters")
        if archive not in self.archives:
            names = ", ".join(self.archives) or "none yet: the first push, or `aurora ledger`, makes them known"
            raise LedgerError(f"{archive!r}: not an archive of this ledger ({names})")
        self.offer(archive, REGISTERED, [Item(str(path), remote, FileVersion.of(status))])

    @property
    def archives(self) -> list[str]:
        """The archives that the site files of this ledger have named."""
        names = [name for (name,) in self._db.execute("SELECT value FROM meta WHERE key GLOB 'archive/*' ORDER BY key")]
        # A ledger of the version before has no such names, and files of one archive.
        return names or [
            name
            for (name,) in self._db.execute("SELECT archive FROM file WHERE file_group != ? LIMIT 1", (REGISTERED,))
        ]

    def add_archive(self, archive: str) -> None:
        """Store that a site file names this archive; files may be registered for it from now on."""
        if archive not in self.archives:
            with self._writing() as db:
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"archive/{archive}", archive))

    def count_unknown(self, archive: str) -> dict[str, int]:
        """Return name -> registered files of other archives than this one, which no push of the site copies."""
        rows = self._db.execute(
            "SELECT archive, count(*) FROM file WHERE archive != ? AND file_group = ? AND copied_at IS NULL"
            " GROUP BY archive",
            (archive, REGISTERED),
        )
        return dict(rows.fetchall())

    def offer(self, archive: str, group: str, items: Iterable[Item]) -> None:
        """Put files into the queue; a file that has a row in this version keeps it unchanged."""
        now = _now()
        rows = (
            (archive, i.remote_path, i.local_path, group, i.day and i.day.isoformat(), *i.version, now) for i in items
        )
        with self._writing() as db:
            db.executemany(OFFER, rows)

    def to_send(self, archive: str, group: str, days: Sequence[date] | None = None) -> list[Item]:
        """Return the queued files of a group, newest day first, without parked files."""
        rows = self._db.execute(
            "SELECT local_path, remote_path, size, mtime_ns, day FROM file WHERE archive = ? AND file_group = ?"
            " AND copied_at IS NULL AND parked_at IS NULL ORDER BY day DESC, remote_path",
            (archive, group),
        )
        items = (
            Item(local_path, remote_path, FileVersion(size, mtime), day and date.fromisoformat(day))
            for local_path, remote_path, size, mtime, day in rows
        )
        wanted = None if days is None else set(days)
        return [item for item in items if wanted is None or item.day in wanted]

    def items(self, archive: str, group: str) -> Iterator[Item]:
        """Yield every file of a group, whatever its state, in the order of the remote paths."""
        rows = self._db.execute(
            "SELECT local_path, remote_path, size, mtime_ns, day FROM file WHERE archive = ? AND file_group = ?"
            " ORDER BY remote_path",
            (archive, group),
        )
        for local_path, remote_path, size, mtime, day in rows:
            yield Item(local_path, remote_path, FileVersion(size, mtime), day and date.fromisoformat(day))

    def first_to_send(self, archive: str, group: str) -> list[Item]:
        """Return one queued file per day that has queued files."""
        rows = self._db.execute(
            "SELECT local_path, min(remote_path), size, mtime_ns, day FROM file WHERE archive = ? AND file_group = ?"
            " AND copied_at IS NULL AND parked_at IS NULL AND day IS NOT NULL GROUP BY day",
            (archive, group),
        )
        return [
            Item(local_path, remote_path, FileVersion(size, mtime), date.fromisoformat(day))
            for local_path, remote_path, size, mtime, day in rows
        ]

    def days_to_send(self, archive: str, group: str) -> set[date]:
        """Return the days that have queued files."""
        rows = self._db.execute(
            "SELECT DISTINCT day FROM file WHERE archive = ? AND file_group = ? AND copied_at IS NULL"
            " AND parked_at IS NULL AND day IS NOT NULL",
            (archive, group),
        )
        return {date.fromisoformat(day) for (day,) in rows}

    def open_items(self, archive: str, group: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the files that are not copied in this version; a file that is parked in it is skipped."""
        for part in batched(items, _BATCH):
            # "+": the primary key finds them, not the index of the whole group.
            rows = self._db.execute(
                "SELECT remote_path, size, mtime_ns, copied_at, parked_at FROM file"
                " WHERE archive = ? AND +file_group = ? AND remote_path IN (SELECT value FROM json_each(?))",
                (archive, group, json.dumps([item.remote_path for item in part])),
            )
            found = {path: (FileVersion(size, mtime), copied or parked) for path, size, mtime, copied, parked in rows}
            for item in part:
                version, is_done = found.get(item.remote_path, (None, None))
                if version != item.version or not is_done:
                    yield item

    def open_days(self, archive: str, group: str, items: Iterable[Item]) -> set[date | None]:
        """Return the days of the files that are not copied in this version; see :meth:`open_items`."""
        found: set[date | None] = set()
        rest = (item for item in items if item.day not in found)  # one such file per day is enough
        for item in self.open_items(archive, group, rest):
            found.add(item.day)
        return found

    def copied_since(self, archive: str, group: str, seconds: float) -> bool:
        """Whether a file of a group was copied after a time (seconds since epoch)."""
        since = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
        row = self._db.execute(
            "SELECT 1 FROM file WHERE archive = ? AND file_group = ? AND copied_at > ? LIMIT 1",
            (archive, group, since),
        )
        return row.fetchone() is not None

    def data_version(self, archive: str, group: str, days: Sequence[date]) -> str:
        """Return the data version of the files of some days that are in the archive."""
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
        """Count the files of one day by state."""
        row = self._db.execute(
            f"SELECT {_COUNTED} FROM file WHERE archive = ? AND file_group = ? AND day = ?", (archive, group, str(day))
        ).fetchone()
        return Counts(group, *(value or 0 for value in row))

    def waiting_since(self, archive: str, group: str, day: date) -> datetime | None:
        """When the oldest queued file of a day was queued; None without queued files."""
        (queued_at,) = self._db.execute(
            "SELECT min(queued_at) FROM file WHERE archive = ? AND file_group = ? AND day = ? AND copied_at IS NULL"
            " AND parked_at IS NULL",
            (archive, group, str(day)),
        ).fetchone()
        return None if queued_at is None else datetime.fromisoformat(queued_at)

    def mark_copied(self, archive: str, listed: Iterable[ScannedEntry[str]]) -> int:
        """Mark files as copied by a listing of the archive; returns how many rows changed.

        The ``path`` of each entry is absolute. Only a row of the same size and mtime is changed.
        """
        with self._writing() as db:
            db.execute("DELETE FROM listed")
            db.executemany(
                "INSERT OR REPLACE INTO listed VALUES (?, ?, ?)", ((file.path, *file.version) for file in listed)
            )
            return db.execute(
                "UPDATE file SET copied_at = ?, parked_at = NULL, last_error = NULL FROM listed l"
                f" WHERE file.archive = ? AND file.remote_path = +l.path AND file.copied_at IS NULL"
                f" AND {IS_LISTED_VERSION}",
                (_now(), archive),
            ).rowcount

    def mark_failed(self, archive: str, errors: Iterable[tuple[str, str]], max_attempts: int) -> list[str]:
        """Count a failed attempt per (remote path, reason); returns the paths that are now parked."""
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

    def mark_verified(self, archive: str, proofs: Iterable[tuple[ScannedEntry[str], str, str]]) -> None:
        """Store the checksums of both sides: (file with absolute remote path, local SHA-256, remote SHA-256).

        Only a row of the same size and mtime is changed: another version may have been queued meanwhile. Where the
        checksums are equal, the row is verified. Where they differ, the row gets an error and the file is not sent
        again by itself: ``aurora repair`` finds which side is right.
        """
        rows = ((file.path, *file.version, local, remote) for file, local, remote in proofs)
        with self._writing() as db:
            db.execute("DELETE FROM proof")
            db.executemany("INSERT OR REPLACE INTO proof VALUES (?, ?, ?, ?, ?)", rows)
            db.execute(MARK_VERIFIED, {"archive": archive, "now": _now(), "differs": DIFFERS})

    def unverified_days(self, archive: str, group: str, days: Sequence[date]) -> set[date]:
        """Return those of some days that have a file which is not verified in this version."""
        rows = self._db.execute(
            "SELECT DISTINCT day FROM file WHERE archive = ? AND file_group = ? AND day BETWEEN ? AND ?"
            " AND verified_at IS NULL",
            (archive, group, str(min(days)), str(max(days))),
        )
        return {date.fromisoformat(day) for (day,) in rows}

    def requeue_lost(self, archive: str, remote_paths: Iterable[str], reason: str) -> None:
        """Put files back into the queue that a listing of the archive lacks in this version."""
        with self._writing() as db:
            db.execute(
                "UPDATE file SET copied_at = NULL, verified_at = NULL, remote_sha256 = NULL, last_error = ?,"
                " queued_at = ? WHERE archive = ? AND remote_path IN (SELECT value FROM json_each(?))"
                " AND copied_at IS NOT NULL",
                (reason, _now(), archive, json.dumps(list(remote_paths))),
            )

    def requeue(self, archive: str, remote_paths: Iterable[str]) -> None:
        """Put files back into the queue, parked or not, without errors and attempts."""
        with self._writing() as db:
            db.executemany(
                "UPDATE file SET copied_at = NULL, verified_at = NULL, parked_at = NULL, attempts = 0,"
                " last_error = NULL, queued_at = ? WHERE archive = ? AND remote_path = ?",
                ((_now(), archive, path) for path in remote_paths),
            )

    def row(self, archive: str, remote_path: str) -> Row | None:
        """Return the row of a file; None without one."""
        return next(iter(self._rows("archive = ? AND remote_path = ?", (archive, remote_path))), None)

    def rows_of_day(self, archive: str, group: str, day: date | None) -> Iterator[Row]:
        """Yield the rows of a group's files of a day, or of those without one."""
        if day is None:
            return self._rows("archive = ? AND file_group = ? AND day IS NULL", (archive, group))
        return self._rows("archive = ? AND file_group = ? AND day = ?", (archive, group, str(day)))

    def copied_paths(self, archive: str, group: str) -> list[str]:
        """Return the remote paths of the files of a group that the archive has."""
        rows = self._db.execute(
            "SELECT remote_path FROM file WHERE archive = ? AND file_group = ? AND copied_at IS NOT NULL",
            (archive, group),
        )
        return [path for (path,) in rows]

    def parked(self, archive: str, group: str | None = None) -> list[Row]:
        """Return the parked files, which are not tried any more."""
        if group is None:
            return list(self._rows("archive = ? AND parked_at IS NOT NULL", (archive,)))
        return list(self._rows("archive = ? AND file_group = ? AND parked_at IS NOT NULL", (archive, group)))

    def _rows(self, where: str, values: tuple[str, ...]) -> Iterator[Row]:
        rows = self._db.execute(f"SELECT {_ROW} FROM file WHERE {where}", values)
        return (Row(*(*row[:-2], FileVersion(*row[-2:]))) for row in rows)

    def counts(self, archive: str) -> list[Counts]:
        """Return the counts of each group."""
        rows = self._db.execute(
            f"SELECT file_group, {_COUNTED} FROM file WHERE archive = ? GROUP BY file_group ORDER BY file_group",
            (archive,),
        )
        return [Counts(*row) for row in rows]

    def rebuild(self, archive: str, group: str, local: Iterable[Item], listed: Iterable[ScannedEntry[str]]) -> int:
        """Fill the ledger from local files and a listing of the archive; returns how many files both have.

        ``local`` has the local files and their destinations, ``listed`` the files of the archive, by absolute path. The
        time of the rebuild is stored (:attr:`rebuilt_at`).
        """
        self.offer(archive, group, local)
        found = self.mark_copied(archive, listed)
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('rebuilt_at', ?)", (_now(),))
        return found

    @property
    def rebuilt_at(self) -> str | None:
        """When the ledger was last rebuilt, ISO 8601, UTC; None where it never was."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'rebuilt_at'").fetchone()
        return row and str(row[0])


def _is_plain(path: str) -> bool:
    parts = path.split("/")[1:]
    return path.isprintable() and not {"", ".", ".."} & set(parts)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
