"""How a run is started here: one process of its own, which is known to live or not.

Dagster's default launcher has the code server start its runs, and nobody can tell whether one lives: after a power loss
it stays "Started". This launcher starts ``dagster api execute_run``, as
Dagster's launchers for containers do, remembers which process it is, and answers Dagster's run monitoring. It also
gives runs of the history lane the lowest priority for CPU and disk.
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
"""Tag of a run: boot, process and its start, which tell a process from all others that ever were. The UI does not show
tags with this prefix."""

_KILL_AFTER = 60.0  # s, which a run has for its tidying up
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
            raise RuntimeError(f"run {run.run_id} does not know its code; reload the code location and start it again")
        arguments = ExecuteRunArgs(origin, run.run_id, self._instance.get_ref(), set_exit_code_on_failure=True)
        polite = ["nice", "-n", "19", "ionice", "-t", "-c", "3"] if run_tags.is_polite(run.tags) else []
        # In a session of its own: Ctrl-C and the end of the daemon do not reach it.
        process = subprocess.Popen(
            # This interpreter's Dagster, not the first one in PATH.
            [*polite, sys.executable, "-m", "dagster", "api", "execute_run", serialize_value(arguments)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        # Asking whether the others have ended takes them off the kernel's table of processes.
        self._children = [*(child for child in self._children if child.poll() is None), process]
        self._instance.add_run_tags(run.run_id, {WORKER: _mark(process.pid)})
        self._instance.report_engine_event(f"Started process {process.pid} for this run", run, EngineEventData())

    def terminate(self, run_id: str) -> bool:
        """Ask a run's process to end; it says so itself when it has."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or WORKER not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        if not _lives(run):
            self._instance.report_run_canceled(run, message="Its process was gone already.")
            return True
        os.kill(_process_of(run), signal.SIGTERM)
        # One that hangs in native code never sees the signal, and would keep its locks.
        killer = threading.Timer(self.kill_after, _kill, [run])
        killer.daemon = True
        killer.start()
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether a run's process is there; Dagster asks every ``poll_interval_seconds``."""
        if WORKER not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "started from a shell: nothing is known of its process")
        if _lives(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone: killed, or the machine lost power")


def _kill(run: DagsterRun) -> None:
    if _lives(run):
        os.kill(_process_of(run), signal.SIGKILL)


def _mark(pid: int) -> str:
    """What tells a process from every other, also after a reboot: boot id, process id, start in clock ticks."""
    return f"{_BOOT.read_text().strip()} {pid} {_started(pid)}"


def _process_of(run: DagsterRun) -> int:
    return int(run.tags[WORKER].split()[1])


def _lives(run: DagsterRun) -> bool:
    mark = run.tags.get(WORKER, "")
    try:
        # It may have been gone before it was marked.
        return mark == _mark(_process_of(run)) and not mark.endswith(_GONE)
    except (KeyError, IndexError, ValueError):
        return False


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot; ``_GONE`` where there is none, or it only waits to be reaped."""
    try:
        # The name in parentheses may hold anything, so what follows its end is read: state is field 3, start field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _GONE
    return _GONE if fields[0] in "ZX" else fields[19]
