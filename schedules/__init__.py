"""Schedules, which start runs by the clock: thumbnails, reconciliation, archive, health, and record retention."""

from dagster import DefaultScheduleStatus, ScheduleDefinition

from aurora_assets.automation import default_status
from aurora_assets.jobs import CHECK_JOB
from aurora_platform.config.site import Site
from aurora_platform.layout import WXCAM
from schedules.archive import archive_schedules
from schedules.health import health_schedule
from schedules.reconcile import reconcile_schedule
from schedules.record_retention import retention_schedule
from schedules.thumbnails import thumbnails_schedule


def all_schedules(site: Site) -> list[ScheduleDefinition]:
    """Every schedule of a site."""
    return [
        *(reconcile_schedule(site, name) for name in site.streams),
        *([thumbnails_schedule(site)] if WXCAM in site.streams else []),
        ScheduleDefinition(
            name="mirror_checks",
            job_name=CHECK_JOB,
            cron_schedule=site.live.checks,
            default_status=default_status(site, DefaultScheduleStatus),
            description="Checks once a day for today and yesterday that the local copies equal the files of the hosts.",
        ),
        *archive_schedules(site),
        health_schedule(site),
        retention_schedule(site),
    ]
