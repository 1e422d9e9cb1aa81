"""The sensor that evaluates the automation conditions: products follow their inputs."""

from dagster import AssetSelection, AutomationConditionSensorDefinition, DefaultSensorStatus

from aurora_assets import run_tags
from aurora_assets.automation import default_status
from aurora_platform.config.site import Site
from aurora_platform.layout import WXCAM


def late_days_sensor(site: Site) -> AutomationConditionSensorDefinition:
    """Brings the products of a day up to date when their input has changed outside of a run for the whole day."""
    return AutomationConditionSensorDefinition(
        name="late_days",
        target=AssetSelection.all(),
        run_tags=run_tags.history(WXCAM),
        # The most expensive tick: it evaluates the whole graph. And nothing changes more often than hosts are listed.
        minimum_interval_seconds=int(site.live.every.total_seconds()),
        default_status=default_status(site, DefaultSensorStatus),
        description=(
            "Makes products again whose input has changed: those of an old day with files that were recovered late or "
            "backfilled. Runs in the history lane, behind today's files."
        ),
    )
