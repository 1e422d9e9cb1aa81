"""Days whose files cannot be copied do not block the other days of a reconciliation."""

from datetime import date, timedelta
from pathlib import Path

from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror.scan import DaySurvey
from schedules.reconcile import RequestedDays

NEWEST = date(2026, 3, 30)


def incomplete_days(count: int, size: int = 1) -> list[DaySurvey]:
    """Days with a missing file, newest first."""
    days = []
    for number in range(count):
        day = DaySurvey(NEWEST - timedelta(days=number))
        day.add_missing(ScannedEntry(f"{day.day}", FileVersion(size, 0)))
        days.append(day)
    return days


def test_days_that_stay_incomplete_do_not_block_older_days(tmp_path: Path) -> None:
    requested_days, days = RequestedDays(tmp_path / "reconcile" / "radar.json"), incomplete_days(25)
    assert requested_days.choose(days, 10) == days[:10]
    assert requested_days.choose(days, 10) == days[10:20], "no file of the first ten days could be copied"
    assert requested_days.choose(days, 10) == days[20:] + days[:5]


def test_a_day_with_other_missing_files_is_requested_first_again(tmp_path: Path) -> None:
    requested_days, days = RequestedDays(tmp_path / "radar.json"), incomplete_days(3)
    requested_days.choose(days, 1)
    changed = incomplete_days(1, size=2) + days[1:]
    assert requested_days.choose(changed, 1) == changed[:1]


def test_the_stored_requests_do_not_grow_and_may_be_damaged(tmp_path: Path) -> None:
    requested_days, days = RequestedDays(tmp_path / "radar.json"), incomplete_days(20)
    requested_days.choose(days, 20)
    requested_days.choose(days[:2], 1)
    assert requested_days.path.read_text().count("2026-") == 2
    requested_days.path.write_text("[[")
    assert requested_days.choose(days, 2) == days[:2]
