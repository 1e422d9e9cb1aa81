"""Day and hour partitions, in UTC, up to and including the one that is going on now."""

from datetime import UTC, date, datetime

from dagster import DailyPartitionsDefinition, HourlyPartitionsDefinition

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


def hour_of_key(key: str) -> datetime:
    """The begin of an hourly partition."""
    return datetime.strptime(key, HOUR_FORMAT).replace(tzinfo=UTC)
