"""Makes a damaged catalogue again: from the raw tree, beside the old one, and published when it is proved whole.

Files whose raw copies were deleted here (``aurora retire``) are in no raw tree. Their rows are taken over from the old
catalogue, as far as it can be read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from aurora_platform.cameras.catalog import COLUMNS, HOLDING, forget_damage
from aurora_platform.cameras.catalog_tables import SCHEMA
from aurora_platform.cameras.raw_tree import scan_day
from aurora_platform.cameras.refresh import refreshing
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import CatalogError
from aurora_platform.fs.atomic import publish_file, remove
from aurora_platform.fs.links import link_or_copy
from aurora_platform.fs.sqlite import create_verified, immediate
from aurora_platform.fs.sqlite_aside import ASIDE, what_is_wrong
from aurora_platform.fs.sqlite_errors import beside, explaining


@dataclass
class CatalogPlan:
    """What a rebuild would do."""

    days: list[date] = field(default_factory=list)
    """Days with files in the raw tree, oldest first."""
    sizes: list[int] = field(default_factory=list)
    """The bytes of the files of each of these days."""
    files: int = 0
    kept_rows: int = 0
    """Rows of the old catalogue whose days have no files in the raw tree: they are taken over."""
    unreadable: str = ""
    """Why the rows of the old catalogue cannot be read; empty if they can."""


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt catalogue."""

    rows: int
    kept_rows: int
    earlier: Path | None
    """Where the old one is now; None if there was none."""


def plan_rebuild(workspace: CameraWorkspace, days: Sequence[date]) -> CatalogPlan:
    """Count the files of the raw tree, and the rows that only the old catalogue has; it writes nothing."""
    plan = CatalogPlan()
    for day in days:
        sizes = [file.scanned.version.size for file in scan_day(workspace.layout.raw, day)]
        if sizes:
            plan.days.append(day)
            plan.sizes.append(sum(sizes))
            plan.files += len(sizes)
    try:
        plan.kept_rows = _count_rows_without_files(workspace.layout.catalog, set(map(str, plan.days)))
    except sqlite3.Error as error:
        plan.unreadable = str(error)
    return plan


def rebuild(
    workspace: CameraWorkspace, plan: CatalogPlan, advance: Callable[[int], None] = lambda size: None
) -> Rebuilt:
    """Make the catalogue again and publish it; the old one is kept in the directory ``damaged`` of the state.

    ``advance`` is called after each day, with the bytes of its files. Until the end, readers see the old one; after an
    error it is unchanged.

    Raises
    ------
    CatalogError, BusyError, OSError
        If the new one cannot be made whole.
    """
    target, now = workspace.layout.catalog, datetime.now(UTC)
    rows = _rows_without_files(target, set(map(str, plan.days)))
    with workspace.staging.claim("catalog.rebuilt") as staged:
        staged.mkdir()
        apart = replace(workspace, layout=replace(workspace.layout, products=staged))
        with explaining(apart.layout.catalog, HOLDING):
            create_verified(apart.layout.catalog, SCHEMA)
            with refreshing(apart) as refresh:
                for day, size in zip(plan.days, plan.sizes, strict=True):
                    refresh(day, now)
                    advance(size)
            count, kept = _take_over(apart.layout.catalog, rows)
            if reason := what_is_wrong(apart.layout.catalog, SCHEMA):
                raise CatalogError(f"{target}: the new catalogue is not whole ({reason}); nothing was published")
        earlier = _keep_earlier(target, workspace.locks.parent / ASIDE, now)
        # A log of the old database: SQLite would replay it into the new one.
        for file in beside(target)[1:]:
            remove(file)
        publish_file(apart.layout.catalog, target)
    forget_damage(target)
    return Rebuilt(count, kept, earlier)


def _take_over(catalog: Path, rows: Iterator[tuple[object, ...]]) -> tuple[int, int]:
    """Add rows to the new catalogue, and leave it as one file; the numbers of all rows and of those."""
    with closing(sqlite3.connect(catalog, isolation_level=None)) as db:
        (before,) = db.execute("SELECT count(*) FROM images").fetchone()
        with immediate(db):
            marks = ", ".join("?" * len(COLUMNS))
            db.executemany(f"INSERT OR IGNORE INTO images ({', '.join(COLUMNS)}) VALUES ({marks})", rows)
        (count,) = db.execute("SELECT count(*) FROM images").fetchone()
        db.execute("PRAGMA journal_mode = DELETE")  # without a log beside it
    return count, count - before


def _days_without_files(db: sqlite3.Connection, days: set[str]) -> list[str]:
    return [day for (day,) in db.execute("SELECT DISTINCT day_utc FROM images ORDER BY day_utc") if day not in days]


def _count_rows_without_files(catalog: Path, days: set[str]) -> int:
    if not catalog.is_file() or not catalog.stat().st_size:
        return 0
    with closing(_read_only(catalog)) as db:
        counts = (
            db.execute("SELECT count(*) FROM images WHERE day_utc = ?", (day,)).fetchone()[0]
            for day in _days_without_files(db, days)
        )
        return sum(counts)


def _rows_without_files(catalog: Path, days: set[str]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of days without files in the raw tree, as far as the old catalogue can be read."""
    if not catalog.is_file() or not catalog.stat().st_size:
        return
    with closing(_read_only(catalog)) as db, suppress(sqlite3.Error):
        for day in _days_without_files(db, days):
            yield from db.execute(f"SELECT {', '.join(COLUMNS)} FROM images WHERE day_utc = ?", (day,))


def _read_only(catalog: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True, timeout=60)


def _keep_earlier(target: Path, directory: Path, now: datetime) -> Path | None:
    if not target.exists():
        return None
    directory.mkdir(parents=True, exist_ok=True)
    place = directory / f"{target.name}.{now:%Y%m%dT%H%M%S.%fZ}"
    for file in beside(target):
        if file.exists():
            link_or_copy(file, directory / file.name.replace(target.name, place.name, 1))
    return place
