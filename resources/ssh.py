"""SSH to a host of the site file: sessions by Fabric, and the option list for programs that run ``ssh`` themselves.

Both follow the same rules and share one ``known_hosts`` in the state directory: no agent, no keys but the one named,
no user or system configuration; a host key is accepted when new and refused when changed; every step has a bound.
"""

import logging
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import islice
from pathlib import Path
from socket import IPPROTO_TCP, TCP_USER_TIMEOUT
from typing import Self

from dagster import ConfigurableResource
from fabric import Config, Connection
from filelock import FileLock
from paramiko import (
    Channel,
    ChannelException,
    MissingHostKeyPolicy,
    PKey,
    SSHClient,
    SSHConfig,
    SSHException,
)
from paramiko.auth_strategy import AuthSource, AuthStrategy, InMemoryPrivateKey, NoneAuth

from aurora_assets.digests import Hasher, LocalHasher
from aurora_assets.errors import HostError, HostRefusedError
from aurora_assets.files import Tally, shown
from aurora_assets.hosts import Host, SshHost
from aurora_assets.listing import (
    CLOSED_ROOT,
    NO_SUCH_ROOT,
    Listing,
    LocalSource,
    Source,
    complaints,
    parse_listing,
    remote_command,
    split_records,
)
from resources.hashing import RemoteHasher
from resources.sessions import HASHING_AT_ONCE, Sessions
from resources.ssh_errors import is_refusal, why_broken_off, why_no_session

# Paramiko logs a traceback for each connection that fails; the HostError says the same in one line.
_LOG_CHANNEL = "aurora.paramiko"
logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL)

_BLOCK = 1 << 16
_MOST_ANSWER = 16  # blocks, of what is no listing
_MOST_STDERR = 1 << 18
_SESSIONS = Sessions()  # of this process: the sensors of the code server, or the steps of a run
_ALIVE_SECONDS, _ALIVE_TIMES = 15, 4  # a connection that answers none of 4 probes, 15 s apart, is dead


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
        return RemoteSource(self if within is None else self._hurried(within), host)

    def hasher(self, host: Host, within: float | None = None) -> Hasher:
        """The way to hash the files of a host: on its own cores, wherever it is.

        ``within`` seconds, where that is less than a run may take. A far host that does not get on at all is given up
        after ``hashing_stall_seconds``, however much time is left.
        """
        if not isinstance(host, SshHost):
            return LocalHasher()
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
        return RemoteSource(self, host).ask(argv)

    def command(self, host: SshHost) -> list[str]:
        """The OpenSSH client with our options for ``host``, for a program that appends the address itself."""
        Path(self.known_hosts).parent.mkdir(parents=True, exist_ok=True)
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
            "ServerAliveInterval": str(_ALIVE_SECONDS),
            "ServerAliveCountMax": str(_ALIVE_TIMES),
            "ControlPath": "none",
            "ClearAllForwardings": "yes",
        }
        pairs = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "/dev/null", "-T", *pairs, "-p", str(host.port), "-l", host.user]

    def session(self, host: SshHost) -> tuple[Connection, bool]:
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

    def discard(self, host: SshHost, connection: Connection) -> None:
        """Close a session that does not answer."""
        _SESSIONS.discard(self._key(host), connection)

    def _key(self, host: SshHost) -> tuple[object, ...]:
        return host.address, host.port, host.user, host.auth, host.identity, self.known_hosts

    def start(self, host: SshHost, command: Sequence[str]) -> Channel:
        """Start a program on ``host``. A kept session may have died unnoticed; then it is tried with a new one."""
        while True:
            connection, was_open = self.session(host)
            try:
                channel: Channel = connection.transport.open_session(timeout=self.connect_seconds)
                with _bounded(connection, self.connect_seconds):
                    channel.exec_command(shlex.join(command))
            except ChannelException:
                raise  # refused by a host that answers: the session is good for the others
            except (OSError, SSHException, EOFError):
                self.discard(host, connection)
                if not was_open:
                    raise
            else:
                return channel

    def connect(self, host: SshHost) -> Connection:
        """A new Fabric connection to ``host``; :class:`HostError` says in one line why there is none."""
        known = Path(self.known_hosts)
        known.parent.mkdir(parents=True, exist_ok=True)
        known.touch(mode=0o600)
        # Without lazy=True and an SSHConfig of our own, Fabric would read the user's and the system's configuration.
        connection = Connection(
            host.address,
            user=host.user,
            port=host.port,
            config=Config(lazy=True, ssh_config=SSHConfig()),
            # Not Fabric's connect_timeout: that is cut to whole seconds, and 0.9 s would be no bound at all.
            connect_kwargs={
                "timeout": self.connect_seconds,
                "auth_strategy": _Only(_credentials(host)),
                "banner_timeout": 2 * self.connect_seconds,  # "timeout" has the banner in it, and ends first
                "auth_timeout": self.connect_seconds,
                "channel_timeout": self.connect_seconds,
            },
        )
        connection.client.set_missing_host_key_policy(AcceptNew(known))
        connection.client.set_log_channel(_LOG_CHANNEL)
        try:
            connection.client.load_host_keys(str(known))
            connection.open()
            connection.transport.set_keepalive(_ALIVE_SECONDS)
            # What was sent and is not acknowledged for that long: the other end is gone, and the session with it.
            connection.transport.sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, _ALIVE_SECONDS * _ALIVE_TIMES * 1000)
        except (OSError, SSHException, EOFError) as error:
            connection.client.close()  # Fabric's own close() passes over a connection whose login failed
            why = why_no_session(error, host, known, self.connect_seconds)
            raise (HostRefusedError if is_refusal(error) else HostError)(why) from None
        return connection


class AcceptNew(MissingHostKeyPolicy):
    """Remember the key of a host that was never seen, as OpenSSH's ``accept-new`` does.

    Paramiko's own policy rewrites the whole file; two sessions, or an ``ssh`` beside us, would lose each other's keys.
    """

    def __init__(self, known_hosts: Path) -> None:
        self.known_hosts = known_hosts

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:
        line = f"{hostname} {key.get_name()} {key.get_base64()}\n"
        with FileLock(f"{self.known_hosts}.lock", timeout=10), self.known_hosts.open("a") as file:
            file.write(line)
        client.get_host_keys().add(hostname, key.get_name(), key)


class _Only(AuthStrategy):
    """One way to authenticate, and no other."""

    def __init__(self, source: AuthSource) -> None:
        super().__init__(ssh_config=SSHConfig())
        self.source = source

    def get_sources(self) -> Iterator[AuthSource]:
        yield self.source


def _credentials(host: SshHost) -> AuthSource:
    if host.auth == "none":
        return NoneAuth(username=host.user)
    assert host.identity is not None  # SshHost's own validation
    try:
        return InMemoryPrivateKey(host.user, PKey.from_path(host.identity))
    except Exception as error:  # paramiko has no common type for what may be wrong with a key file
        raise HostRefusedError(f"{host.address}: identity {host.identity} cannot be used: {error}") from None


class RemoteSource:
    """A source on a far host: one session, one ``find``."""

    def __init__(self, ssh: SshResource, host: SshHost) -> None:
        self.ssh = ssh
        self.host = host

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = ()) -> Listing:
        """See :meth:`aurora_assets.listing.Source.list`."""
        unreadable = Tally()
        return parse_listing(self._records(root, remote_command(root, below, without), unreadable), unreadable)

    def ask(self, argv: Sequence[str]) -> str:
        """See :meth:`SshResource.ask`."""
        deadline, stderr = time.monotonic() + self.ssh.listing_seconds, bytearray()
        with self._execute(argv) as channel:
            said = b"".join(islice(self._blocks(channel, deadline, stderr), _MOST_ANSWER))
            status = self._status(channel)
        if status != 0:
            text = _said(stderr)
            raise HostError(f"{self.host.address}: {argv[0]} ended with exit code {status}: {text or 'no message'}")
        return said.decode("utf-8", "replace")

    def _records(self, root: str, command: Sequence[str], unreadable: Tally) -> Iterator[bytes]:
        deadline = time.monotonic() + self.ssh.listing_seconds
        stderr = bytearray()
        with self._execute(command) as channel:
            yield from split_records(self._blocks(channel, deadline, stderr))
            status = self._status(channel)
        if status == NO_SUCH_ROOT:
            raise HostRefusedError(
                f"{self.host.address}: {root} does not exist there. Is the path in the site file right?"
            )
        if status == CLOSED_ROOT:
            raise self._closed(root, "Permission denied")
        if status != 0:
            text = _said(stderr)
            raise HostError(f"{self.host.address}: the listing ended with exit code {status}: {text or 'no message'}")
        try:
            complaints(bytes(stderr), unreadable)
        except HostRefusedError as error:
            raise self._closed(root, str(error)) from None

    def _closed(self, root: str, why: str) -> HostRefusedError:
        return HostRefusedError(
            f"{self.host.address}: {root} is not readable there: {why}. Let {self.host.user} read and enter it."
        )

    @contextmanager
    def _execute(self, command: Sequence[str]) -> Iterator[Channel]:
        """Run a program there; all that breaks off meanwhile ends as a :class:`HostError` in one line."""
        try:
            with self.ssh.turn(self.host), closing(self.ssh.start(self.host, command)) as channel:
                yield channel
        except (OSError, SSHException, EOFError) as error:
            raise HostError(why_broken_off(error, self.host)) from None

    def _blocks(self, channel: Channel, deadline: float, stderr: bytearray) -> Iterator[bytes]:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise HostError(f"{self.host.address}: the listing took longer than {self.ssh.listing_seconds:.0f} s")
            channel.settimeout(left)
            try:
                block = channel.recv(_BLOCK)
            except TimeoutError:
                continue
            _drain(channel, stderr)
            if not block:
                return
            yield block

    def _status(self, channel: Channel) -> int:
        if not channel.status_event.wait(self.ssh.connect_seconds):
            raise HostError(f"{self.host.address}: the session did not end")
        return int(channel.exit_status)


def _said(stderr: bytearray) -> str:
    """What a host has said, in one line that is safe for a terminal."""
    return shown(bytes(stderr[:300]).strip())


@contextmanager
def _bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """Close the connection where the block takes longer: paramiko waits without a bound for the answer to a request."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        connection.transport.close()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, SSHException, EOFError):
        if expired.is_set():
            raise TimeoutError("no answer in time to the start of a program") from None
        raise
    finally:
        timer.cancel()


def _drain(channel: Channel, stderr: bytearray) -> None:
    """Take what is on stderr, so that the far side never blocks on it; keep no more than a bounded part."""
    while channel.recv_stderr_ready():
        stderr += channel.recv_stderr(_BLOCK)[: max(0, _MOST_STDERR - len(stderr))]
