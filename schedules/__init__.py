"""Runs that start because of the clock: thumbnails, reconciliation, the archive, Dagster's own records."""

from dagster import DefaultScheduleStatus, ScheduleDefinition

from aurora_assets.jobs import CHECK_JOB
from aurora_platform.config.site import Site
from aurora_platform.layout import WXCAM
from schedules.archive import archive_schedules
from schedules.health import health_schedule
from schedules.reconcile import reconcile_schedule
from schedules.record_retention import retention_schedule
from schedules.thumbnails import thumbnails_schedule


def all_schedules(site: Site) -> list[ScheduleDefinition]:
    """Every schedule of a site; they run from the start where the site file says so."""
    status = DefaultScheduleStatus.RUNNING if site.live.running else DefaultScheduleStatus.STOPPED
    schedules = [reconcile_schedule(site, name, status) for name in site.streams]
    if WXCAM in site.streams:
        schedules.append(thumbnails_schedule(site, status))
    schedules.append(
        ScheduleDefinition(
            name="mirror_checks",
            job_name=CHECK_JOB,
            cron_schedule=site.live.checks,
            default_status=status,
            description="Looks once a day at every host and mirror, today and yesterday: is all here as it is there?",
        )
    )
    return [
        *schedules,
        *archive_schedules(site, status),
        health_schedule(site, status),
        retention_schedule(site, status),
    ]
