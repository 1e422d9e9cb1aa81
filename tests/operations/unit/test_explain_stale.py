"""``explain`` of the partition of today: where the data is stale, an operator should act, as ``aurora health`` says."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.health.freshness import all_freshness
from aurora_platform.health.models import Freshness, Level
from aurora_platform.operations.explain_answer import State
from tests.health.snapshots import healthy_snapshot
from tests.operations.camera_site import DAY, NOW, CameraSite, with_archive

TODAY = "2026-11-30"
VIDEO = f"wxcam/fish_hdr/daily_video/{TODAY}"


@pytest.fixture
def site(tmp_path: Path) -> CameraSite:
    """A camera that has been silent since August; its sensor polls its host."""
    made = CameraSite(tmp_path, with_archive)
    made.fill()
    poll(made, 1.787e9)
    return made


def poll(site: CameraSite, newest: float) -> None:
    """Record a poll of the source a minute ago, as the sensor does."""
    place = site.layout.freshness("wxcam")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"newest": newest, "seen_at": NOW.timestamp() - 60}))


def add_image_of_today(site: CameraSite, age: timedelta) -> None:
    time = NOW - age
    path = f"FISH/{time:%Y%m%d/%H}/HDR_{time:%Y%m%d_%H%M%S}.jpg"
    site.put(path)
    for root in (site.source, site.layout.raw_root("wxcam")):
        os.utime(root / path, (time.timestamp(), time.timestamp()))


def test_the_day_of_today_of_a_silent_camera_waits_for_an_operator_as_in_the_health_report(site: CameraSite) -> None:
    health = {entry.name: entry.level for entry in all_freshness(site.site, {}, NOW)}
    assert (health["wxcam source"], health["wxcam here"]) == (Level.RED, Level.RED)
    answer = site.explain(f"raw/wxcam/{TODAY}")
    assert (answer.conclusion.state, answer.needs_operator) == (State.NO_FILES, True)
    days = (NOW.timestamp() - 1.787e9) / 86400
    assert answer.conclusion.remarks == (
        f"wxcam is STALE at its source: newest data {days:.1f} days old (stale_after 90m)",
        "wxcam is STALE in its local files: no data in the live window (stale_after 90m)",
    )
    assert answer.next_steps[0] == "waits for an operator: aurora status; check the instrument on host here"


def test_a_product_of_today_names_the_operator_and_the_question_about_its_raw_files(site: CameraSite) -> None:
    for what in (VIDEO, f"wxcam/fish_hdr/hourly_thumbnails/{TODAY}-07:00"):
        answer = site.explain(what)
        assert (answer.conclusion.state, answer.needs_operator) == (State.NOT_MADE, True)
        steps = "\n".join(answer.next_steps)
        assert steps.startswith("waits for an operator: aurora status; check the instrument on host here\n")
        assert f"to find out why it has none: aurora explain raw/wxcam/{TODAY}" in steps


def test_fresh_data_waits_for_nobody(site: CameraSite) -> None:
    add_image_of_today(site, timedelta(minutes=30))
    poll(site, NOW.timestamp() - 1800)
    for what in (f"raw/wxcam/{TODAY}", VIDEO):
        answer = site.explain(what)
        assert (answer.needs_operator, answer.conclusion.remarks) == (False, ())


def test_a_day_of_today_that_is_complete_until_its_camera_went_silent_is_stale(site: CameraSite) -> None:
    add_image_of_today(site, timedelta(hours=2))
    poll(site, NOW.timestamp() - 7200)
    answer = site.explain(f"raw/wxcam/{TODAY}")
    assert (answer.conclusion.state, answer.needs_operator) == (State.COMPLETE, True)
    assert answer.conclusion.remarks[0].startswith("wxcam is STALE at its source: newest data 2.0 h old")


def test_where_only_the_local_files_are_stale_the_sensor_and_its_runs_are_named(site: CameraSite) -> None:
    add_image_of_today(site, timedelta(hours=3))
    poll(site, NOW.timestamp() - 600)
    for what in (f"raw/wxcam/{TODAY}", VIDEO):
        command = site.explain(what).conclusion.command
        assert command == "aurora status; check sensor arrivals_wxcam and the runs of wxcam_day in the UI"


def test_a_source_that_was_never_polled_and_has_no_file_of_today_names_the_instrument(tmp_path: Path) -> None:
    site = CameraSite(tmp_path, with_archive)
    for key in ("raw/wxcam", "gws/raw/wxcam", "manifests/wxcam"):
        answer = site.explain(f"{key}/{TODAY}")
        assert answer.needs_operator
        assert answer.conclusion.command == "aurora status; check the instrument on host here"


def test_a_product_that_the_last_health_snapshot_found_stale_names_its_runs(site: CameraSite) -> None:
    add_image_of_today(site, timedelta(minutes=30))
    poll(site, NOW.timestamp() - 1800)
    key = "wxcam/fish_hdr/daily_video"
    stale = Freshness(
        name=key, component="product", stream="wxcam", stale_after_s=12600, level=Level.RED, sentence="STALE: 5 h old"
    )
    place = site.layout.health.snapshot
    place.parent.mkdir(parents=True)
    for age, needs_operator in ((timedelta(minutes=5), True), (timedelta(minutes=16), False)):
        place.write_text(healthy_snapshot(NOW - age, freshness=[stale]).model_dump_json())
        assert site.explain(VIDEO).needs_operator is needs_operator
        assert not site.explain(f"wxcam/pano_hdr/daily_video/{TODAY}").needs_operator
    place.write_text(healthy_snapshot(NOW, freshness=[stale]).model_dump_json())
    assert site.explain(VIDEO).conclusion.command == "check the runs of wxcam_day in the UI"


def test_the_camera_products_of_today_in_the_archive_of_a_silent_camera_wait_for_an_operator(site: CameraSite) -> None:
    answer = site.explain(f"gws/wxcam_products/{TODAY}")
    assert (answer.conclusion.state, answer.needs_operator) == (State.NOT_MADE, True)
    assert answer.next_steps[0] == "waits for an operator: aurora status; check the instrument on host here"
    assert not site.explain(f"gws/wxcam_products/{DAY}").needs_operator


def test_an_archive_that_is_stale_names_its_pushes(site: CameraSite) -> None:
    add_image_of_today(site, timedelta(minutes=30))
    poll(site, NOW.timestamp() - 1800)
    place = site.layout.finalizations.summary
    place.parent.mkdir(parents=True)
    times = {"generated_at_utc": f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "gws_newest_utc": "2026-11-29T10:00:00Z"}
    place.write_text(json.dumps({"streams": {"wxcam": times}}))
    for key in ("gws/raw/wxcam", "manifests/wxcam"):
        answer = site.explain(f"{key}/{TODAY}")
        assert answer.conclusion.remarks[0].startswith("wxcam is STALE in the archive: newest data 24.0 h old")
        assert answer.conclusion.command.startswith("aurora ledger; check the runs of push_wxcam and verify_wxcam")
    assert not site.explain(f"raw/wxcam/{TODAY}").needs_operator


def test_the_newest_partition_of_a_silent_camera_says_so_and_an_older_one_does_not(site: CameraSite) -> None:
    newest, named = site.explain("raw/wxcam"), site.explain(f"raw/wxcam/{DAY}")
    assert newest.subject.partition == named.subject.partition == str(DAY)
    assert [len(answer.conclusion.remarks) for answer in (newest, named)] == [2, 0]
    assert not newest.needs_operator
    assert not named.needs_operator


def test_a_stream_that_is_planned_offline_is_not_stale(tmp_path: Path) -> None:
    def offline(data: dict[str, Any]) -> None:
        data["streams"]["wxcam"]["enabled"] = False

    answer = CameraSite(tmp_path, offline).explain(f"raw/wxcam/{TODAY}")
    assert (answer.needs_operator, answer.conclusion.remarks) == (False, ())
