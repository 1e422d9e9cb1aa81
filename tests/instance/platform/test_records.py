"""The state of Dagster's runs, queue and ticks from its records."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from dagster import DagsterEvent, DagsterEventType, DagsterRunStatus
from dagster._core.scheduler.instigation import TickData, TickStatus

from aurora_assets import run_tags
from aurora_assets.instance.records import DagsterRecords
from tests.daemon import Daemon

JOB = "met_day"
LAST = {"dagster/partition": "2026-03-05"}


def records(daemon: Daemon, **bounds: int) -> DagsterRecords:
    return DagsterRecords(daemon.instance, daemon.site, **bounds)


def failing(daemon: Daemon, ahead: timedelta = timedelta(0)) -> list[str]:
    """The sensors and schedules whose last tick failed, at a time this far ahead."""
    return [tick.name for tick in records(daemon).platform(datetime.now(UTC) + ahead).failing_ticks]


def test_a_failed_tick_is_reported_until_the_next_success_also_during_an_unfinished_tick(daemon: Daemon) -> None:
    source = daemon.directory / "met"
    source.rename(source.with_name("gone"))
    tick = daemon.sense_arrivals()
    assert tick.status is TickStatus.FAILURE
    assert failing(daemon) == ["arrivals_met"]
    unfinished = TickData(
        instigator_origin_id=tick.instigator_origin_id,
        instigator_name=tick.instigator_name,
        instigator_type=tick.instigator_type,
        status=TickStatus.STARTED,
        timestamp=time.time() + 1,
        selector_id=tick.tick_data.selector_id,
    )
    daemon.instance.create_tick(unfinished)
    assert failing(daemon) == ["arrivals_met"]
    source.with_name("gone").rename(source)
    daemon.sense_arrivals()
    assert failing(daemon) == []


def test_a_tick_that_failed_two_days_ago_belongs_to_a_removed_sensor(daemon: Daemon) -> None:
    (daemon.directory / "met").rmdir()
    daemon.sense_arrivals()
    assert failing(daemon, timedelta(hours=47)) == ["arrivals_met"]
    assert failing(daemon, timedelta(hours=49)) == []


def test_a_failed_run_is_reported_until_its_job_and_partition_have_succeeded(daemon: Daemon) -> None:
    daemon.record(JOB, DagsterRunStatus.FAILURE, **LAST)
    daemon.record(JOB, DagsterRunStatus.SUCCESS, **{"dagster/partition": "2026-03-06"})
    [run] = records(daemon).platform().failed_runs
    assert (run.job, run.partition) == (JOB, "2026-03-05")
    successful = daemon.record(JOB, DagsterRunStatus.STARTED, **LAST)
    daemon.instance.report_dagster_event(DagsterEvent(DagsterEventType.RUN_SUCCESS.value, JOB), successful.run_id)
    assert records(daemon).platform().failed_runs == []


def test_a_shortened_list_of_failed_runs_says_so(daemon: Daemon) -> None:
    for day in (1, 2):
        daemon.record(JOB, DagsterRunStatus.FAILURE, **{"dagster/partition": f"2026-03-0{day}"})
    assert not records(daemon, max_failed_runs=2).platform().more_failed_runs
    daemon.record(JOB, DagsterRunStatus.FAILURE, **{"dagster/partition": "2026-03-03"})
    platform = records(daemon, max_failed_runs=2).platform()
    assert (len(platform.failed_runs), platform.more_failed_runs) == (2, True)


def test_a_waiting_live_run_is_found_behind_any_number_of_history_runs(daemon: Daemon) -> None:
    for _ in range(3):
        daemon.record(JOB, DagsterRunStatus.QUEUED, **run_tags.history("met"))
    assert records(daemon, max_runs_read=2).platform().oldest_queued_s is None
    daemon.record(JOB, DagsterRunStatus.QUEUED, **run_tags.live("met", "a"))
    platform = records(daemon, max_runs_read=2).platform()
    assert platform.queued_runs == 4
    assert platform.oldest_queued_s is not None


def test_a_run_that_hangs_during_its_start_is_stuck(daemon: Daemon) -> None:
    settings = daemon.site.health.model_copy(update={"stuck_after": timedelta(0)})
    daemon.record(JOB, DagsterRunStatus.STARTING, **run_tags.live("met", "a"))
    site = daemon.site.model_copy(update={"health": settings})
    [run] = DagsterRecords(daemon.instance, site).platform().stuck_runs
    assert run.job == JOB
