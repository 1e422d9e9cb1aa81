"""The health of the site, every five minutes."""

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from aurora_assets import run_tags
from aurora_assets.jobs import HEALTH_JOB
from aurora_assets.run_requests import has_unfinished
from aurora_platform.config.site import Site


def health_schedule(site: Site, status: DefaultScheduleStatus) -> ScheduleDefinition:
    """Asks for a look, unless one is going on."""

    @schedule(
        name="health",
        job_name=HEALTH_JOB,
        cron_schedule=site.health.every,
        default_status=status,
        description="Looks at everything, read-only, and writes what is wrong: latest.json, the health report.",
    )
    def health(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if has_unfinished(context.instance, HEALTH_JOB):
            return SkipReason("an earlier look has not ended")
        return RunRequest(
            run_key=context.scheduled_execution_time.isoformat(),
            tags=run_tags.archive(run_tags.OPS, "health", "ops") | {run_tags.PRIORITY: "20"},
        )

    return health
