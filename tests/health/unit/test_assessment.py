"""The rules of the levels, one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aurora_platform.config.health import Endpoint, Health
from aurora_platform.health import assessment
from aurora_platform.health.assessment import assess, find_broken_stages
from aurora_platform.health.models import (
    Daemon,
    FailedCheck,
    Filesystem,
    Freshness,
    HostState,
    Level,
    Manifest,
    OverdueTick,
    Page,
    Platform,
    Run,
    Snapshot,
    Software,
    Tick,
)

NOW = datetime(2026, 8, 18, 12, tzinfo=UTC)
GREEN, AMBER, RED, GRAY = Level.GREEN, Level.AMBER, Level.RED, Level.GRAY
HEALTH = Health()


@pytest.mark.parametrize(
    ("age", "level"), [(0, GREEN), (60, GREEN), (61, AMBER), (90, AMBER), (91, RED), (9e9, RED), (None, RED)]
)
def test_data_is_fresh_ageing_from_two_thirds_on_and_then_stale(age: float | None, level: Level) -> None:
    assert assessment.rate_age(age, 90) is level


@pytest.mark.parametrize(
    ("percent", "level"), [(0.0, GREEN), (79.9, GREEN), (80.0, AMBER), (89.9, AMBER), (90.0, RED), (None, GRAY)]
)
def test_a_disk_is_amber_and_red_by_the_percent_in_use(percent: float | None, level: Level) -> None:
    assert assessment.rate_disk_use(percent, HEALTH) is level


@pytest.mark.parametrize(
    ("manifest", "level"),
    [
        ({"age_s": 60}, GREEN),
        ({"age_s": 1800}, GREEN),
        ({"age_s": 1801}, AMBER),
        ({"age_s": 10801}, RED),
        ({"age_s": None}, GRAY),
        ({"age_s": 60, "errors": {"gws": "no answer"}}, AMBER),
        ({"age_s": 60, "gws_missing_count": 1}, RED),
        ({"age_s": 60, "gws_mismatch_count": 1}, RED),
        ({"age_s": 60, "local_missing_count": 1}, RED),
        ({"age_s": 60, "local_mismatch_count": 1}, RED),
        ({"age_s": 60, "pending_count": 9}, GREEN),
    ],
)
def test_manifests_are_red_for_wrong_files_and_amber_then_red_for_age(manifest: dict[str, Any], level: Level) -> None:
    assert assessment.rate_manifest(Manifest(stream="met", **manifest), HEALTH) is level


@pytest.mark.parametrize(
    ("host", "level"),
    [
        ({"reachable": True, "clock_skew_s": 0.2}, GREEN),
        ({"reachable": True, "clock_skew_s": -31.0}, AMBER),
        ({"reachable": True, "clock_skew_s": 31.0}, AMBER),
        ({"reachable": True}, GRAY),
        ({"reachable": False, "error": "no answer"}, AMBER),
    ],
)
def test_a_host_is_amber_if_it_does_not_answer_or_its_clock_is_off(host: dict[str, Any], level: Level) -> None:
    assert assessment.rate_host(HostState(name="ass", address="127.0.0.1", **host), HEALTH) is level


@pytest.mark.parametrize(
    ("page", "expected_title", "level"),
    [
        ({"status": 200, "title": "Aurora sky"}, None, GREEN),
        ({"status": 200, "title": "Aurora sky"}, "sky", GREEN),
        ({"status": 200, "title": "nginx"}, "sky", AMBER),
        ({"status": 200}, "sky", AMBER),
        ({"status": 502, "title": "sky"}, "sky", RED),
        ({"error": "no answer"}, None, RED),
    ],
)
def test_a_page_is_red_if_it_cannot_be_loaded_and_amber_if_it_has_another_title(
    page: dict[str, Any], expected_title: str | None, level: Level
) -> None:
    assert assessment.rate_page(Page(name="dash", url="http://127.0.0.1/", **page), expected_title) is level


def snapshot(**parts: Any) -> Snapshot:
    software = Software(version="1", python="3", dagster="1")
    return Snapshot(generated_at_utc=NOW, site="tested", seconds=1, software=software, **parts)


def level_of(component: str, **parts: Any) -> Level:
    found = assess(snapshot(**parts), HEALTH, {"dash": Endpoint(url="http://127.0.0.1/")})
    return next(check.level for check in found.checks if check.component == component)


@pytest.mark.parametrize(
    ("component", "platform", "level"),
    [
        ("runs failed", Platform(), GREEN),
        ("runs failed", Platform(failed_runs=[Run(run_id="1", job="a", error="b")]), RED),
        ("runs stuck", Platform(stuck_runs=[Run(run_id="1", job="a")]), AMBER),
        ("ticks failing", Platform(failing_ticks=[Tick(name="a", error="b")]), AMBER),
        ("ticks overdue", Platform(overdue_ticks=[OverdueTick(name="a", sentence="b")]), RED),
        ("queue", Platform(queued_runs=9, oldest_queued_s=60), GREEN),
        ("queue", Platform(queued_runs=1, oldest_queued_s=1801), AMBER),
        ("daemon sensor", Platform(daemons=[Daemon(name="sensor", healthy=True)]), GREEN),
        ("daemon sensor", Platform(daemons=[Daemon(name="sensor", healthy=False)]), RED),
        ("dagster", Platform(error="no home"), GRAY),
    ],
)
def test_dagster_is_red_for_failed_runs_and_dead_daemons(component: str, platform: Platform, level: Level) -> None:
    assert level_of(component, platform=platform) is level


def test_a_disk_is_as_bad_as_the_worse_of_its_space_and_its_inodes() -> None:
    disk = Filesystem(name="raw", path="/raw", used_percent=10, inodes_used_percent=95, free_bytes=1)
    assert level_of("disk raw", filesystems=[disk]) is RED
    assert level_of("disk raw", filesystems=[Filesystem(name="raw", path="/raw", error="not mounted")]) is GRAY


def fresh(component: str, level: Level, stream: str = "met") -> Freshness:
    return Freshness(
        name=f"{stream} {component}", component=component, stream=stream, stale_after_s=90, level=level, sentence="so"
    )


def test_the_overall_level_is_that_of_the_worst_part_and_gray_does_not_count() -> None:
    def overall(*levels: Level) -> Level:
        freshness = [fresh("source", level, f"s{number}") for number, level in enumerate(levels)]
        platform = Platform(error="not asked")
        return assess(snapshot(freshness=freshness, platform=platform), HEALTH, {}).overall_level

    assert overall(GREEN, AMBER, RED, GRAY) is RED
    assert overall(GREEN, AMBER, GRAY) is AMBER
    assert overall(GREEN, GRAY) is GREEN
    assert overall(GRAY) is GRAY


@pytest.mark.parametrize(
    ("red", "stage"),
    [
        (("source", "here", "archive"), "source"),
        (("here", "product", "archive"), "sync"),
        (("product", "archive"), "product"),
        (("archive",), "archive"),
    ],
)
def test_the_broken_stage_is_the_first_stale_one(red: tuple[str, ...], stage: str) -> None:
    everything = [
        fresh(component, RED if component in red else GREEN) for component in ("archive", "product", "here", "source")
    ]
    assert find_broken_stages(everything) == {"met": stage}


def test_a_stale_stream_with_an_unknown_source_is_broken_at_the_source() -> None:
    unknown = fresh("source", GRAY).model_copy(update={"since_utc": NOW})
    assert find_broken_stages([unknown, fresh("here", RED), fresh("archive", RED)]) == {"met": "source"}
    assert find_broken_stages([unknown, fresh("here", GREEN)]) == {}, "nothing is stale yet"
    assert find_broken_stages([unknown, fresh("here", GREEN), fresh("archive", RED)]) == {"met": "archive"}


@pytest.mark.parametrize(("missing", "level"), [(0, GRAY), (1, RED)])
def test_old_manifests_of_a_stream_that_is_planned_offline_are_gray_unless_files_are_missing(
    missing: int, level: Level
) -> None:
    off = fresh("source", GRAY).model_copy(update={"sentence": "planned offline"})
    manifest = Manifest(stream="met", age_s=80_000, gws_missing_count=missing)
    assert level_of("manifests met", freshness=[off], manifests=[manifest]) is level
    assert level_of("manifests met", freshness=[fresh("source", GREEN)], manifests=[manifest]) is RED


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2.0 h"),
        (172800, "2.0 days"),
        (None, "never"),
    ],
)
def test_ages_are_formatted_for_people(seconds: float | None, text: str) -> None:
    assert assessment.format_age(seconds) == text


def test_every_check_has_its_stage_and_a_next_step() -> None:
    found = assess(
        snapshot(
            filesystems=[Filesystem(name="raw", path="/raw", used_percent=1)],
            freshness=[fresh(component, GREEN) for component in ("source", "here", "archive", "product")],
            manifests=[Manifest(stream="met", age_s=1)],
            platform=Platform(
                daemons=[Daemon(name="sensor", healthy=True)],
                failed_checks=[FailedCheck(asset="raw/met", name="of_tomorrow", level=AMBER, sentence="so")],
                overdue_ticks=[OverdueTick(name="arrivals_met", sentence="so")],
            ),
            hosts=[HostState(name="ass", address="127.0.0.1", reachable=True)],
            pages=[Page(name="dash", url="http://127.0.0.1/", status=200)],
        ),
        HEALTH,
        {},
    )
    assert len(found.checks) == 15
    for check in found.checks:
        assert check.details.startswith("Stage: "), check
        next_step = "Next: " if check.component.startswith("check ") else "See: "
        assert next_step in check.details, check
