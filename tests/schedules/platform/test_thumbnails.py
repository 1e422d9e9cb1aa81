"""The thumbnails schedule, ticked by Dagster's scheduler: every closed and complete hour gets one run."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from dagster import DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from aurora_platform.layout import Layout
from tests.daemon import HOUR, MINUTE, QUEUED, SUCCESS, TODAY, YESTERDAY, Clock, Daemon, skipped

BEFORE = YESTERDAY - timedelta(days=1)


def queued_ranges(daemon: Daemon) -> list[tuple[str, str]]:
    """First and last hour of each queued run."""
    ends = ("start", "end")
    return [tuple(run.tags[f"dagster/asset_partition_range_{end}"] for end in ends) for run in daemon.runs(QUEUED)]


def thumbnails(daemon: Daemon) -> set[str]:
    """The camera and hour of all thumbnails on disk, for example fish_hdr/20260818_10."""
    found = Layout.of(daemon.site).camera.products.glob("hourly_thumbnails/*/*/HDR_*.jpg")
    return {f"{path.parts[-3]}/{path.name[4:15]}" for path in found}


@pytest.fixture
def mirror_hours(film: Callable[..., None], daemon: Daemon) -> Callable[..., None]:
    """Writes camera files of (day, first hour, hours), mirrors and catalogues them, and lists the host again."""

    def write_and_mirror(*parts: tuple[date, int, int]) -> None:
        for day, first, hours in parts:
            film(day, hours, first)
        daemon.sense_arrivals("wxcam")
        assert {run.status for run in daemon.work()} == {SUCCESS}
        daemon.sense_arrivals("wxcam")

    return write_and_mirror


def test_consecutive_closed_hours_get_one_run_and_are_not_requested_again(
    daemon: Daemon, mirror_hours: Callable
) -> None:
    mirror_hours((BEFORE, 23, 1), (YESTERDAY, 0, 1), (YESTERDAY, 5, 2))
    assert daemon.tick("thumbnails").status == TickStatus.SUCCESS
    assert queued_ranges(daemon) == [
        (f"{BEFORE}-23:00", f"{YESTERDAY}-00:00"),
        (f"{YESTERDAY}-05:00", f"{YESTERDAY}-06:00"),
    ]
    for run in daemon.runs(QUEUED):
        assert run.job_name == "wxcam_hours"
        assert (run.tags["aurora/lane"], run.tags["aurora/stream"]) == ("live", "wxcam")
    assert [run.status for run in daemon.work()] == [SUCCESS, SUCCESS]
    hours = [f"{BEFORE:%Y%m%d}_23", *(f"{YESTERDAY:%Y%m%d}_{n}" for n in ("00", "05", "06"))]
    assert thumbnails(daemon) == {f"{camera}/{hour}" for camera in ("fish_hdr", "pano_hdr") for hour in hours}
    assert "every closed and complete hour since " in skipped(daemon.tick("thumbnails"))


def test_no_run_is_requested_before_the_earlier_run_for_hours_has_ended(daemon: Daemon, mirror_hours: Callable) -> None:
    mirror_hours((YESTERDAY, 5, 1))
    for status in (QUEUED, DagsterRunStatus.STARTED):
        run = daemon.record("wxcam_hours", status)
        assert skipped(daemon.tick("thumbnails")) == "an earlier run for hours has not ended"
        daemon.instance.report_run_failed(run)
    assert daemon.tick("thumbnails").status == TickStatus.SUCCESS


def test_an_hour_that_closed_during_an_outage_is_requested_later(
    daemon: Daemon, mirror_hours: Callable, clock: Clock
) -> None:
    now = datetime.now(UTC)
    mirror_hours((YESTERDAY, 10, 1))
    closes = datetime.combine(YESTERDAY, time(11), UTC) + daemon.site.live.hour_closes_after
    clock.ahead = closes - MINUTE - now
    assert skipped(daemon.tick("thumbnails"))
    clock.ahead = closes + MINUTE - now
    assert daemon.tick("thumbnails").status == TickStatus.SUCCESS
    (run,) = daemon.runs(QUEUED)
    daemon.instance.report_run_canceled(run)
    clock.ahead = closes + 30 * HOUR - now
    daemon.tick("thumbnails")
    assert queued_ranges(daemon) == [(f"{YESTERDAY}-10:00", f"{YESTERDAY}-10:00")]


def test_an_hour_with_a_file_still_to_be_copied_has_to_wait(
    daemon: Daemon, mirror_hours: Callable, tmp_path: Path
) -> None:
    mirror_hours((YESTERDAY, 10, 2))
    camera = Path(daemon.site.streams["wxcam"].path)
    image = next(camera.glob(f"FISH/{YESTERDAY:%Y%m%d}/**/HDR_{YESTERDAY:%Y%m%d}_11*.jpg"))
    image.with_name(f"HDR_{YESTERDAY:%Y%m%d}_115500.jpg").write_bytes(image.read_bytes())
    # Just written: the host has a file that is not local yet, so the last hour may still get more images.
    daemon.sense_arrivals("wxcam")
    daemon.tick("thumbnails")
    assert queued_ranges(daemon) == [(f"{YESTERDAY}-10:00", f"{YESTERDAY}-10:00")]


def test_an_hour_that_left_the_live_window_without_a_thumbnail_gets_it_the_day_after(
    daemon: Daemon, mirror_hours: Callable, clock: Clock
) -> None:
    mirror_hours((YESTERDAY, 10, 1))
    clock.ahead = timedelta(days=2)
    assert daemon.site.streams["wxcam"].live_from(datetime.now(UTC) + clock.ahead) == TODAY
    daemon.tick("thumbnails")
    assert queued_ranges(daemon) == [(f"{YESTERDAY}-10:00", f"{YESTERDAY}-10:00")]
