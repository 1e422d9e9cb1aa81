"""``explain``: what makes a product next, and what copies it, is what the sensors and schedules would start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.operations.explain_answer import State
from tests.operations.camera_site import DAY, IMAGES, NOW, CameraSite, with_archive

HOURS = "wxcam/fish_hdr/hourly_thumbnails"
NEXT_DAYS = [datetime(2026, 8, day, 12, tzinfo=UTC) for day in (18, 20, 21, 22)]


@pytest.fixture
def site(tmp_path: Path) -> CameraSite:
    made = CameraSite(tmp_path)
    made.fill()
    return made


def steps(site: CameraSite, what: str, now: datetime = NOW) -> str:
    return "\n".join(site.explain(what, now).next_steps)


def test_the_schedule_of_thumbnails_is_named_for_its_window_alone(site: CameraSite) -> None:
    # lookback is 2d: on the 20th the window begins on the 18th; the schedule searches the day before it too.
    named = ["schedule thumbnails (next tick " in steps(site, f"{HOURS}/{DAY}-00:00", now) for now in NEXT_DAYS]
    assert named == [True, True, True, False]
    old = steps(site, f"{HOURS}/{DAY}-00:00")
    assert "sensor late_days (every 2m) makes it only when the images of its day change" in old
    assert f"materialize partition {DAY}-00:00 of {HOURS} in the UI" in old


@pytest.mark.parametrize("now", [NEXT_DAYS[0], NOW])
def test_nothing_is_said_to_make_an_hour_without_images(site: CameraSite, now: datetime) -> None:
    text = steps(site, f"{HOURS}/{DAY}-05:00", now)
    assert "schedule thumbnails" not in text
    assert f"to find out why it has none: aurora explain raw/wxcam/{DAY}, aurora explain wxcam/catalog/{DAY}" in text


@pytest.mark.parametrize("kind", ["daily_video", "pixels"])
def test_a_product_without_inputs_names_the_next_question(site: CameraSite, kind: str) -> None:
    text = steps(site, f"wxcam/pano_hdr/{kind}/2026-11-30")
    assert "made when its inputs arrive\n" in text
    assert "aurora explain raw/wxcam/2026-11-30, aurora explain wxcam/catalog/2026-11-30" in text
    assert "makes it from its inputs" not in text
    alone = steps(site, "wxcam/catalog/2026-11-30")
    assert "to find out why it has none: aurora explain raw/wxcam/2026-11-30\n" in alone


def test_without_inputs_of_a_stream_that_is_planned_offline_nothing_is_expected(tmp_path: Path) -> None:
    def offline(data: dict[str, Any]) -> None:
        data["streams"]["wxcam"]["enabled"] = False

    text = steps(CameraSite(tmp_path, offline), "wxcam/fish_hdr/daily_video/2026-11-30")
    assert text.startswith("nothing copies its inputs: wxcam is planned offline (enabled: false in the site file)\n")
    assert "when its inputs arrive" not in text


def test_a_run_of_the_day_is_named_only_in_the_live_window(site: CameraSite) -> None:
    pixels = f"wxcam/fish_hdr/pixels/{DAY}"
    named = [f"the next run of wxcam_day for {DAY}" in steps(site, pixels, now) for now in NEXT_DAYS]
    assert named == [True, True, False, False]
    assert f"materialize partition {DAY} of wxcam/fish_hdr/pixels in the UI" in steps(site, pixels)
    site.put("FISH/20260818/00/HDR_20260818_005500.jpg")
    assert site.explain(f"wxcam/catalog/{DAY}").conclusion.state is State.OUTDATED
    assert "sensor late_days (every 2m) makes it from its inputs" in steps(site, f"wxcam/catalog/{DAY}")


def test_only_what_the_archive_selects_is_said_to_be_copied(tmp_path: Path) -> None:
    site = CameraSite(tmp_path, with_archive)
    site.fill()
    assert "not copied to the archive" in steps(site, f"wxcam/fish_hdr/pixels/{DAY}")
    site.thumbnail("HDR_20260818_003000.jpg")
    hour = f"{HOURS}/{DAY}-00:00"
    assert "schedule push_wxcam_products (next tick " in steps(site, hour, NEXT_DAYS[0])
    assert "copied to the archive by sensor late_days, only when its day changes" in steps(site, hour)
    assert f"materialize partition {DAY} of gws/wxcam_products in the UI" in steps(site, hour)
    for path, copied in (
        ("wxcam/.clips/x", False),
        (".staging/x", False),
        ("ops_monitor/health/.staging/x", False),
        ("ops_monitor/health/latest.json", True),
        ("met/plot.png", True),
    ):
        file = site.site.paths.products / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        assert ("schedule push_core_products (next tick " in steps(site, str(file))) is copied
        assert ("not copied to the archive" in steps(site, str(file))) is not copied
    others = site.site.paths.products / "wxcam/notes.txt"
    others.write_bytes(b"of another program")
    assert "schedule push_wxcam_products (next tick " in steps(site, str(others))


def test_what_is_not_made_has_no_row_for_a_file_whose_name_is_not_chosen_yet(tmp_path: Path) -> None:
    site = CameraSite(tmp_path, with_archive)
    site.fill()
    answer = site.explain(f"{HOURS}/{DAY}-00:00")
    assert (answer.conclusion.state, [copy.place for copy in answer.copies]) == (State.NOT_MADE, ["local"])
    assert answer.product is not None
    assert answer.product.inputs == len(IMAGES)


def test_the_push_of_the_camera_products_is_named_for_the_live_window_alone(tmp_path: Path) -> None:
    site = CameraSite(tmp_path, with_archive)
    what = f"gws/wxcam_products/{DAY}"
    named = ["schedule push_wxcam_products (next tick " in steps(site, what, now) for now in NEXT_DAYS]
    assert named == [True, True, False, False]
    assert "sensor late_days (every 2m) copies its products only when they are made again" in steps(site, what)
    assert "schedule push_core_products (next tick " in steps(site, "gws/core_products")
