"""Record retention: superseded records are removed without a trace; the newest records and all data stay."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from aurora_assets import run_tags
from aurora_assets.instance.record_retention import (
    RemovedRecords,
    remove_check_results,
    remove_observations,
    remove_runs,
    remove_tick_logs,
)
from tests.daemon import FAILURE, MINUTE, SUCCESS, TODAY, YESTERDAY, Clock, Daemon, put
from tests.health.check_results import MATCHES, Records

RAW = AssetKey(["raw", "met"])
LATER = timedelta(hours=1)


@pytest.fixture
def history(daemon: Daemon) -> list[DagsterRun]:
    """Four runs: one of yesterday and today together, two of yesterday, and one of today that failed."""
    met = Path(daemon.site.streams["met"].path)
    put(met, YESTERDAY, "a")
    put(met, TODAY, "a")
    job = daemon.definitions.get_job("met_day")
    both = run_tags.range_tags(YESTERDAY.isoformat(), TODAY.isoformat())
    assert job.execute_in_process(instance=daemon.instance, tags=both).success
    for text in ("ab", "abc"):
        put(met, YESTERDAY, text)
        assert job.execute_in_process(instance=daemon.instance, partition_key=YESTERDAY.isoformat()).success
    daemon.record("met_day", FAILURE, **{"dagster/partition": TODAY.isoformat()})
    return daemon.runs()


def remove(
    daemon: Daemon, before: timedelta = LATER, dry_run: bool = False, most: int = 1000, **more: int
) -> RemovedRecords:
    """Remove superseded runs created before now plus ``before``."""
    return [*remove_runs(daemon.instance, datetime.now(UTC) + before, dry_run, most, **more)][-1]


def home(daemon: Daemon) -> Path:
    return daemon.directory / "dagster"


def files(daemon: Daemon) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in home(daemon).rglob("*") if p.is_file()}


def traces(daemon: Daemon, run: DagsterRun) -> list[str]:
    """All records of a run: rows in any table of any database, and files and directories with its id."""
    found = [str(path) for path in home(daemon).rglob(f"{run.run_id}*")]
    for file in home(daemon).rglob("*.db"):
        with closing(sqlite3.connect(file)) as db:
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
                if (
                    "run_id" in columns
                    and db.execute(f"SELECT 1 FROM {table} WHERE run_id = ? LIMIT 1", (run.run_id,)).fetchone()
                ):
                    found.append(f"{file.name}: {table}")
    return found


def rows(daemon: Daemon, shard: str, where: str, table: str = "event_logs") -> int:
    with closing(sqlite3.connect(home(daemon) / "history" / "runs" / f"{shard}.db")) as db:
        return int(db.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])


def newest(instance: DagsterInstance, day: date) -> tuple[str, str]:
    """Run and data version of a day's newest materialization."""
    wanted = AssetRecordsFilter(RAW, asset_partitions=[day.isoformat()])
    record = instance.fetch_materializations(wanted, limit=1).records[0]
    assert record.asset_materialization
    return record.run_id, (record.asset_materialization.tags or {})["dagster/data_version"]


def test_superseded_runs_are_removed_without_a_trace_and_the_newest_of_a_day_stays(
    daemon: Daemon, history: list[DagsterRun], clock: Clock
) -> None:
    both, second, third, failed = history
    before = [newest(daemon.instance, day) for day in (YESTERDAY, TODAY)]
    assert [run_id for run_id, _ in before] == [third.run_id, both.run_id]
    assert traces(daemon, second)
    data = sorted(daemon.site.paths.raw.rglob("*"))

    keep = daemon.site.live.keep_runs
    clock.ahead = keep + timedelta(days=1)
    job = daemon.definitions.get_job("prune_records")
    dry = {"ops": {"prune": {"config": {"dry_run": True, "older_than_days": 14}}}}
    events = job.execute_in_process(instance=daemon.instance, run_config=dry).all_node_events
    (output,) = [event.step_output_data for event in events if event.event_type_value == "STEP_OUTPUT"]
    assert {name: output.metadata[name].value for name in ("removed", "kept")} == {"removed": 2, "kept": 2}
    assert {run.run_id for run in history} < {run.run_id for run in daemon.runs()}

    assert daemon.tick("retention").status == TickStatus.SUCCESS
    (run,) = daemon.work()
    assert (run.job_name, run.status) == ("prune_records", SUCCESS)

    assert traces(daemon, second) == []
    # The last result of a check for a day stays, or its plan.
    assert {*traces(daemon, failed)} <= {"index.db: asset_check_executions"}
    assert [run.run_id for run in daemon.runs() if run.job_name == "met_day"] == [both.run_id, third.run_id]
    assert daemon.instance.get_materialized_partitions(RAW) == {YESTERDAY.isoformat(), TODAY.isoformat()}
    assert [newest(daemon.instance, day) for day in (YESTERDAY, TODAY)] == before
    assert daemon.instance.all_logs(third.run_id)
    assert sorted(daemon.site.paths.raw.rglob("*")) == data
    # The sensor, which decides by the records, still finds the day complete.
    assert daemon.sense_arrivals().status == TickStatus.SKIPPED


def test_a_dry_run_removes_nothing_and_has_the_same_counts(daemon: Daemon, history: list[DagsterRun]) -> None:
    before = files(daemon)
    counts = remove(daemon, dry_run=True)
    assert files(daemon) == before
    assert (counts.looked_at, counts.removed, counts.kept) == (4, 2, 2)
    shards = [home(daemon) / "history" / "runs" / f"{history[n].run_id}.db" for n in (1, 3)]
    assert counts.bytes == sum(shard.stat().st_size for shard in shards)
    assert remove(daemon) == counts
    assert remove(daemon).removed == 0


def test_young_and_unfinished_runs_stay(daemon: Daemon, history: list[DagsterRun]) -> None:
    assert [*remove_runs(daemon.instance, datetime.now(UTC) - LATER, False, 1000)] == []
    going = [daemon.record("met_day", DagsterRunStatus(status)) for status in ("QUEUED", "STARTED", "CANCELING")]
    assert remove(daemon).looked_at == 4
    assert {run.run_id for run in going} < {run.run_id for run in daemon.runs()}


def test_all_pages_of_runs_are_examined_once_oldest_first_up_to_the_limit(
    daemon: Daemon, history: list[DagsterRun]
) -> None:
    some = remove(daemon, most=2, page_size=1)
    assert (some.looked_at, some.removed, some.kept) == (2, 1, 1)
    assert [run.run_id for run in daemon.runs()] == [history[n].run_id for n in (0, 2, 3)]
    rest = remove(daemon, page_size=1)
    assert (rest.looked_at, rest.removed, rest.kept) == (3, 1, 2)
    assert [run.run_id for run in daemon.runs()] == [history[n].run_id for n in (0, 2)]


def test_observations_of_sensors_are_removed_and_the_newest_of_each_source_stays(daemon: Daemon, clock: Clock) -> None:
    met = Path(daemon.site.streams["met"].path)
    daemon.sense_arrivals("wxcam")
    for n in range(4):
        put(met, part=f"_{n}")
        daemon.sense_arrivals()
        clock.ahead += 11 * MINUTE
    observed = "dagster_event_type = 'ASSET_OBSERVATION'"
    of_met = f"{observed} AND asset_key = '{AssetKey(['source', 'met']).to_string()}'"
    assert [rows(daemon, shard, of_met) for shard in ("index", "")] == [4, 4]
    assert [rows(daemon, shard, observed) for shard in ("index", "")] == [5, 5]  # the camera's, once

    before = datetime.now(UTC)
    assert remove_observations(daemon.instance, before - LATER, False) == 0
    assert remove_observations(daemon.instance, before, True) == 3
    assert [rows(daemon, shard, observed) for shard in ("index", "")] == [5, 5]
    assert remove_observations(daemon.instance, before, False) == 3
    assert [rows(daemon, shard, of_met) for shard in ("index", "")] == [1, 1]
    assert [rows(daemon, shard, observed) for shard in ("index", "")] == [2, 2]
    (observation,) = daemon.instance.fetch_observations(AssetKey(["source", "met"]), limit=10).records
    assert observation.event_log_entry.asset_observation
    assert observation.event_log_entry.asset_observation.metadata["files"].value == 4


def test_check_results_are_removed_and_the_newest_of_each_check_stays(daemon: Daemon) -> None:
    put(Path(daemon.site.streams["met"].path))
    job = daemon.definitions.get_job("check_mirrors")
    runs = [job.execute_in_process(instance=daemon.instance).run_id for _ in range(2)]

    def results() -> list[int]:
        return [rows(daemon, "index", f"run_id = '{run_id}'", "asset_check_executions") for run_id in runs]

    first, last = before = results()
    assert first == last > 0
    assert remove(daemon).removed == 2
    assert results() == before, "check results stay when their run is removed"
    later = datetime.now(UTC) + LATER
    afterwards = later + timedelta(days=15)
    assert remove_check_results(daemon.instance, later, True) == 0, "the health report reads two weeks of them"
    old = remove_check_results(daemon.instance, later, True, afterwards)
    assert results() == before
    assert remove_check_results(daemon.instance, later, False, afterwards) == old >= first
    assert results() == [0, first + last - old]
    assert results()[1] > 0
    assert remove_check_results(daemon.instance, later, False, afterwards) == 0


def test_a_failed_result_stays_if_the_newer_result_is_only_planned() -> None:
    later = datetime.now(UTC) + timedelta(days=30)
    with DagsterInstance.ephemeral() as instance:
        records = Records(instance)
        for _ in range(2):
            records.evaluate(MATCHES, passed=False)
        for _ in range(2):
            records.plan(records.run(), MATCHES)
        assert remove_check_results(instance, later, False, later) == 2
        history = instance.event_log_storage.get_asset_check_execution_history(MATCHES, limit=9)
        assert [record.status.value for record in history] == ["PLANNED", "FAILED"]


def test_logs_of_ticks_are_removed_after_dagster_has_purged_the_tick(daemon: Daemon) -> None:
    ticks = [daemon.sense_arrivals() for _ in range(3)]
    logs = home(daemon) / "storage" / "__repository__" / "arrivals_met"
    assert {path.stem for path in logs.iterdir()} == {str(tick.tick_id) for tick in ticks}
    assert remove_tick_logs(daemon.instance, False) == 0
    # As the daemon does with ticks older than `retention` in dagster.yaml.
    sensor = daemon.repository.get_sensor("arrivals_met")
    daemon.instance.purge_ticks(
        sensor.get_remote_origin_id(), sensor.selector_id, ticks[-1].timestamp, [TickStatus.SKIPPED]
    )
    assert remove_tick_logs(daemon.instance, True) == 2
    assert remove_tick_logs(daemon.instance, False) == 2
    assert [path.stem for path in logs.iterdir()] == [str(ticks[-1].tick_id)]
