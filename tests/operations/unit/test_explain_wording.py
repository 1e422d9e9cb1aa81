"""``explain``: its sentences fit what they are about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurora_platform.operations.explain_answer import DagsterFacts, NoRunRecords, State
from aurora_platform.operations.explain_question import QuestionError
from tests.health.snapshots import healthy_snapshot
from tests.operations.camera_site import DAY, NOW, CameraSite


@pytest.fixture
def site(tmp_path: Path) -> CameraSite:
    return CameraSite(tmp_path)


def test_an_unknown_source_says_why_and_not_unknown_twice(site: CameraSite) -> None:
    never = site.explain("source/wxcam").conclusion
    assert never.state is State.UNKNOWN
    assert never.sentence == "the source is not polled; is its arrival sensor on?"
    place = site.layout.freshness("wxcam")
    place.parent.mkdir(parents=True)
    at = 1787000000  # 2026-08-17 20:53:20 UTC
    place.write_text(json.dumps({"seen_at": at, "failed_since": at, "why": "timed out"}))
    assert site.explain("source/wxcam").conclusion.sentence == "since 2026-08-17 20:53:20 UTC: timed out"


def test_a_health_report_that_was_never_written_is_not_written_again(site: CameraSite) -> None:
    never = site.explain("ops/health")
    assert never.conclusion.state is State.NOT_MADE
    assert never.next_steps[0] == "schedule health (next tick 2026-11-30 10:05:00 UTC) writes it"
    place = site.layout.health.snapshot
    place.parent.mkdir(parents=True)
    place.write_text(healthy_snapshot(NOW).model_dump_json())
    assert site.explain("ops/health").next_steps[0].endswith(" UTC) writes it again")


@pytest.mark.parametrize(
    ("what", "nearest"),
    [
        ("wxcam/fish_hdr/daily_vidoe", "wxcam/fish_hdr/daily_video"),
        (f"wxcam/fish_hdr/daily_vidoe/{DAY}", "wxcam/fish_hdr/daily_video"),
        (f"wxcam/pano_hr/hourly_thumbnails/{DAY}-00:00", "wxcam/pano_hdr/hourly_thumbnails"),
        (f"raw/wxcm/{DAY}", "raw/wxcam"),
        (f"rwa/wxcam/{DAY}", "raw/wxcam"),
        ("ops/healt", "ops/health"),
    ],
)
def test_a_misspelt_asset_names_the_nearest_before_the_list(site: CameraSite, what: str, nearest: str) -> None:
    with pytest.raises(QuestionError) as raised:
        site.explain(what)
    message = str(raised.value)
    assert f"{what}: no asset of this site. The nearest: {nearest}. Its assets: source/wxcam, raw/wxcam, " in message


def test_an_asset_that_is_like_no_other_names_only_the_list(site: CameraSite) -> None:
    with pytest.raises(QuestionError, match=r"raw/zzz: no asset of this site\. Its assets: source/wxcam"):
        site.explain("raw/zzz")


def test_records_that_are_broken_are_a_problem_and_records_that_are_not_set_up_are_none(site: CameraSite) -> None:
    what = f"raw/wxcam/{DAY}"
    broken = site.explain(what, runs=NoRunRecords("it is broken", is_broken=True))
    assert [(problem.section, problem.message) for problem in broken.problems] == [("runs and checks", "it is broken")]
    assert broken.needs_operator
    assert broken.dagster[0].missing == "it is broken"
    absent = site.explain(what, runs=NoRunRecords("it is not set up"))
    assert (absent.problems, absent.needs_operator) == ((), False)


def test_records_that_cannot_be_read_are_a_problem(site: CameraSite) -> None:
    class Damaged:
        def facts(self, asset: str, partition: str | None) -> DagsterFacts:
            raise OSError(5, "Input/output error", "/history/runs.db")

    answer = site.explain(f"raw/wxcam/{DAY}", runs=Damaged())
    assert answer.problems[0].message == "Dagster's records cannot be read: /history/runs.db: Input/output error"
    assert answer.needs_operator
