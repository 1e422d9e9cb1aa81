"""``aurora ui`` on a small site whose sensors tick, and what a test asks it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.daemon import make_home
from tests.patience import patient, until
from tests.site_files import write_site

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "web server": "aurora_assets.instance.web_server",
    "daemon": "dagster._daemon",
    "code server": "dagster api",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Ui:
    """A running ``aurora ui``."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / f"log-{self.port}").read_text(errors="replace")

    def ask(self, query: str, **headers: str) -> dict[str, Any]:
        """Ask GraphQL, as a program on this machine does."""
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(
            f"{self.address}/graphql", body, {"Content-Type": "application/json", **headers}
        )
        with urllib.request.urlopen(request, timeout=patient(30)) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        data = found["data"]
        assert isinstance(data, dict)
        return data

    def limits(self) -> set[str]:
        """The concurrency limits of the instance: what the attacks try to add to."""
        found = self.ask("{instance{concurrencyLimits{concurrencyKey}}}")["instance"]["concurrencyLimits"]
        return {limit["concurrencyKey"] for limit in found}

    def processes(self, name: str) -> list[int]:
        """The processes of one of the three programs."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if parent == self.process.pid and PROGRAMS[name] in words:
                    found.append(int(entry.name))
        return found

    def last_tick(self) -> float:
        """When the newest tick of a sensor has ended, s since epoch; 0 without any."""
        with closing(sqlite3.connect(self.home / "dagster/schedules/schedules.db", timeout=30)) as db:
            row = db.execute(
                "SELECT max(strftime('%s', timestamp)) FROM job_ticks WHERE status != 'STARTED'"
            ).fetchone()
        return float(row[0] or 0)

    def wait_for_ticks(self, since: float) -> None:
        """Wait until a tick has begun after ``since``, s since epoch."""
        until(lambda: self.last_tick() > since)

    def kill(self, name: str) -> None:
        """Kill one of the three programs, and wait until another process does its work."""
        before = self.processes(name)
        assert len(before) == 1
        os.kill(before[0], signal.SIGKILL)
        until(lambda: (now := self.processes(name)) and now != before)


def write_running_site(home: Path) -> Path:
    """A site whose sensor looks for new files of an instrument every five seconds."""

    def change(data: dict[str, Any]) -> None:
        data["live"] = {"running": True, "every": "5s"}
        data["hosts"] = {"here": {"kind": "local"}}
        met = {"host": "here", "path": str(home / "instrument"), "raw": "met", "include": ["met_*.txt"], "day": "mtime"}
        data["streams"] = {"met": {**met, "start": "2026-11-01", "settle": "1s"}}

    (home / "instrument").mkdir()
    return write_site(home, change)


@contextmanager
def running(home: Path, *options: str, **environment: str) -> Iterator[Ui]:
    """Run ``aurora ui`` on the site of a directory, until the block ends."""
    if not (home / "site.yaml").exists():
        write_running_site(home)
        make_home(home / "dagster")
    port = free_port()
    variables = {"AURORA_SITE": str(home / "site.yaml"), "DAGSTER_HOME": str(home / "dagster"), **environment}
    with (home / f"log-{port}").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "aurora_cli.main", "ui", "--port", str(port), *options],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    ui = Ui(home, port, process)
    try:
        until(lambda: "is ready" in ui.log or process.poll() is not None)
        assert process.poll() is None, ui.log
        yield ui
    finally:
        process.terminate()
        process.wait(patient(60))


def browse(address: str, profile: Path, *options: str, seconds: int = 8) -> str:
    """Open an address in Chromium, and return the page as it is after some seconds of its own time."""
    chromium = shutil.which("chromium")
    assert chromium is not None
    quiet: Sequence[str] = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"),
        *(f"--virtual-time-budget={seconds * 1000}", "--dump-dom"),
    )
    done = subprocess.run(
        [chromium, *quiet, *options, address], capture_output=True, text=True, timeout=patient(90), check=True
    )
    return done.stdout
