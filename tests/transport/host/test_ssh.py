"""Sessions with hosts that are down, half open, frozen or deny the login: each ends in time with one clear message."""

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostError, TransferError
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.listing import LocalSource
from aurora_platform.transport.openssh import openssh_command
from aurora_platform.transport.ssh_session import SshSession
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import LOCAL_HOST, host_of
from tests.patience import patient, until

LOG = logging.getLogger("tests.transport")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("sshd")) as server:
        yield server


BOUND = int(patient(1))  # s; tests of a host that hangs wait for it
IN_TIME = patient(30)  # s, for whatever ends by such a bound or at once; without the bound it would hang for ever


@pytest.fixture
def ssh(tmp_path: Path) -> Connections:
    """For hosts that answer, or close the connection themselves."""
    known_hosts = tmp_path / "state" / "known_hosts"
    return Connections(Bounds(known_hosts, connect_seconds=patient(20), listing_seconds=patient(20)))


@pytest.fixture
def hurried(ssh: Connections) -> Connections:
    """For hosts that do not answer."""
    return ssh.but(connect_seconds=BOUND)


def remote_host(port: int, address: str = "127.0.0.2") -> SshHost:
    return SshHost(address=address, port=port, user="aurora", auth="none")


def is_one_line(error: BaseException) -> bool:
    return "\n" not in str(error) and len(str(error)) < 600


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A host that accepts connections, calls ``answer`` and then keeps them open; yields its port."""
    connections = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            answer(connection)

    with socket.create_server(("127.0.0.2", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(IN_TIME)
            for connection in connections:
                connection.close()


def silent(_: socket.socket) -> None: ...


def banner_only(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def half_a_banner(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-Open")


def hangs_up(connection: socket.socket) -> None:
    connection.close()


def hangs_up_after_its_banner(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    connection.recv(1 << 14)
    connection.shutdown(socket.SHUT_RDWR)


def rejects_logins(connection: socket.socket) -> None:
    connection.sendall(b"Exceeded MaxStartups\r\n")
    connection.close()


def no_ssh(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\0" * 100)


def web_server(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.close()


def fails_in_time(call: Callable[[], object], error: type[Exception], within: float = IN_TIME) -> str:
    began = time.monotonic()
    with pytest.raises(error) as caught:
        call()
    assert time.monotonic() - began < within
    assert is_one_line(caught.value)
    return str(caught.value)


def transfer(ssh: Connections, host: SshHost, home: Path) -> Callable[[], object]:
    rsync = ssh.but(stall_seconds=patient(4), transfer_seconds=patient(60)).transfer(host, LOG)
    for name in ("target", "state"):
        (home / name).mkdir(exist_ok=True)
    return lambda: rsync.fetch("/data", ["file"], home / "target", home / "work", home / "state" / "lock", 1 << 20)


def test_a_connection_to_a_host_where_nothing_listens_fails_at_once(ssh: Connections, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener:
        host = remote_host(listener.getsockname()[1])
    message = fails_in_time(lambda: ssh.source(host).list("/data", []), HostError)
    assert message.startswith(f"127.0.0.2:{host.port}: ")
    assert "Connection refused, nothing listens there" in message
    assert f"Try: ssh -p {host.port} aurora@127.0.0.2" in message
    assert "Connection refused" in fails_in_time(transfer(ssh, host, tmp_path), TransferError)


@pytest.mark.parametrize("answer", [silent, banner_only, web_server])
def test_a_host_that_does_not_speak_ssh_ends_in_time(
    hurried: Connections, tmp_path: Path, answer: Callable[[socket.socket], object], caplog: pytest.LogCaptureFixture
) -> None:
    with listening(answer) as port:
        message = fails_in_time(lambda: hurried.source(remote_host(port)).list("/data", []), HostError)
        assert message.startswith(f"127.0.0.2:{port}: ")
        assert caplog.records == [], "no traceback is logged"
        message = fails_in_time(transfer(hurried, remote_host(port), tmp_path), TransferError)
        assert message.startswith("rsync ended with ")


HALF_OPEN = (
    f"the host accepted the connection, then sent nothing useful within {BOUND} s (half open). Does the host hang"
)
ENDED = "the host closed the connection before the login. Is this the port of sshd"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (silent, HALF_OPEN),
        (banner_only, HALF_OPEN),
        (half_a_banner, HALF_OPEN),
        (web_server, ENDED),
        (hangs_up, ENDED),
        (hangs_up_after_its_banner, ENDED),
        (rejects_logins, ENDED),
        (no_ssh, "the host does not speak valid SSH (Invalid packet"),
    ],
)
def test_a_host_that_is_half_open_or_hangs_up_gives_a_plain_message_with_what_to_check(
    ssh: Connections, hurried: Connections, answer: Callable[[socket.socket], object], reason: str
) -> None:
    connections = hurried if reason == HALF_OPEN else ssh
    with listening(answer) as port:
        for _ in range(2):  # paramiko has different messages for some of them
            message = fails_in_time(lambda: connections.source(remote_host(port)).list("/data", []), HostError)
            assert message.startswith(f"127.0.0.2:{port}: {reason}")
            assert message.endswith(f"? Try: ssh -p {port} aurora@127.0.0.2")


class Accepting(paramiko.ServerInterface):
    """A host that accepts every login, then opens channels only with ``opens`` and starts no program."""

    def __init__(self, opens: bool, hangs: threading.Event) -> None:
        self.opens = opens
        self.hangs = hangs

    def check_auth_none(self, username: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if not self.opens:
            self.hangs.wait(2 * IN_TIME)
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.hangs.wait(2 * IN_TIME)
        return False


@contextmanager
def dying_after_the_login(opens: bool, transports: list[paramiko.Transport] | None = None) -> Iterator[int]:
    """A host that stops answering after the login, or with ``opens`` after it opened a channel; yields its port."""
    hangs = threading.Event()
    transports = [] if transports is None else transports

    def answer(connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transports.append(transport)
        transport.add_server_key(paramiko.ECDSAKey.generate())
        transport.start_server(server=Accepting(opens, hangs))

    with listening(answer) as port:
        try:
            yield port
        finally:
            hangs.set()
            for transport in transports:
                transport.close()


@pytest.mark.parametrize("opens", [False, True])
def test_a_host_that_dies_after_the_login_ends_in_time(ssh: Connections, opens: bool) -> None:
    slower = ssh.but(connect_seconds=patient(3))  # this login takes a while
    with dying_after_the_login(opens) as port:
        message = fails_in_time(lambda: slower.source(remote_host(port)).list("/data", []), HostError)
    request = "the start of a program" if opens else "the request for a channel"
    assert message == (
        f"127.0.0.2:{port}: the session failed: no answer in time to {request}. Does the host hang, or is the network "
        f"down? Try: ssh -p {port} aurora@127.0.0.2"
    )


def test_listings_that_share_a_login_share_its_error_too(ssh: Connections) -> None:
    slower, logins, begin = ssh.but(connect_seconds=patient(3)), [], threading.Barrier(8)

    def fail_to_list(port: int) -> None:
        begin.wait()
        with pytest.raises(HostError):
            slower.source(remote_host(port)).list("/data", [])

    with dying_after_the_login(False, logins) as port, ThreadPoolExecutor(8) as streams:
        list(streams.map(fail_to_list, [port] * 8))
    # On a busy machine one of them may ask when the login of the others has failed already.
    assert len(logins) < 8


@pytest.mark.parametrize(
    "host", [lambda: listening(silent), lambda: listening(banner_only), lambda: dying_after_the_login(True)]
)
def test_a_listing_ends_within_the_bound_of_a_tick_although_a_run_may_take_longer(
    tmp_path: Path, host: Callable
) -> None:
    ssh = Connections(Bounds(tmp_path / "known_hosts", connect_seconds=2 * IN_TIME, listing_seconds=3600))
    within = patient(6)  # six steps of a second each; this host hangs in one of them
    with host() as port:
        fails_in_time(lambda: ssh.source(remote_host(port), within=within).list("/data", []), HostError, within)


def test_a_listing_that_does_not_end_is_cut_at_its_bound(server: SshServer, tmp_path: Path) -> None:
    frozen: list[int] = []
    root = tmp_path / "root"
    for number in range(12_000):
        (root / f"{number:0200}").mkdir(parents=True)
    ssh = Connections(Bounds(tmp_path / "known_hosts", connect_seconds=patient(20), listing_seconds=BOUND))
    began = time.monotonic()
    listing = ssh.source(host_of(server)).list(str(root), [])
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"sshd") and _parent_is(server, int(path.parent.name)):
                frozen.append(int(path.parent.name))
        except OSError:
            continue
    assert frozen
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(HostError, match=rf"the (listing took longer than {BOUND} s|session failed)"):
            list(listing.entries)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - began < IN_TIME


def _parent_is(server: SshServer, pid: int) -> bool:
    """Whether a process is a session of this server, and not the server itself."""
    ancestors = 0
    while pid > 1:
        if os.fsencode(server.directory) in Path(f"/proc/{pid}/cmdline").read_bytes():
            return ancestors > 0
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        ancestors += 1
    return False


def test_a_denied_login_is_one_clear_error(server: SshServer, ssh: Connections, tmp_path: Path) -> None:
    stranger = host_of(server).model_copy(update={"auth": "none", "identity": None})
    message = fails_in_time(lambda: ssh.source(stranger).list("/data", []), HostError)
    assert f"the host does not accept auth: none for user {stranger.user}; it offers publickey" in message
    assert "Permission denied" in fails_in_time(transfer(ssh, stranger, tmp_path), TransferError)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    other = host_of(server).model_copy(update={"identity": tmp_path / "other"})
    message = fails_in_time(lambda: ssh.source(other).list("/data", []), HostError)
    assert f"the host denies the login of {other.user} with auth: key" in message


@pytest.mark.parametrize("content", [None, "", "not a key\n"])
def test_an_identity_that_cannot_be_used_is_named(
    server: SshServer, ssh: Connections, tmp_path: Path, content: str | None
) -> None:
    identity = tmp_path / "identity"
    if content is not None:
        identity.write_text(content)
    host = host_of(server).model_copy(update={"identity": identity})
    message = fails_in_time(lambda: ssh.source(host).list("/data", []), HostError)
    assert f"identity {identity} cannot be used" in message


def test_a_name_that_cannot_be_resolved_is_one_clear_error(ssh: Connections) -> None:
    host = remote_host(22, "no-such-host.invalid")
    assert "no-such-host.invalid:22: the host name cannot be resolved (" in fails_in_time(
        lambda: ssh.source(host).list("/", []), HostError
    )


def test_the_keys_of_two_new_hosts_are_both_stored_when_added_at_once(
    server: SshServer, ssh: Connections, tmp_path: Path
) -> None:
    with SshServer(tmp_path / "other", address="127.0.0.3") as other:
        hosts = [host_of(server), host_of(other)] * 3
        threads = [threading.Thread(target=lambda h=h: list(ssh.source(h).list("/etc/ssh", []).entries)) for h in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = {line.split()[0] for line in ssh.bounds.known_hosts.read_text().splitlines()}
        assert names == {f"[127.0.0.2]:{server.port}", f"[127.0.0.3]:{other.port}"}


def test_neither_the_users_configuration_nor_an_agent_is_used(
    server: SshServer, ssh: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "config").write_text("Host *\n  ProxyCommand false\n  HostName 192.0.2.1\n  Port 1\n")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        agent.settimeout(0)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        assert list(ssh.source(host_of(server)).list(str(tmp_path), []).entries)
        done = subprocess.run(
            [*openssh_command(host_of(server), ssh.bounds), server.address, "echo ok"], capture_output=True, check=False
        )
        assert done.stdout == b"ok\n"
        with pytest.raises(BlockingIOError):
            agent.accept()


def test_a_local_host_needs_no_ssh(ssh: Connections) -> None:
    assert isinstance(ssh.source(LOCAL_HOST), LocalSource)


def test_a_request_does_not_wait_for_the_acknowledgement_of_the_previous_request(
    server: SshServer, ssh: Connections
) -> None:
    connection, _ = SshSession(host_of(server), ssh.bounds).connection()
    assert connection.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_login_that_failed_leaves_no_connection(server: SshServer, ssh: Connections) -> None:
    before = open_sessions()
    stranger = host_of(server).model_copy(update={"auth": "none", "identity": None})
    for _ in range(3):
        with pytest.raises(HostError):
            ssh.source(stranger).list("/data", [])
    until(lambda: not open_sessions() - before)


def open_sessions() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if isinstance(thread, paramiko.Transport)}
