"""The sensor that evaluates the automation conditions, so that products are made again when their input changed."""

from dagster import AssetSelection, AutomationConditionSensorDefinition, DefaultSensorStatus

from aurora_assets import run_tags
from aurora_assets.automation import default_status
from aurora_platform.config.site import Site
from aurora_platform.layout import WXCAM


def late_days_sensor(site: Site) -> AutomationConditionSensorDefinition:
    """Updates the products of a day whose input has changed without a run for the whole day."""
    return AutomationConditionSensorDefinition(
        name="late_days",
        target=AssetSelection.all(),
        run_tags=run_tags.history(WXCAM),
        # The most expensive tick: it evaluates the whole graph. Inputs do not change more often than hosts are listed.
        minimum_interval_seconds=int(site.live.every.total_seconds()),
        default_status=default_status(site, DefaultSensorStatus),
        description=(
            "Makes the products, archive copies and manifests of a day again when its files arrive late or are copied "
            "again. These runs wait behind those of today."
        ),
    )
