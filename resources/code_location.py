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
        )
        for one in repository.sensor_defs
    }
    automations |= {
        one.name: Automation(one.default_status is DefaultScheduleStatus.RUNNING, cron=one.cron_schedule)
        for one in repository.schedule_defs
    }
    return CodeLocation(frozenset(repository.asset_graph.asset_check_keys), automations)
