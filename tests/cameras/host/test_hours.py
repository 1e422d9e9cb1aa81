"""An hour gets its thumbnail when it is complete: the camera has later media, or its host was listed after the hour."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.cameras.catalog import open_readonly
from aurora_platform.cameras.hours import is_closed, is_complete, pending
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.reports import ThumbnailReport
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.streams.state import DayAtSource, read_days_at_source, record_days_at_source
from aurora_platform.transport.listing import LocalSource
from tests.cameras.sample_media import DAY, NOON, TREES, Film, Sky, at, build_thumbnail, jpeg
from tests.mirror.parts import Mirror, stream_of

NEXT = DAY + timedelta(days=1)
LOOKBACK = timedelta(days=2)


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


@dataclass
class Observatory:
    """A camera that writes on its host, the mirror of the host, and the local workspace."""

    camera: Sky
    mirror: Mirror
    workspace: CameraWorkspace

    def write_images(self, *times: datetime, camera: str = "fish_hdr") -> None:
        """Write images on the host, each 20 s after its time."""
        for time in times:
            path = self.camera.image_path(time, camera)
            self.camera.put(path, jpeg(ns(time) // 10**9 % 10**6), time + timedelta(seconds=20))

    def run(self, now: datetime, *days: date) -> None:
        """Do what a live run does: copy the days and catalogue them. The host's clock and the local clock agree."""
        assert self.workspace.source_days
        self.mirror.run(
            *days,
            source=LocalSource(lambda: ns(now)),
            live_from=(now - LOOKBACK).date(),
            source_days=self.workspace.source_days,
        )
        for day in days:
            refresh_day(self.workspace, day, now)

    def scan(self, now: datetime, *days: date) -> None:
        """Do what a sensor does: list the host and record the result, without copying."""
        assert self.workspace.source_days
        record_days_at_source(
            self.workspace.source_days,
            self.mirror.scan(*days, source=LocalSource(lambda: ns(now))).days_at_source(),
        )

    def pending(self, now: datetime, *days: date) -> list[datetime]:
        return pending(self.workspace, days or [DAY], now)

    def build(self, hour: datetime, now: datetime, camera: str = "fish_hdr") -> ThumbnailReport:
        return build_thumbnail(self.workspace, camera, hour, now)

    def day_at_source(self, day: date = DAY) -> DayAtSource:
        assert self.workspace.source_days
        return read_days_at_source(self.workspace.source_days)[day]

    def is_held_back(self, hour: datetime, now: datetime) -> bool:
        """Whether an hour is not pending for the schedule, and a direct request does not make its thumbnail either."""
        report = self.build(hour, now)
        assert report.built == (hour in self.pending(now) or report.path is not None)
        if not report.built:
            assert "more images of this hour may arrive" in report.note
        return not report.built


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    camera = Sky(tmp_path / "host")
    camera.layout.raw.mkdir(parents=True)
    mirror = Mirror(stream_of(camera.layout.raw), tmp_path)
    workspace = Sky(tmp_path).workspace
    layout = replace(workspace.layout, raw=mirror.root)
    workspace = replace(workspace, layout=layout, source_days=tmp_path / "state" / "wxcam.json")
    return Observatory(camera, mirror, workspace)


def every_ten_minutes(hour: int, day: date = DAY) -> list[datetime]:
    return [at(hour, minute, day=day) for minute in range(0, 60, 10)]


def name_of(report: ThumbnailReport) -> str | None:
    return report.path.name if report.path else None


# -- outages -----------------------------------------------------------------------------------------------------------


def test_an_hour_of_which_half_arrived_before_an_outage_waits_for_the_rest(observatory: Observatory) -> None:
    observatory.write_images(*every_ten_minutes(10))
    for later in every_ten_minutes(10)[2:]:
        observatory.camera.image_path(later).unlink()
    observatory.run(at(10, 20), DAY)  # 10:00 and 10:10 have settled; then the link fails
    observatory.write_images(*every_ten_minutes(10)[2:], *every_ten_minutes(11))
    for now in (at(11, 10), at(11, 25), at(15), at(23, 59)):
        assert observatory.pending(now) == []
        assert observatory.is_held_back(at(10), now)
    # At 12:20 the link works again.
    observatory.scan(at(12, 20), DAY)
    assert observatory.day_at_source() == DayAtSource(ns(at(12, 20)), 10, 0)
    assert observatory.is_held_back(at(10), at(12, 20)), "listed, but not copied"
    observatory.run(at(12, 21), DAY)
    assert observatory.pending(at(12, 21)) == [at(10), at(11)]
    report = observatory.build(at(10), at(12, 21))
    assert (report.built, name_of(report)) == (True, "HDR_20260818_103000.jpg")
    assert observatory.pending(at(12, 21)) == [at(11)]


@pytest.mark.parametrize("hour", [20, 23])
def test_an_outage_over_midnight_holds_back_an_hour_until_its_own_day_was_copied(
    observatory: Observatory, hour: int
) -> None:
    observatory.write_images(*every_ten_minutes(hour)[:2])
    observatory.run(at(hour, 20), DAY)
    observatory.write_images(*every_ten_minutes(hour)[2:], *every_ten_minutes(0, NEXT))
    now = at(1, 30, day=NEXT)
    # The newest day is copied first: later images of the camera exist, and half of the hour is still on the host.
    observatory.scan(now, DAY, NEXT)
    observatory.run(now, NEXT)
    assert observatory.pending(now) == []
    assert observatory.is_held_back(at(hour), now)
    observatory.run(now, DAY)
    assert observatory.pending(now) == [at(hour)]
    assert name_of(observatory.build(at(hour), now)) == f"HDR_20260818_{hour}3000.jpg"


def test_the_last_hour_of_a_day_needs_only_a_scan_after_it_closed(observatory: Observatory) -> None:
    observatory.write_images(*every_ten_minutes(23))
    observatory.run(at(23, 58), DAY)
    assert observatory.pending(at(0, 30, day=NEXT)) == []
    observatory.scan(at(0, 9, day=NEXT), DAY, NEXT)
    assert observatory.pending(at(0, 30, day=NEXT)) == []
    observatory.scan(at(0, 10, day=NEXT), DAY, NEXT)
    assert observatory.pending(at(0, 10, day=NEXT)) == [at(23)]


def test_a_running_camera_gets_its_thumbnails_at_ten_past_although_a_file_is_always_unsettled(
    observatory: Observatory,
) -> None:
    for hour in (10, 11):
        observatory.write_images(*every_ten_minutes(hour))
    for later in every_ten_minutes(11)[2:]:
        observatory.camera.image_path(later).unlink()
    observatory.run(at(11, 9, 59), DAY)
    assert observatory.pending(at(11, 9, 59)) == [], "the hour is open"
    observatory.write_images(at(11, 9))
    observatory.run(at(11, 10), DAY)
    assert not observatory.day_at_source().is_complete
    assert observatory.pending(at(11, 10)) == [at(10)]


# -- a camera that stopped ---------------------------------------------------------------------------------------------


def test_after_the_camera_stopped_an_hour_gets_its_thumbnail_once_the_host_was_listed_after_it_closed(
    observatory: Observatory,
) -> None:
    observatory.write_images(at(10), at(10, 10), at(10, 20))
    observatory.run(at(10, 40), DAY)
    for listed_at in (at(10, 40), at(11), at(11, 9, 59)):
        observatory.scan(listed_at, DAY)
        assert observatory.is_held_back(at(10), at(14))
    observatory.scan(at(11, 10), DAY)
    assert observatory.pending(at(11, 10)) == [at(10)]
    assert name_of(observatory.build(at(10), at(11, 10))) == "HDR_20260818_102000.jpg"


def test_an_image_that_was_written_late_keeps_its_hour_open_for_longer(observatory: Observatory) -> None:
    observatory.camera.put(observatory.camera.image_path(at(10, 30)), jpeg(), at(11, 30))
    observatory.run(at(11, 36), DAY)
    assert observatory.is_held_back(at(10), at(14))
    observatory.scan(at(11, 40), DAY)
    assert observatory.build(at(10), at(14)).built


@pytest.mark.parametrize(
    ("state", "is_held"), [(DayAtSource(ns(at(12)), 1, 0), True), (DayAtSource(ns(at(12)), 0, 1), True),
                           (DayAtSource(ns(at(12)), 0, 0), False), (DayAtSource(ns(at(11, 9, 59)), 0, 0), True),
                           (DayAtSource(ns(at(11, 10)), 0, 0), False)],
)  # fmt: skip
def test_a_missing_or_unsettled_file_holds_back_an_hour_without_later_local_media(
    observatory: Observatory, state: DayAtSource, is_held: bool
) -> None:
    observatory.write_images(at(10, 20))
    observatory.run(at(10, 40), DAY)
    assert observatory.workspace.source_days
    record_days_at_source(observatory.workspace.source_days, {DAY: state})
    assert observatory.is_held_back(at(10), at(14)) is is_held


def test_a_scan_of_another_day_does_not_complete_an_hour(observatory: Observatory) -> None:
    observatory.write_images(at(10, 20))
    observatory.run(at(10, 40), DAY)
    observatory.scan(at(14, day=NEXT), NEXT, DAY - timedelta(days=1))
    assert observatory.is_held_back(at(10), at(14, day=NEXT))


def test_media_of_one_camera_do_not_complete_an_hour_of_the_other(observatory: Observatory) -> None:
    observatory.write_images(at(10, 20))
    observatory.write_images(at(10, 20), at(11, 0), camera="pano_hdr")
    observatory.run(at(11, 9), DAY)
    now = at(11, 30)
    assert observatory.pending(now) == [at(10)], "for the panorama camera"
    assert observatory.build(at(10), now, "pano_hdr").built
    assert observatory.is_held_back(at(10), now)


@pytest.mark.parametrize("kind", ["clip", "image"])
def test_a_later_image_or_clip_of_the_camera_completes_an_hour(observatory: Observatory, kind: str) -> None:
    observatory.write_images(at(10, 20))
    if kind == "clip":
        observatory.camera.put(observatory.camera.clip_path(at(11)), Film().encode(1), at(11))
    else:
        observatory.write_images(at(11))
    observatory.run(at(11, 6), DAY)
    assert observatory.pending(at(11, 10)) == [at(10)]


# -- hours that are not scanned any more -------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "is_held"), [(0, True), (1, True), (2, True), (3, False), (400, False)])
def test_an_hour_before_the_live_window_counts_as_complete(observatory: Observatory, days: int, is_held: bool) -> None:
    observatory.write_images(at(10, 20))
    observatory.run(at(10, 40), DAY)
    assert observatory.is_held_back(at(10), NOON + timedelta(days=days)) is is_held


def test_an_old_day_gets_its_thumbnails_without_a_recorded_scan(observatory: Observatory) -> None:
    observatory.write_images(at(10, 20))
    now = NOON + timedelta(days=30)
    observatory.run(now, DAY)
    assert observatory.workspace.source_days
    assert read_days_at_source(observatory.workspace.source_days) == {}
    assert observatory.pending(now) == [at(10)]


def test_without_scans_of_the_host_the_clock_alone_decides(observatory: Observatory) -> None:
    observatory.write_images(at(10, 20))
    observatory.run(at(10, 40), DAY)
    assert observatory.is_held_back(at(10), at(14))
    observatory.workspace = replace(observatory.workspace, source_days=None)
    assert observatory.pending(at(11, 9, 59)) == []
    assert observatory.pending(at(11, 10)) == [at(10)]


def test_no_hour_is_pending_without_a_catalogue(observatory: Observatory) -> None:
    assert observatory.pending(at(14)) == []


def test_pending_lists_in_order_the_hours_with_images_and_no_thumbnail(observatory: Observatory) -> None:
    for day, hour in ((DAY, 3), (DAY, 1), (NEXT, 0)):
        observatory.write_images(at(hour, 30, day=day))
    observatory.write_images(at(5, 30), camera="pano_hdr")
    now = NOON + timedelta(days=30)
    observatory.run(now, DAY, NEXT)
    assert observatory.pending(now, NEXT, DAY) == [at(1), at(3), at(5), at(0, day=NEXT)]
    assert observatory.build(at(3), now).built
    assert observatory.pending(now, NEXT, DAY) == [at(1), at(5), at(0, day=NEXT)]
    for hour in observatory.pending(now, NEXT, DAY):
        for camera in TREES:
            observatory.build(hour, now, camera)
    assert observatory.pending(now, NEXT, DAY) == []


@pytest.mark.parametrize("after", [timedelta(0), timedelta(minutes=10), timedelta(hours=2)])
def test_the_site_file_sets_how_long_an_hour_stays_open(observatory: Observatory, after: timedelta) -> None:
    observatory.workspace = workspace = replace(observatory.workspace, hour_closes_after=after)
    closes = at(11) + after
    assert [is_closed(workspace, at(10), closes + timedelta(seconds=n)) for n in (-1, 0, 1)] == [False, True, True]
    observatory.write_images(at(10, 20))
    observatory.run(at(10, 40), DAY)
    assert workspace.source_days
    for clock, complete in ((closes - timedelta(seconds=1), False), (closes, True)):
        record_days_at_source(workspace.source_days, {DAY: DayAtSource(ns(clock), 0, 0)})
        with open_readonly(workspace.layout.catalog) as db:
            assert is_complete(db, workspace, "fish_hdr", at(10), at(14)) is complete


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local_clock", "host_clock", "catalogued"),
    [
        (at(10, 20), None, False),  # no scan: only the local clock counts
        (at(10, 20), at(10, 24, 59), False),
        (at(10, 20), at(10, 25), True),  # the local clock is behind: the file has settled by the host's clock
        (at(10, 25), at(10, 20), True),  # the last scan was five minutes ago, and the file has been local since then
        (at(9), at(10, 25), True),  # the local clock is an hour behind
    ],
)
def test_a_file_has_settled_by_the_later_of_the_local_clock_and_the_hosts_clock(
    sky: Sky, tmp_path: Path, local_clock: datetime, host_clock: datetime | None, catalogued: bool
) -> None:
    workspace = replace(sky.workspace, source_days=tmp_path / "state" / "wxcam.json")
    assert workspace.source_days
    sky.put(sky.image_path(at(10, 20)), jpeg(), at(10, 20))
    if host_clock:
        record_days_at_source(
            workspace.source_days, {DAY: DayAtSource(ns(host_clock), 0, 0), NEXT: DayAtSource(ns(at(23)), 0, 0)}
        )
    report = refresh_day(workspace, DAY, local_clock)
    assert (report.images, report.unsettled.total) == ((1, 0) if catalogued else (0, 1))


def test_a_file_that_was_just_copied_is_catalogued_although_the_local_clock_is_behind(observatory: Observatory) -> None:
    observatory.write_images(at(10, 19))
    assert observatory.workspace.source_days
    observatory.mirror.run(
        DAY,
        source=LocalSource(lambda: ns(at(10, 25))),
        live_from=DAY,
        source_days=observatory.workspace.source_days,
    )
    report = refresh_day(observatory.workspace, DAY, at(10, 20))
    assert (report.added, report.unsettled.total) == (1, 0)
