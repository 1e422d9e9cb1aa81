"""The decorator of every schedule: its job, its time, and whether it runs from the start."""

from collections.abc import Callable
from typing import Any

from dagster import DefaultScheduleStatus, ScheduleDefinition, schedule

from aurora_assets import run_tags
from aurora_assets.automation import default_status
from aurora_platform.config.site import Site


def aurora_schedule(
    site: Site, name: str, cron: str, *, job: str, description: str, stream: str | None = None
) -> Callable[[Callable[..., Any]], ScheduleDefinition]:
    """Define a schedule from a function that returns run requests, or the reason for none.

    Parameters
    ----------
    site
        Decides whether the schedule runs from the start (``live.running``).
    name, job
        Names in the UI.
    cron
        When it ticks, in UTC.
    description
        What it does, as the UI's list of automations shows it.
    stream
        The stream of its runs.
    """
    return schedule(
        name=name,
        job_name=job,
        cron_schedule=cron,
        default_status=default_status(site, DefaultScheduleStatus),
        description=description,
        tags={run_tags.STREAM: stream} if stream else None,
    )
