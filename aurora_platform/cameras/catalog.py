"""The catalogue: one row for every readable image and clip, in the SQLite table that the dashboard reads.

Settled files that no decoder can read have a row in ``unreadable_media``. They are opened again only when their size or
mtime changes. This module opens the catalogue and holds its queries; :mod:`aurora_platform.cameras.refresh` fills it.
"""

import errno
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from aurora_platform.cameras.catalog_tables import SCHEMA
from aurora_platform.cameras.filenames import CAMERAS, MIME_TYPES, Kind
from aurora_platform.cameras.raw_tree import belongs_to_day, directories_around
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import CatalogError
from aurora_platform.fs.atomic import flush, publish_file, remove
from aurora_platform.fs.disk_errors import next_step
from aurora_platform.fs.sqlite import create_verified, immediate
from aurora_platform.fs.sqlite_aside import what_is_wrong
from aurora_platform.fs.sqlite_errors import Holding, damage_mark, damaged, explaining
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.text import Count

_log = logging.getLogger(__name__)
# A writer waits this long for another writer's transaction; a transaction takes some milliseconds.
_BUSY_SECONDS = 60.0
# At its end a writer waits this long for readers to release the log, before SQLite merges it into the main file.
_CHECKPOINT_SECONDS = 2
# The log is merged at the end. Only a backfill of many days reaches this number of pages (4 kB each) earlier.
_AUTOCHECKPOINT_PAGES = 10_000

COLUMNS = (
    "raw_path", "image_type", "media_kind", "mime_type", "stream", "label", "time_utc", "time_epoch_ns", "day_utc",
    "relative_path", "filename", "width", "height", "size_bytes", "mtime_ns", "indexed_at",
)  # fmt: skip
HOLDING = Holding(
    "the catalogue",
    lambda text, transient: CatalogError(text, transient=transient),
    "aurora catalog --rebuild",
    "aurora catalog --rebuild --apply",
    is_cache=False,
)
_NO_CATALOG = "there is no catalogue yet. Materialize wxcam/catalog for a day first."
_UPSERT = f"INSERT OR REPLACE INTO images ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_MEDIA_COLUMNS = "relative_path, image_type, media_kind, time_epoch_ns, width, height, raw_path, size_bytes, mtime_ns"
_BY_TIME = "ORDER BY time_epoch_ns, raw_path"


Row = tuple[object, ...]


class Media(NamedTuple):
    """A catalogued image or clip."""

    relative_path: str
    camera: str
    kind: Kind
    time_ns: int
    width: int
    height: int
    raw_path: str
    version: FileVersion

    @property
    def path(self) -> Path:
        return Path(self.raw_path)

    @property
    def scanned(self) -> ScannedEntry[str]:
        return ScannedEntry(self.relative_path, self.version)

    @property
    def filename(self) -> str:
        return os.path.basename(self.raw_path)

    def is_unchanged(self) -> bool:
        """Whether the file is still the version that was catalogued."""
        try:
            return FileVersion.of(self.path.lstat()) == self.version
        except OSError:
            return False


class Unreadable(NamedTuple):
    """A version of a settled file that no decoder can read, and the reason."""

    version: FileVersion
    reason: str


# -- opening -----------------------------------------------------------------------------------------------------------


@contextmanager
def open_writable(workspace: CameraWorkspace) -> Iterator[sqlite3.Connection]:
    """Open the catalogue for writing; create it if it is missing.

    On exit all commits are on the disk, also after an error, and the main file is complete: a copy needs no other file.

    Raises
    ------
    CatalogError
        If the catalogue cannot be created, opened or written. The message says what to do.
    """
    if _is_missing(workspace.layout.catalog):
        _create(workspace)
    _refuse_if_damaged(workspace.layout.catalog)
    with explaining(workspace.layout.catalog, HOLDING), _connect(workspace.layout.catalog) as db:
        try:
            yield db
        finally:
            _checkpoint(db, workspace.layout.catalog)


def _refuse_if_damaged(catalog: Path) -> None:
    """Raise if an earlier error was one of damage, and it is still there."""
    mark = damage_mark(catalog)
    if mark.exists():
        with explaining(catalog, HOLDING):
            if reason := what_is_wrong(catalog, SCHEMA):
                raise CatalogError(damaged(catalog, reason, HOLDING))
        forget_damage(catalog)


def forget_damage(catalog: Path) -> None:
    """Remove the mark of a catalogue that was made again."""
    damage_mark(catalog).unlink(missing_ok=True)


def _checkpoint(db: sqlite3.Connection, catalog: Path) -> None:
    if (log := catalog.with_name(f"{catalog.name}-wal")).is_file():
        flush(log)
        flush(log.parent)  # the log may be new
    # A reader with an open transaction blocks the checkpoint; the next writer does it then.
    db.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_SECONDS * 1000}")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        # All commits are in the log on the disk, so this is no failure. Only a copy of the main file alone must wait.
        _log.warning(
            "%s: SQLite could not merge the -wal file into the catalogue (%s). Readers see all rows. Until the next "
            "run that writes, a copy needs the -wal file too. If the disk is full, make room (`df` shows it).",
            catalog,
            error,
        )


def _is_missing(catalog: Path) -> bool:
    """Whether there is no catalogue or an empty file: SQLite creates an empty file before it finds the disk full."""
    return not catalog.is_file() or catalog.stat().st_size == 0


def _create(workspace: CameraWorkspace) -> None:
    """Publish an empty catalogue atomically, so that readers never find a database without its tables."""
    with workspace.staging.claim("catalog") as staged:
        if not _is_missing(workspace.layout.catalog):
            return
        staged.mkdir()
        try:
            create_verified(staged / workspace.layout.catalog.name, SCHEMA)
        except sqlite3.Error as error:
            step = next_step(errno.ENOSPC, workspace.layout.catalog)
            raise CatalogError(
                f"{workspace.layout.catalog}: the catalogue could not be created ({error}); nothing was published. "
                f"{step} Then materialize wxcam/catalog again.",
                transient=True,
            ) from None
        # A log without its database belongs to a deleted catalogue: SQLite would replay it into the new one.
        for suffix in ("-wal", "-shm"):
            remove(workspace.layout.catalog.with_name(workspace.layout.catalog.name + suffix))
        publish_file(staged / workspace.layout.catalog.name, workspace.layout.catalog)


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        # Commits do not wait for the disk: open_writable flushes once, at its end. A crash before that loses whole
        # transactions, never a part of one; the next refresh adds the missing rows.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_AUTOCHECKPOINT_PAGES}")
        # A new schema number alone must not make the uploader send the whole catalogue again.
        SCHEMA.migrate(db, path, lazily=True)
        SCHEMA.require_in(db, path, HOLDING)
        yield db


@contextmanager
def open_readonly(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the catalogue for reading, also a read-only copy without its ``-wal`` and ``-shm`` files.

    Raises
    ------
    CatalogError
        If there is no catalogue, or it is damaged.
    """
    if _is_missing(path):
        raise CatalogError(f"{path}: {_NO_CATALOG}")
    with explaining(path, replace(HOLDING, leaves_mark=False)), _reading(path) as db:
        yield db


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    location = path.absolute().as_uri()
    with closing(sqlite3.connect(f"{location}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as db:
        try:
            _check_tables(db, path)
        except sqlite3.OperationalError:
            # SQLite cannot create its -shm file beside a read-only copy. Nothing writes such a copy: it is immutable.
            if _has_content(path.with_name(f"{path.name}-wal")):
                raise
        else:
            yield db
            return
    with closing(sqlite3.connect(f"{location}?mode=ro&immutable=1", uri=True)) as db:
        _check_tables(db, path)
        yield db


def _check_tables(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'images'").fetchone()
    SCHEMA.check(db, path)
    if found is None:
        raise CatalogError(f"{path}: {_NO_CATALOG}")


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    with immediate(db):
        yield
        SCHEMA.stamp(db)


# -- reading -----------------------------------------------------------------------------------------------------------


def day_media(db: sqlite3.Connection, day: date, camera: str | None = None, kind: Kind | None = None) -> list[Media]:
    """List the catalogued files of a UTC day, by time."""
    return _select(
        db,
        f"SELECT {_MEDIA_COLUMNS} FROM images"
        f" WHERE day_utc = ? AND image_type IN (?, ?) AND media_kind IN (?, ?) {_BY_TIME}",
        (day.isoformat(), *([camera] * 2 if camera else CAMERAS), *([kind] * 2 if kind else MIME_TYPES)),
    )


def media_between(db: sqlite3.Connection, camera: str, kind: Kind, start_ns: int, stop_ns: int) -> list[Media]:
    """List the catalogued files of a camera with start <= time < stop (ns since epoch, UTC), by time."""
    return _select(
        db,
        f"SELECT {_MEDIA_COLUMNS} FROM images WHERE image_type = ? AND media_kind = ?"
        f" AND time_epoch_ns >= ? AND time_epoch_ns < ? {_BY_TIME}",
        (camera, kind, start_ns, stop_ns),
    )


def newest_clips(db: sqlite3.Connection, camera: str, count: int) -> list[Media]:
    """List the newest ``count`` clips of a camera, by time."""
    newest = _select(
        db,
        f"SELECT {_MEDIA_COLUMNS} FROM images WHERE image_type = ? AND media_kind = 'video'"
        " ORDER BY time_epoch_ns DESC, raw_path DESC LIMIT ?",
        (camera, count),
    )
    return newest[::-1]


def newest_days(db: sqlite3.Connection, count: int) -> list[date]:
    """List the newest ``count`` days that have catalogued files, by time."""
    days: list[date] = []
    before = "9999-12-31"
    while len(days) < count:
        (newest,) = db.execute("SELECT max(day_utc) FROM images WHERE day_utc < ?", (before,)).fetchone()
        if newest is None:
            break
        days.append(date.fromisoformat(newest))
        before = newest
    return days[::-1]


def images_by_day(db: sqlite3.Connection, camera: str, first: date) -> dict[date, int]:
    """Count the images of a camera per day, from ``first`` on. Days without images are not included."""
    rows = db.execute(
        "SELECT day_utc, count(*) FROM images WHERE day_utc >= ? AND image_type = ? AND media_kind = 'image'"
        " GROUP BY day_utc",
        (first.isoformat(), camera),
    )
    return {date.fromisoformat(day): count for day, count in rows}


def day_unreadable(db: sqlite3.Connection, raw: Path, day: date) -> dict[str, Unreadable]:
    """List the unreadable files of a day, by raw path."""
    found: dict[str, Unreadable] = {}
    for camera, step, directory in directories_around(raw, day):
        # A range over the primary key; "0" is the character after "/".
        rows = db.execute(
            "SELECT raw_path, size_bytes, mtime_ns, error FROM unreadable_media WHERE raw_path >= ? AND raw_path < ?",
            (f"{directory}/", f"{directory}0"),
        )
        for path, size, mtime_ns, reason in rows:
            if belongs_to_day(os.path.basename(path), camera, day, step):
                found[path] = Unreadable(FileVersion(size, mtime_ns), reason)
    return found


def select_unchanged(media: Iterable[Media], waiting: Count) -> list[Media]:
    """Return the media whose files are unchanged since they were catalogued; count the others in ``waiting``.

    The next run handles the files that wait.
    """
    unchanged = []
    for item in media:
        if item.is_unchanged():
            unchanged.append(item)
        else:
            waiting.add(item.relative_path)
    return unchanged


def _select(db: sqlite3.Connection, query: str, values: Row) -> list[Media]:
    return [Media(*(*row[:-2], FileVersion(*row[-2:]))) for row in db.execute(query, values)]


# -- writing -----------------------------------------------------------------------------------------------------------


def write_difference(db: sqlite3.Connection, rows: list[Row], failures: list[Row], removed: list[str]) -> None:
    """Write the changes of a day in one transaction; open none if nothing changed."""
    if not (rows or failures or removed):
        return
    with _transaction(db):
        db.executemany(_UPSERT, rows)
        if db.execute("SELECT 1 FROM unreadable_media LIMIT 1").fetchone():
            db.executemany("DELETE FROM unreadable_media WHERE raw_path = ?", [(row[0],) for row in rows])
        _record_failures(db, failures)
        for table in ("images", "unreadable_media"):
            db.executemany(f"DELETE FROM {table} WHERE raw_path = ?", [(path,) for path in removed])


def _record_failures(db: sqlite3.Connection, failures: list[Row]) -> None:
    db.executemany("DELETE FROM images WHERE raw_path = ?", [(row[0],) for row in failures])
    db.executemany(
        "INSERT OR REPLACE INTO unreadable_media (raw_path, size_bytes, mtime_ns, error, indexed_at)"
        " VALUES (?, ?, ?, ?, ?)",
        failures,
    )


def mark_unreadable(workspace: CameraWorkspace, failures: Iterable[tuple[Media, str]], now: datetime) -> None:
    """Record files that no decoder can read (:mod:`aurora_platform.cameras.decoders`), so that no run tries them again.

    Do not call it for a file that only one product cannot use: such a file stays catalogued for the other products. A
    file that changed meanwhile, or has a new row, is not recorded.
    """
    stamp = now.isoformat(timespec="seconds")
    bad = [(m, reason) for m, reason in failures if m.is_unchanged()]
    if not bad:
        return
    same = "SELECT 1 FROM images WHERE raw_path = ? AND size_bytes = ? AND mtime_ns = ?"
    with open_writable(workspace) as db, _transaction(db):
        rows: list[Row] = [(m.raw_path, *m.version, reason, stamp) for m, reason in bad]
        _record_failures(db, [row for row in rows if db.execute(same, row[:3]).fetchone()])
