"""The sky camera's products as assets: catalogue, daily and latest video, hourly thumbnails, pixels."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from dagster import (
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    DataVersion,
    LastPartitionMapping,
    MaterializeResult,
)

from aurora_assets.asset_keys import CATALOG, product_key, raw_key
from aurora_assets.automation import WHEN_ITS_INPUT_CHANGED, last_made, when_an_old_day_changed
from aurora_assets.metadata import Metadata, common_version, names, picture, rate, span
from aurora_assets.partitions import daily, day_of_key, hour_of_key, hourly
from aurora_assets.retries import retried_asset
from aurora_platform import cameras
from aurora_platform.cameras import hours, recipes
from aurora_platform.cameras.filenames import CAMERAS, parse_name
from aurora_platform.cameras.reports import CatalogReport, PixelsReport, ThumbnailReport, VideoReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import Site
from aurora_platform.errors import MediaError
from aurora_platform.layout import DAILY_VIDEO, HOURLY_THUMBNAILS, LATEST_VIDEO, PIXELS, WXCAM, open_state


def group_of(camera: str) -> str:
    """A group for each camera: the graph shows an asset's last name only, and both cameras have the same products."""
    return f"wxcam_{camera}"


def wxcam_assets(site: Site) -> list[AssetsDefinition]:
    """All products of the sky camera; none where the site has no stream ``wxcam``."""
    if WXCAM not in site.streams:
        return []
    workspace = CameraWorkspace.of(site)
    made = [_catalog_asset(site, workspace)]
    for camera in CAMERAS:
        made += [make(site, workspace, camera) for make in (_daily_video, _latest_video, _hourly_thumbnails, _pixels)]
    return made


def _catalog_asset(site: Site, workspace: CameraWorkspace) -> AssetsDefinition:
    @retried_asset(
        key=CATALOG,
        deps=[raw_key(WXCAM)],
        partitions_def=daily(site.streams[WXCAM].start),
        backfill_policy=BackfillPolicy.single_run(),
        group_name="wxcam",
        kinds={"sqlite"},
        code_version=recipes.CATALOG,
        freshness_policy=last_made(site.streams[WXCAM].stale_after),
        automation_condition=WHEN_ITS_INPUT_CHANGED,
        metadata={"file": str(workspace.layout.catalog)},
        description=(
            "Every readable image and clip of both cameras: the SQLite table `images` in "
            f"`{workspace.layout.catalog}`, which the dashboard reads. Files that no reader can decode stand in "
            "`unreadable_media` with the reason and are "
            "tried again when they change."
        ),
    )
    def wxcam_catalog(context: AssetExecutionContext) -> MaterializeResult:
        open_state(site.paths.state)
        with cameras.refresh.refreshing(workspace) as refresh_day:

            def build(key: str) -> CatalogReport:
                return refresh_day(day_of_key(key), _now())

            return _each_day(context, build, _catalog_metadata)

    return wxcam_catalog


def _daily_video(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    @retried_asset(
        key=product_key(camera, DAILY_VIDEO),
        deps=[CATALOG],
        partitions_def=daily(site.streams[WXCAM].start),
        backfill_policy=BackfillPolicy.single_run(),
        group_name=group_of(camera),
        kinds={"mp4"},
        code_version=recipes.VIDEO,
        freshness_policy=last_made(site.streams[WXCAM].stale_after),
        automation_condition=WHEN_ITS_INPUT_CHANGED,
        metadata={"directory": str(workspace.layout.video(camera, site.streams[WXCAM].start).parent)},
        description=(
            f"The day's hourly clips of {CAMERAS[camera].label} joined into one MP4 (H.264, yuv420p, faststart) by "
            "copying their frames; only clips that do not fit are converted, once. What cannot be is left out, "
            "with the reason."
        ),
    )
    def daily_video(context: AssetExecutionContext) -> MaterializeResult:
        def build(key: str) -> VideoReport:
            return cameras.videos.build_daily_video(workspace, camera, day_of_key(key), _now())

        _begin(context, site, workspace)
        return _each_day(context, build, lambda report: _video_metadata(report, workspace.layout.products))

    return daily_video


def _latest_video(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    @retried_asset(
        key=product_key(camera, LATEST_VIDEO),
        deps=[AssetDep(CATALOG, partition_mapping=LastPartitionMapping())],
        group_name=group_of(camera),
        kinds={"mp4"},
        code_version=recipes.VIDEO,
        freshness_policy=last_made(site.streams[WXCAM].stale_after),
        automation_condition=WHEN_ITS_INPUT_CHANGED,
        metadata={"file": str(workspace.layout.latest_video(camera))},
        description=(
            f"The newest {recipes.LATEST_CLIPS} hourly clips of {CAMERAS[camera].label}, across midnight, as one MP4: "
            "what the dashboard plays first."
        ),
    )
    def latest_video(context: AssetExecutionContext) -> MaterializeResult:
        _begin(context, site, workspace)
        report = cameras.videos.build_latest_video(workspace, camera, _now())
        return MaterializeResult(
            metadata=_video_metadata(report, workspace.layout.products), data_version=DataVersion(report.data_version)
        )

    return latest_video


def _hourly_thumbnails(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    @retried_asset(
        key=product_key(camera, HOURLY_THUMBNAILS),
        deps=[CATALOG],
        partitions_def=hourly(site.streams[WXCAM].start),
        backfill_policy=BackfillPolicy.single_run(),
        group_name=group_of(camera),
        kinds={"jpeg"},
        code_version=recipes.THUMBNAIL,
        freshness_policy=last_made(site.streams[WXCAM].stale_after),
        automation_condition=when_an_old_day_changed(site.streams[WXCAM].lookback),
        metadata={"directory": str(workspace.layout.thumbnails(camera, site.streams[WXCAM].start).parent)},
        description=(
            f"One JPEG of at most {recipes.THUMBNAIL_SIDE} px an hour of {CAMERAS[camera].label}: the image nearest to "
            "half past. Made when the hour is over and complete; never replaced, because clients keep its URL."
        ),
    )
    def hourly_thumbnails(context: AssetExecutionContext) -> MaterializeResult:
        _begin(context, site, workspace)
        keys, reports = context.partition_keys, {}
        made = cameras.thumbnails.build_thumbnails(workspace, camera, map(hour_of_key, keys), _now())
        for key, report in zip(keys, made, strict=True):
            reports[key] = report
            context.add_asset_metadata(_thumbnail_metadata(report, workspace.layout.products), partition_key=key)
        built = sum(report.built for report in reports.values())
        context.log.info(f"{built} thumbnails made for {len(reports)} hours")
        day = hour_of_key(max(reports)).date()
        strip = cameras.thumbnails.strip(hours.published(workspace, camera, day))
        return MaterializeResult(
            metadata={f"hours_of_{day}": picture(strip, f"hours of {day}"), "made_in_this_run": built},
            data_version=DataVersion(common_version([report.data_version for report in reports.values()])),
        )

    return hourly_thumbnails


def _pixels(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    @retried_asset(
        key=product_key(camera, PIXELS),
        deps=[CATALOG],
        partitions_def=daily(site.streams[WXCAM].start),
        backfill_policy=BackfillPolicy.single_run(),
        group_name=group_of(camera),
        kinds={"zarr"},
        code_version=recipes.PIXELS,
        freshness_policy=last_made(site.streams[WXCAM].stale_after),
        automation_condition=WHEN_ITS_INPUT_CHANGED,
        metadata={"store": str(workspace.layout.store), "group": f"{camera}/YYYYMMDD"},
        description=(
            f"The day's images of {CAMERAS[camera].label} as a Zarr v3 group: `image` (time, y, x, channel) uint8 RGB. "
            f"{recipes.STORAGE_POLICY} Read it with `open_pixels` or `xarray.open_zarr`."
        ),
    )
    def pixel_store(context: AssetExecutionContext) -> MaterializeResult:
        def build(key: str) -> PixelsReport:
            return cameras.pixels.build_pixels(workspace, camera, day_of_key(key), _now())

        _begin(context, site, workspace)
        return _each_day(context, build, _pixels_metadata)

    return pixel_store


def _now() -> datetime:
    return datetime.now(UTC)


def _begin(context: AssetExecutionContext, site: Site, workspace: CameraWorkspace) -> None:
    open_state(site.paths.state)
    if removed := workspace.staging.sweep():
        context.log.warning(f"removed {removed} unfinished products of runs that died")


def _each_day[Report: (PixelsReport, VideoReport, CatalogReport)](
    context: AssetExecutionContext, build: Callable[[str], Report], describe: Callable[[Report], Metadata]
) -> MaterializeResult:
    """Build each day of the run and attach each day's metadata to its own partition."""
    data_versions = []
    for key in context.partition_keys:
        report = build(key)
        metadata = describe(report)
        context.log.info(f"{key}: " + ", ".join(f"{k} {v}" for k, v in metadata.items() if isinstance(v, int | float)))
        context.add_asset_metadata(metadata, partition_key=key)
        data_versions.append(report.data_version or "empty")
    return MaterializeResult(data_version=DataVersion(common_version(data_versions)))


def _catalog_metadata(report: CatalogReport) -> Metadata:
    return {
        "images": report.images,
        "clips": report.videos,
        "bytes": report.bytes,
        "added": report.added,
        "changed": report.changed,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "unsettled": report.unsettled.total,
        "unreadable": len(report.unreadable),
        "unreadable_files": names(report.unreadable),
        "seconds": round(report.seconds, 3),
        "inputs_sha256": report.data_version,
        **span(report.span),
    }


def _video_metadata(report: VideoReport, products: Path) -> Metadata:
    metadata: Metadata = {}
    if report.target.is_file():
        try:
            metadata["poster"] = picture(cameras.videos.poster(report.target), report.target.name)
        except MediaError as error:
            # Damaged since it was made: the check `plays` names it, and the other days of the run go on.
            metadata["poster"] = f"no picture: {error}"
        metadata["file"] = str(report.target.relative_to(products))
    return metadata | {
        "rebuilt": report.built,
        "clips": report.clips,
        "clips_converted": report.converted,
        "clips_converted_before": report.kept_conversions,
        "frames": report.frames,
        "duration_s": round(report.duration, 3),
        "bytes": report.bytes,
        "waiting": report.waiting.total,
        "excluded": len(report.excluded),
        "excluded_files": names(report.excluded),
        "unreadable": len(report.unreadable),
        "unreadable_files": names(report.unreadable),
        "seconds": round(report.seconds, 3),
        "inputs_sha256": report.data_version,
        **span(report.span),
    }


def _thumbnail_metadata(report: ThumbnailReport, products: Path) -> Metadata:
    metadata: Metadata = {}
    if report.path:
        shown_time = parse_name(report.path.name, CAMERAS[report.camera]).time
        metadata["thumbnail"] = picture(report.path.read_bytes(), report.path.name)
        metadata |= span((shown_time, shown_time))
        metadata["file"] = str(report.path.relative_to(products))
    return metadata | {
        "made": report.built,
        "note": report.note or "made",
        "bytes": report.bytes,
        "unreadable": len(report.unreadable),
        "unreadable_files": names(report.unreadable),
        "seconds": round(report.seconds, 3),
        "inputs_sha256": report.data_version,
    }


def _pixels_metadata(report: PixelsReport) -> Metadata:
    return {
        "rebuilt": report.built,
        "frames": report.frames,
        "frames_decoded": report.decoded,
        "decoded_per_s": rate(report.decoded, report.seconds),
        "height_px": report.shape[0] if report.shape else 0,
        "width_px": report.shape[1] if report.shape else 0,
        "bytes": report.bytes,
        "excluded": len(report.excluded),
        "excluded_files": names(report.excluded),
        "unreadable": len(report.unreadable),
        "unreadable_files": names(report.unreadable),
        "waiting": report.waiting.total,
        "seconds": round(report.seconds, 3),
        "inputs_sha256": report.data_version,
        **span(report.span),
    }
