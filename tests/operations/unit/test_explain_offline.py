"""``explain`` of a stream that is planned offline (``enabled: false``): nothing is expected of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.archive.stores import Records
from aurora_platform.operations.explain_answer import State
from tests.health.snapshots import healthy_snapshot
from tests.operations.camera_site import DAY, IMAGES, NOW, CameraSite, with_archive

OFFLINE = "wxcam is planned offline (enabled: false in the site file)"
IN_AUGUST = datetime(2026, 8, 19, 12, tzinfo=UTC)
"""When the day is in the live window of two days."""


def offline(data: dict[str, Any]) -> None:
    data["streams"]["wxcam"]["enabled"] = False


def with_archive_offline(data: dict[str, Any]) -> None:
    with_archive(data)
    offline(data)


@pytest.fixture
def site(tmp_path: Path) -> CameraSite:
    """A stream that is planned offline, and one of its three images is not local."""
    made = CameraSite(tmp_path, offline)
    made.fill()
    (made.layout.raw_root("wxcam") / IMAGES[0]).unlink()
    return made


@pytest.mark.parametrize("now", [IN_AUGUST, NOW])
def test_a_day_and_its_missing_file_agree_that_no_operator_is_needed(site: CameraSite, now: datetime) -> None:
    day, file = site.explain(f"raw/wxcam/{DAY}", now), site.explain(IMAGES[0], now)
    assert (day.conclusion.state, file.conclusion.state) == (State.INCOMPLETE, State.MISSING_LOCAL)
    assert (day.needs_operator, file.needs_operator) == (False, False)
    for answer in (day, file):
        assert answer.conclusion.sentence.endswith(OFFLINE)
        assert answer.conclusion.command == ""
        assert not any("waits for an operator" in step or "starts wxcam_day" in step for step in answer.next_steps)
    assert day.next_steps[0] == f"nothing lists its host: {OFFLINE}"
    assert file.next_steps[0] == f"nothing copies it: {OFFLINE}"
    assert not any("stays as it is" in step for step in file.next_steps)


def test_a_file_that_is_still_being_written_is_not_said_to_be_copied(site: CameraSite) -> None:
    site.put("FISH/20260817/20/HDR_20260817_200000.jpg", is_local=False)
    just_written = datetime.fromtimestamp(1.787e9 + 60, UTC)
    answer = site.explain("FISH/20260817/20/HDR_20260817_200000.jpg", just_written)
    assert answer.conclusion.state is State.UNSETTLED
    assert "copied from" not in answer.conclusion.sentence
    assert "planned offline" in answer.conclusion.sentence


def test_a_source_whose_last_listing_failed_waits_for_nobody(site: CameraSite) -> None:
    place = site.layout.freshness("wxcam")
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"seen_at": 1.787e9, "failed_since": 1.787e9, "why": "timed out"}))
    answer = site.explain("source/wxcam")
    assert not answer.needs_operator
    assert answer.next_steps[0] == "nothing lists it: planned offline (enabled: false in the site file)"


def test_a_host_that_does_not_answer_stops_nothing(site: CameraSite) -> None:
    away = {"name": "here", "address": "127.0.0.8", "reachable": False, "error": "timed out"}
    place = site.layout.health.snapshot
    place.parent.mkdir(parents=True)
    place.write_text(healthy_snapshot(NOW, hosts=[away]).model_dump_json())
    assert not any("does not answer" in remark for remark in site.explain(f"raw/wxcam/{DAY}").conclusion.remarks)


def test_the_newest_days_are_verified_when_they_have_left_the_live_window(tmp_path: Path) -> None:
    # schedules/archive.py verifies the live window of an enabled stream alone; older days of every stream.
    made = CameraSite(tmp_path, with_archive_offline)
    made.fill()
    live, old = ("\n".join(made.explain(f"raw/wxcam/{DAY}", now).next_steps) for now in (IN_AUGUST, NOW))
    assert f"verified by schedule verify_wxcam when it has left the live window: {OFFLINE}" in live
    assert "verified by schedule verify_wxcam (next tick " in old


def test_a_day_in_the_live_window_that_was_not_verified_waits_for_nobody(tmp_path: Path) -> None:
    def slow(data: dict[str, Any]) -> None:
        with_archive_offline(data)
        data["streams"]["wxcam"]["lookback"] = "5d"

    def slow_and_enabled(data: dict[str, Any]) -> None:
        slow(data)
        data["streams"]["wxcam"]["enabled"] = True

    # evidence_valid is 2d: the day ends on the 19th, and on the 22nd it is still in a live window of five days.
    for change, needs_operator in ((slow, False), (slow_and_enabled, True)):
        made = CameraSite(tmp_path, change)
        made.fill()
        with Records(made.site).evidence():  # makes an empty one
            pass
        day = made.explain(f"manifests/wxcam/{DAY}", datetime(2026, 8, 22, tzinfo=UTC))
        assert (day.conclusion.state, day.needs_operator) == (State.UNKNOWN, needs_operator)
