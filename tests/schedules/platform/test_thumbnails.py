"""The thumbnails schedule, ticked by Dagster's scheduler: hours that have closed and are complete get a run, once."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from dagster import DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from aurora_platform.layout import Layout
from tests.daemon import HOUR, MINUTE, QUEUED, SUCCESS, TODAY, YESTERDAY, Clock, Daemon, skipped

BEFORE = YESTERDAY - timedelta(days=1)


def stretches(daemon: Daemon) -> list[tuple[str, str]]:
    """First and last hour of each run that is queued."""
    ends = ("start", "end")
    return [tuple(run.tags[f"dagster/asset_partition_range_{end}"] for end in ends) for run in daemon.runs(QUEUED)]


def thumbnails(daemon: Daemon) -> set[str]:
    """The hours of all thumbnails on disk, by camera: fish_hdr/20260818_10."""
    found = Layout.of(daemon.site).camera.products.glob("hourly_thumbnails/*/*/HDR_*.jpg")
    return {f"{path.parts[-3]}/{path.name[4:15]}" for path in found}


@pytest.fixture
def bring(film: Callable[..., None], daemon: Daemon) -> Callable[..., None]:
    """Films (day, first hour, hours); they are brought over and catalogued, and the host is looked at once more."""

    def film_and_bring(*what: tuple[date, int, int]) -> None:
        for day, first, hours in what:
            film(day, hours, first)
        daemon.sense_arrivals("wxcam")
        assert {run.status for run in daemon.work()} == {SUCCESS}
        daemon.sense_arrivals("wxcam")

    return film_and_bring


def test_closed_hours_get_one_run_a_stretch_and_are_not_asked_for_again(daemon: Daemon, bring: Callable) -> None:
    bring((BEFORE, 23, 1), (YESTERDAY, 0, 1), (YESTERDAY, 5, 2))
    assert daemon.tick("thumbnails").status == TickStatus.SUCCESS
    assert stretches(daemon) == [
        (f"{BEFORE}-23:00", f"{YESTERDAY}-00:00"),
        (f"{YESTERDAY}-05:00", f"{YESTERDAY}-06:00"),
    ]
    for run in daemon.runs(QUEUED):
        assert run.job_name == "wxcam_hours"
        assert (run.tags["aurora/lane"], run.tags["aurora/stream"]) == ("live", "wxcam")
    assert [run.status for run in daemon.work()] == [SUCCESS, SUCCESS]
    hours = [f"{BEFORE:%Y%m%d}_23", *(f"{YESTERDAY:%Y%m%d}_{n}" for n in ("00", "05", "06"))]
    assert thumbnails(daemon) == {f"{camera}/{hour}" for camera in ("fish_hdr", "pano_hdr") for hour in hours}
    said = skipped(daemon.tick("thumbnails"))
    assert "every closed and complete hour since " in said


def test_while_a_run_for_hours_has_not_ended_none_is_asked_for(daemon: Daemon, bring: Callable) -> None:
    bring((YESTERDAY, 5, 1))
    for status in (QUEUED, DagsterRunStatus.STARTED):
        run = daemon.record("wxcam_hours", status)
        assert skipped(daemon.tick("thumbnails")) == "an earlier run for hours has not ended"
        daemon.instance.report_run_failed(run)
    assert daemon.tick("thumbnails").status == TickStatus.SUCCESS


def test_an_hour_that_closed_while_the_platform_was_down_follows(daemon: Daemon, bring: Callable, clock: Clock) -> None:
    now = datetime.now(UTC)
    bring((YESTERDAY, 10, 1))
    closes = datetime.combine(YESTERDAY, time(11), UTC) + daemon.site.live.hour_closes_after
    clock.ahead = closes - MINUTE - now
    assert skipped(daemon.tick("thumbnails"))
    clock.ahead = closes + MINUTE - now
    assert daemon.tick("thumbnails").status == TickStatus.SUCCESS
    (run,) = daemon.runs(QUEUED)
    daemon.instance.report_run_canceled(run)
    clock.ahead = closes + 30 * HOUR - now
    daemon.tick("thumbnails")
    assert stretches(daemon) == [(f"{YESTERDAY}-10:00", f"{YESTERDAY}-10:00")]


def test_an_hour_of_which_a_file_is_still_on_its_way_is_waited_for(
    daemon: Daemon, bring: Callable, tmp_path: Path
) -> None:
    bring((YESTERDAY, 10, 2))
    camera = Path(daemon.site.streams["wxcam"].path)
    image = next(camera.glob(f"FISH/{YESTERDAY:%Y%m%d}/**/HDR_{YESTERDAY:%Y%m%d}_11*.jpg"))
    image.with_name(f"HDR_{YESTERDAY:%Y%m%d}_115500.jpg").write_bytes(image.read_bytes())
    # Just written: the host has something that is not here yet, so the last hour may still get more.
    daemon.sense_arrivals("wxcam")
    daemon.tick("thumbnails")
    assert stretches(daemon) == [(f"{YESTERDAY}-10:00", f"{YESTERDAY}-10:00")]


def test_an_hour_that_left_the_live_window_without_its_thumbnail_gets_it_the_day_after(
    daemon: Daemon, bring: Callable, clock: Clock
) -> None:
    bring((YESTERDAY, 10, 1))
    clock.ahead = timedelta(days=2)
    assert daemon.site.streams["wxcam"].live_from(datetime.now(UTC) + clock.ahead) == TODAY
    daemon.tick("thumbnails")
    assert stretches(daemon) == [(f"{YESTERDAY}-10:00", f"{YESTERDAY}-10:00")]
