"""When a crontab entry ticks next: worked out by hand, and for each minute of a day by definition."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aurora_platform.config.cron import next_tick

NOON = datetime(2026, 3, 5, 12, 3, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/5 * * * *", "2026-03-05 12:05"),
        ("3 12 * * *", "2026-03-06 12:03"),  # now is not next
        ("2-59/10 * * * *", "2026-03-05 12:12"),
        ("35 */6 * * *", "2026-03-05 12:35"),
        ("20 4 * * *", "2026-03-06 04:20"),
        ("0 0 * * 7", "2026-03-08 00:00"),  # 7 and 0 are Sunday
        ("0 0 * * 0", "2026-03-08 00:00"),
        ("0 0 31 * *", "2026-03-31 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 3 1 * 1", "2026-03-09 03:00"),  # day or weekday
        ("59 23 31 12 *", "2026-12-31 23:59"),
    ],
)
def test_the_next_tick_of_a_crontab_entry(cron: str, expected: str) -> None:
    assert next_tick(cron, NOON) == datetime.fromisoformat(f"{expected}+00:00")


def test_the_clock_of_another_zone_gives_the_same_tick() -> None:
    assert next_tick("*/5 * * * *", NOON.astimezone(timezone(timedelta(hours=-7)))) == NOON + timedelta(minutes=2)


def test_every_second_of_a_minute_is_before_the_next_tick() -> None:
    assert next_tick("* * * * *", NOON + timedelta(seconds=59)) == NOON + timedelta(minutes=1)
