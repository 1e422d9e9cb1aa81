"""Days that cannot be brought over do not take every turn of the reconciliation."""

from datetime import date, timedelta
from pathlib import Path

from aurora_platform.fs.versions import FileVersion, ScannedEntry
from aurora_platform.mirror.scan import DaySurvey
from schedules.reconcile import Asked

NEWEST = date(2026, 3, 30)


def behind(count: int, size: int = 1) -> list[DaySurvey]:
    """Days of which a file is missing, newest first."""
    days = []
    for number in range(count):
        day = DaySurvey(NEWEST - timedelta(days=number))
        day.add_missing(ScannedEntry(f"{day.day}", FileVersion(size, 0)))
        days.append(day)
    return days


def test_days_that_stay_behind_let_the_older_ones_have_their_turn(tmp_path: Path) -> None:
    asked, days = Asked(tmp_path / "reconcile" / "radar.json"), behind(25)
    assert asked.choose(days, 10) == days[:10]
    assert asked.choose(days, 10) == days[10:20], "nothing of the first ten could be copied"
    assert asked.choose(days, 10) == days[20:] + days[:5]


def test_a_day_of_which_something_else_is_missing_now_is_new_again(tmp_path: Path) -> None:
    asked, days = Asked(tmp_path / "radar.json"), behind(3)
    asked.choose(days, 1)
    changed = behind(1, size=2) + days[1:]
    assert asked.choose(changed, 1) == changed[:1]


def test_what_is_remembered_does_not_grow_and_may_be_damaged(tmp_path: Path) -> None:
    asked, days = Asked(tmp_path / "radar.json"), behind(20)
    asked.choose(days, 20)
    asked.choose(days[:2], 1)
    assert asked.place.read_text().count("2026-") == 2
    asked.place.write_text("[[")
    assert asked.choose(days, 2) == days[:2]
