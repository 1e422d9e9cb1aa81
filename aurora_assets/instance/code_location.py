"""The checks, sensors and schedules of the code location, by its definitions.

Dagster's records also have those that were removed from the code. With this module a reader of the records can tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dagster import AssetCheckKey, DefaultScheduleStatus, DefaultSensorStatus, Definitions


@dataclass(frozen=True)
class Automation:
    """A sensor or a schedule, as the code declares it."""

    is_running: bool
    """Unless somebody has switched it on or off in the UI."""
    every: timedelta | None = None
    """Of a sensor: the shortest time between two ticks."""
    cron: str | Sequence[str] | None = None
    """Of a schedule."""
    evaluates_conditions: bool = False
    """Of a sensor: whether it evaluates the automation conditions of assets."""

    @property
    def cadence(self) -> timedelta | str | list[str] | None:
        """How often it ticks."""
        return self.every or (self.cron if self.cron is None or isinstance(self.cron, str) else list(self.cron))

    @property
    def daemon(self) -> str:
        """The name of Dagster's daemon that evaluates it, in lower case."""
        if self.cron is not None:
            return "scheduler"
        return "asset" if self.evaluates_conditions else "sensor"


@dataclass(frozen=True)
class CodeLocation:
    """The checks and automations that are in the code now."""

    checks: frozenset[AssetCheckKey]
    automations: Mapping[str, Automation]


def code_location_of(definitions: Definitions) -> CodeLocation:
    """The code location of these definitions."""
    repository = definitions.get_repository_def()
    automations = {
        sensor.name: Automation(
            sensor.default_status is DefaultSensorStatus.RUNNING,
            every=timedelta(seconds=sensor.minimum_interval_seconds or 0) or None,
            evaluates_conditions=sensor.sensor_type.is_handled_by_asset_daemon,
        )
        for sensor in repository.sensor_defs
    }
    automations |= {
        schedule.name: Automation(schedule.default_status is DefaultScheduleStatus.RUNNING, cron=schedule.cron_schedule)
        for schedule in repository.schedule_defs
    }
    return CodeLocation(frozenset(repository.asset_graph.asset_check_keys), automations)
