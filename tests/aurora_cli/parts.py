"""Helpers of the command's tests: a site of real hosts, ways to run the command, and the state of file trees."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from aurora_cli.main import main
from aurora_simulator import INSTRUMENTS
from aurora_simulator.ssh_server import SshServer
from tests.patience import in_site_file, patient
from tests.site_files import read_yaml, write_yaml

ROOT = Path(__file__).resolve().parents[2]
CONNECT = int(patient(2))  # s; the bound of each step of a login
TODAY = datetime.now(UTC).date()
FIRST, SECOND = TODAY - timedelta(days=3), TODAY - timedelta(days=2)  # the days that the simulator writes
FILES = {"cl61": 288, "radar": 72, "hatpro": 120, "vaisalamet": 1, "asfs_logger": 24, "asfs_fast_sonic": 24, "power": 1}
"""Files per day, by the observatory's documentation."""


@dataclass(frozen=True)
class Observatory:
    """Two hosts with seven instruments, and the directory with their simulated files."""

    source: Path
    ass: SshServer
    aps: SshServer

    def write_site(self, directory: Path, change: Callable[[dict[str, Any]], None] = lambda data: None) -> Path:
        """Write a site file with all local paths below ``directory``; ``change`` may alter its keys."""
        data = read_yaml(ROOT / "sites" / "gamb2le.yaml")
        data["paths"] = {name: name for name in data["paths"]}
        data["hosts"] = {"ass": host_settings(self.ass), "aps": host_settings(self.aps)}
        data["limits"] = {"connect": f"{CONNECT}s", "look": f"{min(48, 4 * CONNECT)}s", "lock": in_site_file(20)}
        del data["archive"], data["streams"]["wxcam"]
        for name, stream in data["streams"].items():
            stream["path"] = str(self.source / INSTRUMENTS[name].directory)
            stream["start"] = FIRST
        change(data)
        file = directory / "site.yaml"
        write_yaml(file, data)
        return file


def host_settings(server: SshServer) -> dict[str, Any]:
    """Return a server as a host of the site file."""
    identity = {"identity": str(server.identity)} if server.identity else {}
    return {
        "kind": "ssh",
        "address": server.address,
        "port": server.port,
        "user": server.user,
        "auth": server.auth,
        **identity,
    }


def host_settings_at(server: SshServer, address: str, port: int) -> dict[str, Any]:
    """Return the same login at another address."""
    return host_settings(server) | {"address": address, "port": port}


class SilentHosts:
    """Hosts at 127.0.0.3 that accept connections and never send a byte."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self.ports: list[int] = [listener.getsockname()[1] for listener in listeners]
        self.connections = 0
        self.most_at_once = 0
        self._open = 0
        self._lock = threading.Lock()
        for listener in listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.ports[0]

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with self._lock:
                    self.connections += 1
                    self._open += 1
                    self.most_at_once = max(self.most_at_once, self._open)
                threading.Thread(target=self._read_until_closed, args=(connection,), daemon=True).start()

    def _read_until_closed(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(1 << 14):
                pass
        with self._lock:
            self._open -= 1


@contextmanager
def silent_hosts(count: int = 1) -> Iterator[SilentHosts]:
    """Start ``count`` hosts, each with its own port."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.3", 0))) for _ in range(count)]
        for listener in listeners:
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
        yield SilentHosts(listeners)


def closed_port(address: str = "127.0.0.9") -> int:
    """Return a port on which nothing listens."""
    with socket.create_server((address, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def run_aurora(file: Path, *arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["--site", str(file), *arguments])


_NO_OVERRIDE = "-dac_override,-dac_read_search"
WITHOUT_RIGHTS = (
    ("setpriv", f"--bounding-set={_NO_OVERRIDE}", f"--inh-caps={_NO_OVERRIDE}") if os.geteuid() == 0 else ()
)
"""Starts a program so that file modes apply to it; root would read and write everything."""


def run_aurora_process(
    file: Path, *arguments: str, under: Sequence[str] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process, as an operator does."""
    return subprocess.run(
        [*under, sys.executable, "-m", "aurora_cli.main", *arguments],
        env={**os.environ, "AURORA_SITE": str(file)},
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=patient(60),
        check=False,
        **options,
    )


def parse_json(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def audit_lines(result: Result) -> dict[str, dict[str, str]]:
    """Return the lines of an audit, by component."""
    return {line["component"]: line for line in parse_json(result)["findings"]}


def stream_statuses(result: Result) -> dict[str, dict[str, Any]]:
    """Return the streams of a status, by name."""
    return {stream["stream"]: stream for stream in parse_json(result)["streams"]}


def stat_trees(*roots: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return inode, size, mtime and ctime of every file and directory: any write changes one of them."""
    states = {}
    for root in roots:
        for path in (root, *root.rglob("*")):
            status = path.lstat()
            states[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return states


@dataclass(frozen=True)
class TerminalRun:
    """What a command wrote to its terminal (stderr) and to stdout, and its exit code."""

    terminal: str
    stdout: str
    exit_code: int


def run_on_terminal(file: Path, *arguments: str) -> TerminalRun:
    """Run the command in its own process, with a terminal as stderr."""
    master, slave = pty.openpty()
    env = {**os.environ, "AURORA_SITE": str(file), "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "aurora_cli.main", *arguments]
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    terminal = b""
    try:
        while block := os.read(master, 65536):
            terminal += block
    except OSError:
        pass  # the last writer has closed the terminal
    finally:
        os.close(master)
    stdout, _ = process.communicate(timeout=patient(60))
    return TerminalRun(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.decode()), stdout, process.returncode)
