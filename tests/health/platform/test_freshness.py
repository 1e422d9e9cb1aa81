"""Freshness: computed from the time of the data, and unknown if the source is unreachable."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterEventType, DagsterInstance, EventRecordsFilter, build_sensor_context

from aurora_assets.definitions import build
from aurora_assets.health.checks import passes
from aurora_platform.health.freshness import age_class, all_freshness, read_summary
from aurora_platform.health.models import Freshness, Level
from aurora_platform.layout import Layout
from aurora_platform.streams.state import read_source_state, record_failure, record_scan
from sensors.freshness import freshness_sensor
from tests.archive.places import STREAM, Observatory, name_of
from tests.daemon import make_home
from tests.patience import patient

TODAY = datetime.now(UTC).date()


@pytest.fixture
def observatory(tmp_path: Path) -> Observatory:
    return Observatory(tmp_path, {"start": str(TODAY - timedelta(days=30))})


def now() -> datetime:
    return datetime.now(UTC)


def put(observatory: Observatory, age: timedelta, number: int = 1, sides: tuple[Any, ...] = ("local",)) -> None:
    """Write a file of today (by its name) with an mtime of this age."""
    for side in sides:
        file = observatory.write(side, name_of(number, TODAY), b"data")
        os.utime(file, (now().timestamp() - age.total_seconds(),) * 2)


def fresh(observatory: Observatory, component: str, at: datetime | None = None) -> Freshness:
    return next(entry for entry in all_freshness(observatory.site, {}, at) if entry.component == component)


@pytest.mark.parametrize(
    ("minutes", "level"), [(10, Level.GREEN), (59, Level.GREEN), (61, Level.AMBER), (89, Level.AMBER), (91, Level.RED)]
)
def test_a_local_stream_is_as_fresh_as_its_newest_file(observatory: Observatory, minutes: int, level: Level) -> None:
    put(observatory, timedelta(minutes=minutes))
    put(observatory, timedelta(hours=5), number=2)
    assert fresh(observatory, "here").level is level


def test_a_backfill_of_an_old_day_makes_no_stream_fresh(observatory: Observatory) -> None:
    put(observatory, timedelta(hours=4))
    observatory.write("local", name_of(5, TODAY - timedelta(days=20)), b"old", TODAY - timedelta(days=20))
    found = fresh(observatory, "here")
    assert (found.level, found.sentence) == (Level.RED, "STALE: newest data 4.0 h old")
    assert found.since_utc is not None
    assert abs(found.since_utc - (now() - timedelta(hours=2.5))) < timedelta(seconds=patient(20))


def test_an_unreachable_source_is_unknown_since_then_and_neither_stale_nor_fresh(
    observatory: Observatory,
) -> None:
    path = Layout.of(observatory.site).freshness(STREAM)
    record_scan(path, int((now() - timedelta(minutes=5)).timestamp() * 1e9), time.time_ns())
    assert fresh(observatory, "source").level is Level.GREEN
    record_failure(path, "127.0.0.1: no answer in time")
    first = read_source_state(path).failed_since
    record_failure(path, "127.0.0.1: no answer in time")
    found = fresh(observatory, "source")
    assert found.level is Level.GRAY
    assert found.sentence.startswith("unknown since ")
    assert found.sentence.endswith("no answer in time")
    assert read_source_state(path).failed_since == first
    record_scan(path, None, time.time_ns())
    assert fresh(observatory, "source").level is Level.GREEN, "the newest time is kept"


def test_a_source_that_is_not_polled_is_unknown(observatory: Observatory) -> None:
    path = Layout.of(observatory.site).freshness(STREAM)
    record_scan(path, time.time_ns(), time.time_ns())
    later = datetime.now(UTC) + timedelta(minutes=30)
    assert fresh(observatory, "source", later).sentence.endswith("is its arrival sensor on?")


def test_a_host_whose_clock_is_ahead_makes_its_files_no_newer(observatory: Observatory) -> None:
    ahead = timedelta(hours=1)
    written = now() - timedelta(minutes=100) + ahead
    record_scan(
        Layout.of(observatory.site).freshness(STREAM),
        int(written.timestamp() * 1e9),
        int((now() + ahead).timestamp() * 1e9),
    )
    assert fresh(observatory, "source").level is Level.RED


def test_a_host_whose_clock_is_set_right_again_leaves_no_newest_file_of_the_future(observatory: Observatory) -> None:
    path, ahead = Layout.of(observatory.site).freshness(STREAM), timedelta(days=900)
    written = now() - timedelta(hours=4)
    record_scan(path, int((written + ahead).timestamp() * 1e9), int((now() + ahead).timestamp() * 1e9))
    record_scan(path, None, time.time_ns())
    found = fresh(observatory, "source")
    assert found.level is Level.RED
    assert found.newest_utc is not None
    assert abs(found.newest_utc - written) < timedelta(seconds=patient(20))


def test_a_stream_that_begins_later_is_gray_and_passes(tmp_path: Path) -> None:
    begin = TODAY + timedelta(days=9)
    found = list(all_freshness(Observatory(tmp_path, {"start": str(begin)}).site, {}))
    assert {(entry.level, entry.sentence) for entry in found} == {(Level.GRAY, f"planned to begin on {begin}")}
    assert all(passes(entry) for entry in found)


def test_an_unknown_freshness_whose_reason_contains_planned_does_not_pass() -> None:
    freshness = Freshness(
        name="a", component="here", stream="a", stale_after_s=90, level=Level.GRAY, sentence="unknown: /planned"
    )
    assert not passes(freshness)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", '{"streams": 7}', '{"streams": {"met": 7}}', '{"streams": {"met": {"days": "many"}}}',
        '{"streams": {"met": {"generated_at_utc": "2026-03-05T10:00:00"}}}',
    ],
)  # fmt: skip
def test_an_invalid_summary_makes_the_archive_unknown_and_nothing_else(observatory: Observatory, text: str) -> None:
    put(observatory, timedelta(minutes=5))
    path = observatory.site.paths.manifests / "latest/summary.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = fresh(observatory, "archive")
    assert (found.level, found.sentence[:22]) == (Level.GRAY, "unknown: summary.json:")
    assert fresh(observatory, "here").level is Level.GREEN


def test_counts_are_those_of_the_newest_verification_and_the_age_is_that_of_the_older_of_it_and_latest(
    observatory: Observatory,
) -> None:
    put(observatory, timedelta(minutes=50), sides=("source", "local", "gws"))
    observatory.verify_and_publish(TODAY)
    put(observatory, timedelta(minutes=55), number=2, sides=("source",))
    observatory.verify_and_publish(TODAY, publish_now=False)
    file = observatory.site.paths.manifests / "latest" / "summary.json"
    summary = json.loads(file.read_bytes())
    assert (summary["streams"][STREAM]["source_count"], read_summary(observatory.site)[STREAM].source_count) == (1, 2)
    made = (now() - timedelta(minutes=25)).isoformat(timespec="seconds")
    file.write_text(json.dumps(summary | {"generated_at_utc": made}))
    age_s = read_summary(observatory.site)[STREAM].age_s
    assert age_s is not None
    assert age_s >= 25 * 60
    state = Layout.of(observatory.site).pass_counts(STREAM)
    for text in ("", "[]", '{"source_count": "many"}', "[" * 100_000):
        state.write_text(text)
        assert read_summary(observatory.site)[STREAM].source_count == 1, "the published counts"
    state.unlink()  # as the version before has left it
    assert read_summary(observatory.site)[STREAM].source_count == 1


def test_a_stream_that_is_planned_offline_is_gray(tmp_path: Path) -> None:
    observatory = Observatory(tmp_path, {"enabled": False})
    found = list(all_freshness(observatory.site, {}))
    assert {(entry.component, entry.level, entry.sentence) for entry in found} == {
        (component, Level.GRAY, "planned offline") for component in ("source", "here", "archive")
    }


def test_the_archive_is_as_fresh_as_the_newest_manifests_say(observatory: Observatory) -> None:
    assert fresh(observatory, "archive").sentence == "unknown: never verified"
    put(observatory, timedelta(minutes=50), sides=("source", "local", "gws"))
    observatory.verify_and_publish(TODAY)
    found = fresh(observatory, "archive")
    assert (found.level, found.sentence) == (Level.GREEN, "fresh: newest data 50 min old")


def test_a_product_is_as_fresh_as_its_newest_data(tmp_path: Path) -> None:
    from aurora_platform.config.site import load_site
    from tests.site_files import write_site

    site = load_site(write_site(tmp_path))
    newest = {"wxcam/catalog": now() - timedelta(minutes=30), "wxcam/fish_hdr/pixels": None}
    found = {entry.name: entry.level for entry in all_freshness(site, newest) if entry.component == "product"}
    assert found == {"wxcam/catalog": Level.GREEN, "wxcam/fish_hdr/pixels": Level.RED}


def test_the_class_of_an_age_changes_at_thirds_of_the_limit_and_then_with_each_doubling() -> None:
    def classes(ages: list[float]) -> list[int]:
        freshness = Freshness(name="a", component="here", stream="a", stale_after_s=90, level=Level.RED, sentence="")
        return [age_class(freshness.model_copy(update={"age_s": age})) for age in ages]

    assert classes([0, 29, 31, 61, 91, 179, 181, 361, 10000]) == [0, 0, 1, 2, 3, 3, 4, 5, 9]


class TestSensor:
    """The sensor `freshness`: it starts no run, and writes a result only after a change."""

    def test_evaluations_without_a_change_write_no_row_however_many(
        self, observatory: Observatory, tmp_path: Path
    ) -> None:
        put(observatory, timedelta(minutes=5))
        sensor = freshness_sensor(observatory.site)
        repository = build(observatory.site).get_repository_def()
        of_checks = EventRecordsFilter(DagsterEventType.ASSET_CHECK_EVALUATION)
        rows = []
        with DagsterInstance.from_config(str(make_home(tmp_path / "dagster"))) as instance:
            cursor = None
            for _ in range(150):
                context = build_sensor_context(instance, cursor=cursor, repository_def=repository)
                data = sensor.evaluate_tick(context)
                assert not data.run_requests
                cursor = data.cursor
                for event in data.asset_events:
                    instance.report_runless_asset_event(event)
                rows.append(len(instance.get_event_records(of_checks)))
            key = AssetCheckKey(AssetKey(["raw", STREAM]), "is_fresh")
            [latest] = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
        assert 0 < rows[0] < 20
        assert set(rows) == {rows[0]}
        assert latest.event is not None

    def test_a_stale_source_is_written_once_however_its_clock_is_measured(self, observatory: Observatory) -> None:
        path, sensor = Layout.of(observatory.site).freshness(STREAM), freshness_sensor(observatory.site)
        repository = build(observatory.site).get_repository_def()
        newest = int((now() - timedelta(hours=4)).timestamp() * 1e9)
        cursor, written = None, 0
        with DagsterInstance.ephemeral() as instance:
            for n in range(6):
                record_scan(path, newest, time.time_ns() - n * 10**9)
                context = build_sensor_context(instance, cursor=cursor, repository_def=repository)
                data = sensor.evaluate_tick(context)
                cursor = data.cursor
                written += sum(event.asset_key == AssetKey(["source", STREAM]) for event in data.asset_events)
        assert written == 1

    def test_a_verdict_that_changes_is_written_once(self, observatory: Observatory) -> None:
        put(observatory, timedelta(minutes=5))
        sensor = freshness_sensor(observatory.site)
        repository = build(observatory.site).get_repository_def()
        with DagsterInstance.ephemeral() as instance:

            def tick(cursor: str | None) -> Any:
                return sensor.evaluate_tick(build_sensor_context(instance, cursor=cursor, repository_def=repository))

            first = tick(None)
            assert {event.asset_key.path[0] for event in first.asset_events} == {"source", "raw", "gws"}
            put(observatory, timedelta(hours=4))
            second = tick(first.cursor)
            [event] = second.asset_events
            assert (event.asset_key, event.passed) == (AssetKey(["raw", STREAM]), False)
            assert event.description == "STALE: newest data 4.0 h old"
            assert tick(second.cursor).asset_events == []
            assert "1 red" in second.skip_message
            assert json.loads(second.cursor)[f"{STREAM} here"].startswith("red")
