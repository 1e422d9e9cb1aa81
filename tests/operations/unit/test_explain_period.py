"""``explain`` of days and hours that can have no files: before the stream begins, and in the future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aurora_platform.operations.explain_answer import State
from tests.operations.camera_site import DAY, IMAGES, NOW, CameraSite, with_archive

KEYS = (
    *("raw/wxcam", "gws/raw/wxcam", "manifests/wxcam", "gws/wxcam_products", "wxcam/catalog"),
    *(f"wxcam/{camera}/{kind}" for camera in ("fish_hdr", "pano_hdr") for kind in ("daily_video", "pixels")),
)
HOURS = "wxcam/fish_hdr/hourly_thumbnails"


@pytest.fixture
def site(tmp_path: Path) -> CameraSite:
    made = CameraSite(tmp_path, with_archive)
    made.fill()
    return made


@pytest.mark.parametrize("key", KEYS)
def test_a_day_of_the_future_has_a_state_of_its_own_for_every_asset(site: CameraSite, key: str) -> None:
    for day in ("2026-12-01", "2027-05-05"):
        answer = site.explain(f"{key}/{day}")
        assert (answer.conclusion.state, answer.needs_operator) == (State.IN_FUTURE, False)
        assert answer.conclusion.sentence == f"{day} has not begun (UTC)"
        assert answer.next_steps[0] == f"nothing before it begins, at {day} 00:00:00 UTC"
        assert answer.finalization is None
    assert site.explain(f"{key}/2026-11-30").conclusion.state is not State.IN_FUTURE


@pytest.mark.parametrize("key", KEYS)
def test_a_day_before_the_stream_begins_names_its_first_day_for_every_asset(site: CameraSite, key: str) -> None:
    for day in ("2026-01-11", "2025-01-01"):
        answer = site.explain(f"{key}/{day}")
        assert (answer.conclusion.state, answer.needs_operator) == (State.NOT_BEGUN, False)
        assert answer.conclusion.sentence == "wxcam begins on 2026-01-12 (start in the site file)"
        assert answer.next_steps[0] == "nothing: no run is for a day before 2026-01-12"
    assert site.explain(f"{key}/2026-01-12").conclusion.state is not State.NOT_BEGUN


def test_an_hour_is_in_the_future_until_it_begins(site: CameraSite) -> None:
    for now, state in (
        (datetime(2026, 11, 30, 9, 59, 59, tzinfo=UTC), State.IN_FUTURE),
        (datetime(2026, 11, 30, 10, tzinfo=UTC), State.NOT_MADE),
    ):
        assert site.explain(f"{HOURS}/2026-11-30-10:00", now).conclusion.state is state
    assert site.explain(f"{HOURS}/2026-01-11-23:00").conclusion.state is State.NOT_BEGUN


def test_a_day_of_which_the_catalogue_has_no_row_is_not_made(site: CameraSite) -> None:
    answer = site.explain("wxcam/catalog/2026-08-17")
    assert (answer.conclusion.state, answer.needs_operator) == (State.NOT_MADE, False)
    assert answer.conclusion.sentence == "no file of the day is local, and the catalogue has none"
    assert answer.copies[0].note == "without this day"
    assert answer.product is not None
    assert answer.product.data_version == ""
    site.put("FISH/20260817/10/HDR_20260817_100000.jpg")
    waiting = site.explain("wxcam/catalog/2026-08-17")
    assert waiting.conclusion.state is State.NOT_MADE
    assert waiting.conclusion.sentence == "1 local file of the day, and the catalogue has none"


def test_a_day_of_the_catalogue_was_made_when_its_newest_row_was_written(site: CameraSite) -> None:
    made = site.explain(f"wxcam/catalog/{DAY}")
    assert made.conclusion.state is State.MADE
    when = "made on 2026-11-30 10:00:00 UTC from"
    assert made.conclusion.sentence == f"{when} {len(IMAGES)} inputs, which have not changed since"
    site.put("FISH/20260818/00/HDR_20260818_005500.jpg")
    behind = site.explain(f"wxcam/catalog/{DAY}")
    assert behind.conclusion.state is State.OUTDATED
    assert "1 file of the day added, changed or removed" in behind.conclusion.sentence


def test_what_was_made_from_one_input_says_so_in_the_singular(tmp_path: Path) -> None:
    site = CameraSite(tmp_path)
    site.put(IMAGES[0])
    site.refresh()
    sentence = site.explain(f"wxcam/catalog/{DAY}", NOW + timedelta(hours=1)).conclusion.sentence
    assert sentence.endswith("from 1 input, which has not changed since")
