"""What the tests of the command share: a site of real hosts, a way to run the command, and what it must not touch."""

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
CONNECT = int(patient(2))  # s; the bound on each step of a login
TODAY = datetime.now(UTC).date()
FIRST, SECOND = TODAY - timedelta(days=3), TODAY - timedelta(days=2)  # the days that the simulator writes
FILES = {"cl61": 288, "radar": 72, "hatpro": 120, "vaisalamet": 1, "asfs_logger": 24, "asfs_fast_sonic": 24, "power": 1}
"""Files a day, by the observatory's documentation."""


@dataclass(frozen=True)
class Observatory:
    """Two hosts with seven instruments, and what their simulator wrote for them."""

    far: Path
    ass: SshServer
    aps: SshServer

    def write_site(self, directory: Path, change: Callable[[dict[str, Any]], None] = lambda data: None) -> Path:
        """A site file for it, with everything of this machine below ``directory``; ``change`` may alter its keys."""
        data = read_yaml(ROOT / "sites" / "gamb2le.yaml")
        data["paths"] = {name: name for name in data["paths"]}
        data["hosts"] = {"ass": settings(self.ass), "aps": settings(self.aps)}
        data["limits"] = {"connect": f"{CONNECT}s", "look": f"{min(48, 4 * CONNECT)}s", "lock": in_site_file(20)}
        del data["archive"], data["streams"]["wxcam"]
        for name, stream in data["streams"].items():
            stream["path"] = str(self.far / INSTRUMENTS[name].directory)
            stream["start"] = FIRST
        change(data)
        file = directory / "site.yaml"
        write_yaml(file, data)
        return file


def settings(server: SshServer) -> dict[str, Any]:
    """A server as a host of a site file."""
    identity = {"identity": str(server.identity)} if server.identity else {}
    return {
        "kind": "ssh",
        "address": server.address,
        "port": server.port,
        "user": server.user,
        "auth": server.auth,
        **identity,
    }


def elsewhere(server: SshServer, address: str, port: int) -> dict[str, Any]:
    """The same login at another address."""
    return settings(server) | {"address": address, "port": port}


class Deaf:
    """Hosts at 127.0.0.3 that take connections and never say a word."""

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
                threading.Thread(target=self._hear, args=(connection,), daemon=True).start()

    def _hear(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(1 << 14):
                pass
        with self._lock:
            self._open -= 1


@contextmanager
def deaf(count: int = 1) -> Iterator[Deaf]:
    """So many hosts, each with a port of its own."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.3", 0))) for _ in range(count)]
        for listener in listeners:
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
        yield Deaf(listeners)


def dead_port(address: str = "127.0.0.9") -> int:
    """A port on which nothing listens."""
    with socket.create_server((address, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def aurora(file: Path, *arguments: str) -> Result:
    """The command, in this process."""
    return CliRunner().invoke(main, ["--site", str(file), *arguments])


_EVERY_FILE = "-dac_override,-dac_read_search"
WITHOUT_RIGHTS = ("setpriv", f"--bounding-set={_EVERY_FILE}", f"--inh-caps={_EVERY_FILE}") if os.geteuid() == 0 else ()
"""What a program is started by so that modes of files apply to it; root would read and write everything."""


def aurora_process(
    file: Path, *arguments: str, under: Sequence[str] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own, as an operator runs it."""
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


def as_json(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def lines_of(result: Result) -> dict[str, dict[str, str]]:
    """What an audit found, by component."""
    return {line["component"]: line for line in as_json(result)["findings"]}


def streams(result: Result) -> dict[str, dict[str, Any]]:
    """What a status says, by stream."""
    return {stream["stream"]: stream for stream in as_json(result)["streams"]}


def everything(*roots: Path) -> dict[str, tuple[int, int, int, int]]:
    """Inode, size, mtime and ctime of all that there is, directories too: what changes when anything is written."""
    found = {}
    for root in roots:
        for path in (root, *root.rglob("*")):
            status = path.lstat()
            found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


@dataclass(frozen=True)
class OnATerminal:
    """What a command drew on stderr, which was a terminal, what it said on stdout, and its exit code."""

    drawn: str
    said: str
    code: int


def on_a_terminal(file: Path, *arguments: str) -> OnATerminal:
    """Run the command in a process of its own whose stderr is a terminal."""
    master, slave = pty.openpty()
    env = {**os.environ, "AURORA_SITE": str(file), "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "aurora_cli.main", *arguments]
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    drawn = b""
    try:
        while block := os.read(master, 65536):
            drawn += block
    except OSError:
        pass  # how a terminal says that nobody writes to it any more
    finally:
        os.close(master)
    said, _ = process.communicate(timeout=patient(60))
    return OnATerminal(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode()), said, process.returncode)
