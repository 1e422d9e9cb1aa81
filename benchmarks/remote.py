"""Far hosts to measure on: a real sshd on a loopback address, and OpenSSH's client as a plain script starts it.

The server runs as long as the thread that started it, so it is a subject's own ``run`` that does; its methods, in their
processes, are given where it is.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aurora_platform.config.hosts import SshHost
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.openssh import openssh_command
from aurora_simulator.ssh_server import SshServer
from benchmarks.measure import WrongAnswerError

_LOGIN = "Accepted publickey for "
_PATIENCE = 5.0  # s


@contextmanager
def remote_host(directory: Path, address: str) -> Iterator[tuple[SshHost, SshServer]]:
    """A host that is reached by key authentication, and its server."""
    with SshServer(directory / address, address=address) as server:
        yield (
            SshHost(address=address, port=server.port, user=server.user, auth="key", identity=server.identity),
            server,
        )


def openssh(host: SshHost, known_hosts: Path, command: str) -> subprocess.Popen[bytes]:
    """A line for the shell on a host in a session of its own: a process, a connection and a login."""
    client = openssh_command(host, Bounds(known_hosts))
    line = [*client, "-o", "LogLevel=ERROR", host.address, command]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def output_of(process: subprocess.Popen[bytes]) -> bytes:
    """What that command prints; it has to end well."""
    said, _ = process.communicate()
    if process.returncode:
        raise WrongAnswerError(f"ssh ended with exit code {process.returncode}")
    return said


def logins(server: SshServer) -> int:
    """How many sessions were opened on a host so far."""
    return server.log().count(_LOGIN)


def log_grew(server: SshServer, count: int) -> None:
    """Require that many logins by now; the log may be a moment late."""
    deadline = time.monotonic() + _PATIENCE
    while logins(server) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    if logins(server) != count:
        raise WrongAnswerError(f"{logins(server)} logins on {server.address}, not {count}")
