"""A session with an SSH host: how it is opened, how a program is started in it, and how a tree is listed.

By Fabric and Paramiko; loaded when a host is first spoken to. Sessions follow the same rules as the OpenSSH client that
rsync starts (:mod:`aurora_platform.transport.openssh`) and share one ``known_hosts`` with it.
"""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import islice
from socket import IPPROTO_TCP, TCP_NODELAY, TCP_USER_TIMEOUT

from fabric import Config, Connection
from paramiko import (
    Channel,
    ChannelException,
    PKey,
    SSHConfig,
    SSHException,
)
from paramiko.auth_strategy import AuthSource, AuthStrategy, InMemoryPrivateKey, NoneAuth

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.text import Count, printable
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.known_hosts import AcceptNew, HostKeyError, name_of, require_comparable
from aurora_platform.transport.listing import (
    CLOSED_ROOT,
    NO_SUCH_ROOT,
    Listing,
    count_unreadable,
    parse_listing,
    remote_command,
    split_records,
)
from aurora_platform.transport.session_pool import ALIVE_SECONDS, ALIVE_TIMES, HASHING_AT_ONCE, Sessions
from aurora_platform.transport.ssh_errors import is_refusal, why_broken_off, why_no_session

# Paramiko logs a traceback for each connection that fails; the HostError says the same in one line.
_LOG_CHANNEL = "aurora.paramiko"
logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL)


_NO_ROOM = 4  # SSH_OPEN_RESOURCE_SHORTAGE of RFC 4254
_BLOCK = 1 << 16
_MOST_ANSWER = 16  # blocks, of what is no listing
_MOST_STDERR = 1 << 18
_MOST_DRAINED = 64  # blocks at a time: more than the window of a channel (2 MB) holds
_QUIET, _TALKING = 0.5, 0.01  # s, to wait for stdout before stderr is looked at again

_SESSIONS = Sessions()  # of this process: the sensors of the code server, or the steps of a run


class SshSession:
    """What is said to an SSH host, within bounds; see :class:`aurora_platform.transport.protocols.Source`.

    All who speak to the same host in this process share one login.
    """

    def __init__(self, host: SshHost, bounds: Bounds) -> None:
        self.host = host
        self.bounds = bounds

    def start(self, argv: Sequence[str], login: tuple[Connection, bool] | None = None) -> Channel:
        """Start a program on the host, in the session of ``login`` (see :meth:`connection`), or in that of a new one.

        A session that was open before may have died unnoticed; then a new one is tried.
        """
        connection, was_open = login or self.connection()
        while True:
            try:
                channel = _open_channel(connection, self.bounds.connect_seconds)
                with _bounded(connection, self.bounds.connect_seconds):
                    channel.exec_command(shlex.join(argv))
            except ChannelException:
                raise  # refused by a host that answers: the session is good for the others
            except (OSError, SSHException, EOFError):
                self.discard(connection)
                if not was_open:
                    raise
                connection, was_open = self.connection()
            else:
                return channel

    def list(self, root: str, below: Sequence[str], without: Sequence[str] = (), named: Sequence[str] = ()) -> Listing:
        """See :meth:`aurora_platform.transport.protocols.Source.list`."""
        unreadable = Count()
        return parse_listing(self._records(root, remote_command(root, below, without, named), unreadable), unreadable)

    def ask(self, argv: Sequence[str]) -> str:
        """What a program on the host prints; :class:`HostError` where it cannot be asked, or fails."""
        deadline, stderr = time.monotonic() + self.bounds.listing_seconds, bytearray()
        with self._execute(argv) as channel:
            said = b"".join(islice(self._blocks(channel, deadline, stderr), _MOST_ANSWER))
            status = self._status(channel)
        if status != 0:
            text = _said(stderr)
            raise HostError(f"{self.host.address}: {argv[0]} ended with exit code {status}: {text or 'no message'}")
        return said.decode("utf-8", "replace")

    def _records(self, root: str, command: Sequence[str], unreadable: Count) -> Iterator[bytes]:
        deadline = time.monotonic() + self.bounds.listing_seconds
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
            count_unreadable(bytes(stderr), unreadable)
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
            # Before the turn: all who wait for one share this attempt and its end; a dead host costs its bound once.
            login = self.connection()
            with self.turn(), closing(self.start(command, login)) as channel:
                yield channel
        except (OSError, SSHException, EOFError) as error:
            raise HostError(why_broken_off(error, self.host)) from None

    def _blocks(self, channel: Channel, deadline: float, stderr: bytearray) -> Iterator[bytes]:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise HostError(
                    f"{self.host.address}: the listing took longer than {self.bounds.listing_seconds:.0f} s"
                )
            # Whoever says more on stderr than fits its window says nothing on stdout before that is taken.
            is_talking = _drain(channel, stderr)
            channel.settimeout(min(left, _TALKING if is_talking else _QUIET))
            try:
                block = channel.recv(_BLOCK)
            except TimeoutError:
                continue
            if not block:
                _drain(channel, stderr)
                return
            yield block

    def _status(self, channel: Channel) -> int:
        if not channel.status_event.wait(self.bounds.connect_seconds):
            raise HostError(f"{self.host.address}: the session did not end")
        return int(channel.exit_status)

    def connection(self) -> tuple[Connection, bool]:
        """The login that this process shares, and whether it was open already; see :meth:`discard`."""
        # Another thread's attempt takes no longer than the three steps of connecting.
        try:
            return _SESSIONS.get(
                self._key, lambda: connect(self.host, self.bounds), wait=4 * self.bounds.connect_seconds
            )
        except TimeoutError:
            raise HostError(f"{self.host.where}: no answer in time, to another look at the same host") from None

    def discard(self, connection: Connection) -> None:
        """Close a login that does not answer."""
        _SESSIONS.discard(self._key, connection)

    def turn(self) -> AbstractContextManager[None]:
        """Be one of the few that use the login at once."""
        return _SESSIONS.turn(self._key, wait=self.bounds.connect_seconds)

    def hashing_turn(self, wait: float) -> AbstractContextManager[None]:
        """Be one of the few that hash on the host at once; ``TimeoutError`` where none ends within ``wait`` s."""
        return _SESSIONS.turn(("hashing", *self._key), wait, HASHING_AT_ONCE)

    @property
    def _key(self) -> tuple[object, ...]:
        host = self.host
        return host.address, host.port, host.user, host.auth, host.identity, str(self.bounds.known_hosts)


def connect(host: SshHost, bounds: Bounds) -> Connection:
    """A new Fabric connection to ``host``; :class:`HostError` says in one line why there is none."""
    file, name = bounds.known_hosts, name_of(host)
    file.parent.mkdir(parents=True, exist_ok=True)
    known = require_comparable(file, name)
    # Without lazy=True and an SSHConfig of our own, Fabric would read the user's and the system's configuration.
    connection = Connection(
        host.address,
        user=host.user,
        port=host.port,
        config=Config(lazy=True, ssh_config=SSHConfig()),
        # Not Fabric's connect_timeout: that is cut to whole seconds, and 0.9 s would be no bound at all.
        connect_kwargs={
            "timeout": bounds.connect_seconds,
            "auth_strategy": _Only(_credentials(host)),
            "banner_timeout": 2 * bounds.connect_seconds,  # "timeout" has the banner in it, and ends first
            "auth_timeout": bounds.connect_seconds,
            "channel_timeout": bounds.connect_seconds,
        },
    )
    connection.client.set_missing_host_key_policy(AcceptNew(file))
    connection.client.set_log_channel(_LOG_CHANNEL)
    for kind, key in known.keys.items():
        connection.client.get_host_keys().add(name, kind, key)
    try:
        connection.open()
        connection.transport.set_keepalive(ALIVE_SECONDS)
        # What asks waits for its answer: without this a question waits for the acknowledgement of the one before it.
        connection.transport.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        # What was sent and is not acknowledged for that long: the other end is gone, and the session with it.
        connection.transport.sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, ALIVE_SECONDS * ALIVE_TIMES * 1000)
    except (OSError, SSHException, EOFError) as error:
        connection.client.close()  # Fabric's own close() passes over a connection whose login failed
        why = why_no_session(error, host, file, bounds.connect_seconds)
        raise (HostRefusedError if is_refusal(error) else HostError)(why) from None
    except HostKeyError:
        connection.client.close()
        raise
    return connection


def _open_channel(connection: Connection, seconds: float) -> Channel:
    """A channel of the session; :class:`ChannelException` where a host that answers refuses it.

    Paramiko has one place for the reason why, whoever asked. Of two who are refused at once the second finds it empty,
    and is told what one is told whose connection is gone.
    """
    transport = connection.transport
    try:
        channel: Channel = transport.open_session(timeout=seconds)
    except SSHException as error:
        if str(error) == "Unable to open channel." and transport.is_active():
            raise ChannelException(_NO_ROOM, "Resource shortage") from None
        raise
    return channel


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


def _said(stderr: bytearray) -> str:
    """What a host has said, in one line that is safe for a terminal."""
    return printable(bytes(stderr[:300]).strip())


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


def _drain(channel: Channel, stderr: bytearray) -> bool:
    """Take what is on stderr, so that the far side never blocks on it; keep no more than a bounded part.

    Returns whether there was any. Never all of what comes: who floods it would hold us here beyond every bound.
    """
    for taken in range(_MOST_DRAINED):
        if not channel.recv_stderr_ready():
            return taken > 0
        stderr += channel.recv_stderr(_BLOCK)[: max(0, _MOST_STDERR - len(stderr))]
    return True
