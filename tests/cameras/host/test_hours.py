"""An hour gets its thumbnail when it is known to be complete: the camera was seen past it, or its host after it."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.cameras.catalog import open_readonly
from aurora_platform.cameras.hours import is_closed, is_complete, pending
from aurora_platform.cameras.refresh import refresh_day
from aurora_platform.cameras.thumbnails import ThumbnailReport, build_thumbnail
from aurora_platform.cameras.workspace import CameraWorkspace
from aurora_platform.streams.state import DayAtSource, days_at_source, remember
from aurora_platform.transport.listing import LocalSource
from tests.cameras.making import DAY, NOON, TREES, Film, Sky, at, jpeg
from tests.mirror.parts import Mirror, stream_of

NEXT = DAY + timedelta(days=1)
LOOKBACK = timedelta(days=2)


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


@dataclass
class Observatory:
    """A camera that writes on its host, the mirror of it, and the layout of what is made here."""

    camera: Sky
    mirror: Mirror
    workspace: CameraWorkspace

    def writes(self, *times: datetime, camera: str = "fish_hdr") -> None:
        """Images come into being on the host, each 20 s after its time."""
        for time in times:
            path = self.camera.image_path(time, camera)
            self.camera.put(path, jpeg(ns(time) // 10**9 % 10**6), time + timedelta(seconds=20))

    def run(self, now: datetime, *days: date) -> None:
        """What a live run does: the days come over and are catalogued. The host's clock and ours are the same."""
        assert self.workspace.source_days
        self.mirror.run(
            *days,
            source=LocalSource(lambda: ns(now)),
            live_from=(now - LOOKBACK).date(),
            source_days=self.workspace.source_days,
        )
        for day in days:
            refresh_day(self.workspace, day, now)

    def looks(self, now: datetime, *days: date) -> None:
        """What a sensor does: it remembers what it saw, and brings nothing."""
        assert self.workspace.source_days
        remember(
            self.workspace.source_days,
            self.mirror.scan(*days, source=LocalSource(lambda: ns(now))).days_at_source(),
        )

    def pending(self, now: datetime, *days: date) -> list[datetime]:
        return pending(self.workspace, days or [DAY], now)

    def build(self, hour: datetime, now: datetime, camera: str = "fish_hdr") -> ThumbnailReport:
        return build_thumbnail(self.workspace, camera, hour, now)

    def known(self, day: date = DAY) -> DayAtSource:
        assert self.workspace.source_days
        return days_at_source(self.workspace.source_days)[day]

    def is_held_back(self, hour: datetime, now: datetime) -> bool:
        """Whether neither the schedule asks for an hour, nor who asks for it all the same gets it."""
        report = self.build(hour, now)
        assert report.built == (hour in self.pending(now) or report.path is not None)
        if not report.built:
            assert report.note == "more images of this hour may come: the camera host was not seen since it closed"
        return not report.built


@pytest.fixture
def sites(tmp_path: Path) -> Observatory:
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


def test_an_hour_of_which_half_arrived_before_an_outage_waits_for_the_rest(sites: Observatory) -> None:
    sites.writes(*every_ten_minutes(10))
    for later in every_ten_minutes(10)[2:]:
        sites.camera.image_path(later).unlink()
    sites.run(at(10, 20), DAY)  # 10:00 and 10:10 have settled; then the link goes down
    sites.writes(*every_ten_minutes(10)[2:], *every_ten_minutes(11))
    for now in (at(11, 10), at(11, 25), at(15), at(23, 59)):
        assert sites.pending(now) == []
        assert sites.is_held_back(at(10), now)
    # At 12:20 it is up again.
    sites.looks(at(12, 20), DAY)
    assert sites.known() == DayAtSource(ns(at(12, 20)), 10, 0)
    assert sites.is_held_back(at(10), at(12, 20)), "seen, but not here"
    sites.run(at(12, 21), DAY)
    assert sites.pending(at(12, 21)) == [at(10), at(11)]
    report = sites.build(at(10), at(12, 21))
    assert (report.built, name_of(report)) == (True, "HDR_20260818_103000.jpg")
    assert sites.pending(at(12, 21)) == [at(11)]


@pytest.mark.parametrize("hour", [20, 23])
def test_an_outage_over_midnight_holds_back_an_hour_until_its_own_day_was_brought(
    sites: Observatory, hour: int
) -> None:
    sites.writes(*every_ten_minutes(hour)[:2])
    sites.run(at(hour, 20), DAY)
    sites.writes(*every_ten_minutes(hour)[2:], *every_ten_minutes(0, NEXT))
    now = at(1, 30, day=NEXT)
    # The newest day goes first: there are later images of the camera, and half of the hour is still on the host.
    sites.looks(now, DAY, NEXT)
    sites.run(now, NEXT)
    assert sites.pending(now) == []
    assert sites.is_held_back(at(hour), now)
    sites.run(now, DAY)
    assert sites.pending(now) == [at(hour)]
    assert name_of(sites.build(at(hour), now)) == f"HDR_20260818_{hour}3000.jpg"


def test_the_last_hour_of_a_day_needs_no_more_than_a_look_past_it(sites: Observatory) -> None:
    sites.writes(*every_ten_minutes(23))
    sites.run(at(23, 58), DAY)
    assert sites.pending(at(0, 30, day=NEXT)) == []
    sites.looks(at(0, 9, day=NEXT), DAY, NEXT)
    assert sites.pending(at(0, 30, day=NEXT)) == []
    sites.looks(at(0, 10, day=NEXT), DAY, NEXT)
    assert sites.pending(at(0, 10, day=NEXT)) == [at(23)]


def test_a_camera_that_writes_on_gets_its_thumbnails_at_ten_past_although_something_is_always_unsettled(
    sites: Observatory,
) -> None:
    for hour in (10, 11):
        sites.writes(*every_ten_minutes(hour))
    for later in every_ten_minutes(11)[2:]:
        sites.camera.image_path(later).unlink()
    sites.run(at(11, 9, 59), DAY)
    assert sites.pending(at(11, 9, 59)) == [], "the hour is open"
    sites.writes(at(11, 9))
    sites.run(at(11, 10), DAY)
    assert not sites.known().is_complete
    assert sites.pending(at(11, 10)) == [at(10)]


# -- a camera that died ------------------------------------------------------------------------------------------------


def test_an_hour_whose_camera_died_gets_its_thumbnail_once_the_host_was_seen_after_its_close(
    sites: Observatory,
) -> None:
    sites.writes(at(10), at(10, 10), at(10, 20))
    sites.run(at(10, 40), DAY)
    for seen in (at(10, 40), at(11), at(11, 9, 59)):
        sites.looks(seen, DAY)
        assert sites.is_held_back(at(10), at(14))
    sites.looks(at(11, 10), DAY)
    assert sites.pending(at(11, 10)) == [at(10)]
    assert name_of(sites.build(at(10), at(11, 10))) == "HDR_20260818_102000.jpg"


def test_an_image_that_was_written_late_keeps_its_hour_open_for_as_long_after_it(sites: Observatory) -> None:
    sites.camera.put(sites.camera.image_path(at(10, 30)), jpeg(), at(11, 30))
    sites.run(at(11, 36), DAY)
    assert sites.is_held_back(at(10), at(14))
    sites.looks(at(11, 40), DAY)
    assert sites.build(at(10), at(14)).built


@pytest.mark.parametrize(
    ("state", "is_held"), [(DayAtSource(ns(at(12)), 1, 0), True), (DayAtSource(ns(at(12)), 0, 1), True),
                           (DayAtSource(ns(at(12)), 0, 0), False), (DayAtSource(ns(at(11, 9, 59)), 0, 0), True),
                           (DayAtSource(ns(at(11, 10)), 0, 0), False)],
)  # fmt: skip
def test_a_file_that_is_missing_or_unsettled_holds_back_an_hour_of_which_nothing_later_is_here(
    sites: Observatory, state: DayAtSource, is_held: bool
) -> None:
    sites.writes(at(10, 20))
    sites.run(at(10, 40), DAY)
    assert sites.workspace.source_days
    remember(sites.workspace.source_days, {DAY: state})
    assert sites.is_held_back(at(10), at(14)) is is_held


def test_a_look_at_another_day_says_nothing_of_this_one(sites: Observatory) -> None:
    sites.writes(at(10, 20))
    sites.run(at(10, 40), DAY)
    sites.looks(at(14, day=NEXT), NEXT, DAY - timedelta(days=1))
    assert sites.is_held_back(at(10), at(14, day=NEXT))


def test_one_camera_is_no_evidence_for_the_other(sites: Observatory) -> None:
    sites.writes(at(10, 20))
    sites.writes(at(10, 20), at(11, 0), camera="pano_hdr")
    sites.run(at(11, 9), DAY)
    now = at(11, 30)
    assert sites.pending(now) == [at(10)], "the panorama's"
    assert sites.build(at(10), now, "pano_hdr").built
    assert sites.is_held_back(at(10), now)


@pytest.mark.parametrize("what", ["clip", "image"])
def test_a_later_image_or_clip_of_the_camera_is_evidence(sites: Observatory, what: str) -> None:
    sites.writes(at(10, 20))
    if what == "clip":
        sites.camera.put(sites.camera.clip_path(at(11)), Film().encode(1), at(11))
    else:
        sites.writes(at(11))
    sites.run(at(11, 6), DAY)
    assert sites.pending(at(11, 10)) == [at(10)]


# -- where nobody looks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "is_held"), [(0, True), (1, True), (2, True), (3, False), (400, False)])
def test_an_hour_outside_the_live_window_needs_no_evidence(sites: Observatory, days: int, is_held: bool) -> None:
    sites.writes(at(10, 20))
    sites.run(at(10, 40), DAY)
    assert sites.is_held_back(at(10), NOON + timedelta(days=days)) is is_held


def test_a_day_of_history_gets_its_thumbnails_though_nothing_was_remembered_of_it(sites: Observatory) -> None:
    sites.writes(at(10, 20))
    now = NOON + timedelta(days=30)
    sites.run(now, DAY)
    assert sites.workspace.source_days
    assert days_at_source(sites.workspace.source_days) == {}
    assert sites.pending(now) == [at(10)]


def test_where_nobody_looks_at_the_host_the_clock_alone_decides(sites: Observatory) -> None:
    sites.writes(at(10, 20))
    sites.run(at(10, 40), DAY)
    assert sites.is_held_back(at(10), at(14))
    sites.workspace = replace(sites.workspace, source_days=None)
    assert sites.pending(at(11, 9, 59)) == []
    assert sites.pending(at(11, 10)) == [at(10)]


def test_nothing_is_pending_before_there_is_a_catalogue(sites: Observatory) -> None:
    assert sites.pending(at(14)) == []


def test_what_pending_lists_is_what_has_images_and_no_thumbnail_in_order(sites: Observatory) -> None:
    for day, hour in ((DAY, 3), (DAY, 1), (NEXT, 0)):
        sites.writes(at(hour, 30, day=day))
    sites.writes(at(5, 30), camera="pano_hdr")
    now = NOON + timedelta(days=30)
    sites.run(now, DAY, NEXT)
    assert sites.pending(now, NEXT, DAY) == [at(1), at(3), at(5), at(0, day=NEXT)]
    assert sites.build(at(3), now).built
    assert sites.pending(now, NEXT, DAY) == [at(1), at(5), at(0, day=NEXT)]
    for hour in sites.pending(now, NEXT, DAY):
        for camera in TREES:
            sites.build(hour, now, camera)
    assert sites.pending(now, NEXT, DAY) == []


@pytest.mark.parametrize("after", [timedelta(0), timedelta(minutes=10), timedelta(hours=2)])
def test_the_site_says_how_long_an_hour_stays_open(sites: Observatory, after: timedelta) -> None:
    sites.workspace = workspace = replace(sites.workspace, hour_closes_after=after)
    closes = at(11) + after
    assert [is_closed(workspace, at(10), closes + timedelta(seconds=n)) for n in (-1, 0, 1)] == [False, True, True]
    sites.writes(at(10, 20))
    sites.run(at(10, 40), DAY)
    assert workspace.source_days
    for clock, complete in ((closes - timedelta(seconds=1), False), (closes, True)):
        remember(workspace.source_days, {DAY: DayAtSource(ns(clock), 0, 0)})
        with open_readonly(workspace.layout.catalog) as db:
            assert is_complete(db, workspace, "fish_hdr", at(10), at(14)) is complete


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "hosts", "catalogued"),
    [
        (at(10, 20), None, False),  # nobody has looked: ours alone
        (at(10, 20), at(10, 24, 59), False),
        (at(10, 20), at(10, 25), True),  # ours is behind: it has settled by the clock that stamped it
        (at(10, 25), at(10, 20), True),  # seen five minutes ago, and it lies here since
        (at(9), at(10, 25), True),  # an hour behind
    ],
)
def test_a_file_has_settled_by_the_later_of_our_clock_and_the_hosts(
    sky: Sky, tmp_path: Path, ours: datetime, hosts: datetime | None, catalogued: bool
) -> None:
    workspace = replace(sky.workspace, source_days=tmp_path / "state" / "wxcam.json")
    assert workspace.source_days
    sky.put(sky.image_path(at(10, 20)), jpeg(), at(10, 20))
    if hosts:
        remember(workspace.source_days, {DAY: DayAtSource(ns(hosts), 0, 0), NEXT: DayAtSource(ns(at(23)), 0, 0)})
    report = refresh_day(workspace, DAY, ours)
    assert (report.images, report.unsettled.total) == ((1, 0) if catalogued else (0, 1))


def test_a_file_that_has_just_come_over_is_catalogued_though_our_clock_is_behind_the_hosts(sites: Observatory) -> None:
    sites.writes(at(10, 19))
    assert sites.workspace.source_days
    sites.mirror.run(
        DAY,
        source=LocalSource(lambda: ns(at(10, 25))),
        live_from=DAY,
        source_days=sites.workspace.source_days,
    )
    report = refresh_day(sites.workspace, DAY, at(10, 20))
    assert (report.added, report.unsettled.total) == (1, 0)
