"""Dagster at work, to be measured: ``dagster dev`` over a code location in a home of its own, as ``make ui`` starts it.

What it uses is taken from ``/proc``, a role at a time; runs are asked for as the UI asks for them, by GraphQL.
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
"""With ours' executor: each step in a process of its own, which is Dagster's default, would take longer."""

_PATIENCE = 180.0  # s, until it has started, or a run has ended
_FARE_WELL = 20.0  # s
_ENDED = (FileNotFoundError, ProcessLookupError)  # what is said of a process that has ended while it was looked at
_TICKS = os.sysconf("SC_CLK_TCK")
# The first that fits: the web server's command speaks of the code server too.
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
    """Dagster did not start, or a run did not do what it was asked for."""


@dataclass(frozen=True)
class Place:
    """A code location, and the home of a Dagster that serves it."""

    name: str
    home: Path
    workspace: Path
    site: Path | None = None

    @classmethod
    def bare(cls, directory: Path) -> Self:
        """One empty asset, and Dagster's own settings; but no telemetry, which would leave this machine."""
        place = cls("bare", directory, directory / "workspace.yaml")
        directory.mkdir()
        (directory / "bare_location.py").write_text(BARE)
        (directory / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        target = {"relative_path": "bare_location.py", "location_name": "bare"}
        place.workspace.write_text(yaml.safe_dump({"load_from": [{"python_file": target}]}))
        return place

    @classmethod
    def of_site(cls, directory: Path, site: Path) -> Self:
        """This project over a site file."""
        directory.mkdir()
        (directory / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
        return cls("aurora", directory, ROOT / "workspace.yaml", site)

    @property
    def environment(self) -> dict[str, str]:
        """As a shell has it in which `make` was called; the bytecode of what was loaded before is kept, beside us."""
        exported = _exported()  # by `make bench` too: a bare Dagster has none of it
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AURORA_", "DAGSTER_", "PYTHON")) and name not in exported
        }
        own = {"DAGSTER_HOME": str(self.home), "PYTHONPYCACHEPREFIX": str(self.home.parent / "bytecode")}
        return kept | own | ({"AURORA_SITE": str(self.site)} | exported if self.site else {})


def _exported() -> dict[str, str]:
    """What the Makefile exports."""
    lines = re.findall(r"^export (\w+) \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {name: value for name, value in lines if name != "DAGSTER_HOME"}


class Dagster:
    """A running ``dagster dev``: the command, its web server, its daemon, the code server, and their runs."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.place.home / "dagster.log"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "dagster", "dev"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "-w", str(self.place.workspace), "-h", "127.0.0.1", "-p", str(self.port)],
                cwd=ROOT,
                env=self.place.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        below = []
        for pid, *_of_it in self._tree():
            with suppress(*_ENDED):
                below.append(os.pidfd_open(pid))  # by then its number may be that of somebody else's process
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_FARE_WELL)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for handle in below:
            with suppress(*_ENDED):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

    def wait_until_loaded(self) -> None:
        """Until it answers, and has loaded its code."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            assert self._process
            if self._process.poll() is not None:
                break
            try:
                entries = self.ask(_WORKSPACE)["workspaceOrError"]["locationEntries"]
            except (OSError, KeyError):
                time.sleep(0.5)
                continue
            loaded = [entry["locationOrLoadError"] for entry in entries]
            if loaded and all(one and one["__typename"] == "RepositoryLocation" for one in loaded):
                return
            time.sleep(0.5)
        raise HomeError(f"{self.place.name} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """A GraphQL query."""
        text = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", text, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
            said = json.load(answer)
        if "data" not in said:
            raise HomeError(f"{self.place.name}: {said}")
        return dict(said["data"])

    def launch(self, job: str, tags: Mapping[str, str], assets: tuple[str, ...] = ()) -> str:
        """Ask for a run, as the UI does; its id."""
        selector = {
            "repositoryLocationName": self.place.name,
            "repositoryName": "__repository__",
            "jobName": job,
            **({"assetSelection": [{"path": name.split("/")} for name in assets]} if assets else {}),
        }
        wanted = [{"key": key, "value": value} for key, value in tags.items()]
        said = self.ask(_LAUNCH, p={"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": wanted}})
        if said["launchRun"]["__typename"] != "LaunchRunSuccess":
            raise HomeError(f"{self.place.name}: {said}")
        return str(said["launchRun"]["run"]["runId"])

    def events_of(self, run_id: str) -> list[tuple[str, float]]:
        """The events of a run that has ended well: kind, and s since epoch."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            events = self.ask(_EVENTS, id=run_id)["logsForRun"]["events"]
            kinds = [event["eventType"] for event in events]
            if "RUN_FAILURE" in kinds:
                raise HomeError(f"{self.place.name}: run {run_id} failed")
            if "RUN_SUCCESS" in kinds:
                return [(event["eventType"], float(event["timestamp"]) / 1000) for event in events]
            time.sleep(0.25)
        raise HomeError(f"{self.place.name}: run {run_id} has not ended")

    def runs(self) -> list[tuple[str, str]]:
        """Job and status of all runs."""
        found = self.ask(_RUNS)["runsOrError"]["results"]
        return [(run["jobName"], run["status"]) for run in found]

    def wait_for_tick(self, sensor: str) -> None:
        """Until a sensor has begun its next tick."""
        selector = {"repositoryName": "__repository__", "repositoryLocationName": self.place.name, "sensorName": sensor}
        asked, deadline = time.time(), time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            ticks = self.ask(_TICKS_OF, s=selector)["sensorOrError"]["sensorState"]["ticks"]
            if ticks and ticks[0]["timestamp"] > asked:
                return
            time.sleep(1)
        raise HomeError(f"{self.place.name}: {sensor} was not looked at")

    def used(self) -> dict[str, float]:
        """s of the cores that each role has used so far, with the processes that it started and that have ended.

        The daemon starts the runs here, so what it has waited for counts as theirs.
        """
        found: defaultdict[str, float] = defaultdict(float)
        for _, own, waited_for, command in self._tree():
            role = next((role for part, role in _ROLES.items() if part in command), "runs")
            found[role] += own
            found["runs" if role == "daemon" else role] += waited_for
        return found

    def _tree(self) -> Iterator[tuple[int, float, float, str]]:
        """Process id, s of its own, s of children that it has waited for, command; of all processes below ours."""
        assert self._process
        found, children = {}, dict[int, list[int]]()
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                with suppress(*_ENDED):
                    fields = (place / "stat").read_text().rpartition(")")[2].split()
                    command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    own, waited_for = (sum(map(int, fields[at : at + 2])) / _TICKS for at in (11, 13))
                    found[int(place.name)] = (own, waited_for, command)
                    children.setdefault(int(fields[1]), []).append(int(place.name))
        below = [self._process.pid]
        for pid in below:
            below += children.get(pid, [])
        yield from ((pid, *found[pid]) for pid in below if pid in found)
