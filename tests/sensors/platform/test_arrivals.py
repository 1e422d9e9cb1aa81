"""The arrival sensors, ticked by Dagster's daemon: which runs they request, why they skip, and what they observe."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from dagster import AssetKey, AssetObservation, DagsterRun, DagsterRunStatus
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.scheduler.instigation import TickStatus

from aurora_assets import run_tags
from aurora_platform.cameras import refresh
from aurora_platform.fs.atomic import remove
from aurora_platform.layout import Layout, open_state
from aurora_platform.mirror import scan
from aurora_simulator import CameraSpec, simulate
from tests.daemon import (
    FAILURE,
    HOUR,
    MINUTE,
    QUEUED,
    SECOND,
    SUCCESS,
    TODAY,
    YESTERDAY,
    Clock,
    Daemon,
    daemon_of,
    error_of,
    put,
    skipped,
)


@pytest.fixture
def met(daemon: Daemon) -> Path:
    """The directory in which the instrument writes."""
    return Path(daemon.site.streams["met"].path)


def run_keys(daemon: Daemon) -> list[str]:
    return [run.tags["dagster/run_key"] for run in daemon.runs()]


def observations(daemon: Daemon) -> list[AssetObservation]:
    """The sensor's observations of the source, newest first; without those of runs."""
    records = daemon.instance.fetch_observations(AssetKey(["source", "met"]), limit=100).records
    found = [record.event_log_entry for record in records if not record.run_id]
    return [entry.asset_observation for entry in found if entry.asset_observation]


def test_a_new_settled_file_queues_one_run_of_its_day_in_the_live_lane(daemon: Daemon, met: Path) -> None:
    put(met)
    assert daemon.sense_arrivals().status == TickStatus.SUCCESS
    (run,) = daemon.runs()
    assert (run.job_name, run.status) == ("met_day", QUEUED)
    wanted = {
        "dagster/partition": YESTERDAY.isoformat(),
        "aurora/lane": "live",
        "aurora/stream": "met",
        "dagster/priority": "10",
        "dagster/max_runtime": "7200",
    }
    assert wanted.items() <= run.tags.items()
    assert [run.status for run in daemon.work()] == [SUCCESS]
    assert (Layout.of(daemon.site).raw_root("met") / f"met_{YESTERDAY:%Y%m%d}.txt").read_text() == "x"


def test_a_tick_without_new_files_gives_their_number_and_the_age_of_the_newest(daemon: Daemon, met: Path) -> None:
    put(met, text="abc", part="_1", age=3 * HOUR)
    newest = put(met, text="defgh", part="_2", age=2 * HOUR)
    daemon.sense_arrivals()
    daemon.work()
    reason = skipped(daemon.sense_arrivals())
    written = datetime.fromtimestamp(int(newest.stat().st_mtime), UTC)
    assert f"nothing new: 2 files listed (8 B); newest {written:%Y-%m-%d %H:%M:%S} UTC, 2.0 h old" in reason
    assert len(daemon.runs()) == 1


def test_a_file_that_is_still_being_written_is_requested_later(daemon: Daemon, met: Path) -> None:
    put(met, age=MINUTE)
    assert "1 unsettled" in skipped(daemon.sense_arrivals())
    put(met, age=6 * MINUTE)
    assert daemon.sense_arrivals().status == TickStatus.SUCCESS


def test_the_same_listing_has_the_same_run_key_and_another_listing_has_not(daemon: Daemon, met: Path) -> None:
    put(met)

    def run_key() -> str | None:
        (request,) = daemon.ask().run_requests or []
        return request.run_key

    first = run_key()
    assert first == run_key()
    put(met, text="it has grown")
    assert first != run_key()


def test_a_request_that_a_dying_daemon_had_already_executed_is_not_executed_again(
    daemon: Daemon, met: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(met)
    daemon.sense_arrivals()
    with monkeypatch.context() as patched:
        # The sensor returns the same request as before the run existed; only the run key prevents a second run.
        patched.setattr(type(daemon.instance), "get_run_records", lambda *_, **__: [])
        tick = daemon.sense_arrivals()
    assert tick.run_keys == run_keys(daemon)
    assert len(daemon.runs()) == 1


def test_a_day_with_an_unfinished_run_gets_no_other_run(daemon: Daemon, met: Path) -> None:
    put(met)
    for status in ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"):
        run = daemon.record("met_day", DagsterRunStatus(status), **{"dagster/partition": YESTERDAY.isoformat()})
        assert f"{YESTERDAY} already has a run that is {status.lower()}" in skipped(daemon.sense_arrivals())
        daemon.instance.report_run_failed(run)
    assert len(daemon.runs()) == 5


def test_a_queued_run_counts_even_if_a_newer_run_has_ended(daemon: Daemon, met: Path) -> None:
    put(met)
    daemon.record("met_day", QUEUED, **{"dagster/partition": YESTERDAY.isoformat()})
    daemon.record("met_day", FAILURE, **{"dagster/partition": YESTERDAY.isoformat()})
    assert f"{YESTERDAY} already has a run that is queued" in skipped(daemon.sense_arrivals())


def test_a_run_started_by_an_operator_counts_and_a_month_of_history_does_not(daemon: Daemon, met: Path) -> None:
    put(met)

    def run_by_hand(tags: dict[str, str]) -> DagsterRun:
        return daemon.instance.create_run_for_job(
            daemon.definitions.get_job("__ASSET_JOB"),
            tags=tags,
            status=DagsterRunStatus.STARTED,
            asset_selection={AssetKey(["raw", "met"])},
        )

    first, last = str(YESTERDAY - timedelta(days=5)), str(TODAY)
    for tags in ({"dagster/partition": str(YESTERDAY)}, run_tags.range_tags(first, last)):
        run = run_by_hand(tags)
        assert f"{YESTERDAY} already has a run that is started" in skipped(daemon.sense_arrivals())
        daemon.instance.report_run_failed(run)
    run_by_hand({"dagster/partition": str(TODAY)})
    run_by_hand(run_tags.range_tags(first, last) | {"dagster/backfill": "a_month"})
    run_by_hand(run_tags.range_tags(first, last) | run_tags.history("met"))
    daemon.sense_arrivals()
    assert [run.tags["dagster/partition"] for run in daemon.runs() if run.job_name == "met_day"] == [str(YESTERDAY)]


def test_days_with_new_files_are_requested_newest_first(daemon: Daemon, met: Path) -> None:
    for day in (YESTERDAY - timedelta(days=1), TODAY, YESTERDAY):
        put(met, day)
    daemon.sense_arrivals()
    days = [run.tags["dagster/partition"] for run in daemon.runs()]
    assert days == [(TODAY - timedelta(days=n)).isoformat() for n in range(3)]


def test_a_day_before_the_live_window_is_left_to_the_reconcile_schedule(daemon: Daemon, met: Path) -> None:
    put(met, TODAY - timedelta(days=3))
    assert "nothing new" in skipped(daemon.sense_arrivals())


def test_a_stream_that_is_planned_offline_requests_nothing(tmp_path: Path) -> None:
    with daemon_of(tmp_path, lambda data: data["streams"]["met"].update(enabled=False)) as daemon:
        put(Path(daemon.site.streams["met"].path))
        assert skipped(daemon.sense_arrivals()) == "met is planned offline (enabled: false in the site file)"
        assert observations(daemon) == []
        assert not Layout.of(daemon.site).days_at_source("met").exists()


def test_a_failed_run_is_requested_again_after_a_pause_as_another_run(daemon: Daemon, met: Path, clock: Clock) -> None:
    put(met)
    locks = Layout.of(daemon.site).locks
    open_state(daemon.site.paths.state)
    remove(locks)
    locks.write_text("no directory")
    daemon.sense_arrivals()
    (failed,) = daemon.work()
    assert failed.status == FAILURE
    locks.unlink()
    reason = skipped(daemon.sense_arrivals())
    assert f"{YESTERDAY} failed 1 time, last in run {failed.run_id[:8]}; tried again after" in reason
    clock.ahead = daemon.site.live.every
    assert daemon.sense_arrivals().status == TickStatus.SUCCESS
    assert [run.status for run in daemon.work()] == [SUCCESS]
    assert len({*run_keys(daemon)}) == 2
    assert "nothing new" in skipped(daemon.sense_arrivals())


def test_the_pause_doubles_with_each_failure_up_to_an_hour(daemon: Daemon, met: Path, clock: Clock) -> None:
    put(met)
    for minutes in (2, 4, 8, 16, 32, 60, 60):
        daemon.record("met_day", FAILURE, **{"dagster/partition": YESTERDAY.isoformat()})
        clock.ahead = minutes * MINUTE - 10 * SECOND
        assert not daemon.ask().run_requests, minutes
        clock.ahead = minutes * MINUTE
        assert daemon.ask().run_requests, minutes


def test_new_files_do_not_wait_an_hour_if_a_product_of_their_day_fails(daemon: Daemon, met: Path, clock: Clock) -> None:
    put(met)
    for _ in range(8):
        daemon.record("met_day", FAILURE, **{"dagster/partition": str(YESTERDAY), run_tags.LISTING: "of another file"})
    clock.ahead = 7 * MINUTE
    assert not daemon.ask().run_requests
    clock.ahead = 8 * MINUTE
    assert daemon.ask().run_requests


def test_a_cancelled_run_is_requested_again(daemon: Daemon, met: Path, clock: Clock) -> None:
    put(met)
    daemon.record("met_day", DagsterRunStatus.CANCELED, **{"dagster/partition": YESTERDAY.isoformat()})
    assert skipped(daemon.sense_arrivals())
    clock.ahead = daemon.site.live.every
    assert daemon.sense_arrivals().status == TickStatus.SUCCESS


def test_a_run_that_died_after_the_copy_is_requested_again_although_no_file_is_missing(
    daemon: Daemon, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Path(daemon.site.streams["wxcam"].path)
    simulate(CameraSpec(root=camera, day=YESTERDAY, hours=1, every=30 * MINUTE, scale=0.05), [])

    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(refresh, "scan_day", dies)
        daemon.sense_arrivals("wxcam")
        assert [run.status for run in daemon.work()] == [FAILURE]
    assert len([*Layout.of(daemon.site).raw_root("wxcam").rglob("*.jpg")]) == 4
    assert "failed 1 time" in skipped(daemon.sense_arrivals("wxcam"))
    clock.ahead = daemon.site.live.every
    assert daemon.sense_arrivals("wxcam").status == TickStatus.SUCCESS
    assert [run.status for run in daemon.work()] == [SUCCESS]
    with closing(sqlite3.connect(Layout.of(daemon.site).camera.products / "wxcam_catalog.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM images").fetchone() == (2 * (2 + 1),)
    clock.ahead *= 100
    assert "nothing new" in skipped(daemon.sense_arrivals("wxcam"))


def test_a_local_file_that_was_deleted_is_fetched_again(daemon: Daemon, met: Path, clock: Clock) -> None:
    put(met, part="_1")
    local = Layout.of(daemon.site).raw_root("met") / put(met, part="_2").name
    daemon.sense_arrivals()
    daemon.work()
    local.unlink()
    daemon.sense_arrivals()
    assert [run.status for run in daemon.work()] == [SUCCESS]
    assert local.exists()
    # Deleted a second time: the sensor cannot tell it from a file that cannot be copied.
    local.unlink()
    assert "could not copy some files" in skipped(daemon.sense_arrivals())
    clock.ahead = HOUR
    assert daemon.sense_arrivals().status == TickStatus.SUCCESS
    daemon.work()
    assert local.exists()


def test_a_changed_source_is_observed_at_most_every_ten_minutes(daemon: Daemon, met: Path, clock: Clock) -> None:
    put(met, text="abc")
    put(met, text="defgh", part="_2", age=2 * HOUR)
    newest = put(met, text="i", day=TODAY, age=MINUTE)
    daemon.sense_arrivals()
    (observation,) = observations(daemon)
    values = {name: value.value for name, value in observation.metadata.items()}
    assert (values["files"], values["bytes"], values["unsettled"], values["missing_locally"]) == (3, 9, 1, 2)
    assert values["newest_file"] == int(newest.stat().st_mtime)

    put(met, part="_3")
    clock.ahead = 9 * MINUTE
    daemon.sense_arrivals()
    assert len(observations(daemon)) == 1
    clock.ahead = 10 * MINUTE
    daemon.sense_arrivals()
    assert [observation.metadata["files"].value for observation in observations(daemon)] == [4, 3]
    clock.ahead = HOUR
    daemon.sense_arrivals()
    assert len(observations(daemon)) == 2


def test_an_invalid_cursor_counts_as_no_cursor(daemon: Daemon, met: Path) -> None:
    put(met)
    times = ('{"state": 1, "at": 5}', '{"state": "", "at": "2026-01-01"}')
    for cursor in ("", "{", "null", "[]", '"text"', "{}", *times):
        answer = daemon.ask(cursor=cursor)
        assert len(answer.run_requests or []) == 1, cursor
        assert len(answer.asset_events) == 1, cursor
        assert json.loads(answer.cursor or "")["state"].startswith("1 1 "), cursor


def test_a_scan_over_its_time_limit_fails_and_reports_what_was_listed(
    daemon: Daemon, met: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(met)
    for number in range(5):
        put(met, part=f"_{number}")
    with monkeypatch.context() as patched:
        seconds = count(step=15)
        patched.setattr(scan.time, "monotonic", lambda: next(seconds))
        tick = daemon.sense_arrivals()
    assert "TimeoutError: met: the listing took longer than limits.look; listed until then: " in error_of(tick)
    assert daemon.runs() == []
    assert not Layout.of(daemon.site).days_at_source("met").exists()


def test_one_live_run_per_stream_starts_first_and_one_history_run_starts_too(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    for n in (1, 2):
        for name, tags in (
            ("history", run_tags.history("met")),
            ("backfill", {"dagster/backfill": "a_month"}),
            ("met", run_tags.live("met", "listing")),
            ("wxcam", run_tags.live("wxcam", "listing")),
        ):
            daemon.record("met_day", QUEUED, **tags | {"of": f"{name} {n}"})
    # The runs start but do not end.
    monkeypatch.setattr(
        SyncInMemoryRunLauncher, "launch_run", lambda _, context: begun.append(context.dagster_run.tags["of"])
    )
    for _ in range(2):
        list(daemon.queue.run_iteration(daemon.workspace))
        assert begun == ["met 1", "wxcam 1", "backfill 1", "history 1"]
    (going,) = [run for run in daemon.runs() if run.tags["of"] == "met 1"]
    daemon.instance.report_run_failed(going)
    list(daemon.queue.run_iteration(daemon.workspace))
    assert begun[4:] == ["met 2"]
