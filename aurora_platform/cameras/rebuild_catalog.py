"""Makes a damaged catalogue again: from the raw tree, beside the old one, and published when it is proved whole.

Files whose raw copies were deleted here (``aurora retire``) are in no raw tree. Their rows are taken over from the old
catalogue, as far as it can be read.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from aurora_platform.cameras.catalog import (
    COLUMNS,
    HOLDING,
    Row,
    day_media,
    day_unreadable,
    forget_damage,
    open_readonly,
)
from aurora_platform.cameras.catalog_tables import SCHEMA
from aurora_platform.cameras.raw_tree import scan_day
from aurora_platform.cameras.refresh import refreshing
from aurora_platform.cameras.reports import CatalogReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import CatalogError
from aurora_platform.fs.atomic import publish_file, remove
from aurora_platform.fs.links import link_or_copy
from aurora_platform.fs.sqlite import create_verified, immediate
from aurora_platform.fs.sqlite_aside import ASIDE, what_is_wrong
from aurora_platform.fs.sqlite_errors import beside, explaining, open_beside_writers


@dataclass
class CatalogPlan:
    """What a rebuild would do."""

    days: list[date] = field(default_factory=list)
    """Days with files in the raw tree, oldest first."""
    sizes: list[int] = field(default_factory=list)
    """The bytes of the files of each of these days."""
    files: int = 0
    kept_rows: int = 0
    """Rows of the old catalogue whose files are in the raw tree no more: they are taken over."""
    lost_days: list[str] = field(default_factory=list)
    """Days whose rows in the old catalogue cannot be read: such rows of theirs are lost."""


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt catalogue."""

    rows: int
    kept_rows: int
    lost_days: tuple[str, ...]
    """Days whose rows in the old catalogue could not be read."""
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
    plan.kept_rows = sum(map(len, _rows_of_lost_files(workspace.layout.catalog, plan.lost_days)))
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
    if not plan.days and target.exists():
        raise CatalogError(
            f"{workspace.layout.raw}: no file of the camera is there: is the disk mounted? Nothing was done."
        )
    with workspace.staging.claim("catalog.rebuilt") as staged:
        staged.mkdir()
        apart = replace(workspace, layout=replace(workspace.layout, products=staged))
        with explaining(apart.layout.catalog, HOLDING):
            create_verified(apart.layout.catalog, SCHEMA)
            with refreshing(apart) as refresh:
                for day, size in zip(plan.days, plan.sizes, strict=True):
                    _require_all(apart, refresh(day, now))
                    advance(size)
            taken = _take_over(apart.layout.catalog, target)
            if reason := what_is_wrong(apart.layout.catalog, SCHEMA):
                raise CatalogError(f"{target}: the new catalogue is not whole ({reason}); nothing was published")
        _merge_log(target)  # so that the old file alone is whole, should the next steps fail
        earlier = _keep_earlier(target, workspace.locks.parent / ASIDE, now)
        # A log of the old database: SQLite would replay it into the new one.
        for file in beside(target)[1:]:
            remove(file)
        publish_file(apart.layout.catalog, target)
    forget_damage(target)
    with refreshing(workspace) as refresh:  # what runs have written to the old one meanwhile
        for day in plan.days:
            refresh(day, now)
    return replace(taken, earlier=earlier)


def _require_all(workspace: CameraWorkspace, report: CatalogReport) -> None:
    """Raise if files of a day have neither a row nor a reason that is kept: a disk failed, or they grow."""
    with open_readonly(workspace.layout.catalog) as db:
        recorded = len(day_media(db, report.day)) + len(day_unreadable(db, workspace.layout.raw, report.day))
    lost = [name for name, reason in report.unreadable.items() if "UTF-8" not in reason]
    missing = report.added + report.changed + report.unchanged + len(lost) - recorded
    if missing > 0:
        reasons = "; ".join(f"{name}: {report.unreadable[name]}" for name in lost[:3])
        raise CatalogError(f"{report.day}: {missing} files could not be read ({reasons}). Nothing was published.")


def _take_over(catalog: Path, old: Path) -> Rebuilt:
    """Add the rows that only the old catalogue has, whose files are here no more; leave the new one as one file."""
    with closing(sqlite3.connect(catalog, isolation_level=None)) as db:
        (before,) = db.execute("SELECT count(*) FROM images").fetchone()
        lost = list[str]()
        marks = ", ".join("?" * len(COLUMNS))
        with immediate(db):
            for rows in _rows_of_lost_files(old, lost):
                db.executemany(f"INSERT OR IGNORE INTO images ({', '.join(COLUMNS)}) VALUES ({marks})", rows)
        (count,) = db.execute("SELECT count(*) FROM images").fetchone()
        db.execute("PRAGMA journal_mode = DELETE")  # without a log beside it
    return Rebuilt(count, count - before, tuple(lost), None)


def _rows_of_lost_files(catalog: Path, lost: list[str]) -> Iterator[list[Row]]:
    """Yield the rows whose files do not exist, day by day; days that cannot be read are added to ``lost``."""
    if not catalog.is_file() or not catalog.stat().st_size:
        return
    with closing(open_beside_writers(catalog, wait=60)) as db:
        try:
            days = [day for (day,) in db.execute("SELECT DISTINCT day_utc FROM images ORDER BY day_utc")]
        except sqlite3.Error as error:
            lost.append(f"all days ({error})")
            return
        for day in days:
            try:
                rows = db.execute(f"SELECT {', '.join(COLUMNS)} FROM images WHERE day_utc = ?", (day,)).fetchall()
            except sqlite3.Error:
                lost.append(str(day))
                continue
            yield [row for row in rows if not os.path.lexists(str(row[0]))]


def _merge_log(catalog: Path) -> None:
    if catalog.exists():
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(catalog, timeout=5)) as db,
        ):  # a damaged one stays as it is
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _keep_earlier(target: Path, directory: Path, now: datetime) -> Path | None:
    if not target.exists():
        return None
    directory.mkdir(parents=True, exist_ok=True)
    place = directory / f"{target.name}.{now:%Y%m%dT%H%M%S.%fZ}"
    for file in beside(target):
        if file.exists():
            link_or_copy(file, directory / file.name.replace(target.name, place.name, 1))
    return place
