"""Thumbnails of the hours that have closed: at ten past, and again each quarter of an hour for those that were late."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from aurora_assets import run_tags
from aurora_assets.jobs import HOURS_JOB
from aurora_assets.partitions import key_of_hour, live_days, stretches
from aurora_assets.run_requests import has_unfinished
from aurora_platform.cameras.hours import HOUR, pending
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.layout import WXCAM


def thumbnails_schedule(site: Site, status: DefaultScheduleStatus) -> ScheduleDefinition:
    """Looks on disk for hours that are over and have no thumbnail, so a restart or an outage loses none."""
    workspace = CameraWorkspace.of(site)

    @schedule(
        name="thumbnails",
        job_name=HOURS_JOB,
        cron_schedule=site.live.thumbnails,
        default_status=status,
        description=(
            "Makes the thumbnails of hours that have closed, "
            f"{format_duration(site.live.hour_closes_after)} after their end. Looks at each hour of "
            "the live window and of the day before it, so those that closed while the platform was down, or the camera "
            "host was away, follow."
        ),
        tags={run_tags.STREAM: WXCAM},
    )
    def thumbnails(context: ScheduleEvaluationContext) -> Sequence[RunRequest] | SkipReason:
        if has_unfinished(context.instance, HOURS_JOB):
            return SkipReason("an earlier run for hours has not ended")
        days = live_days(site, WXCAM)
        if not days:
            return SkipReason(f"{WXCAM} begins on {site.streams[WXCAM].start} (start in the site file)")
        # And the day before: what was not complete when its day left the window is now as complete as it gets.
        days = [days[0] - timedelta(days=1), *days]
        hours = pending(workspace, days, datetime.now(UTC))
        if not hours:
            return SkipReason(
                f"every hour since {days[0]} that is over and complete has its thumbnails; an hour of which the host "
                "was not seen to its end waits"
            )
        return [
            RunRequest(
                run_key=f"{key_of_hour(first)}/{key_of_hour(last)}/{context.scheduled_execution_time.isoformat()}",
                tags=run_tags.live(WXCAM, "hours") | run_tags.range_tags(key_of_hour(first), key_of_hour(last)),
            )
            for first, last in stretches(hours, HOUR)
        ]

    return thumbnails
