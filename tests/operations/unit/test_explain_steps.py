"""``explain``: what happens next to a raw file or a day is what the sensors and schedules would start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aurora_platform.operations.explain_answer import State
from tests.operations.camera_site import DAY, IMAGES, NOW, CameraSite, with_archive

IN_AUGUST = datetime(2026, 8, 19, 12, tzinfo=UTC)
"""When the day is in the live window of two days."""


@pytest.fixture
def site(tmp_path: Path) -> CameraSite:
    made = CameraSite(tmp_path)
    made.fill()
    return made


def steps(site: CameraSite, what: str, now: datetime = NOW) -> list[str]:
    return [step for step in site.explain(what, now).next_steps if not step.startswith("live.running is false")]


def test_a_missing_file_is_copied_and_does_not_stay_as_it_is(site: CameraSite) -> None:
    (site.layout.raw_root("wxcam") / IMAGES[0]).unlink()
    old = steps(site, IMAGES[0])
    assert old[0] == f"waits for an operator: aurora sync wxcam --day {DAY}"
    assert old[1].startswith("schedule reconcile_wxcam (next tick 2026-11-30 12:35:00 UTC) starts wxcam_day")
    assert old[1].endswith("(10 days, newest first), which copies what is missing")
    assert len(old) == 2
    [live] = [step for step in steps(site, IMAGES[0], IN_AUGUST) if "sensor" in step]
    assert live == "sensor arrivals_wxcam (every 2m) starts wxcam_day, which copies what is missing"


def test_only_a_copied_file_stays_as_it_is(site: CameraSite) -> None:
    assert site.explain(IMAGES[0]).conclusion.state is State.COPIED
    assert steps(site, IMAGES[0]) == ["stays as it is until its host changes it"]


def test_a_file_that_no_place_has_names_the_question_about_its_day(site: CameraSite) -> None:
    answer = site.explain("FISH/20260818/07/HDR_20260818_070000.jpg")
    assert answer.conclusion.state is State.NOT_FOUND
    assert answer.next_steps[:2] == ("nothing", f"about its day: aurora explain raw/wxcam/{DAY}")


def test_a_file_that_is_on_no_place_is_not_to_be_renamed_whatever_its_name(site: CameraSite) -> None:
    path = "FISH/20270101/00/HDR_20270101_000000.jpg"
    answer = site.explain(path)
    assert (answer.conclusion.state, answer.needs_operator) == (State.NOT_FOUND, False)
    assert answer.conclusion.sentence.endswith("a file of this name would be refused: dated in the future")
    site.put(path, is_local=False)
    assert (site.explain(path).conclusion.state, site.explain(path).needs_operator) == (State.REFUSED, True)


@pytest.mark.parametrize(
    ("now", "who"),
    [
        (IN_AUGUST, "sensor arrivals_wxcam (every 2m)"),
        (NOW, "schedule reconcile_wxcam (next tick 2026-11-30 12:35:00 UTC)"),
    ],
)
def test_a_run_for_a_day_is_promised_only_where_files_are_missing(site: CameraSite, now: datetime, who: str) -> None:
    complete = site.explain(f"raw/wxcam/{DAY}", now)
    assert complete.conclusion.state is State.COMPLETE
    assert f"{who} lists its host again; starts wxcam_day if files are missing" in complete.next_steps
    (site.layout.raw_root("wxcam") / IMAGES[0]).unlink()
    [step] = [step for step in site.explain(f"raw/wxcam/{DAY}", now).next_steps if step.startswith(who)]
    assert step.endswith("which copies what is missing")
    assert "starts wxcam_day" in step


def test_a_day_that_the_reconciliation_leaves_out_is_not_said_to_be_copied_by_it(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        with_archive(data)
        data["retention"] = {"raw": {"wxcam": "90d"}}

    site = CameraSite(tmp_path, change)
    site.put(IMAGES[0], is_local=False)
    # 90 days before 2026-11-16 is 2026-08-18.
    for day, is_left_out in ((16, False), (17, True)):
        text = "\n".join(steps(site, IMAGES[0], datetime(2026, 11, day, 12, tzinfo=UTC)))
        assert ("reconcile_wxcam leaves out days older than retention.raw.wxcam (90d)" in text) is is_left_out
        assert ("starts wxcam_day" in text) is not is_left_out


def test_the_archive_gets_an_old_file_only_after_a_verification_has_queued_it(tmp_path: Path) -> None:
    site = CameraSite(tmp_path, with_archive)
    site.fill()
    live, old = ("\n".join(steps(site, IMAGES[0], now)) for now in (IN_AUGUST, NOW))
    assert "push_wxcam (next tick 2026-08-19 12:05:00 UTC) copies it to the archive\n" in live
    assert "copies it to the archive when verify_wxcam has queued it" in old
    old_day = "\n".join(steps(site, f"gws/raw/wxcam/{DAY}"))
    assert "copies what verify_wxcam finds missing in the archive" in old_day


def test_a_day_without_files_has_nothing_to_finalize_or_to_delete(tmp_path: Path) -> None:
    site = CameraSite(tmp_path, with_archive)
    text = "\n".join(steps(site, "manifests/wxcam/2026-08-17"))
    assert "a day without files is not finalized" in text
    for claim in ("as soon as every file", "local copies", "pruned on its host"):
        assert claim not in text


def test_a_source_is_said_to_be_listed_as_the_schedules_do_it(tmp_path: Path) -> None:
    def begins_later(data: dict[str, Any]) -> None:
        data["streams"]["wxcam"]["start"] = "2027-01-01"

    text = "\n".join(steps(CameraSite(tmp_path), "source/wxcam"))
    assert "sensor arrivals_wxcam lists the live window every 2m" in text
    assert "schedule reconcile_wxcam (next tick 2026-11-30 12:35:00 UTC) lists older days" in text
    later = steps(CameraSite(tmp_path, begins_later), "source/wxcam")
    assert later[-1] == "nothing lists it before 2027-01-01 (start in the site file)"
