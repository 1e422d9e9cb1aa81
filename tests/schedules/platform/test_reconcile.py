"""The reconcile schedule, ticked by Dagster's scheduler: it finds files that no scan of the newest days finds."""

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


def recover(directory: Path, *days_after: int) -> list[date]:
    """Write files to the host whose mtimes are long ago; return their days."""
    days = [OLD + timedelta(days=n) for n in days_after]
    for day in days:
        put(directory, day, age=TODAY - day)
    return days


def queued_ranges(daemon: Daemon) -> list[tuple[str, str]]:
    """First and last day of each queued run."""
    ends = [f"dagster/asset_partition_range_{end}" for end in ("start", "end")]
    return [
        tuple(run.tags.get(end, run.tags.get("dagster/partition", "")) for end in ends) for run in daemon.runs(QUEUED)
    ]


def test_a_file_recovered_with_an_old_mtime_is_copied_in_the_history_lane(daemon: Daemon, met: Path) -> None:
    (day,) = recover(met, 0)
    assert "nothing new" in skipped(daemon.sense_arrivals())
    assert daemon.tick("reconcile_met").status == TickStatus.SUCCESS
    (run,) = daemon.runs(QUEUED)
    assert run.job_name == "met_day"
    assert {"dagster/partition": day.isoformat(), **HISTORY}.items() <= run.tags.items()
    assert [run.status for run in daemon.work()] == [SUCCESS]
    assert (Layout.of(daemon.site).raw_root("met") / f"met_{day:%Y%m%d}.txt").exists()
    text = skipped(daemon.tick("reconcile_met"))
    assert text.startswith("no file older than the live window is missing: 1 file listed (1 B); newest ")


def test_consecutive_days_share_a_run_and_the_newest_go_first(daemon: Daemon, met: Path) -> None:
    days = recover(met, 0, 10, 11, 12)
    daemon.tick("reconcile_met")
    assert queued_ranges(daemon) == [(f"{days[1]}", f"{days[3]}"), (f"{days[0]}", f"{days[0]}")]
    for run in daemon.runs(QUEUED):
        assert run.tags.items() >= HISTORY.items()
    assert [run.status for run in daemon.work()] == [SUCCESS, SUCCESS]
    assert len([*Layout.of(daemon.site).raw_root("met").glob("met_*.txt")]) == 4


def test_each_tick_requests_at_most_reconcile_days_and_the_next_tick_requests_the_rest(
    daemon: Daemon, met: Path
) -> None:
    days = recover(met, *range(MOST + 2))
    daemon.tick("reconcile_met")
    assert queued_ranges(daemon) == [(f"{days[2]}", f"{days[-1]}")]
    daemon.work()
    daemon.tick("reconcile_met")
    assert queued_ranges(daemon) == [(f"{days[0]}", f"{days[1]}")]


def test_the_live_window_is_left_to_the_sensor(daemon: Daemon, met: Path) -> None:
    window = daemon.site.streams["met"].lookback.days
    for n in range(window + 2):
        put(met, TODAY - timedelta(days=n))
    daemon.tick("reconcile_met")
    first = TODAY - timedelta(days=window + 1)
    assert queued_ranges(daemon) == [(f"{first}", f"{first}")]


def test_no_reconciliation_begins_before_the_earlier_one_has_ended(daemon: Daemon, met: Path) -> None:
    recover(met, 0)
    for status in (QUEUED, DagsterRunStatus.STARTED):
        run = daemon.record("met_day", status, **HISTORY)
        assert "the runs of an earlier reconciliation have not ended" in skipped(daemon.tick("reconcile_met"))
        daemon.instance.report_run_failed(run)
    assert daemon.tick("reconcile_met").status == TickStatus.SUCCESS


def test_a_live_run_does_not_delay_a_reconciliation(daemon: Daemon, met: Path) -> None:
    put(met, YESTERDAY)
    recover(met, 0)
    daemon.sense_arrivals()
    daemon.tick("reconcile_met")
    assert [run.tags["aurora/lane"] for run in daemon.runs(QUEUED)] == ["live", "history"]


def test_a_file_that_a_reconciliation_could_not_copy_is_requested_again(daemon: Daemon, met: Path) -> None:
    recover(met, 0)
    keys = set()
    for _ in range(2):
        daemon.tick("reconcile_met")
        (run,) = daemon.runs(QUEUED)
        daemon.instance.report_run_failed(run)
        keys.add(run.tags["dagster/run_key"])
    assert len(keys) == 2


def test_a_stream_that_is_planned_offline_is_not_listed(tmp_path: Path) -> None:
    with daemon_of(tmp_path, lambda data: data["streams"]["met"].update(enabled=False)) as daemon:
        recover(Path(daemon.site.streams["met"].path), 0)
        assert skipped(daemon.tick("reconcile_met")) == "met is planned offline (enabled: false in the site file)"


def test_a_listing_over_its_time_limit_uses_the_files_until_then_and_is_reported_incomplete(
    server: SshServer, tmp_path: Path
) -> None:
    with daemon_of(tmp_path, on_host(server, tmp_path)) as daemon:
        answer_with(server, CLOCK + rf"printf 'f 1 1700000000.5 ./met_{OLD:%Y%m%d}.txt\0'; " + ENDLESS)
        tick = daemon.tick("reconcile_met")
        assert queued_ranges(daemon) == [(f"{OLD}", f"{OLD}")]
        assert "1 file listed (1 B)" in log_of(daemon, tick)
        log = log_of(daemon, tick)
        assert f"(incomplete: the time was up after {0.8 * SCAN_LIMIT:.0f} s; day_names or day_dirs in the site" in log
        assert "; 1 old day with missing files" in log


def test_an_unreachable_host_fails_the_tick_with_one_line(server: SshServer, tmp_path: Path) -> None:
    with daemon_of(tmp_path, on_host(server, tmp_path)) as daemon:
        server.stop()
        assert "Unable to connect" in error_of(daemon.tick("reconcile_met"))
