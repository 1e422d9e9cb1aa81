"""Record retention: removes old records of Dagster, so that years of runs and observations do not fill the disk.

Records of superseded runs are removed after ``live.keep_runs``. The newest materialization of every partition stays for
ever, with its run: the UI and the automation conditions need it.
"""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from dagster import Config, DefaultScheduleStatus, JobDefinition, OpExecutionContext, ScheduleDefinition, job, op
from pydantic import Field

from aurora_assets import instance as dagster_instance
from aurora_assets.automation import default_status
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration
from aurora_platform.text import human_size

_LOG_EVERY = 500
JOB = "prune_records"


def retention_schedule(site: Site) -> ScheduleDefinition:
    """Removes old records once a day."""
    return ScheduleDefinition(
        name="retention",
        job=retention_job(site),
        cron_schedule=site.live.retention,
        default_status=default_status(site, DefaultScheduleStatus),
        description=(
            f"Removes Dagster's records of runs older than {format_duration(site.live.keep_runs)} that newer runs have "
            "replaced. Deletes no data."
        ),
    )


def retention_job(site: Site) -> JobDefinition:
    """The job that removes old records; an operator may start it with ``dry_run``."""
    days = site.live.keep_runs / timedelta(days=1)

    # Defined per site, for its defaults. As configuration of the job, Dagster would resolve them at every loading.
    class Prune(Config):
        """The records to remove, as an operator enters it in the launchpad."""

        dry_run: bool = Field(default=False, description="Count what would be removed; remove nothing.")
        older_than_days: float = Field(default=days, description="Remove runs that began longer ago than this.", ge=1)
        most: int = Field(default=100_000, description="Examine no more runs than this.", ge=1)

    @op(name="prune", description="Remove Dagster's records of superseded runs, or count what would be removed.")
    def remove_records(context: OpExecutionContext, config: Prune) -> None:
        record_retention = dagster_instance.record_retention
        before = datetime.now(UTC) - timedelta(days=config.older_than_days)
        counts = record_retention.RemovedRecords()
        for counts in record_retention.remove_runs(context.instance, before, config.dry_run, config.most):
            if counts.looked_at % _LOG_EVERY == 0:
                context.log.info(f"{counts.looked_at} runs examined, {counts.removed} removed")
        counts.observations = record_retention.remove_observations(context.instance, before, config.dry_run)
        counts.checks = record_retention.remove_check_results(context.instance, before, config.dry_run)
        counts.tick_logs = record_retention.remove_tick_logs(context.instance, config.dry_run)
        verb = "would be removed" if config.dry_run else "removed"
        context.log.info(
            f"runs from before {before:%Y-%m-%d %H:%M} UTC: {counts.looked_at} examined, {counts.removed} {verb} "
            f"({human_size(counts.bytes)}), {counts.kept} kept, because they made the newest materialization of a "
            f"partition. {counts.observations} observations, {counts.checks} check results and the logs of "
            f"{counts.tick_logs} ticks {verb}"
        )
        context.add_output_metadata(asdict(counts))

    @job(
        name=JOB,
        description="Records: removes Dagster's records of old runs that newer ones replaced. Deletes no data.",
    )
    def remove_old_records() -> None:
        remove_records()

    return remove_old_records
