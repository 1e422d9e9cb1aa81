"""Runs as processes: how they are started, monitored and terminated, and the priority of history runs."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import WorkerStatus
from dagster._core.test_utils import poll_for_finished_run, poll_for_step_start
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from aurora_assets import run_tags
from aurora_assets.instance import launcher
from aurora_assets.instance.launcher import WORKER, ProcessRunLauncher
from tests.daemon import FAILURE, SUCCESS, make_home, workspace_of
from tests.instance.tiny_jobs import defs
from tests.patience import patient, until

STARTED, CANCELED = DagsterRunStatus.STARTED, DagsterRunStatus.CANCELED
PATIENCE = patient(120)  # s, for a process to start or to end


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    """Dagster with our ``dagster.yaml``; ``DAGSTER_HOME`` is another home, which runs inherit."""
    directory = tmp_path_factory.mktemp("launcher")
    home, exported = make_home(directory / "dagster"), make_home(directory / "exported")
    with pytest.MonkeyPatch.context() as patch, DagsterInstance.from_config(str(home)) as instance:
        patch.setenv("DAGSTER_HOME", str(exported))
        assert isinstance(instance.run_launcher, ProcessRunLauncher)
        yield instance


@pytest.fixture(scope="module")
def workspace(instance: DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    with workspace_of(instance, Path(__file__).parents[1].joinpath("tiny_jobs.py")) as workspace:
        yield workspace


@dataclass(frozen=True)
class Runs:
    """Four runs, shared by all tests because starting one takes seconds; every test ends another run."""

    quick: DagsterRun
    """It ended by itself before the others were launched."""
    live: DagsterRun
    history: DagsterRun
    backfill: DagsterRun
    """It hangs and ignores signals."""


@pytest.fixture(scope="module")
def runs(instance: DagsterInstance, workspace: WorkspaceProcessContext) -> Iterator[Runs]:
    started: list[DagsterRun] = []

    def launch(job: str, tags: dict[str, str]) -> DagsterRun:
        context = workspace.create_request_context()
        (repository,) = context.get_code_location("aurora").get_repositories().values()
        remote = repository.get_full_job(job)
        run = instance.create_run_for_job(
            defs.resolve_job_def(job),
            tags=tags,
            remote_job_origin=remote.get_remote_origin(),
            job_code_origin=remote.get_python_origin(),
        )
        instance.launch_run(run.run_id, context)
        started.append(now(instance, run))
        return started[-1]

    quick = launch("quick", {})
    assert health(instance, quick) == WorkerStatus.RUNNING
    poll_for_finished_run(instance, quick.run_id, timeout=PATIENCE)
    until(lambda: is_over(quick))
    slow = [
        launch("slow", run_tags.live("wxcam", "listing")),
        launch("slow", run_tags.history("wxcam")),
        launch("ignores_sigterm", {"dagster/backfill": "a_month"}),
    ]
    for run in slow:
        poll_for_step_start(instance, run.run_id, timeout=PATIENCE)
    yield Runs(quick, *slow)
    for run in started:
        with suppress(ProcessLookupError):
            os.killpg(pid(run), signal.SIGKILL)  # also the children of a killed run


def now(instance: DagsterInstance, run: DagsterRun) -> DagsterRun:
    """The current record of a run."""
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found


def pid(run: DagsterRun) -> int:
    return int(run.tags[WORKER].split()[1])


def state(run: DagsterRun) -> list[str]:
    """The fields of proc(5)'s ``stat`` from the third on: state, parent, process group, session, ... ."""
    return Path(f"/proc/{pid(run)}/stat").read_text().rpartition(")")[2].split()


def is_over(run: DagsterRun) -> bool:
    """Whether the run's process has ended or is a zombie."""
    try:
        return state(run)[0] == "Z"
    except FileNotFoundError:
        return True


def health(instance: DagsterInstance, run: DagsterRun) -> WorkerStatus:
    return instance.run_launcher.check_run_worker_health(now(instance, run)).status


def monitor(workspace: WorkspaceProcessContext) -> None:
    """One round of Dagster's run monitoring, without an error."""
    rounds = execute_run_monitoring_iteration(workspace, logging.getLogger("tests.launcher"))
    assert [error for error in rounds if error] == []


def with_mark(instance: DagsterInstance, mark: str) -> DagsterRun:
    """A run in progress with this process mark."""
    return instance.create_run_for_job(defs.resolve_job_def("slow"), tags={WORKER: mark}, status=STARTED)


def test_a_run_is_a_process_in_its_own_session_and_leaves_no_zombie(instance: DagsterInstance, runs: Runs) -> None:
    assert now(instance, runs.quick).status == SUCCESS
    assert not instance.run_launcher.terminate(runs.quick.run_id)
    assert not Path(f"/proc/{pid(runs.quick)}").exists(), "the later launches reaped it"
    assert state(runs.live)[3] == str(pid(runs.live)), "it leads its own session, so Ctrl-C does not reach it"


def test_history_runs_and_backfills_have_low_priority_and_live_runs_have_not(runs: Runs) -> None:
    slow = (runs.history, runs.backfill, runs.live)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    # Niceness is field 19 of proc(5), and state, here the first, field 3.
    assert [int(state(run)[16]) for run in slow] == [min(ours + 19, 19)] * 2 + [ours]
    disk = [subprocess.check_output(["ionice", "-p", str(pid(run))], text=True) for run in slow]
    assert ["idle" in line for line in disk] == [True, True, False]


def test_a_killed_run_is_found_dead_and_failed_by_the_next_round_of_monitoring(
    instance: DagsterInstance, workspace: WorkspaceProcessContext, runs: Runs
) -> None:
    monitor(workspace)
    assert now(instance, runs.live).status == STARTED
    os.kill(pid(runs.live), signal.SIGKILL)
    until(lambda: is_over(runs.live))
    assert health(instance, runs.live) == WorkerStatus.FAILED
    monitor(workspace)
    assert [now(instance, run).status for run in (runs.live, runs.backfill)] == [FAILURE, STARTED]
    messages = [str(event.message) for event in instance.all_logs(runs.live.run_id)]
    assert any("its process is gone: killed, or the machine lost power" in message for message in messages)


def test_a_restarted_daemon_finds_a_run_alive_and_can_terminate_it(instance: DagsterInstance, runs: Runs) -> None:
    with DagsterInstance.from_config(instance.root_directory) as other:
        assert health(other, runs.history) == WorkerStatus.RUNNING
        assert other.run_launcher.terminate(runs.history.run_id)
    poll_for_finished_run(instance, runs.history.run_id, timeout=PATIENCE)
    assert now(instance, runs.history).status == CANCELED
    until(lambda: is_over(runs.history))


def test_a_hanging_run_is_terminated_after_its_maximum_runtime_and_killed_if_it_goes_on(
    instance: DagsterInstance, workspace: WorkspaceProcessContext, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance.run_launcher, "kill_after", patient(2))
    instance.add_run_tags(runs.backfill.run_id, {"dagster/max_runtime": "1"})
    time.sleep(1)
    monitor(workspace)
    assert now(instance, runs.backfill).status == FAILURE
    assert not is_over(runs.backfill)
    until(lambda: is_over(runs.backfill))


def test_a_process_that_ignores_sigterm_is_killed(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance.run_launcher, "kill_after", patient(2))
    with subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        run = with_mark(instance, launcher._process_mark(process.pid))
        assert instance.run_launcher.terminate(run.run_id)
        assert process.poll() is None
        assert process.wait(PATIENCE) == -signal.SIGKILL
        process.stdout.close()


def test_another_process_with_the_pid_of_a_dead_run_is_not_mistaken_for_it(instance: DagsterInstance) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    ours = f"{boot} {os.getpid()} {began}"
    assert health(instance, with_mark(instance, ours)) == WorkerStatus.RUNNING
    for mark in (
        f"{boot} {os.getpid()} {int(began) - 1}",
        f"00000000-0000-0000-0000-000000000000 {os.getpid()} {began}",
        f"{boot} {2**22 + 1} {began}",
        f"{boot} {2**22 + 1} gone",  # it had ended before it was recorded
        "no process mark",
        "",
    ):
        run = with_mark(instance, mark)
        assert health(instance, run) == WorkerStatus.FAILED, mark
        assert instance.run_launcher.terminate(run.run_id)
        assert now(instance, run).status == CANCELED, "there is no process to wait for"


def test_a_run_started_from_a_shell_is_left_alone(
    instance: DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    run = instance.create_run_for_job(defs.resolve_job_def("slow"), status=STARTED)
    assert health(instance, run) == WorkerStatus.RUNNING
    monitor(workspace)
    assert not instance.run_launcher.terminate(run.run_id)
    assert now(instance, run).status == STARTED


def test_a_run_without_a_code_location_is_refused_with_the_next_step(
    instance: DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    run = instance.create_run_for_job(defs.resolve_job_def("quick"))
    with pytest.raises(RuntimeError, match="has no code location; reload the code location and start the run again"):
        instance.launch_run(run.run_id, workspace.create_request_context())
