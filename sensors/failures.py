"""The sensor that evaluates the alerts at once after a failed run, without waiting for the next health run."""

from datetime import UTC, datetime

from dagster import DefaultSensorStatus, RunFailureSensorContext, SensorDefinition, SkipReason, run_failure_sensor
from dagster._core.storage.tags import PARTITION_NAME_TAG

from aurora_assets.automation import default_status
from aurora_platform import health
from aurora_platform.config.site import Site
from aurora_platform.layout import Layout, open_state
from aurora_platform.text import counted
from resources.mailer import MailerResource


def failure_sensors(site: Site) -> list[SensorDefinition]:
    """The sensor of a site with alerts; an empty list for a site without."""
    settings = site.alerts
    if settings is None:
        return []

    @run_failure_sensor(
        name="failed_runs",
        default_status=default_status(site, DefaultSensorStatus),
        description="Sends the alert mail at once when a run fails, without waiting for the next health run.",
    )
    def failed_runs(context: RunFailureSensorContext, mailer: MailerResource) -> SkipReason:
        open_state(site.paths.state)
        run = context.dagster_run
        failed = health.models.Run(
            run_id=run.run_id,
            job=run.job_name,
            partition=run.tags.get(PARTITION_NAME_TAG),
            since_utc=datetime.now(UTC).replace(microsecond=0),
            error=" ".join(context.failure_event.message.split())[:300] if context.failure_event.message else None,
        )
        alerting = health.alerts.Alerting.of(site, settings)
        reading = health.alert_rules.read_snapshot(Layout.of(site).health.snapshot)
        outcome = alerting.evaluate(reading, mailer.of(settings), failed=[failed])
        mailed = f"mailed by {outcome.transport}" if outcome.transport else "nothing mailed"
        return SkipReason(outcome.error or f"{counted(len(outcome.events), 'event')}; {mailed}")

    return [failed_runs]
