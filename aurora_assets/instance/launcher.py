"""The run launcher: it starts every run as a process of this machine, and can tell whether the process is alive.

With Dagster's default launcher the code server starts the runs, and nobody can tell whether a run is alive: after a
power loss it stays "Started". This launcher starts ``dagster api execute_run``, as Dagster's launchers for containers
do, records the process in a tag of the run, and answers Dagster's run monitoring. Runs of the history lane get the
lowest priority for CPU and disk.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from aurora_assets import run_tags

WORKER = ".dagster/aurora_worker"
"""Tag of a run: boot id, process id and start time, which are unique for a process, also after a reboot. The UI does
not show tags with this prefix."""

_KILL_AFTER = 60.0  # s, for a run to clean up after SIGTERM
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_GONE = "gone"


class ProcessRunLauncher(RunLauncher, ConfigurableClass):
    """Starts each run as a process of this machine. Named in ``dagster.yaml``."""

    def __init__(self, inst_data: ConfigurableClassData | None = None, kill_after: float = _KILL_AFTER) -> None:
        self._inst_data = inst_data
        self.kill_after = kill_after
        self._children: list[subprocess.Popen[bytes]] = []
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """See :meth:`dagster._core.launcher.RunLauncher.launch_run`."""
        run = context.dagster_run
        origin = context.job_code_origin
        if origin is None:
            raise RuntimeError(
                f"run {run.run_id} has no code location; reload the code location and start the run again"
            )
        arguments = ExecuteRunArgs(origin, run.run_id, self._instance.get_ref(), set_exit_code_on_failure=True)
        low_priority = ["nice", "-n", "19", "ionice", "-t", "-c", "3"] if run_tags.has_low_priority(run.tags) else []
        # In its own session: Ctrl-C and the end of the daemon do not reach it.
        process = subprocess.Popen(
            # This interpreter's Dagster, not the first one in PATH.
            [*low_priority, sys.executable, "-m", "dagster", "api", "execute_run", serialize_value(arguments)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        # poll() reaps the earlier runs that have ended, so that no zombie stays.
        self._children = [*(child for child in self._children if child.poll() is None), process]
        self._instance.add_run_tags(run.run_id, {WORKER: _process_mark(process.pid)})
        self._instance.report_engine_event(f"Started process {process.pid} for this run", run, EngineEventData())

    def terminate(self, run_id: str) -> bool:
        """Ask a run's process to end; the process itself reports when it has ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or WORKER not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        if not _is_alive(run):
            self._instance.report_run_canceled(run, message="Its process had already ended.")
            return True
        os.kill(_pid_of(run), signal.SIGTERM)
        # A process that hangs in native code never handles the signal, and would keep its locks.
        killer = threading.Timer(self.kill_after, _kill, [run])
        killer.daemon = True
        killer.start()
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether a run's process is alive; Dagster asks every ``poll_interval_seconds``."""
        if WORKER not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "started from a shell: its process is not recorded")
        if _is_alive(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone: killed, or the machine lost power")


def _kill(run: DagsterRun) -> None:
    if _is_alive(run):
        os.kill(_pid_of(run), signal.SIGKILL)


def _process_mark(pid: int) -> str:
    """A text that is unique for a process, also after a reboot: boot id, process id, start in clock ticks."""
    return f"{_BOOT.read_text().strip()} {pid} {_start_ticks(pid)}"


def _pid_of(run: DagsterRun) -> int:
    return int(run.tags[WORKER].split()[1])


def _is_alive(run: DagsterRun) -> bool:
    mark = run.tags.get(WORKER, "")
    try:
        # A process that had ended before it was recorded has a mark that ends with _GONE.
        return mark == _process_mark(_pid_of(run)) and not mark.endswith(_GONE)
    except (KeyError, IndexError, ValueError):
        return False


def _start_ticks(pid: int) -> str:
    """When a process began, in clock ticks since boot; ``_GONE`` if it has ended, or is a zombie."""
    try:
        # The name in parentheses may contain anything, so read after its end: state is field 3, start field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _GONE
    return _GONE if fields[0] in "ZX" else fields[19]
