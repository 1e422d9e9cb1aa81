"""Schedule of the thumbnails: for closed hours, ten minutes after their end and then every 15 minutes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dagster import RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason

from aurora_assets import run_tags
from aurora_assets.jobs import HOURS_JOB
from aurora_assets.partitions import consecutive_ranges, key_of_hour, live_days
from aurora_assets.run_requests import has_unfinished
from aurora_platform.cameras.hours import HOUR, pending
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.layout import WXCAM
from schedules.aurora_schedule import aurora_schedule


def thumbnails_schedule(site: Site) -> ScheduleDefinition:
    """Finds the closed hours without a thumbnail on disk, so that no hour is lost by a restart or an outage."""
    workspace = CameraWorkspace.of(site)
    text = (
        f"Makes the thumbnails of hours of the last days that ended {format_duration(site.live.hour_closes_after)} ago "
        "or earlier. An hour that is incomplete waits until its images have arrived."
    )

    @aurora_schedule(site, "thumbnails", site.live.thumbnails, job=HOURS_JOB, description=text, stream=WXCAM)
    def thumbnails(context: ScheduleEvaluationContext) -> Sequence[RunRequest] | SkipReason:
        if has_unfinished(context.instance, HOURS_JOB):
            return SkipReason("an earlier run for hours has not ended")
        days = live_days(site, WXCAM)
        if not days:
            return SkipReason(f"{WXCAM} begins on {site.streams[WXCAM].start} (start in the site file)")
        # Also the day before: an hour that was incomplete when its day left the window does not change any more.
        days = [days[0] - timedelta(days=1), *days]
        hours = pending(workspace, days, datetime.now(UTC))
        if not hours:
            return SkipReason(
                f"every closed and complete hour since {days[0]} has its thumbnails; an hour waits until its host was "
                "listed after its end"
            )
        return [
            RunRequest(
                run_key=f"{key_of_hour(first)}/{key_of_hour(last)}/{context.scheduled_execution_time.isoformat()}",
                tags=run_tags.live(WXCAM, "hours") | run_tags.range_tags(key_of_hour(first), key_of_hour(last)),
            )
            for first, last in consecutive_ranges(hours, HOUR)
        ]

    return thumbnails
