"""When a schedule of the site file ticks next."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from aurora_platform.config.types import CRON_FIELDS, cron_numbers

_LONGEST = 366 * 8 + 2  # days from a 29 February to the next, also over 1900 and 2100


def next_tick(cron: str, now: datetime) -> datetime | None:
    """Return the first time after ``now`` that a crontab entry names, UTC; None where there is none.

    As crontab(5): where both the day and the weekday are restricted, a date matches if one of them does.
    """
    fields = [cron_numbers(field, *bounds) for field, (_, *bounds) in zip(cron.split(), CRON_FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = fields
    is_either = not any(field.startswith("*") for field in (cron.split()[2], cron.split()[4]))

    def matches(day: date) -> bool:
        of_month, of_week = day.day in days, bool({day.isoweekday(), day.isoweekday() % 7} & weekdays)
        return day.month in months and ((of_month or of_week) if is_either else (of_month and of_week))

    after = now.astimezone(UTC)
    for number in range(_LONGEST):
        day = after.date() + timedelta(days=number)
        if not matches(day):
            continue
        for hour in sorted(hours):
            for minute in sorted(minutes):
                tick = datetime.combine(day, time(hour, minute), UTC)
                if tick > after:
                    return tick
    return None
