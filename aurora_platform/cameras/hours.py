"""The hours of the sky camera: closed hours, complete hours, and hours with a thumbnail.

A thumbnail is chosen once, so the clock alone is not enough: while the camera host cannot be reached, an hour may pass
with half of its images still on the host. An hour is complete when later media or a later listing prove it.
"""

import sqlite3
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from aurora_platform.cameras.catalog import day_media, media_between, open_readonly
from aurora_platform.cameras.filenames import CAMERAS, epoch_ns, from_epoch_ns, parse_name
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.streams.state import read_days_at_source

HOUR = timedelta(hours=1)


def published(workspace: CameraWorkspace, camera: str, day: date) -> dict[int, Path]:
    """List the published thumbnails of a day, by hour (0 to 23)."""
    found: dict[int, Path] = {}
    directory = workspace.layout.thumbnails(camera, day)
    for path in sorted(directory.glob("HDR_*")) if directory.is_dir() else ():
        try:
            name = parse_name(path.name, CAMERAS[camera])
        except ValueError:
            continue
        if name.day == day:
            found.setdefault(name.time.hour, path)
    return found


def is_closed(workspace: CameraWorkspace, hour: datetime, now: datetime) -> bool:
    """Whether an hour is over by the clock, and its last image has had time to arrive."""
    return now >= hour + HOUR + workspace.hour_closes_after


def is_complete(db: sqlite3.Connection, workspace: CameraWorkspace, camera: str, hour: datetime, now: datetime) -> bool:
    """Whether no more images of a closed hour are expected.

    An hour is complete in one of two cases:

    - The catalogue has a later image or clip of the camera on that day (one listing of the host shows both).
    - The host was listed long enough after the hour and after its last image, and no file is missing locally.

    Media of the next day prove nothing: after an outage they are copied first. An hour before the live window is
    complete as it is, because its day is no longer listed.
    """
    if hour.date() < (now - workspace.lookback).date() or workspace.source_days is None:
        return True
    later = (
        "SELECT 1 FROM images WHERE image_type = ? AND media_kind IN ('image', 'video')"
        " AND time_epoch_ns >= ? AND time_epoch_ns < ? LIMIT 1"
    )
    midnight = datetime.combine(hour.date(), time(), UTC) + timedelta(days=1)
    if db.execute(later, (camera, epoch_ns(hour + HOUR), epoch_ns(midnight))).fetchone():
        return True
    at_source = read_days_at_source(workspace.source_days).get(hour.date())
    images = media_between(db, camera, "image", epoch_ns(hour), epoch_ns(hour + HOUR))
    quiet_from = max([epoch_ns(hour + HOUR), *(image.version.mtime_ns for image in images)])
    wait_ns = int(workspace.hour_closes_after.total_seconds()) * 10**9
    return at_source is not None and at_source.is_complete and at_source.clock_ns >= quiet_from + wait_ns


def pending(workspace: CameraWorkspace, days: Iterable[date], now: datetime) -> list[datetime]:
    """List the complete hours in which a camera has images but no thumbnail, in order."""
    if not workspace.layout.catalog.exists():
        return []
    found = set()
    with open_readonly(workspace.layout.catalog) as db:
        for day in days:
            for camera in CAMERAS:
                thumbnails = published(workspace, camera, day)
                hours = {from_epoch_ns(image.time_ns).hour for image in day_media(db, day, camera, "image")}
                for hour in (datetime.combine(day, time(number), UTC) for number in sorted(hours - thumbnails.keys())):
                    if is_closed(workspace, hour, now) and is_complete(db, workspace, camera, hour, now):
                        found.add(hour)
    return sorted(found)
