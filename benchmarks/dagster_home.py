"""Runs ``dagster dev`` with a code location in its own_cpu Dagster home, as ``make ui`` does, and measures it.

It reads the CPU time per role from ``/proc``, and launches runs by GraphQL, as the UI does.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from aurora_simulator.ssh_server import free_port

ROOT = Path(__file__).resolve().parent.parent
BARE = """\
from dagster import Definitions, asset, in_process_executor


@asset
def nothing() -> None: ...


defs = Definitions(assets=[nothing], executor=in_process_executor)
"""
"""With the same executor as ours: Dagster's default, a process per step, would take longer."""

_TIMEOUT = 180.0  # s, for the start, and for the end of a run
_STOP_TIMEOUT = 20.0  # s
_ENDED = (FileNotFoundError, ProcessLookupError)  # errors when a process ends while it is read
_TICKS = os.sysconf("SC_CLK_TCK")
# The first match counts: the command of the web server names the code server too.
_ROLES = {
    "execute_run": "runs",
    "dagster._daemon": "daemon",
    "dagster_webserver": "web server",
    "code-server": "code server",
    "api grpc": "code server",
    "dagster dev": "the command itself",
}
_WORKSPACE = (
    "query { workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError { __typename } } } } }"
)
_LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_RUNS = "query { runsOrError(limit: 1000) { ... on Runs { results { jobName status } } } }"
_TICKS_OF = """query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor {
  sensorState { ticks(limit: 1) { timestamp } } } } }"""
_EVENTS = """query($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection {
  events { ... on MessageEvent { eventType timestamp } } } } }"""


class HomeError(RuntimeError):
    """Dagster did not start, or a run or sensor failed."""


@dataclass(frozen=True)
class Setup:
    """A code location and the Dagster home that serves it."""

    name: str
    home: Path
    workspace: Path
    site: Path | None = None

    @classmethod
    def bare(cls, directory: Path) -> Self:
        """One empty asset and Dagster's default settings, without telemetry, which would leave this machine."""
        setup = cls("bare", directory, directory / "workspace.yaml")
        directory.mkdir()
        (directory / "bare_location.py").write_text(BARE)
        (directory / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        target = {"relative_path": "bare_location.py", "location_name": "bare"}
        setup.workspace.write_text(yaml.safe_dump({"load_from": [{"python_file": target}]}))
        return setup

    @classmethod
    def of_site(cls, directory: Path, site: Path) -> Self:
        """This project with a site file."""
        directory.mkdir()
        (directory / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
        return cls("aurora", directory, ROOT / "workspace.yaml", site)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that `make` gives, with a bytecode cache next to the home, so that bytecode is reused."""
        exported = _exported()  # `make bench` exports them too: the bare Dagster must not get them
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AURORA_", "DAGSTER_", "PYTHON")) and name not in exported
        }
        own = {"DAGSTER_HOME": str(self.home), "PYTHONPYCACHEPREFIX": str(self.home.parent / "bytecode")}
        return kept | own | ({"AURORA_SITE": str(self.site)} | exported if self.site else {})


def _exported() -> dict[str, str]:
    """Return the variables that the Makefile exports."""
    lines = re.findall(r"^export (\w+) \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {name: value for name, value in lines if name != "DAGSTER_HOME"}


class Dagster:
    """A running ``dagster dev``: the command, its web server, its daemon, the code server, and their runs."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.setup.home / "dagster.log"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "dagster", "dev"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "-w", str(self.setup.workspace), "-h", "127.0.0.1", "-p", str(self.port)],
                cwd=ROOT,
                env=self.setup.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        handles = []
        for pid, *_rest in self._tree():
            with suppress(*_ENDED):
                handles.append(os.pidfd_open(pid))  # the kernel may give the process id to another process
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for handle in handles:
            with suppress(*_ENDED):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

    def wait_until_loaded(self) -> None:
        """Wait until it answers and has loaded its code."""
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            assert self._process
            if self._process.poll() is not None:
                break
            try:
                entries = self.query(_WORKSPACE)["workspaceOrError"]["locationEntries"]
            except (OSError, KeyError):
                time.sleep(0.5)
                continue
            loaded = [entry["locationOrLoadError"] for entry in entries]
            if loaded and all(entry and entry["__typename"] == "RepositoryLocation" for entry in loaded):
                return
            time.sleep(0.5)
        raise HomeError(f"{self.setup.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def query(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL query; return its data."""
        text = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", text, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own_cpu address
            answer = json.load(response)
        if "data" not in answer:
            raise HomeError(f"{self.setup.name}: {answer}")
        return dict(answer["data"])

    def launch(self, job: str, tags: Mapping[str, str], assets: tuple[str, ...] = ()) -> str:
        """Launch a run, as the UI does; return its id."""
        selector = {
            "repositoryLocationName": self.setup.name,
            "repositoryName": "__repository__",
            "jobName": job,
            **({"assetSelection": [{"path": name.split("/")} for name in assets]} if assets else {}),
        }
        metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        answer = self.query(_LAUNCH, p={"selector": selector, "runConfigData": {}, "executionMetadata": metadata})
        if answer["launchRun"]["__typename"] != "LaunchRunSuccess":
            raise HomeError(f"{self.setup.name}: {answer}")
        return str(answer["launchRun"]["run"]["runId"])

    def events_of(self, run_id: str) -> list[tuple[str, float]]:
        """Wait until a run has succeeded; return its events: kind, and s since epoch."""
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            events = self.query(_EVENTS, id=run_id)["logsForRun"]["events"]
            kinds = [event["eventType"] for event in events]
            if "RUN_FAILURE" in kinds:
                raise HomeError(f"{self.setup.name}: run {run_id} failed")
            if "RUN_SUCCESS" in kinds:
                return [(event["eventType"], float(event["timestamp"]) / 1000) for event in events]
            time.sleep(0.25)
        raise HomeError(f"{self.setup.name}: run {run_id} has not ended")

    def runs(self) -> list[tuple[str, str]]:
        """Return job and status of all runs."""
        results = self.query(_RUNS)["runsOrError"]["results"]
        return [(run["jobName"], run["status"]) for run in results]

    def wait_for_tick(self, sensor: str) -> None:
        """Wait until a sensor has begun its next tick."""
        selector = {"repositoryName": "__repository__", "repositoryLocationName": self.setup.name, "sensorName": sensor}
        since, deadline = time.time(), time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            ticks = self.query(_TICKS_OF, s=selector)["sensorOrError"]["sensorState"]["ticks"]
            if ticks and ticks[0]["timestamp"] > since:
                return
            time.sleep(1)
        raise HomeError(f"{self.setup.name}: {sensor} has not ticked")

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time of each role so far, s, including its ended child processes.

        The daemon starts the runs, so its ended child processes count as runs.
        """
        used: defaultdict[str, float] = defaultdict(float)
        for _, own_cpu, children_cpu, command in self._tree():
            role = next((role for part, role in _ROLES.items() if part in command), "runs")
            used[role] += own_cpu
            used["runs" if role == "daemon" else role] += children_cpu
        return used

    def _tree(self) -> Iterator[tuple[int, float, float, str]]:
        """Yield id, own CPU time (s), CPU time of ended children (s) and command of our process and its descendants."""
        assert self._process
        processes, children = {}, dict[int, list[int]]()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(*_ENDED):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    own_cpu, children_cpu = (sum(map(int, fields[at : at + 2])) / _TICKS for at in (11, 13))
                    processes[int(entry.name)] = (own_cpu, children_cpu, command)
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
        pids = [self._process.pid]
        for pid in pids:
            pids += children.get(pid, [])
        yield from ((pid, *processes[pid]) for pid in pids if pid in processes)
