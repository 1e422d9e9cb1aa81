"""What the code location has, by its definitions: checks, and sensors and schedules with how often they are due.

Dagster's records keep what was in the code once. Whoever reads them asks here what still is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dagster import AssetCheckKey, DefaultScheduleStatus, DefaultSensorStatus, Definitions


@dataclass(frozen=True)
class Automation:
    """A sensor or a schedule, as the code declares it."""

    is_running: bool
    """Unless somebody has turned it on or off."""
    every: timedelta | None = None
    """Of a sensor: the shortest time between two ticks."""
    cron: str | Sequence[str] | None = None
    """Of a schedule."""
    is_of_conditions: bool = False
    """Of a sensor: whether it evaluates the automation conditions of assets."""

    @property
    def due(self) -> timedelta | str | list[str] | None:
        """How often it ticks."""
        return self.every or (self.cron if self.cron is None or isinstance(self.cron, str) else list(self.cron))

    @property
    def daemon(self) -> str:
        """Which daemon of Dagster's evaluates it, by its name in small letters."""
        if self.cron is not None:
            return "scheduler"
        return "asset" if self.is_of_conditions else "sensor"


@dataclass(frozen=True)
class CodeLocation:
    """The names that Dagster's records are about now."""

    checks: frozenset[AssetCheckKey]
    automations: Mapping[str, Automation]


def code_location_of(definitions: Definitions) -> CodeLocation:
    """What these definitions have."""
    repository = definitions.get_repository_def()
    automations = {
        one.name: Automation(
            one.default_status is DefaultSensorStatus.RUNNING,
            every=timedelta(seconds=one.minimum_interval_seconds or 0) or None,
            is_of_conditions=one.sensor_type.is_handled_by_asset_daemon,
        )
        for one in repository.sensor_defs
    }
    automations |= {
        one.name: Automation(one.default_status is DefaultScheduleStatus.RUNNING, cron=one.cron_schedule)
        for one in repository.schedule_defs
    }
    return CodeLocation(frozenset(repository.asset_graph.asset_check_keys), automations)
