"""Record retention: removes old records of Dagster, so that years of runs and observations do not fill the disk.

Records of superseded runs go after ``live.keep_runs``. The newest materialization of every partition stays for ever,
with its run: the UI and the automation conditions need it.
"""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from dagster import Config, DefaultScheduleStatus, JobDefinition, OpExecutionContext, ScheduleDefinition, job, op
from pydantic import Field

from aurora_assets import instance as dagster_instance
from aurora_assets.automation import default_status
from aurora_platform.config.site import Site
from aurora_platform.config.types import format_duration

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
            f"Removes Dagster's records of superseded runs older than {format_duration(site.live.keep_runs)}. Deletes "
            "no data: neither in the mirror, the products nor the archive."
        ),
    )


def retention_job(site: Site) -> JobDefinition:
    """The job that removes old records; an operator may start it with ``dry_run``."""
    days = site.live.keep_runs / timedelta(days=1)

    # Its defaults are the site's. As configuration of the job, Dagster would resolve them whenever the code is loaded.
    class Prune(Config):
        """What to remove, as the launchpad asks for it."""

        dry_run: bool = Field(default=False, description="List what would be removed; remove nothing.")
        older_than_days: float = Field(default=days, description="Remove runs that began longer ago than this.", ge=1)
        most: int = Field(default=100_000, description="Examine no more runs than this.", ge=1)

    @op(description="Remove Dagster's records of superseded runs, or list what would be removed.")
    def prune(context: OpExecutionContext, config: Prune) -> None:
        record_retention = dagster_instance.record_retention
        before = datetime.now(UTC) - timedelta(days=config.older_than_days)
        done = record_retention.Pruned()
        for pruned in record_retention.prune_runs(context.instance, before, config.dry_run, config.most):
            done = pruned
            if done.looked_at % _LOG_EVERY == 0:
                context.log.info(f"{done.looked_at} runs looked at, {done.removed} removed")
        done.observations = record_retention.prune_observations(context.instance, before, config.dry_run)
        done.checks = record_retention.prune_checks(context.instance, before, config.dry_run)
        done.tick_logs = record_retention.prune_tick_logs(context.instance, config.dry_run)
        verb = "would be removed" if config.dry_run else "removed"
        context.log.info(
            f"of {done.looked_at} runs from before {before:%Y-%m-%d %H:%M} UTC, {done.removed} {verb} "
            f"({done.bytes / 1e6:.1f} MB), {done.kept} kept: they made what is newest of a partition; "
            f"{done.observations} observations, {done.checks} results of checks and the logs of {done.tick_logs} ticks "
            f"{verb}"
        )
        context.add_output_metadata(asdict(done))

    @job(name=JOB, description="Remove Dagster's records of old, superseded runs. Deletes no data.")
    def prune_records() -> None:
        prune()

    return prune_records
