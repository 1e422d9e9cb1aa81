"""Runs remote hosts for benchmarks: a real sshd on a loopback address, and OpenSSH's client, as in a plain script.

The server ends with the thread that started it. So the ``run`` of a subject starts it, and passes its address to the
methods in their processes.
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
_TIMEOUT = 5.0  # s


@contextmanager
def remote_host(directory: Path, address: str) -> Iterator[tuple[SshHost, SshServer]]:
    """Run a host with key authentication; yield the host and its server."""
    with SshServer(directory / address, address=address) as server:
        yield (
            SshHost(address=address, port=server.port, user=server.user, auth="key", identity=server.identity),
            server,
        )


def openssh(host: SshHost, known_hosts: Path, command: str) -> subprocess.Popen[bytes]:
    """Start a shell command on a host in a new session: a process, a connection and a login."""
    client = openssh_command(host, Bounds(known_hosts))
    line = [*client, "-o", "LogLevel=ERROR", host.address, command]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def output_of(process: subprocess.Popen[bytes]) -> bytes:
    """Return the output of the command; it must succeed."""
    output, _ = process.communicate()
    if process.returncode:
        raise WrongAnswerError(f"ssh exited with {process.returncode}")
    return output


def logins(server: SshServer) -> int:
    """Return the number of logins on a host so far."""
    return server.log().count(_LOGIN)


def require_logins(server: SshServer, count: int) -> None:
    """Require this number of logins; the log may be slightly late."""
    deadline = time.monotonic() + _TIMEOUT
    while logins(server) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    if logins(server) != count:
        raise WrongAnswerError(f"{logins(server)} logins on {server.address}, not {count}")
