"""Sessions with SSH hosts: opens them, runs programs in them and lists directories.

Uses Fabric and Paramiko; loaded with the first request to an SSH host. Sessions follow the same rules as the OpenSSH
client that rsync starts (:mod:`aurora_platform.transport.openssh`) and share its ``known_hosts``.
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
from aurora_platform.errors import HostError, HostRefusedError, NoSuchRootError
from aurora_platform.text import Count, printable
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.known_hosts import AcceptNew, HostKeyError, name_of, require_comparable_keys
from aurora_platform.transport.listing import (
    NO_SUCH_ROOT,
    UNREADABLE_ROOT,
    Listing,
    count_unreadable,
    parse_listing,
    remote_command,
    split_records,
)
from aurora_platform.transport.session_pool import (
    KEEPALIVE_PROBES,
    KEEPALIVE_SECONDS,
    MAX_HASHING_CHANNELS,
    SessionPool,
)
from aurora_platform.transport.ssh_errors import connect_error_message, is_refusal, session_error_message

# Paramiko logs a traceback for every failed connection; the HostError has the same reason in one line.
_LOG_CHANNEL = "aurora.paramiko"
logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL)


_RESOURCE_SHORTAGE = 4  # SSH_OPEN_RESOURCE_SHORTAGE of RFC 4254
_BLOCK = 1 << 16
_MAX_ANSWER_BLOCKS = 16  # of any output but a listing
_MAX_STDERR = 1 << 18
_MAX_DRAINED_BLOCKS = 64  # per call: more than the window of a channel (2 MB) holds
_STDERR_IDLE_WAIT, _STDERR_BUSY_WAIT = 0.5, 0.01  # s, to wait for stdout before stderr is read again

_POOL = SessionPool()  # of this process: the sensors of the code server, or the steps of a run


class SshSession:
    """Requests to an SSH host, within bounds; see :class:`aurora_platform.transport.protocols.Source`.

    All sessions of this process with the same host share one login.
    """

    def __init__(self, host: SshHost, bounds: Bounds) -> None:
        self.host = host
        self.bounds = bounds

    def start(self, argv: Sequence[str], login: tuple[Connection, bool] | None = None) -> Channel:
        """Start a program on the host, with ``login`` (see :meth:`connection`) or with a new login.

        A session that was already open may have died unnoticed; then this opens a new one.
        """
        connection, was_open = login or self.connection()
        while True:
            try:
                channel = _open_channel(connection, self.bounds.connect_seconds)
                with _bounded(connection, self.bounds.connect_seconds):
                    channel.exec_command(shlex.join(argv))
            except ChannelException:
                raise  # the host answers: other threads can go on with the session
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
        """Run a program on the host and return its output; :class:`HostError` if it cannot be run, or fails."""
        deadline, stderr = time.monotonic() + self.bounds.listing_seconds, bytearray()
        with self._execute(argv) as channel:
            output = b"".join(islice(self._blocks(channel, deadline, stderr), _MAX_ANSWER_BLOCKS))
            status = self._status(channel)
        if status != 0:
            text = _one_line(stderr)
            raise HostError(f"{self.host.address}: {argv[0]} ended with exit code {status}: {text or 'no message'}")
        return output.decode("utf-8", "replace")

    def _records(self, root: str, command: Sequence[str], unreadable: Count) -> Iterator[bytes]:
        deadline = time.monotonic() + self.bounds.listing_seconds
        stderr = bytearray()
        with self._execute(command) as channel:
            yield from split_records(self._blocks(channel, deadline, stderr))
            status = self._status(channel)
        if status == NO_SUCH_ROOT:
            raise NoSuchRootError(
                f"{self.host.address}: {root} does not exist there. Is the path in the site file right?"
            )
        if status == UNREADABLE_ROOT:
            raise self._unreadable_root(root, "Permission denied")
        if status != 0:
            text = _one_line(stderr)
            raise HostError(f"{self.host.address}: the listing ended with exit code {status}: {text or 'no message'}")
        try:
            count_unreadable(bytes(stderr), unreadable)
        except HostRefusedError as error:
            raise self._unreadable_root(root, str(error)) from None

    def _unreadable_root(self, root: str, reason: str) -> HostRefusedError:
        return HostRefusedError(
            f"{self.host.address}: {root} is not readable there: {reason}. Let {self.host.user} read and enter it."
        )

    @contextmanager
    def _execute(self, command: Sequence[str]) -> Iterator[Channel]:
        """Run a program on the host; every failure of the session is raised as a :class:`HostError` in one line."""
        try:
            # Before the permit: all waiting threads share this attempt and its error; a dead host costs its bound once.
            login = self.connection()
            with self.channel_permit(), closing(self.start(command, login)) as channel:
                yield channel
        except (OSError, SSHException, EOFError) as error:
            raise HostError(session_error_message(error, self.host)) from None

    def _blocks(self, channel: Channel, deadline: float, stderr: bytearray) -> Iterator[bytes]:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise HostError(
                    f"{self.host.address}: the listing took longer than {self.bounds.listing_seconds:.0f} s"
                )
            # A program that fills the window of stderr writes nothing to stdout until stderr is read.
            had_stderr = _drain(channel, stderr)
            channel.settimeout(min(left, _STDERR_BUSY_WAIT if had_stderr else _STDERR_IDLE_WAIT))
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
            raise HostError(f"{self.host.address}: the host sent no exit code of the program")
        return int(channel.exit_status)

    def connection(self) -> tuple[Connection, bool]:
        """Return the login that this process shares, and whether it was already open; see :meth:`discard`."""
        # An attempt of another thread takes no longer than the three steps of connecting.
        try:
            return _POOL.get(self._key, lambda: connect(self.host, self.bounds), wait=4 * self.bounds.connect_seconds)
        except TimeoutError:
            raise HostError(
                f"{self.host.address_and_port}: no answer in time to another request to the same host"
            ) from None

    def discard(self, connection: Connection) -> None:
        """Close a login that does not answer."""
        _POOL.discard(self._key, connection)

    def channel_permit(self) -> AbstractContextManager[None]:
        """Hold one of the few permits to use the login."""
        return _POOL.permit(self._key, wait=self.bounds.connect_seconds)

    def hashing_permit(self, wait: float) -> AbstractContextManager[None]:
        """Hold one of the few permits to hash on the host; ``TimeoutError`` if none is free within ``wait`` s."""
        return _POOL.permit(("hashing", *self._key), wait, MAX_HASHING_CHANNELS)

    @property
    def _key(self) -> tuple[object, ...]:
        host = self.host
        return host.address, host.port, host.user, host.auth, host.identity, str(self.bounds.known_hosts)


def connect(host: SshHost, bounds: Bounds) -> Connection:
    """Open a new Fabric connection to ``host``; :class:`HostError` has the reason of a failure in one line."""
    file, name = bounds.known_hosts, name_of(host)
    file.parent.mkdir(parents=True, exist_ok=True)
    host_keys = require_comparable_keys(file, name)
    # Without lazy=True and an SSHConfig of our own, Fabric would read the user's and the system's configuration.
    connection = Connection(
        host.address,
        user=host.user,
        port=host.port,
        config=Config(lazy=True, ssh_config=SSHConfig()),
        # Not Fabric's connect_timeout: it is cut to whole seconds, and 0.9 s would be no bound at all.
        connect_kwargs={
            "timeout": bounds.connect_seconds,
            "auth_strategy": _SingleAuth(_credentials(host)),
            "banner_timeout": 2 * bounds.connect_seconds,  # "timeout" includes the banner, and ends first
            "auth_timeout": bounds.connect_seconds,
            "channel_timeout": bounds.connect_seconds,
        },
    )
    connection.client.set_missing_host_key_policy(AcceptNew(file))
    connection.client.set_log_channel(_LOG_CHANNEL)
    for kind, key in host_keys.keys.items():
        connection.client.get_host_keys().add(name, kind, key)
    try:
        connection.open()
        connection.transport.set_keepalive(KEEPALIVE_SECONDS)
        # Requests wait for their answers: without this a request waits for the acknowledgement of the one before it.
        connection.transport.sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        # Data that is not acknowledged for this long ends the session: the other end is gone.
        connection.transport.sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, KEEPALIVE_SECONDS * KEEPALIVE_PROBES * 1000)
    except (OSError, SSHException, EOFError) as error:
        connection.client.close()  # Fabric's own close() skips a connection whose login failed
        message = connect_error_message(error, host, file, bounds.connect_seconds)
        raise (HostRefusedError if is_refusal(error) else HostError)(message) from None
    except HostKeyError:
        connection.client.close()
        raise
    return connection


def _open_channel(connection: Connection, seconds: float) -> Channel:
    """Open a channel of the session; :class:`ChannelException` if the host answers but refuses it.

    Paramiko keeps one error per session for all threads. If two threads are refused at once, the second finds no error
    and gets the same exception as for a lost connection.
    """
    transport = connection.transport
    try:
        channel: Channel = transport.open_session(timeout=seconds)
    except SSHException as error:
        if str(error) == "Unable to open channel." and transport.is_active():
            raise ChannelException(_RESOURCE_SHORTAGE, "Resource shortage") from None
        raise
    return channel


class _SingleAuth(AuthStrategy):
    """Tries one way to authenticate and no other."""

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
    except Exception as error:  # paramiko has no common type for the errors of a key file
        raise HostRefusedError(f"{host.address}: identity {host.identity} cannot be used: {error}") from None


def _one_line(stderr: bytearray) -> str:
    """The output of a host in one line that is safe for a terminal."""
    return printable(bytes(stderr[:300]).strip())


@contextmanager
def _bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """Close the connection if the block takes longer: paramiko waits without a bound for the answer to a request."""
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
    """Read stderr, so that the remote program never blocks on it; keep a bounded part of it.

    Returns whether there was any. Reads a bounded number of blocks: a host that floods stderr must not keep us here.
    """
    for drained in range(_MAX_DRAINED_BLOCKS):
        if not channel.recv_stderr_ready():
            return drained > 0
        stderr += channel.recv_stderr(_BLOCK)[: max(0, _MAX_STDERR - len(stderr))]
    return True
