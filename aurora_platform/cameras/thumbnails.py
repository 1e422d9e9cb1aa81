"""Make hourly thumbnails: one small JPEG per camera and UTC hour, of the image nearest to half past.

A thumbnail is made when its hour has closed, ten minutes after its end, and is never replaced: clients keep the URLs.
The JPEG decoder scales while it decodes, so a thumbnail costs a fraction of a full decode.
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
    day_unreadable,
    mark_unreadable,
    media_between,
    open_readonly,
    select_unchanged,
)
from aurora_platform.cameras.decoders import decode_image
from aurora_platform.cameras.filenames import CAMERAS, epoch_ns, parse_name
from aurora_platform.cameras.hours import HOUR, is_closed, is_complete, published
from aurora_platform.cameras.raw_tree import scan_day
from aurora_platform.cameras.reports import ThumbnailReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.errors import UnreadableError
from aurora_platform.fs.atomic import publish_file
from aurora_platform.fs.disk_errors import naming
from aurora_platform.fs.versions import data_version

RECIPE = recipes.THUMBNAIL
QUALITY = 88
_HALF_PAST = timedelta(minutes=30)
_OVERSAMPLING = 2
_CONCURRENT_HOURS = 4  # each holds one picture in memory
_CACHED_DAYS = 2


def build_thumbnails(
    workspace: CameraWorkspace, camera: str, hours: Iterable[datetime], now: datetime
) -> Iterator[ThumbnailReport]:
    """Make the thumbnails of the hours that begin then (UTC), unless an hour has one or is open.

    Several hours are made concurrently, and each day's directories are scanned once.

    The reports come in the order of ``hours``. An error ends the iteration: running thumbnails are finished, and no new
    ones are started. An image that arrives after its day was scanned, a second or two before its hour, is not used.
    """
    scan_cached, lock = lru_cache(maxsize=_CACHED_DAYS)(partial(_scan_raw_images, workspace, camera)), Lock()

    def raw_images_of(day: date) -> dict[int, set[str]]:
        with lock:  # other threads wait for the scan of the day instead of repeating it
            return scan_cached(day)

    pool = ThreadPoolExecutor(min(_CONCURRENT_HOURS, len(os.sched_getaffinity(0))))
    try:
        yield from pool.map(lambda hour: _build_hour(workspace, camera, hour, now, raw_images_of), hours)
    finally:
        pool.shutdown(cancel_futures=True)


def _build_hour(
    workspace: CameraWorkspace,
    camera: str,
    hour: datetime,
    now: datetime,
    raw_images_of: Callable[[date], dict[int, set[str]]],
) -> ThumbnailReport:
    started = time.monotonic()
    report = ThumbnailReport(camera, hour)
    with workspace.staging.claim(f"thumbnail.{camera}.{hour:%Y%m%d.%H}") as staged:
        existing = published(workspace, camera, hour.date()).get(hour.hour)
        if existing:
            report.path, report.note = existing, "kept: already published"
        elif not is_closed(workspace, hour, now):
            report.note = f"the hour is open until {hour + HOUR + workspace.hour_closes_after:%H:%M} UTC"
        else:
            _build(workspace, hour, now, raw_images_of(hour.date()).get(hour.hour, set()), staged, report)
    if report.path:
        report.data_version, report.bytes = read_data_version(report.path), report.path.stat().st_size
    report.seconds = time.monotonic() - started
    return report


def _build(
    workspace: CameraWorkspace,
    hour: datetime,
    now: datetime,
    raw_paths: set[str],
    staged: Path,
    report: ThumbnailReport,
) -> None:
    camera = report.camera
    with open_readonly(workspace.layout.catalog) as db:
        listed = media_between(db, camera, "image", epoch_ns(hour), epoch_ns(hour + HOUR))
        catalogued = {media.raw_path for media in listed} | day_unreadable(db, workspace.layout.raw, hour.date()).keys()
        complete = is_complete(db, workspace, camera, hour, now)
    # A published thumbnail stays, so none is chosen while a nearer image may not be catalogued yet.
    if not raw_paths <= catalogued:
        report.note = "the catalogue is behind: materialize wxcam/catalog for this day first"
        return
    if not complete:
        report.note = "more images of this hour may arrive: the camera host was not listed since the hour closed"
        return
    middle = epoch_ns(hour + _HALF_PAST)
    # By distance; of two images at the same distance the earlier is used.
    candidates = sorted(select_unchanged(listed, report.waiting), key=lambda m: (abs(m.time_ns - middle), m.time_ns))
    for media in candidates:
        try:
            staged.write_bytes(render_thumbnail(media))
        except UnreadableError as error:
            report.unreadable[media.relative_path] = str(error)
            mark_unreadable(workspace, [(media, str(error))], now)
            continue
        target = workspace.layout.thumbnails(camera, hour.date()) / f"{media.path.stem}.jpg"
        publish_file(staged, target)
        report.path, report.built = target, True
        return
    report.note = "no image in this hour"


def _scan_raw_images(workspace: CameraWorkspace, camera: str, day: date) -> dict[int, set[str]]:
    """Scan the raw tree for the images of a day, by their names: hour (0 to 23) -> raw paths."""
    found: dict[int, set[str]] = {}
    for file in scan_day(workspace.layout.raw, day):
        try:
            name = parse_name(Path(file.raw_path).name, CAMERAS[camera])
        except ValueError:
            continue
        if file.camera.key == camera and name.kind == "image" and name.day == day:
            found.setdefault(name.time.hour, set()).add(file.raw_path)
    return found


def render_thumbnail(media: Media) -> bytes:
    """Render the thumbnail of an image as JPEG bytes; the JPEG comment holds the recipe and the data version.

    Raises
    ------
    UnreadableError, OSError
        If no decoder can read the image, or the disk fails.
    """
    comment = f"{RECIPE} {data_version(RECIPE, [media.scanned])}"
    with media.path.open("rb") as file:
        try:
            with Image.open(file, formats=("JPEG",)) as image:
                return encode_jpeg(shrink(image), QUALITY, comment)
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            file.seek(0)
            return encode_jpeg(shrink(decode_image(file.read())), QUALITY, comment)


def shrink(image: Image.Image) -> Image.Image:
    """Shrink an opened image to the size of its thumbnail."""
    side = recipes.THUMBNAIL_SIDE
    # The decoder scales by a power of two, to at least twice the target; then the image is resampled. Pillow's
    # thumbnail() does the same, but not with a panorama: it requires both sides to be twice as long as the longer side.
    factor = max(image.size) / side / _OVERSAMPLING
    image.draft(None, (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def encode_jpeg(image: Image.Image, quality: int, comment: str = "") -> bytes:
    """Encode an image as JPEG bytes."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True, comment=comment)
    return buffer.getvalue()


def read_data_version(path: Path) -> str:
    """Read the data version of a published thumbnail."""
    try:
        with naming(path), Image.open(path, formats=("JPEG",)) as image:
            comment = image.info.get("comment", b"")
    except UnidentifiedImageError:
        comment = b""  # damaged since it was published; it is kept, and the UI shows the damage
    recipe, _, version = comment.decode("ascii", "replace").partition(" ")
    # A thumbnail of the earlier scripts does not record its source: use its name and size as the version.
    return version if recipe == RECIPE else f"{path.name}-{path.stat().st_size}"


def render_hour_strip(thumbnails: Mapping[int, Path], cell: int = 44) -> bytes:
    """Render the 24 hours of a day side by side, as JPEG bytes; hours without a thumbnail are gray."""
    label = 14
    picture = Image.new("RGB", (24 * cell, cell + label), (60, 60, 60))
    draw = ImageDraw.Draw(picture)
    for hour in range(24):
        draw.text((hour * cell + cell // 2 - 6, 1), f"{hour:02d}", fill=(230, 230, 230))
        if hour in thumbnails:
            with suppress(OSError), Image.open(thumbnails[hour], formats=("JPEG",)) as image:  # damaged: stays gray
                image.thumbnail((cell, cell), reducing_gap=2.0)
                picture.paste(image, (hour * cell + (cell - image.width) // 2, label + (cell - image.height) // 2))
    return encode_jpeg(picture, 80)
