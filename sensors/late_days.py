"""Products follow their inputs also where nobody watches: the sensor that evaluates the automation conditions."""

from dagster import AssetSelection, AutomationConditionSensorDefinition, DefaultSensorStatus

from aurora_assets import run_tags
from aurora_platform.config.site import Site
from aurora_platform.layout import WXCAM


def late_days_sensor(site: Site) -> AutomationConditionSensorDefinition:
    """Brings the products of a day up to date when the day's input has changed outside of a run for the whole day."""
    return AutomationConditionSensorDefinition(
        name="late_days",
        target=AssetSelection.all(),
        run_tags=run_tags.history(WXCAM),
        # Looking through the whole graph is the dearest tick of all; nothing changes oftener than hosts are looked at.
        minimum_interval_seconds=int(site.live.every.total_seconds()),
        default_status=DefaultSensorStatus.RUNNING if site.live.running else DefaultSensorStatus.STOPPED,
        description=(
            "Starts what an asset's condition asks for: the products of an old day whose files were recovered late or "
            "backfilled. In the lane of history: what arrives now goes first."
        ),
    )
