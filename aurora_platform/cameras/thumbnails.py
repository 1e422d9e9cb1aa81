"""Hourly thumbnails: for each camera and UTC hour one small JPEG, of the image nearest to half past.

Made once the hour has closed and ten minutes have passed, and never replaced afterwards: clients keep the URLs. The
JPEG decoder scales while it decodes, so a thumbnail costs a fraction of a full decode.
"""

import io
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock

from PIL import Image, ImageDraw, UnidentifiedImageError

from aurora_platform.cameras import recipes
from aurora_platform.cameras.catalog import (
    Media,
    as_catalogued,
    day_unreadable,
    mark_unreadable,
    media_between,
    open_readonly,
)
from aurora_platform.cameras.filenames import CAMERAS, epoch_ns, parse_name
from aurora_platform.cameras.hours import HOUR, is_closed, is_complete, published
from aurora_platform.cameras.raw_tree import scan_day
from aurora_platform.cameras.readers import picture
from aurora_platform.cameras.reports import ThumbnailReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import UnreadableError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.fs.versions import data_version

RECIPE = recipes.THUMBNAIL
QUALITY = 88
_HALF_PAST = timedelta(minutes=30)
_GAP = 2
_AT_ONCE = 4  # hours; a picture of each is in memory
_DAYS_AT_HAND = 2


def build_thumbnail(workspace: CameraWorkspace, camera: str, hour: datetime, now: datetime) -> ThumbnailReport:
    """Make the thumbnail of the hour that begins at ``hour`` (UTC), unless it has one or is not over."""
    return _build_hour(workspace, camera, hour, now, partial(_images_of, workspace, camera))


def build_thumbnails(
    workspace: CameraWorkspace, camera: str, hours: Iterable[datetime], now: datetime
) -> Iterator[ThumbnailReport]:
    """As :func:`build_thumbnail`, for several hours: some at a time, and each day's directories are looked into once.

    The reports come in the order of ``hours``. An error ends it: what is being made then is finished, and nothing more
    is begun. An image that arrives after its day was looked into, a second or two before its hour's turn, is late.
    """
    looked_into, one_at_a_time = lru_cache(maxsize=_DAYS_AT_HAND)(partial(_images_of, workspace, camera)), Lock()

    def images_of(day: date) -> dict[int, set[str]]:
        with one_at_a_time:  # whoever else wants the day waits for it, and does not look into it too
            return looked_into(day)

    pool = ThreadPoolExecutor(min(_AT_ONCE, len(os.sched_getaffinity(0))))
    try:
        yield from pool.map(lambda hour: _build_hour(workspace, camera, hour, now, images_of), hours)
    finally:
        pool.shutdown(cancel_futures=True)


def _build_hour(
    workspace: CameraWorkspace,
    camera: str,
    hour: datetime,
    now: datetime,
    images_of: Callable[[date], dict[int, set[str]]],
) -> ThumbnailReport:
    started = time.monotonic()
    report = ThumbnailReport(camera, hour)
    with workspace.staging.claim(f"thumbnail.{camera}.{hour:%Y%m%d.%H}") as staged:
        existing = published(workspace, camera, hour.date()).get(hour.hour)
        if existing:
            report.path, report.note = existing, "kept: it was published before"
        elif not is_closed(workspace, hour, now):
            report.note = f"the hour is open until {hour + HOUR + workspace.hour_closes_after:%H:%M} UTC"
        else:
            _build(workspace, hour, now, images_of(hour.date()).get(hour.hour, set()), staged, report)
    if report.path:
        report.data_version, report.bytes = _data_version_of(report.path), report.path.stat().st_size
    report.seconds = time.monotonic() - started
    return report


def _build(
    workspace: CameraWorkspace, hour: datetime, now: datetime, in_raw: set[str], staged: Path, report: ThumbnailReport
) -> None:
    camera = report.camera
    with open_readonly(workspace.layout.catalog) as db:
        listed = media_between(db, camera, "image", epoch_ns(hour), epoch_ns(hour + HOUR))
        known = {media.raw_path for media in listed} | day_unreadable(db, workspace.layout.raw, hour.date()).keys()
        complete = is_complete(db, workspace, camera, hour, now)
    # Once published it stays, so nothing is chosen while a nearer image may not have been catalogued yet.
    if not in_raw <= known:
        report.note = "the catalogue is behind: materialize wxcam/catalog for this day first"
        return
    if not complete:
        report.note = "more images of this hour may come: the camera host was not seen since it closed"
        return
    middle = epoch_ns(hour + _HALF_PAST)
    # By distance; a tie goes to the earlier.
    candidates = sorted(as_catalogued(listed, report.waiting), key=lambda m: (abs(m.time_ns - middle), m.time_ns))
    for media in candidates:
        try:
            staged.write_bytes(render(media))
        except UnreadableError as error:
            report.unreadable[media.relative_path] = str(error)
            mark_unreadable(workspace, [(media, str(error))], now)
            continue
        target = workspace.layout.thumbnails(camera, hour.date()) / f"{media.path.stem}.jpg"
        publish_file(staged, target)
        report.path, report.built = target, True
        return
    report.note = "no image in this hour"


def _images_of(workspace: CameraWorkspace, camera: str, day: date) -> dict[int, set[str]]:
    """The images of a day that lie in the raw tree, by their names: hour (0 to 23) -> raw paths."""
    found: dict[int, set[str]] = {}
    for file in scan_day(workspace.layout.raw, day):
        try:
            name = parse_name(Path(file.raw_path).name, CAMERAS[camera])
        except ValueError:
            continue
        if file.camera.key == camera and name.kind == "image" and name.day == day:
            found.setdefault(name.time.hour, set()).add(file.raw_path)
    return found


def render(media: Media) -> bytes:
    """The thumbnail of an image as JPEG bytes; its comment names what it was made from.

    Raises
    ------
    UnreadableError, OSError
        Where no reader can decode the image, or the disk fails.
    """
    comment = f"{RECIPE} {data_version(RECIPE, [media.scanned])}"
    with media.path.open("rb") as file:
        try:
            with Image.open(file, formats=("JPEG",)) as image:
                return encode(shrunk(image), QUALITY, comment)
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            file.seek(0)
            return encode(shrunk(picture(file.read())), QUALITY, comment)


def shrunk(image: Image.Image) -> Image.Image:
    """An opened image at the size of its thumbnail."""
    side = recipes.THUMBNAIL_SIDE
    # Scales in the decoder by a power of two, to no less than twice the target, then resamples. Pillow's thumbnail()
    # does so too, but not with a panorama: it wants both sides to be twice as long as the longer one has to be.
    shrink = max(image.size) / side
    image.draft(None, (math.ceil(image.width / shrink * _GAP), math.ceil(image.height / shrink * _GAP)))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def encode(image: Image.Image, quality: int, comment: str = "") -> bytes:
    """An image as JPEG bytes."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True, comment=comment)
    return buffer.getvalue()


def _data_version_of(path: Path) -> str:
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            comment = image.info.get("comment", b"")
    except UnidentifiedImageError:
        comment = b""  # damaged since it was published; it is kept all the same, and the pictures in the UI show it
    recipe, _, digest = comment.decode("ascii", "replace").partition(" ")
    # A thumbnail of the scripts before us says nothing of its source: its name and size stand for it.
    return digest if recipe == RECIPE else f"{path.name}-{path.stat().st_size}"


def strip(thumbnails: Mapping[int, Path], cell: int = 44) -> bytes:
    """The 24 hours of a day side by side, as JPEG bytes; hours without a thumbnail stay gray."""
    label = 14
    picture = Image.new("RGB", (24 * cell, cell + label), (60, 60, 60))
    draw = ImageDraw.Draw(picture)
    for hour in range(24):
        draw.text((hour * cell + cell // 2 - 6, 1), f"{hour:02d}", fill=(230, 230, 230))
        if hour in thumbnails:
            with suppress(OSError), Image.open(thumbnails[hour], formats=("JPEG",)) as image:  # damaged: stays gray
                image.thumbnail((cell, cell), reducing_gap=2.0)
                picture.paste(image, (hour * cell + (cell - image.width) // 2, label + (cell - image.height) // 2))
    return encode(picture, 80)
