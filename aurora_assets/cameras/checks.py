"""Checks of the sky camera's products. They only observe: they change no file, block no run, and name what is wrong."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetKey,
    asset_check,
)

from aurora_assets.asset_keys import CATALOG, product_key
from aurora_assets.metadata import Metadata, check_result, coverage
from aurora_assets.partitions import days_of_run, hour_of_key
from aurora_platform import cameras
from aurora_platform.cameras.catalog import images_by_day, newest_days, open_readonly
from aurora_platform.cameras.filenames import CAMERAS
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.check_report import CheckReport
from aurora_platform.config.site import Site
from aurora_platform.layout import DAILY_VIDEO, HOURLY_THUMBNAILS, LATEST_VIDEO, PIXELS, WXCAM
from aurora_platform.plots import strip_days

Context = AssetCheckExecutionContext
MakeReports = Callable[[Context], Sequence[CheckReport]]

_PLAYS = (
    "The video plays, has every frame of its clips (except clips listed as left out), and starts before it is loaded "
    "completely (faststart). A failure names the video and what is wrong with it."
)
# A check that is executed alone has no partition; it then checks the newest days.
_NEWEST_DAYS = 2


def wxcam_checks(site: Site) -> list[AssetChecksDefinition]:
    """All checks of the sky camera's products; an empty list for a site without the stream ``wxcam``."""
    if WXCAM not in site.streams:
        return []
    workspace = CameraWorkspace.of(site)
    checks = [
        _check(
            CATALOG,
            "matches_raw_day",
            "The catalogue lists every settled file of the day with its current size and mtime, and no other file. A "
            "failure names files without a row, changed files, and rows without a file.",
            partial(_matches_raw, workspace),
        ),
        _check(
            CATALOG,
            "no_unreadable_media",
            "Every settled file of the day can be decoded. A failure names the unreadable files and the reasons.",
            partial(_no_unreadable, workspace),
        ),
    ]
    for camera in CAMERAS:
        checks += _camera_checks(workspace, camera)
    return checks


def _camera_checks(workspace: CameraWorkspace, camera: str) -> list[AssetChecksDefinition]:
    return [
        _check(
            product_key(camera, DAILY_VIDEO),
            "plays",
            _PLAYS,
            partial(_daily_plays, workspace, camera),
        ),
        _check(
            product_key(camera, LATEST_VIDEO),
            "plays",
            _PLAYS,
            partial(_latest_plays, workspace, camera),
        ),
        _check(
            product_key(camera, HOURLY_THUMBNAILS),
            "every_closed_hour_has_one",
            "Every hour that is over and has an image has a thumbnail. A failure names the hours without one.",
            partial(_have_thumbnails, workspace, camera),
            partial(_coverage, workspace, camera),
        ),
        _check(
            product_key(camera, PIXELS),
            "times_match_catalog",
            "The times are sorted and unique, and equal those of the catalogue (except images listed as left out); "
            "every stored image has the size of its file. A failure names the differences.",
            partial(_pixels_match, workspace, camera),
        ),
    ]


def _matches_raw(workspace: CameraWorkspace, context: Context) -> Sequence[CheckReport]:
    return [cameras.checks.catalog_matches_raw(workspace, day, _now()) for day in _days(context, workspace)]


def _no_unreadable(workspace: CameraWorkspace, context: Context) -> Sequence[CheckReport]:
    return [cameras.checks.no_unreadable_media(workspace, day) for day in _days(context, workspace)]


def _daily_plays(workspace: CameraWorkspace, camera: str, context: Context) -> Sequence[CheckReport]:
    return [cameras.checks.daily_video_plays(workspace, camera, day) for day in _days(context, workspace)]


def _latest_plays(workspace: CameraWorkspace, camera: str, _: Context) -> Sequence[CheckReport]:
    return [cameras.checks.latest_video_plays(workspace, camera)]


def _have_thumbnails(workspace: CameraWorkspace, camera: str, context: Context) -> Sequence[CheckReport]:
    return [cameras.checks.hours_have_thumbnails(workspace, camera, _hours(context, workspace), _now())]


def _pixels_match(workspace: CameraWorkspace, camera: str, context: Context) -> Sequence[CheckReport]:
    return [cameras.checks.pixels_match_catalog(workspace, camera, day) for day in _days(context, workspace)]


def _has_partitions(context: Context) -> bool:
    return bool(context.has_partition_key or context.has_partition_key_range)


def _days(context: Context, workspace: CameraWorkspace) -> list[date]:
    """The days of a run; the newest days of the catalogue if the run has no partition."""
    if days := days_of_run(context):
        return days
    with open_readonly(workspace.layout.catalog) as db:
        return newest_days(db, _NEWEST_DAYS)


def _hours(context: Context, workspace: CameraWorkspace) -> list[datetime]:
    """The hours of a run; the hours of the newest days if the run has no partition."""
    if _has_partitions(context):
        keys = context.partition_key_range
        first, last = hour_of_key(keys.start), hour_of_key(keys.end)
    else:
        days = _days(context, workspace) or [_now().date()]
        first, last = (datetime.combine(day, at, UTC) for day, at in ((days[0], time.min), (days[-1], time(23))))
    return [first + timedelta(hours=n) for n in range(int((last - first) / timedelta(hours=1)) + 1)]


def _now() -> datetime:
    return datetime.now(UTC)


def _coverage(workspace: CameraWorkspace, camera: str) -> Metadata:
    """The number of images of each of the last 30 days, as a share of the day with the most images."""
    today = _now().date()
    days = strip_days(today)
    with open_readonly(workspace.layout.catalog) as db:
        counts = images_by_day(db, camera, days[0])
    most = max(counts.values(), default=0)
    shares = {day: counts.get(day, 0) / most for day in days} if most else dict.fromkeys(days, 0.0)
    return coverage({camera: shares}, today, f"{camera}, images per day as a share of the fullest of 30 ({most})")


def _check(
    key: AssetKey,
    name: str,
    description: str,
    make_reports: MakeReports,
    more_metadata: Callable[[], Metadata] = dict,
) -> AssetChecksDefinition:
    @asset_check(asset=key, name=name, description=description, blocking=False)
    def check(context: AssetCheckExecutionContext) -> AssetCheckResult:
        result = check_result(make_reports(context))
        return result._replace(metadata={**result.metadata, **more_metadata()})

    return check
