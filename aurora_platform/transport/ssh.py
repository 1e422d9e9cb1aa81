"""SSH to a host of the site file: sessions by Fabric, and the option list for programs that run ``ssh`` themselves.

Both follow the same rules and share one ``known_hosts`` in the state directory: no agent, no keys but the one named,
no user or system configuration; a host key is accepted when new and refused when changed; every step has a bound.

What a session does is in :mod:`aurora_platform.transport.ssh_session`, which is loaded when a host is first spoken to.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dagster import ConfigurableResource

from aurora_platform.config.hosts import Host, SshHost
from aurora_platform.errors import HostError
from aurora_platform.transport.checksums import Hasher, LocalHasher
from aurora_platform.transport.listing import LocalSource, Source
from aurora_platform.transport.session_pool import ALIVE_SECONDS, ALIVE_TIMES, HASHING_AT_ONCE, Sessions

if TYPE_CHECKING:
    from fabric import Connection
    from paramiko import Channel

_SESSIONS = Sessions()  # of this process: the sensors of the code server, or the steps of a run


class SshResource(ConfigurableResource):
    """Sessions with the hosts of the site file."""

    known_hosts: str
    connect_seconds: float = 15
    listing_seconds: float = 600
    hashing_stall_seconds: float = 60
    hashing_seconds: float = 21_600

    def source(self, host: Host, within: float | None = None) -> Source:
        """The way to list a host: directly where it is this machine, else over SSH.

        ``within`` seconds, where that is less than a run may take: a sensor's tick has a bound of its own.
        """
        if not isinstance(host, SshHost):
            return LocalSource()
        from aurora_platform.transport import ssh_session

        return ssh_session.RemoteSource(self if within is None else self._hurried(within), host)

    def hasher(self, host: Host, within: float | None = None) -> Hasher:
        """The way to hash the files of a host: on its own cores, wherever it is.

        ``within`` seconds, where that is less than a run may take. A far host that does not get on at all is given up
        after ``hashing_stall_seconds``, however much time is left.
        """
        if not isinstance(host, SshHost):
            return LocalHasher()
        from aurora_platform.transport.ssh_checksums import RemoteHasher

        return RemoteHasher(self if within is None else self._hurried(within), host)

    def _hurried(self, within: float) -> Self:
        # A turn, TCP, banner, login, a channel and its program: six steps with a bound each, whatever hangs.
        return type(self)(
            known_hosts=self.known_hosts,
            connect_seconds=min(self.connect_seconds, within / 6),
            listing_seconds=min(self.listing_seconds, within),
            hashing_stall_seconds=min(self.hashing_stall_seconds, within),
            hashing_seconds=min(self.hashing_seconds, within),
        )

    def ask(self, host: SshHost, argv: Sequence[str]) -> str:
        """What a program on ``host`` prints; :class:`HostError` where it cannot be asked, or fails."""
        from aurora_platform.transport import ssh_session

        return ssh_session.RemoteSource(self, host).ask(argv)

    def command(self, host: SshHost) -> list[str]:
        """The OpenSSH client with our options for ``host``, for a program that appends the address itself.

        It takes a host whose line cannot be read for a new one: :class:`HostError`, as where we log in ourselves.
        """
        from aurora_platform.transport import known_hosts

        file = Path(self.known_hosts)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not known_hosts.require_comparable(file, known_hosts.name_of(host)).keys:
            known_hosts.end_last_line(file)
        identity = str(host.identity) if host.auth == "key" else "none"
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": identity,
            "PubkeyAuthentication": "yes" if host.auth == "key" else "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "HashKnownHosts": "no",
            "UpdateHostKeys": "no",
            "CheckHostIP": "no",
            "ConnectTimeout": str(max(1, round(self.connect_seconds))),
            "ServerAliveInterval": str(ALIVE_SECONDS),
            "ServerAliveCountMax": str(ALIVE_TIMES),
            "ControlPath": "none",
            "ClearAllForwardings": "yes",
        }
        pairs = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "/dev/null", "-T", *pairs, "-p", str(host.port), "-l", host.user]

    def session(self, host: SshHost) -> "tuple[Connection, bool]":
        """A session with ``host`` that this process shares, and whether it was open already; see :meth:`discard`."""
        # Another thread's attempt takes no longer than the three steps of connecting.
        try:
            return _SESSIONS.get(self._key(host), lambda: self.connect(host), wait=4 * self.connect_seconds)
        except TimeoutError:
            raise HostError(
                f"{host.address}:{host.port}: no answer in time, to another look at the same host"
            ) from None

    def turn(self, host: SshHost) -> AbstractContextManager[None]:
        """Be one of the few that use the session with ``host`` at once."""
        return _SESSIONS.turn(self._key(host), wait=self.connect_seconds)

    def hashing_turn(self, host: SshHost, wait: float) -> AbstractContextManager[None]:
        """Be one of the few that hash on ``host`` at once; ``TimeoutError`` where none ends within ``wait`` s."""
        return _SESSIONS.turn(("hashing", *self._key(host)), wait, HASHING_AT_ONCE)

    def discard(self, host: SshHost, connection: "Connection") -> None:
        """Close a session that does not answer."""
        _SESSIONS.discard(self._key(host), connection)

    def _key(self, host: SshHost) -> tuple[object, ...]:
        return host.address, host.port, host.user, host.auth, host.identity, self.known_hosts

    def start(self, host: SshHost, command: Sequence[str]) -> "Channel":
        """Start a program on ``host``."""
        from aurora_platform.transport import ssh_session

        return ssh_session.start(self, host, command)

    def connect(self, host: SshHost) -> "Connection":
        """A new Fabric connection to ``host``; :class:`HostError` says in one line why there is none."""
        from aurora_platform.transport import ssh_session

        return ssh_session.connect(self, host)
