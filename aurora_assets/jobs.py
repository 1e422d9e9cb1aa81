"""The jobs an operator starts: what belongs to one partition shares one run, so that Dagster's start is paid once."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dagster import AssetCheckKey, AssetKey, AssetSelection, define_asset_job

from aurora_assets.asset_keys import (
    CATALOG,
    CORE_PRODUCTS,
    WXCAM_PRODUCTS,
    gws_raw_key,
    manifests_key,
    product_key,
    raw_key,
)
from aurora_platform import layout
from aurora_platform.config.site import Site
from aurora_platform.layout import CAMERAS, DAILY_VIDEO, HOURLY_THUMBNAILS, IS_FRESH, LATEST_VIDEO, PIXELS, WXCAM

if TYPE_CHECKING:
    # Dagster does not export the type that its own define_asset_job returns.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

CHECK_JOB = "check_mirrors"
CORE_JOB = "push_core_products"
HEALTH_JOB = "health"
HOURS_JOB = f"{WXCAM}_hours"
# Checks of the selected assets run with them.
_OF_A_DAY = (DAILY_VIDEO, LATEST_VIDEO, PIXELS)


def jobs(site: Site) -> "list[UnresolvedAssetJobDefinition]":
    """A job for a day of each stream, and the hours of the sky camera."""
    raws = [raw_key(name) for name in site.streams]
    mirrors = [
        define_asset_job(
            day_job_name(name),
            selection=AssetSelection.assets(raw_key(name)).without_checks(),
            description=f"A UTC day of {name}, from its host to the mirror.",
        )
        for name in site.streams
        if name != WXCAM
    ]
    mirrors.append(
        define_asset_job(
            CHECK_JOB,
            selection=AssetSelection.checks_for_assets(*raws) - _freshness(raws),
            description="Looks at every host and every mirror: is the copy of today and yesterday what the host has?",
        )
    )
    mirrors.append(
        define_asset_job(
            HEALTH_JOB,
            selection=AssetSelection.groups("ops"),
            description="One look at everything, read-only, and the files and mails that tell of it.",
        )
    )
    jobs = mirrors + (_camera_jobs() if WXCAM in site.streams else [])
    return jobs + (_archive_jobs(site) if site.archive else [])


def day_job_name(stream: str) -> str:
    """The job that brings a day of a stream up to date, with all that is made from it."""
    return f"{stream}_day"


def _made(*keys: AssetKey) -> AssetSelection:
    """Assets with their checks, but for freshness: that is of now, whatever day a run is about; a sensor says it."""
    return AssetSelection.assets(*keys) - _freshness(keys)


def _freshness(keys: Iterable[AssetKey]) -> AssetSelection:
    return AssetSelection.checks(*(AssetCheckKey(key, IS_FRESH) for key in keys))


def push_job_name(what: str) -> str:
    """The job that copies a stream's raw files, or a kind of products, to the archive."""
    return f"push_{what}"


def verify_job_name(stream: str) -> str:
    """The job that holds a stream against its host and the archive."""
    return f"verify_{stream}"


def _archive_jobs(site: Site) -> "list[UnresolvedAssetJobDefinition]":
    jobs = [
        define_asset_job(
            push_job_name(name),
            selection=_made(gws_raw_key(name)),
            description=f"A UTC day of {name}, from here to the archive.",
        )
        for name in site.streams
    ]
    jobs += [
        define_asset_job(
            verify_job_name(name),
            selection=AssetSelection.assets(manifests_key(name)),
            description=f"A UTC day of {name}, held against its host and the archive: manifests and finalization.",
        )
        for name in site.streams
    ]
    jobs.append(
        define_asset_job(
            CORE_JOB, selection=AssetSelection.assets(CORE_PRODUCTS), description="The small products, to the archive."
        )
    )
    if WXCAM in site.streams:
        jobs.append(
            define_asset_job(
                push_job_name(layout.WXCAM_PRODUCTS),
                selection=AssetSelection.assets(WXCAM_PRODUCTS),
                description="A UTC day of the camera's products, to the archive.",
            )
        )
    return jobs


def _camera_jobs() -> "list[UnresolvedAssetJobDefinition]":
    daily = [raw_key(WXCAM), CATALOG, *(product_key(camera, p) for camera in CAMERAS for p in _OF_A_DAY)]
    hourly = [product_key(camera, HOURLY_THUMBNAILS) for camera in CAMERAS]
    return [
        define_asset_job(
            day_job_name(WXCAM),
            # The mirror's checks list the host once more; no row of the catalogue waits for that.
            selection=_made(*daily) - AssetSelection.checks_for_assets(raw_key(WXCAM)),
            description="A UTC day of the sky camera, from the camera host to catalogue, videos and pixels.",
        ),
        define_asset_job(
            HOURS_JOB,
            selection=_made(*hourly),
            description="Hourly thumbnails of the sky camera, for hours that have closed.",
        ),
    ]
