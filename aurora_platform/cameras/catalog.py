"""The catalogue: one row for every readable image and clip, in the SQLite table that the dashboard reads.

Settled files that no reader can read stand in ``unreadable_media`` and are opened again only when their size or mtime
changes. Here are the tables, how they are opened, and what is asked of them; :mod:`aurora_platform.cameras.refresh`
fills them.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from aurora_platform.cameras.catalog_tables import SCHEMA
from aurora_platform.cameras.filenames import CAMERAS, MIME_TYPES, Kind
from aurora_platform.cameras.raw_tree import around, belongs
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import CatalogError
from aurora_platform.fs.atomic import flush, publish_file, remove
from aurora_platform.fs.sqlite import immediate, make_whole
from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.text import Count

_log = logging.getLogger(__name__)
# A writer waits this long for another writer's transaction; each is some milliseconds.
_BUSY_SECONDS = 60.0
# And this long at its end, for readers to let go of the log before it is folded into the main file.
_CHECKPOINT_SECONDS = 2
_LASTING = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_ERROR}
# The log is folded in at the end; only a backfill of many days reaches this before (4 kB each).
_LOG_PAGES = 10_000

_COLUMNS = (
    "raw_path", "image_type", "media_kind", "mime_type", "stream", "label", "time_utc", "time_epoch_ns", "day_utc",
    "relative_path", "filename", "width", "height", "size_bytes", "mtime_ns", "indexed_at",
)  # fmt: skip
_NONE_YET = "there is no catalogue yet. Materialize wxcam/catalog for a day first."
_UPSERT = f"INSERT OR REPLACE INTO images ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_MEDIA = "relative_path, image_type, media_kind, time_epoch_ns, width, height, raw_path, size_bytes, mtime_ns"
_ORDER = "ORDER BY time_epoch_ns, raw_path"


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
    """A settled file that no reader can read in this version, and why."""

    version: FileVersion
    reason: str


# -- opening -----------------------------------------------------------------------------------------------------------


@contextmanager
def open_writable(workspace: CameraWorkspace) -> Iterator[sqlite3.Connection]:
    """The catalogue for writing; made when missing.

    At its end all that was committed is on the disk, also where the work in between has failed, and the main file is
    whole: a copy of it alone is enough.

    Raises
    ------
    CatalogError
        Where it cannot be made, opened or written; the message says what to do.
    """
    if _is_missing(workspace.layout.catalog):
        _make(workspace)
    with _connect(workspace.layout.catalog) as db:
        try:
            yield db
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a mistake in a statement
                raise
            raise _refused(
                workspace.layout.catalog, error, "cannot be written", "Days that were not finished are"
            ) from None
        finally:
            _settle(db, workspace.layout.catalog)


def _settle(db: sqlite3.Connection, catalog: Path) -> None:
    if (log := catalog.with_name(f"{catalog.name}-wal")).is_file():
        flush(log)
        flush(log.parent)  # the log may be new
    # A reader that stays in a transaction holds this up; whoever writes next makes up for it.
    db.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_SECONDS * 1000}")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        # What is committed is in the log, and that is on the disk: no reason to fail, but a copy of the main file alone
        # has to wait.
        _log.warning(
            "%s: its -wal could not be folded into it (%s). All rows are there for readers; until the next run that "
            "writes, a copy needs the -wal too. If the disk is full, make room (`df` shows it).",
            catalog,
            error,
        )


def _refused(catalog: Path, error: sqlite3.OperationalError, what: str, untouched: str) -> CatalogError:
    return CatalogError(
        f"{catalog}: the catalogue {what} ({error}). {untouched} as before. If the disk is full, make room (`df` shows "
        f"it) and materialize wxcam/catalog again; `fuser -v {catalog}` names who else has it open.",
        transient=error.sqlite_errorcode & 0xFF not in _LASTING,
    )


def _is_missing(catalog: Path) -> bool:
    """Whether there is no catalogue, or a file without a byte: SQLite makes one before it finds the disk full."""
    return not catalog.is_file() or catalog.stat().st_size == 0


def _make(workspace: CameraWorkspace) -> None:
    """Publish an empty catalogue whole, so that no reader ever finds a database without its tables."""
    with workspace.staging.claim("catalog") as staged:
        if not _is_missing(workspace.layout.catalog):
            return
        staged.mkdir()
        try:
            make_whole(staged / workspace.layout.catalog.name, SCHEMA)
        except sqlite3.Error as error:
            raise CatalogError(
                f"{workspace.layout.catalog}: the catalogue could not be made ({error}); nothing was published. Make "
                "room on that disk (`df` shows it) and materialize wxcam/catalog again.",
                transient=True,
            ) from None
        # A log without its database is of one that was deleted: SQLite would play it into the new one.
        for left in ("-wal", "-shm"):
            remove(workspace.layout.catalog.with_name(workspace.layout.catalog.name + left))
        publish_file(staged / workspace.layout.catalog.name, workspace.layout.catalog)


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as db:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            # A commit waits for no disk: open_writable does, once, at its end. A crash before loses whole transactions
            # and never a part of one; the next refresh finds what is not there.
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            # A number alone is no reason to send the whole catalogue to the archive again.
            SCHEMA.migrate(db, path, lazily=True)
        except sqlite3.OperationalError as error:
            raise _refused(path, error, "cannot be opened for writing", "It is") from None
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from None
        yield db


def _damaged(path: Path, error: sqlite3.DatabaseError) -> CatalogError:
    return CatalogError(
        f"{path}: the catalogue is damaged ({error}). Move it away, with its -wal and -shm, and materialize "
        "wxcam/catalog for all days: it is made again from the raw tree."
    )


@contextmanager
def open_readonly(path: Path) -> Iterator[sqlite3.Connection]:
    """The catalogue for reading, also from a read-only copy without its ``-wal`` and ``-shm`` files.

    Raises
    ------
    CatalogError
        Where there is no catalogue, or it is damaged.
    """
    if _is_missing(path):
        raise CatalogError(f"{path}: {_NONE_YET}")
    location = path.absolute().as_uri()
    with closing(sqlite3.connect(f"{location}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as db:
        try:
            _expect_tables(db, path)
        except sqlite3.OperationalError:
            # SQLite cannot make its -shm file beside a read-only copy. Nobody writes to such a copy: it is immutable.
            if _has_content(path.with_name(f"{path.name}-wal")):
                raise
        else:
            yield db
            return
    with closing(sqlite3.connect(f"{location}?mode=ro&immutable=1", uri=True)) as db:
        _expect_tables(db, path)
        yield db


def _expect_tables(db: sqlite3.Connection, path: Path) -> None:
    try:
        found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'images'").fetchone()
        SCHEMA.check(db, path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise _damaged(path, error) from None
    if found is None:
        raise CatalogError(f"{path}: {_NONE_YET}")


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    with immediate(db):
        yield
        SCHEMA.stamp(db)


# -- reading -----------------------------------------------------------------------------------------------------------


def day_media(db: sqlite3.Connection, day: date, camera: str | None = None, kind: Kind | None = None) -> list[Media]:
    """The catalogued files of a UTC day, by time."""
    return _select(
        db,
        f"SELECT {_MEDIA} FROM images WHERE day_utc = ? AND image_type IN (?, ?) AND media_kind IN (?, ?) {_ORDER}",
        (day.isoformat(), *([camera] * 2 if camera else CAMERAS), *([kind] * 2 if kind else MIME_TYPES)),
    )


def media_between(db: sqlite3.Connection, camera: str, kind: Kind, start_ns: int, stop_ns: int) -> list[Media]:
    """The catalogued files of a camera with start <= time < stop (ns since epoch, UTC), by time."""
    return _select(
        db,
        f"SELECT {_MEDIA} FROM images WHERE image_type = ? AND media_kind = ?"
        f" AND time_epoch_ns >= ? AND time_epoch_ns < ? {_ORDER}",
        (camera, kind, start_ns, stop_ns),
    )


def newest_clips(db: sqlite3.Connection, camera: str, count: int) -> list[Media]:
    """The newest ``count`` clips of a camera, by time."""
    newest = _select(
        db,
        f"SELECT {_MEDIA} FROM images WHERE image_type = ? AND media_kind = 'video'"
        " ORDER BY time_epoch_ns DESC, raw_path DESC LIMIT ?",
        (camera, count),
    )
    return newest[::-1]


def newest_days(db: sqlite3.Connection, count: int) -> list[date]:
    """The newest ``count`` days of which there is something, by time."""
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
    """How many images of a camera each day from ``first`` on has; days without any are not in it."""
    rows = db.execute(
        "SELECT day_utc, count(*) FROM images WHERE day_utc >= ? AND image_type = ? AND media_kind = 'image'"
        " GROUP BY day_utc",
        (first.isoformat(), camera),
    )
    return {date.fromisoformat(day): count for day, count in rows}


def day_unreadable(db: sqlite3.Connection, raw: Path, day: date) -> dict[str, Unreadable]:
    """The unreadable files of a day, by raw path."""
    found: dict[str, Unreadable] = {}
    for camera, step, directory in around(raw, day):
        # A range over the primary key; "0" is the character after "/".
        rows = db.execute(
            "SELECT raw_path, size_bytes, mtime_ns, error FROM unreadable_media WHERE raw_path >= ? AND raw_path < ?",
            (f"{directory}/", f"{directory}0"),
        )
        for path, size, mtime_ns, reason in rows:
            if belongs(os.path.basename(path), camera, day, step):
                found[path] = Unreadable(FileVersion(size, mtime_ns), reason)
    return found


def as_catalogued(media: Iterable[Media], waiting: Count) -> list[Media]:
    """Those whose files are still what was catalogued; the others are counted in ``waiting`` for the next pass."""
    kept = []
    for item in media:
        if item.is_unchanged():
            kept.append(item)
        else:
            waiting.add(item.relative_path)
    return kept


def _select(db: sqlite3.Connection, query: str, values: Row) -> list[Media]:
    return [Media(*(*row[:-2], FileVersion(*row[-2:]))) for row in db.execute(query, values)]


# -- writing -----------------------------------------------------------------------------------------------------------


def write_difference(db: sqlite3.Connection, rows: list[Row], failures: list[Row], gone: list[str]) -> None:
    """Write a day's difference in one transaction; none at all where there is no difference."""
    if not (rows or failures or gone):
        return
    with _transaction(db):
        db.executemany(_UPSERT, rows)
        if db.execute("SELECT 1 FROM unreadable_media LIMIT 1").fetchone():
            db.executemany("DELETE FROM unreadable_media WHERE raw_path = ?", [(row[0],) for row in rows])
        _record_failures(db, failures)
        for table in ("images", "unreadable_media"):
            db.executemany(f"DELETE FROM {table} WHERE raw_path = ?", [(path,) for path in gone])


def _record_failures(db: sqlite3.Connection, failures: list[Row]) -> None:
    db.executemany("DELETE FROM images WHERE raw_path = ?", [(row[0],) for row in failures])
    db.executemany(
        "INSERT OR REPLACE INTO unreadable_media (raw_path, size_bytes, mtime_ns, error, indexed_at)"
        " VALUES (?, ?, ?, ?, ?)",
        failures,
    )


def mark_unreadable(workspace: CameraWorkspace, failures: Iterable[tuple[Media, str]], now: datetime) -> None:
    """Record files that no reader can decode (:mod:`aurora_platform.cameras.readers`), so that nobody tries them again.

    What a product only has no use for is not for here: it stays catalogued for the others. Of a file that has changed
    since, or is catalogued anew, nothing is known.
    """
    stamp = now.isoformat(timespec="seconds")
    bad = [(m, reason) for m, reason in failures if m.is_unchanged()]
    if not bad:
        return
    same = "SELECT 1 FROM images WHERE raw_path = ? AND size_bytes = ? AND mtime_ns = ?"
    with open_writable(workspace) as db, _transaction(db):
        rows: list[Row] = [(m.raw_path, *m.version, reason, stamp) for m, reason in bad]
        _record_failures(db, [row for row in rows if db.execute(same, row[:3]).fetchone()])
