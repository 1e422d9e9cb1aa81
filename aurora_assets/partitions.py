"""Day and hour partitions, in UTC, up to and including the current one."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from dagster import AssetCheckExecutionContext, DailyPartitionsDefinition, HourlyPartitionsDefinition

from aurora_platform.config.site import Site

HOUR_FORMAT = "%Y-%m-%d-%H:%M"  # Dagster's default for hours


def daily(start: date) -> DailyPartitionsDefinition:
    """UTC days from ``start`` to today; keys are YYYY-MM-DD."""
    return DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1, timezone="UTC")


def hourly(start: date) -> HourlyPartitionsDefinition:
    """UTC hours from the first of ``start`` to the current one; keys are YYYY-MM-DD-HH:00."""
    return HourlyPartitionsDefinition(start_date=f"{start.isoformat()}-00:00", end_offset=1, timezone="UTC")


def day_of_key(key: str) -> date:
    """The day of a daily partition key."""
    return date.fromisoformat(key)


def days_of_run(context: AssetCheckExecutionContext) -> list[date]:
    """The days of a run with daily partitions; an empty list for a run without a partition."""
    if not (context.has_partition_key or context.has_partition_key_range):
        return []
    keys = context.partition_key_range
    first, last = day_of_key(keys.start), day_of_key(keys.end)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def key_of_hour(hour: datetime) -> str:
    """The partition key of the hour that begins at this time."""
    return hour.strftime(HOUR_FORMAT)


def consecutive_ranges[T: (date, datetime)](keys: Iterable[T], step: timedelta) -> list[tuple[T, T]]:
    """First and last of every range of consecutive days or hours, in order: every range can be one run."""
    ranges: list[tuple[T, T]] = []
    for key in sorted(keys):
        if ranges and key - ranges[-1][1] == step:
            ranges[-1] = (ranges[-1][0], key)
        else:
            ranges.append((key, key))
    return ranges


def hour_of_key(key: str) -> datetime:
    """The begin of an hourly partition."""
    return datetime.strptime(key, HOUR_FORMAT).replace(tzinfo=UTC)


def live_days(site: Site, name: str) -> list[date]:
    """The UTC days of a stream's live window, oldest first."""
    now = datetime.now(UTC)
    first = site.streams[name].live_from(now)
    return [first + timedelta(days=n) for n in range((now.date() - first).days + 1)]
