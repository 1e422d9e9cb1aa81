"""The sky camera's products as assets: catalogue, daily and latest video, hourly thumbnails, pixels."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from dagster import (
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    DataVersion,
    LastPartitionMapping,
    MaterializeResult,
)

from aurora_assets.asset_keys import CATALOG, product_key, raw_key
from aurora_assets.aurora_asset import aurora_asset
from aurora_assets.metadata import Metadata, column_schema, common_version, metadata_of, picture, span
from aurora_assets.partitions import daily, day_of_key, hour_of_key, hourly
from aurora_platform import cameras
from aurora_platform.cameras import hours, recipes
from aurora_platform.cameras.catalog_tables import IMAGES_COLUMNS
from aurora_platform.cameras.filenames import CAMERAS, parse_name
from aurora_platform.cameras.reports import CatalogReport, PixelsReport, ThumbnailReport, VideoReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import Site
from aurora_platform.errors import MediaError
from aurora_platform.layout import DAILY_VIDEO, HOURLY_THUMBNAILS, LATEST_VIDEO, PIXELS, WXCAM, open_state
from aurora_platform.operations import grounds


def wxcam_assets(site: Site) -> list[AssetsDefinition]:
    """All products of the sky camera; an empty list for a site without the stream ``wxcam``."""
    if WXCAM not in site.streams:
        return []
    workspace = CameraWorkspace.of(site)
    assets = [_catalog_asset(site, workspace)]
    for camera in CAMERAS:
        assets += [make(site, workspace, camera) for make in (_daily_video, _latest_video, _hourly_thumbnails, _pixels)]
    return assets


def _catalog_asset(site: Site, workspace: CameraWorkspace) -> AssetsDefinition:
    @aurora_asset(
        CATALOG,
        deps=[raw_key(WXCAM)],
        partitions_def=daily(site.streams[WXCAM].start),
        code_version=recipes.CATALOG,
        place=workspace.layout.catalog,
        metadata=column_schema(IMAGES_COLUMNS),
    )
    def wxcam_catalog(context: AssetExecutionContext) -> MaterializeResult:
        """The catalogue of both cameras: one row per readable image and hourly clip, with time, size and path.

        Made from the mirrored raw files. An SQLite database: the table `images` is what the dashboard reads; the table
        `unreadable_media` names every file that no reader can decode, with the reason. Such a file is tried again when
        it changes.
        """
        open_state(site.paths.state)
        with cameras.refresh.refreshing(workspace) as refresh_day:

            def build(key: str) -> CatalogReport:
                return refresh_day(day_of_key(key), _now())

            return _build_days(context, build, metadata_of)

    return wxcam_catalog


def _camera_asset(
    camera: str,
    product: str,
    recipe: str,
    place: Path,
    deps: Sequence[AssetKey | AssetDep] = (CATALOG,),
    **options: Any,
) -> Callable[[Callable[..., MaterializeResult]], AssetsDefinition]:
    """A product of one camera, made from the catalogue and the files that it lists."""
    label = CAMERAS[camera].label
    placeholders = {"label": label, "clips": recipes.LATEST_CLIPS, "side": recipes.THUMBNAIL_SIDE}
    return aurora_asset(
        product_key(camera, product), deps=deps, code_version=recipe, place=place, placeholders=placeholders, **options
    )


def _daily_video(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    start = site.streams[WXCAM].start
    place = workspace.layout.video(camera, start).with_name("YYYYMMDD.mp4")

    @_camera_asset(camera, DAILY_VIDEO, recipes.VIDEO, place, partitions_def=daily(start))
    def daily_video(context: AssetExecutionContext) -> MaterializeResult:
        """The sky of one UTC day as one video from the {label} camera: H.264, plays in every browser.

        Made from the day's hourly clips, joined without encoding them again. A clip that does not match the others is
        converted once; a clip that cannot be used is left out (the metadata say why).
        """

        def build(key: str) -> VideoReport:
            return cameras.videos.build_daily_video(workspace, camera, day_of_key(key), _now())

        _prepare(context, site, workspace)
        return _build_days(context, build, _video_metadata)

    return daily_video


def _latest_video(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    place = workspace.layout.latest_video(camera)
    newest = AssetDep(CATALOG, partition_mapping=LastPartitionMapping())

    @_camera_asset(camera, LATEST_VIDEO, recipes.VIDEO, place, deps=[newest])
    def latest_video(context: AssetExecutionContext) -> MaterializeResult:
        """The newest hours of the sky as one video from the {label} camera. The dashboard plays it first.

        Made from the newest {clips} hourly clips, also across midnight, like the daily video.
        """
        _prepare(context, site, workspace)
        report = cameras.videos.build_latest_video(workspace, camera, _now())
        return MaterializeResult(metadata=_video_metadata(report), data_version=DataVersion(report.data_version))

    return latest_video


def _hourly_thumbnails(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    start = site.streams[WXCAM].start
    place = workspace.layout.thumbnails(camera, start).with_name("YYYYMMDD")

    @_camera_asset(camera, HOURLY_THUMBNAILS, recipes.THUMBNAIL, place, partitions_def=hourly(start))
    def hourly_thumbnails(context: AssetExecutionContext) -> MaterializeResult:
        """One small picture of the sky per hour from the {label} camera: a JPEG of at most {side} px.

        Made from the image nearest to half past, when the hour is over and all its images have arrived. Never replaced,
        because web pages keep its URL.
        """
        _prepare(context, site, workspace)
        keys, reports = context.partition_keys, {}
        thumbnails = cameras.thumbnails.build_thumbnails(workspace, camera, map(hour_of_key, keys), _now())
        for key, report in zip(keys, thumbnails, strict=True):
            reports[key] = report
            context.add_asset_metadata(_thumbnail_metadata(report), partition_key=key)
        built = sum(report.built for report in reports.values())
        context.log.info(f"{built} thumbnails made for {len(reports)} hours")
        day = hour_of_key(max(reports)).date()
        strip = cameras.thumbnails.render_hour_strip(hours.published(workspace, camera, day))
        return MaterializeResult(
            metadata={f"hours_of_{day}": picture(strip, f"hours of {day}"), "made_in_this_run": built},
            data_version=DataVersion(common_version([report.data_version for report in reports.values()])),
        )

    return hourly_thumbnails


def _pixels(site: Site, workspace: CameraWorkspace, camera: str) -> AssetsDefinition:
    start = site.streams[WXCAM].start
    place = workspace.layout.store / camera / "YYYYMMDD"

    @_camera_asset(camera, PIXELS, recipes.PIXELS, place, partitions_def=daily(start))
    def pixel_store(context: AssetExecutionContext) -> MaterializeResult:
        """The colour images of one UTC day from the {label} camera as one array: `image` (time, y, x, channel), RGB.

        Made from the catalogued images. A Zarr v3 group in which every chunk is the original JPEG, byte for byte: read
        it with `aurora_platform.open_pixels` or `xarray.open_zarr`.
        """

        def build(key: str) -> PixelsReport:
            return cameras.pixels.build_pixels(workspace, camera, day_of_key(key), _now())

        _prepare(context, site, workspace)
        return _build_days(context, build, metadata_of)

    return pixel_store


def _now() -> datetime:
    return datetime.now(UTC)


def _prepare(context: AssetExecutionContext, site: Site, workspace: CameraWorkspace) -> None:
    """Open the state directory, and remove what killed runs left in the staging directory."""
    open_state(site.paths.state)
    grounds.learn(site, "products", "state")
    if removed := workspace.staging.sweep():
        context.log.warning(f"removed {removed} unfinished products of killed runs")


class _DayReport(Protocol):
    """What the report of a day must have; its shown fields become the metadata."""

    data_version: str


def _build_days[Report: _DayReport](
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


def _video_metadata(report: VideoReport) -> Metadata:
    metadata = metadata_of(report)
    if report.path is None:
        return metadata
    try:
        return {"poster": picture(cameras.videos.render_poster(report.path), report.path.name), **metadata}
    except MediaError as error:
        # Damaged since it was made: the check `plays` names it, and the other days of the run go on.
        return {"poster": f"no picture: {error}", **metadata}


def _thumbnail_metadata(report: ThumbnailReport) -> Metadata:
    if report.path is None:
        return metadata_of(report)
    time = parse_name(report.path.name, CAMERAS[report.camera]).time
    thumbnail = {"thumbnail": picture(report.path.read_bytes(), report.path.name)}
    return thumbnail | metadata_of(report) | span((time, time))
