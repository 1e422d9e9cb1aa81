"""Refresh the catalogue, one UTC day at a time.

The work of a refresh depends on its day only: it lists the day's directories, compares them with the day's rows by an
index, opens new and changed files, and writes the changes in one transaction.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from operator import attrgetter
from pathlib import Path

from aurora_platform.cameras import recipes
from aurora_platform.cameras.catalog import (
    Media,
    Row,
    Unreadable,
    day_media,
    day_unreadable,
    open_writable,
    write_difference,
)
from aurora_platform.cameras.filenames import MIME_TYPES, Camera, Kind, epoch_ns, from_epoch_ns, parse_name
from aurora_platform.cameras.images import inspect_image
from aurora_platform.cameras.media import inspect_clip
from aurora_platform.cameras.raw_tree import RawFile, is_misplaced, scan_day
from aurora_platform.cameras.reports import CatalogReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import MediaError
from aurora_platform.fs.locks import hold_lock
from aurora_platform.fs.versions import FileVersion, ScannedEntry, data_version
from aurora_platform.streams.settled import is_settled
from aurora_platform.streams.state import read_days_at_source
from aurora_platform.text import printable

RECIPE = recipes.CATALOG
# The first words of reasons that version 0.1.0 recorded for files that one product could not use, or that not every
# decoder had tried. Such files are inspected again.
_OUTDATED_REASONS = ("decodes to ", "cannot be decoded: ", "cannot be converted: ", "a frame has no time")


def refresh_day(workspace: CameraWorkspace, day: date, now: datetime) -> CatalogReport:
    """Make the rows of one UTC day agree with the files in the raw tree.

    Raises
    ------
    BusyError, CatalogError
        If another run works on the same day for too long, or the catalogue cannot be written.
    """
    with refreshing(workspace) as refresh:
        return refresh(day, now)


@contextmanager
def refreshing(workspace: CameraWorkspace) -> Iterator[Callable[[date, datetime], CatalogReport]]:
    """:func:`refresh_day` for several days: each is written completely or not at all; the exit flushes all."""
    with open_writable(workspace) as db:

        def refresh(day: date, now: datetime) -> CatalogReport:
            started = time.monotonic()
            with hold_lock(workspace.locks, f"catalog.{day}", workspace.wait):
                report = _refresh(db, workspace, day, now)
            report.seconds = time.monotonic() - started
            return report

        yield refresh


def _refresh(db: sqlite3.Connection, workspace: CameraWorkspace, day: date, now: datetime) -> CatalogReport:
    report = CatalogReport(day)
    catalogued = {media.raw_path: media for media in day_media(db, day)}
    unreadable = day_unreadable(db, workspace.layout.raw, day)
    now_ns, stamp = _latest_clock_ns(workspace, day, now), now.isoformat(timespec="seconds")
    rows: list[Row] = []
    failures: list[Row] = []
    good: list[ScannedEntry[str]] = []
    times: list[int] = []
    listed = set()
    for file in scan_day(workspace.layout.raw, day):
        path, version, _ = file.scanned
        if not _is_utf8(path):
            # SQLite's text cannot hold the name, so every run finds the file again; it is never opened.
            report.unreadable[printable(path)] = "the name is not UTF-8"
            continue
        listed.add(file.raw_path)
        old = catalogued.get(file.raw_path)
        if old and old.version == version:
            report.unchanged += 1
            _add_to_counts(report, old.kind, version.size)
            good.append(old.scanned)
            times.append(old.time_ns)
        elif _is_recorded_unreadable(unreadable.get(file.raw_path), version):
            report.unreadable[path] = unreadable[file.raw_path].reason
        elif not is_settled(version.mtime_ns, now_ns, workspace.settle):
            report.unsettled.add(path)
        else:
            try:
                media = _inspect_file(file, day)
            except MediaError as error:
                report.unreadable[path] = str(error)
                failures.append((file.raw_path, *version, str(error), stamp))
                continue
            except (OSError, MemoryError) as error:
                # The disk, the permissions or the memory failed: the file is reported, and the next run tries it again.
                report.unreadable[path] = getattr(error, "strerror", None) or str(error) or "no memory"
                continue
            rows.append(_row(media, file.camera, stamp))
            report.changed += old is not None
            report.added += old is None
            _add_to_counts(report, media.kind, version.size)
            good.append(media.scanned)
            times.append(media.time_ns)
    removed = [path for path in (catalogued.keys() | unreadable.keys()) if path not in listed]
    write_difference(db, rows, failures, removed)
    report.removed = len(catalogued.keys() - listed)
    report.data_version = data_version(RECIPE, sorted(good, key=attrgetter("path")))
    report.span = (from_epoch_ns(min(times)), from_epoch_ns(max(times))) if times else None
    return report


def _row(media: Media, camera: Camera, stamp: str) -> Row:
    moment = str(from_epoch_ns(media.time_ns))
    return (
        media.raw_path,
        camera.key,
        media.kind,
        MIME_TYPES[media.kind],
        camera.tree,
        camera.label,
        moment[: len("YYYY-MM-DD HH:MM:SS")],
        media.time_ns,
        moment[: len("YYYY-MM-DD")],
        media.relative_path,
        media.filename,
        media.width,
        media.height,
        *media.version,
        stamp,
    )


def _is_recorded_unreadable(row: Unreadable | None, version: FileVersion) -> bool:
    return row is not None and row.version == version and not row.reason.startswith(_OUTDATED_REASONS)


def _latest_clock_ns(workspace: CameraWorkspace, day: date, now: datetime) -> int:
    """Return the later of the local clock and the camera host's clock when the host was last listed (ns).

    A file that has settled by the host's clock, which stamped it, must not wait because the local clock is behind.
    """
    local_ns = int(now.timestamp() * 1e9)
    at_source = read_days_at_source(workspace.source_days).get(day) if workspace.source_days else None
    return max(local_ns, at_source.clock_ns) if at_source else local_ns


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _add_to_counts(report: CatalogReport, kind: Kind, size: int) -> None:
    report.images += kind == "image"
    report.videos += kind == "video"
    report.bytes += size


def _inspect_file(file: RawFile, day: date) -> Media:
    path, version, _ = file.scanned
    if not file.scanned.is_regular:
        raise MediaError("not a regular file")
    try:
        name = parse_name(file.name, file.camera)
    except ValueError as error:
        raise MediaError(str(error)) from None
    if name.day != day and is_misplaced(name.day, day):
        raise MediaError(f"named {name.day}, but in the directory of {day}")
    if name.kind == "image":
        width, height = inspect_image(file.raw_path)
    else:
        clip = inspect_clip(Path(file.raw_path))
        width, height = clip.width, clip.height
    time_ns = epoch_ns(name.time)
    return Media(path, file.camera.key, name.kind, time_ns, width, height, file.raw_path, version)
