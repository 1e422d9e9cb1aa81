"""The reconcile schedule, ticked by Dagster's scheduler: what no look at the newest days would ever find."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from dagster import DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from aurora_platform.layout import Layout
from aurora_simulator.ssh_server import SshServer
from tests.daemon import (
    QUEUED,
    SCAN_LIMIT,
    SUCCESS,
    TODAY,
    YESTERDAY,
    Daemon,
    daemon_of,
    error_of,
    log_of,
    on_host,
    put,
    skipped,
)
from tests.troubled_hosts import CLOCK, ENDLESS, answer_with

OLD = TODAY - timedelta(days=40)
MOST = 4
HISTORY = {"aurora/lane": "history", "aurora/stream": "met", "dagster/priority": "-10"}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """The daemon of a site that reconciles four days at a time."""
    with daemon_of(tmp_path, lambda data: data["live"].update(reconcile_days=MOST)) as daemon:
        yield daemon


@pytest.fixture
def met(daemon: Daemon) -> Path:
    return Path(daemon.site.streams["met"].path)


def recovered(place: Path, *days_after: int) -> list[date]:
    """Files that appear on the host long after they were written; their days."""
    days = [OLD + timedelta(days=n) for n in days_after]
    for day in days:
        put(place, day, age=TODAY - day)
    return days


def asked(daemon: Daemon) -> list[tuple[str, str]]:
    """First and last day of each queued run."""
    ends = [f"dagster/asset_partition_range_{end}" for end in ("start", "end")]
    return [
        tuple(run.tags.get(end, run.tags.get("dagster/partition", "")) for end in ends) for run in daemon.runs(QUEUED)
    ]


def test_a_file_recovered_with_an_old_mtime_is_brought_over_in_the_lane_of_history(daemon: Daemon, met: Path) -> None:
    (day,) = recovered(met, 0)
    assert "nothing new" in skipped(daemon.sense_arrivals())
    assert daemon.tick("reconcile_met").status == TickStatus.SUCCESS
    (run,) = daemon.runs(QUEUED)
    assert run.job_name == "met_day"
    assert {"dagster/partition": day.isoformat(), **HISTORY}.items() <= run.tags.items()
    assert [run.status for run in daemon.work()] == [SUCCESS]
    assert (Layout.of(daemon.site).raw_root("met") / f"met_{day:%Y%m%d}.txt").exists()
    said = skipped(daemon.tick("reconcile_met"))
    assert said.startswith("no file of before the live window is missing: 1 file seen (0.0 MB); newest ")


def test_days_without_a_gap_share_a_run_and_the_newest_go_first(daemon: Daemon, met: Path) -> None:
    days = recovered(met, 0, 10, 11, 12)
    daemon.tick("reconcile_met")
    assert asked(daemon) == [(f"{days[1]}", f"{days[3]}"), (f"{days[0]}", f"{days[0]}")]
    for run in daemon.runs(QUEUED):
        assert run.tags.items() >= HISTORY.items()
    assert [run.status for run in daemon.work()] == [SUCCESS, SUCCESS]
    assert len([*Layout.of(daemon.site).raw_root("met").glob("met_*.txt")]) == 4


def test_no_more_days_are_asked_for_at_a_time_than_the_site_file_says_and_the_rest_next_time(
    daemon: Daemon, met: Path
) -> None:
    days = recovered(met, *range(MOST + 2))
    daemon.tick("reconcile_met")
    assert asked(daemon) == [(f"{days[2]}", f"{days[-1]}")]
    daemon.work()
    daemon.tick("reconcile_met")
    assert asked(daemon) == [(f"{days[0]}", f"{days[1]}")]


def test_the_live_window_is_left_to_the_sensor(daemon: Daemon, met: Path) -> None:
    window = daemon.site.streams["met"].lookback.days
    for n in range(window + 2):
        put(met, TODAY - timedelta(days=n))
    daemon.tick("reconcile_met")
    first = TODAY - timedelta(days=window + 1)
    assert asked(daemon) == [(f"{first}", f"{first}")]


def test_while_an_earlier_reconciliation_has_not_ended_none_begins(daemon: Daemon, met: Path) -> None:
    recovered(met, 0)
    for status in (QUEUED, DagsterRunStatus.STARTED):
        run = daemon.record("met_day", status, **HISTORY)
        assert "the runs of an earlier reconciliation have not ended" in skipped(daemon.tick("reconcile_met"))
        daemon.instance.report_run_failed(run)
    assert daemon.tick("reconcile_met").status == TickStatus.SUCCESS


def test_a_live_run_does_not_hold_up_a_reconciliation(daemon: Daemon, met: Path) -> None:
    put(met, YESTERDAY)
    recovered(met, 0)
    daemon.sense_arrivals()
    daemon.tick("reconcile_met")
    assert [run.tags["aurora/lane"] for run in daemon.runs(QUEUED)] == ["live", "history"]


def test_what_a_reconciliation_could_not_copy_is_tried_at_its_next_time(daemon: Daemon, met: Path) -> None:
    recovered(met, 0)
    keys = set()
    for _ in range(2):
        daemon.tick("reconcile_met")
        (run,) = daemon.runs(QUEUED)
        daemon.instance.report_run_failed(run)
        keys.add(run.tags["dagster/run_key"])
    assert len(keys) == 2


def test_a_stream_that_is_planned_offline_is_not_listed(tmp_path: Path) -> None:
    with daemon_of(tmp_path, lambda data: data["streams"]["met"].update(enabled=False)) as daemon:
        recovered(Path(daemon.site.streams["met"].path), 0)
        assert skipped(daemon.tick("reconcile_met")) == "met is planned offline (enabled: false in the site file)"


def test_a_listing_that_takes_too_long_gives_what_was_seen_and_says_that_it_is_not_all(
    server: SshServer, tmp_path: Path
) -> None:
    with daemon_of(tmp_path, on_host(server, tmp_path)) as daemon:
        answer_with(server, CLOCK + rf"printf 'f 1 1700000000.5 ./met_{OLD:%Y%m%d}.txt\0'; " + ENDLESS)
        tick = daemon.tick("reconcile_met")
        assert asked(daemon) == [(f"{OLD}", f"{OLD}")]
        assert "1 file seen (0.0 MB)" in log_of(daemon, tick)
        assert f"(incomplete: the time was up after {0.8 * SCAN_LIMIT:.0f} s); 1 old day with missing files" in log_of(
            daemon, tick
        )


def test_a_host_that_is_not_there_fails_the_tick_with_one_line(server: SshServer, tmp_path: Path) -> None:
    with daemon_of(tmp_path, on_host(server, tmp_path)) as daemon:
        server.stop()
        assert "Unable to connect" in error_of(daemon.tick("reconcile_met"))
