"""Schedule of the health report, every five minutes by default."""

from dagster import RunRequest, ScheduleDefinition, ScheduleEvaluationContext, SkipReason

from aurora_assets import run_tags
from aurora_assets.jobs import HEALTH_JOB
from aurora_assets.run_requests import has_unfinished
from aurora_platform.config.site import Site
from schedules.aurora_schedule import aurora_schedule


def health_schedule(site: Site) -> ScheduleDefinition:
    """Requests a run, unless one is unfinished."""
    text = "Checks data, disks, hosts and runs; changes none of them. Writes the health report, sends alerts by mail."

    @aurora_schedule(site, "health", site.health.every, job=HEALTH_JOB, description=text)
    def health(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if has_unfinished(context.instance, HEALTH_JOB):
            return SkipReason("an earlier run has not ended")
        return RunRequest(
            run_key=context.scheduled_execution_time.isoformat(),
            tags=run_tags.archive(run_tags.OPS, "health", "ops") | {run_tags.PRIORITY: "20"},
        )

    return health
