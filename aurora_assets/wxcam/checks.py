"""Checks of the sky camera's products: observe only. They write nothing, block nothing, and name what they found."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetKey,
    PartitionsDefinition,
    asset_check,
)

from aurora_assets.partitions import daily, day_of_key, hour_of_key, hourly
from aurora_assets.presentation import table
from aurora_assets.site import Site
from aurora_assets.wxcam import verify
from aurora_assets.wxcam.assets import CATALOG, STREAM, layout_of, product_key
from aurora_assets.wxcam.layout import Layout
from aurora_assets.wxcam.names import CAMERAS
from aurora_assets.wxcam.verify import Finding

Look = Callable[[AssetCheckExecutionContext], Sequence[Finding]]


def wxcam_checks(site: Site) -> list[AssetChecksDefinition]:
    """All checks of the sky camera's products; none where the site has no stream ``wxcam``."""
    if STREAM not in site.streams:
        return []
    layout, days = layout_of(site), daily(site.streams[STREAM].start)
    checks = [
        _check(
            CATALOG,
            "matches_raw_day",
            "Every settled file of the day stands in the catalogue as it is, and nothing else does.",
            lambda context: [verify.catalog_matches_raw(layout, day_of_key(k), _now()) for k in context.partition_keys],
            days,
        ),
        _check(
            CATALOG,
            "no_unreadable_media",
            "No settled file of the day was found unreadable.",
            lambda context: [verify.no_unreadable_media(layout, day_of_key(k)) for k in context.partition_keys],
            days,
        ),
    ]
    for camera in CAMERAS:
        checks += _camera_checks(site, layout, camera)
    return checks


def _camera_checks(site: Site, layout: Layout, camera: str) -> list[AssetChecksDefinition]:
    start = site.streams[STREAM].start
    return [
        _check(
            product_key(camera, "daily_video"),
            "plays",
            "The video plays, has exactly the frames of its clips, and begins with its index (faststart).",
            lambda context: [verify.daily_video_plays(layout, camera, day_of_key(k)) for k in context.partition_keys],
            daily(start),
        ),
        _check(
            product_key(camera, "latest_video"),
            "plays",
            "The video plays, has exactly the frames of its clips, and begins with its index (faststart).",
            lambda context: [verify.latest_video_plays(layout, camera)],
            None,
        ),
        _check(
            product_key(camera, "hourly_thumbnails"),
            "every_closed_hour_has_one",
            "Every closed hour that has an image has its thumbnail.",
            lambda context: [
                verify.hours_have_thumbnails(layout, camera, [hour_of_key(k) for k in context.partition_keys], _now())
            ],
            hourly(start),
        ),
        _check(
            product_key(camera, "pixels"),
            "times_match_catalog",
            "Times are sorted, unique and those of the catalogue's images; every chunk has its file's size.",
            lambda context: [
                verify.pixels_match_catalog(layout, camera, day_of_key(k)) for k in context.partition_keys
            ],
            daily(start),
        ),
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _check(
    key: AssetKey, name: str, description: str, look: Look, partitions: PartitionsDefinition | None
) -> AssetChecksDefinition:
    @asset_check(asset=key, name=name, description=description, blocking=False, partitions_def=partitions)
    def check(context: AssetCheckExecutionContext) -> AssetCheckResult:
        return _result(look(context))

    return check


def _result(findings: Sequence[Finding]) -> AssetCheckResult:
    """One result for all partitions of a run: numbers add up, offenders are named with their subject."""
    failed = [finding for finding in findings if not finding.passed]
    numbers: dict[str, int | float] = {}
    for finding in findings:
        for name, number in finding.numbers.items():
            numbers[name] = numbers.get(name, 0) + number
    offenders: list[dict[str, str | int | float]] = [
        {"what": finding.subject, "wrong": kind, "count": tally.count, "first": "; ".join(tally.first)}
        for finding in failed
        for kind, tally in finding.wrong.items()
    ]
    return AssetCheckResult(
        passed=not failed,
        severity=AssetCheckSeverity.WARN,
        description=" ".join(finding.sentence for finding in (failed or findings)[:5]),
        metadata={**numbers, "offenders": table(offenders)},
    )
