"""Runs Dagster's daemon for the site of a test, in this process and step by step.

Sensors, schedules, conditions, the queue and the records are Dagster's own, on SQLite in a temporary home with our
``dagster.yaml``. Two things differ from a real site: the test triggers each step, and the queue executes runs in this
process. ``tests/instance/platform/test_launcher.py`` tests runs in separate processes.
"""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus, RepositoryDefinition, RunsFilter
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.asset_daemon import AssetDaemon
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from aurora_assets.definitions import build
from aurora_platform.config.site import Site, load_site
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import host_of
from tests.patience import patient
from tests.site_files import read_yaml, write_site, write_yaml

SCAN_LIMIT = int(patient(5))  # s, the site's limits.look for one scan; a test of a host that hangs waits for it
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
BEGIN = TODAY - timedelta(
    days=60
)  # of every stream: so that the cost of a scan of all days does not grow with the calendar
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
QUEUED, SUCCESS, FAILURE = DagsterRunStatus.QUEUED, DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE

ROOT = Path(__file__).resolve().parent.parent
LOG = logging.getLogger("tests.daemon")
IN_THIS_PROCESS = {
    "module": "dagster._core.launcher.sync_in_memory_run_launcher",
    "class": "SyncInMemoryRunLauncher",
}
LOCATION = """
from pathlib import Path

from aurora_assets.definitions import build
from aurora_platform.config.site import load_site

defs = build(load_site(Path({site!r})))
"""
MET: dict[str, Any] = {
    "host": "here",
    "path": "met",
    "raw": "met",
    "include": ["met_*.txt"],
    "day": r"met_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
    "start": BEGIN.isoformat(),
}
"""A stream of small text files; its runs only copy."""


def make_home(home: Path, **changes: Any) -> Path:
    """Make a Dagster home with our ``dagster.yaml`` and some changed keys."""
    shutil.copytree(_empty_home().name, home)
    settings = read_yaml(ROOT / "dagster.yaml")
    write_yaml(home / "dagster.yaml", settings | changes)
    return home


@cache
def _empty_home() -> tempfile.TemporaryDirectory:
    """Make a home with empty databases, which takes longer than most tests; it is removed with this process."""
    home = tempfile.TemporaryDirectory(prefix="aurora-test-home-")
    Path(home.name, "dagster.yaml").write_text("telemetry: {enabled: false}")
    with DagsterInstance.from_config(home.name) as instance:
        instance.get_run_records(limit=1)
        instance.all_instigator_state()
        instance.fetch_observations(AssetKey(["none"]), limit=1)
    return home


def workspace_of(instance: DagsterInstance, location: Path) -> WorkspaceProcessContext:
    """Return the workspace of a daemon with one code location, a file."""
    target = LoadableTargetOrigin(python_file=str(location), attribute="defs")
    origin = InProcessCodeLocationOrigin(target, location_name="aurora")
    return WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin))


@contextmanager
def daemon_of(directory: Path, change: Callable[[dict], None] = lambda data: None) -> Iterator["Daemon"]:
    """Run the daemon of a site with running sensors: the camera of the demo and a stream ``met``."""

    def adapt(data: dict) -> None:
        data["live"] = {"running": True}
        data["streams"]["wxcam"]["start"] = BEGIN.isoformat()
        data["streams"]["met"] = dict(MET)
        change(data)

    file = write_site(directory, adapt)
    for source in ("camera", "met"):
        (directory / source).mkdir()
    location = directory / "location.py"
    location.write_text(LOCATION.format(site=str(file)))
    home = make_home(directory / "dagster", run_launcher=IN_THIS_PROCESS)
    with (
        DagsterInstance.from_config(str(home)) as instance,
        workspace_of(instance, location) as workspace,
        QueuedRunCoordinatorDaemon(interval_seconds=1) as queue,
    ):
        yield Daemon(directory, load_site(file), instance, workspace, queue)


@dataclass
class Daemon:
    """Dagster's daemon; most methods execute one step of it."""

    directory: Path
    site: Site
    instance: DagsterInstance
    workspace: WorkspaceProcessContext
    queue: QueuedRunCoordinatorDaemon

    @cached_property
    def conditions(self) -> AssetDaemon:
        return AssetDaemon(self.instance.get_auto_materialize_settings(), pre_sensor_interval_seconds=30)

    @cached_property
    def definitions(self) -> RepositoryDefinition:
        return build(self.site).get_repository_def()

    @property
    def location(self) -> CodeLocation:
        return self.workspace.create_request_context().get_code_location("aurora")

    @property
    def repository(self) -> RemoteRepository:
        return next(iter(self.location.get_repositories().values()))

    def sense_arrivals(self, *streams: str) -> InstigatorTick:
        """Evaluate the arrival sensors of these streams once, by default ``met``; return the tick of the first."""
        return self.sense(*(f"arrivals_{stream}" for stream in streams or ("met",)))

    def sense(self, *names: str) -> InstigatorTick:
        """Evaluate these sensors once; return the tick of the first."""
        sensors = [self.repository.get_sensor(name) for name in names]
        with (
            patch("dagster._daemon.sensor.is_under_min_interval", return_value=False),
            patch.object(RemoteRepository, "get_sensors", lambda _: sensors),
        ):
            list(execute_sensor_iteration(self.workspace, LOG, None, None))
        return self.last_tick(names[0])

    def ask(self, stream: str = "met", cursor: str | None = None) -> SensorExecutionData:
        """Evaluate the arrival sensor of a stream without recording a tick; return its data."""
        name = f"arrivals_{stream}"
        return self.location.get_sensor_execution_data(
            self.instance, self.repository.handle, name, None, None, cursor, ["tests", name], None
        )

    def follow(self) -> InstigatorTick:
        """Evaluate the automation conditions once; return the tick."""
        with patch("dagster._daemon.asset_daemon.is_under_min_interval", return_value=False):
            self.conditions._run_iteration_impl(self.workspace, None, {}, {})
        return self.last_tick("late_days")

    def tick(self, name: str) -> InstigatorTick:
        """Execute the next tick of a schedule; return it."""
        schedule = self.repository.get_schedule(name)
        if not self.instance.get_instigator_state(schedule.get_remote_origin_id(), schedule.selector_id):
            self.instance.start_schedule(schedule)
        ticks = self.instance.get_ticks(schedule.get_remote_origin_id(), schedule.selector_id, limit=1)
        after = ticks[0].timestamp + 1 if ticks else datetime.now(UTC).timestamp()
        next_time = next(schedule.execution_time_iterator(after))
        with patch.object(RemoteRepository, "get_schedules", lambda _: [schedule]):
            list(launch_scheduled_runs(self.workspace, LOG, next_time, {}))
        return self.last_tick(name)

    def last_tick(self, name: str) -> InstigatorTick:
        state = next(state for state in self.instance.all_instigator_state() if state.instigator_name == name)
        return self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)[0]

    def work(self) -> list[DagsterRun]:
        """Execute all queued runs and backfills; return the runs that have ended, in the order of their end."""
        before = {run.run_id for run in self.runs() if run.is_finished}
        requested = BulkActionsFilter(statuses=[BulkActionStatus.REQUESTED])
        while self.runs(DagsterRunStatus.QUEUED) or self.instance.get_backfills(requested):
            list(self.queue.run_iteration(self.workspace))
            list(execute_backfill_iteration(self.workspace, LOG))
        records = [r for r in self.instance.get_run_records() if r.dagster_run.run_id not in before]
        return [r.dagster_run for r in sorted(records, key=lambda r: r.end_time or 0) if r.dagster_run.is_finished]

    def runs(self, *statuses: DagsterRunStatus) -> list[DagsterRun]:
        """Return all runs, or those of these statuses, in the order of their creation."""
        return list(self.instance.get_runs(RunsFilter(statuses=statuses or None), ascending=True))

    def make(self, day: str, *assets: AssetKey) -> None:
        """Materialize only these assets of a day, as an operator does."""
        job = self.definitions.get_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=self.instance, partition_key=day, asset_selection=list(assets))
        assert result.success

    def record(self, job: str, status: DagsterRunStatus, **tags: str) -> DagsterRun:
        """Record a run that another process executes, or has executed."""
        ends = {
            DagsterRunStatus.FAILURE: self.instance.report_run_failed,
            DagsterRunStatus.CANCELED: self.instance.report_run_canceled,
        }
        began = DagsterRunStatus.STARTED if status in ends else status
        origin = self.repository.get_full_job(job).get_remote_origin()
        run = self.instance.create_run_for_job(
            self.definitions.get_job(job), tags=tags, status=began, remote_job_origin=origin
        )
        if status in ends:
            ends[status](run)
        return run


class Clock:
    """The clock of our sensors and schedules: the real time plus an offset that a test sets."""

    MODULES = (
        "sensors.arrivals",
        "aurora_assets.partitions",
        "aurora_assets.run_requests",
        "schedules.reconcile",
        "schedules.thumbnails",
        "schedules.record_retention",
    )

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta(0)
        clock = self

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + clock.ahead

        for module in self.MODULES:
            monkeypatch.setattr(f"{module}.datetime", Shifted)


def put(directory: Path, day: date = YESTERDAY, text: str = "x", age: timedelta = HOUR, part: str = "") -> Path:
    """Write a file of the stream ``met`` with an old mtime."""
    path = directory / f"met_{day:%Y%m%d}{part}.txt"
    path.write_text(text)
    written = time.time() - age.total_seconds()
    os.utime(path, (written, written))
    return path


def skipped(tick: InstigatorTick) -> str:
    """Return the reason why a tick was skipped."""
    assert tick.status == TickStatus.SKIPPED
    assert tick.skip_reason
    return tick.skip_reason


def error_of(tick: InstigatorTick) -> str:
    """Return the one-line error of a failed tick."""
    assert tick.status == TickStatus.FAILURE
    assert tick.error
    assert tick.error.cause
    message = tick.error.cause.message.removesuffix("\n")
    assert "\n" not in message
    return message


def log_of(daemon: Daemon, tick: InstigatorTick) -> str:
    """Return the log of a tick."""
    assert tick.log_key
    return (daemon.instance.compute_log_manager.get_log_data(tick.log_key).stderr or b"").decode()


def on_host(server: SshServer, root: Path, **changes: Any) -> Callable[[dict], None]:
    """Return a change of the site: ``met`` is on a remote host ``far``, and a stream ``here`` is local."""

    def change(data: dict) -> None:
        data["hosts"]["far"] = host_of(server).model_dump(mode="json") | changes
        data["streams"]["here"] = data["streams"]["met"]
        data["streams"]["met"] = data["streams"]["met"] | {"host": "far", "path": str(root)}
        data["limits"] = {"look": f"{SCAN_LIMIT}s"}

    return change


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """The daemon of a site with the camera of the demo and a stream ``met``, both local directories."""
    with daemon_of(tmp_path) as daemon:
        yield daemon


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of sensors and schedules, which a test may advance."""
    return Clock(monkeypatch)
