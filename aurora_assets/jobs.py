"""The jobs that an operator, a sensor or a schedule starts.

All assets of one partition share one run, because every run costs the start of a process.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dagster import AssetCheckKey, AssetKey, AssetSelection, define_asset_job

from aurora_assets.asset_keys import (
    CATALOG,
    CORE_PRODUCTS,
    PRODUCT_MANIFESTS,
    RESTORE_DRILL,
    RETENTION,
    WXCAM_PRODUCTS,
    gws_raw_key,
    manifests_key,
    product_key,
    raw_key,
)
from aurora_platform import layout
from aurora_platform.config.site import Site
from aurora_platform.layout import CAMERAS, DAILY_PRODUCTS, HOURLY_THUMBNAILS, IS_FRESH, LATEST_VIDEO, WXCAM

if TYPE_CHECKING:
    # Dagster does not export the type that its own define_asset_job returns.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

CHECK_JOB = "check_mirrors"
CORE_JOB = "push_core_products"
VERIFY_PRODUCTS_JOB = "verify_products"
DRILL_JOB, RETIRE_JOB = "restore_drill", "retire"
HEALTH_JOB = "health"
HOURS_JOB = f"{WXCAM}_hours"
# Checks of the selected assets run in the same run.
_DAY_PRODUCTS = (*DAILY_PRODUCTS, LATEST_VIDEO)


def jobs(site: Site) -> "list[UnresolvedAssetJobDefinition]":
    """All jobs: one per stream for a day, the camera's hours, the checks, the health report, and the archive's jobs."""
    raws = [raw_key(name) for name in site.streams]
    all_jobs = [
        _job(
            day_job_name(name),
            AssetSelection.assets(raw_key(name)).without_checks(),
            f"Mirror: copies the new files of {name} of one UTC day from the instrument host.",
        )
        for name in site.streams
        if name != WXCAM
    ]
    checks = AssetSelection.checks_for_assets(*raws) - _freshness(raws)
    all_jobs += [
        _job(CHECK_JOB, checks, "Checks: compares the local copies of today and yesterday with what every host has."),
        _job(
            HEALTH_JOB,
            AssetSelection.groups("ops"),
            "Health: checks everything, writes the report, sends alerts by mail.",
        ),
        *(_camera_jobs() if WXCAM in site.streams else []),
        *(_archive_jobs(site) if site.archive else []),
    ]
    return all_jobs


def _job(name: str, selection: AssetSelection, description: str) -> "UnresolvedAssetJobDefinition":
    return define_asset_job(name, selection=selection, description=description)


def day_job_name(stream: str) -> str:
    """The job that brings one day of a stream up to date, with all products made from it."""
    return f"{stream}_day"


def _assets_with_checks(*keys: AssetKey) -> AssetSelection:
    """Assets with their checks, except freshness, which is about the current time and not about the day of a run."""
    return AssetSelection.assets(*keys) - _freshness(keys)


def _freshness(keys: Iterable[AssetKey]) -> AssetSelection:
    return AssetSelection.checks(*(AssetCheckKey(key, IS_FRESH) for key in keys))


def push_job_name(name: str) -> str:
    """The job that copies the raw files of a stream, or a kind of products, to the archive."""
    return f"push_{name}"


def verify_job_name(stream: str) -> str:
    """The job that verifies a stream at its source, local and in the archive."""
    return f"verify_{stream}"


def _archive_jobs(site: Site) -> "list[UnresolvedAssetJobDefinition]":
    all_jobs = [
        _job(CORE_JOB, AssetSelection.assets(CORE_PRODUCTS), "Archive: copies new products, except the sky camera's.")
    ]
    for name in site.streams:
        push, verify = _assets_with_checks(gws_raw_key(name)), AssetSelection.assets(manifests_key(name))
        push_text = f"Archive: copies the new files of {name} of one UTC day to the archive."
        verify_text = (
            f"Archive: verifies one UTC day of {name} at all three places; writes the proof of a complete day."
        )
        all_jobs += [_job(push_job_name(name), push, push_text), _job(verify_job_name(name), verify, verify_text)]
    text = "Archive: compares the products and registered files with their copies; writes their proofs."
    all_jobs.append(_job(VERIFY_PRODUCTS_JOB, AssetSelection.assets(PRODUCT_MANIFESTS), text))
    text = "Archive: restores a random finalized day as a test, and compares it with its manifest."
    all_jobs.append(_job(DRILL_JOB, AssetSelection.assets(RESTORE_DRILL), text))
    if site.retention.raw:
        text = "Retention: deletes old local copies, each after its copy in the archive was read back."
        all_jobs.append(_job(RETIRE_JOB, AssetSelection.assets(RETENTION), text))
    if WXCAM in site.streams:
        text = "Archive: copies one UTC day of the sky camera's videos, thumbnails and catalogue to the archive."
        all_jobs.append(_job(push_job_name(layout.WXCAM_PRODUCTS), AssetSelection.assets(WXCAM_PRODUCTS), text))
    return all_jobs


def _camera_jobs() -> "list[UnresolvedAssetJobDefinition]":
    daily = [raw_key(WXCAM), CATALOG, *(product_key(camera, p) for camera in CAMERAS for p in _DAY_PRODUCTS)]
    hourly = [product_key(camera, HOURLY_THUMBNAILS) for camera in CAMERAS]
    # Without the mirror's checks: they would list the host again, and the catalogue would wait for it.
    day = _assets_with_checks(*daily) - AssetSelection.checks_for_assets(raw_key(WXCAM))
    text = "Camera: copies one UTC day from the camera host; makes catalogue, videos and the pixel store."
    return [
        _job(day_job_name(WXCAM), day, text),
        _job(HOURS_JOB, _assets_with_checks(*hourly), "Camera: makes the thumbnails of hours that are over."),
    ]
