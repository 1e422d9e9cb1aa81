"""Sessions that are kept: shared by all who ask for the same host, and opened anew when they died."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.ssh_session import connect
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import host_of
from tests.patience import patient, until

STREAMS = 8
SSHD_DEFAULT = 10  # channels a session (MaxSessions)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def ssh(tmp_path: Path) -> Connections:
    known = tmp_path / "state" / "known_hosts"
    return Connections(Bounds(known, connect_seconds=patient(20), listing_seconds=patient(20)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "file").touch()
    return directory


def names(ssh: Connections, server: SshServer, data: Path) -> list[bytes]:
    return [entry.path for entry in ssh.source(host_of(server)).list(str(data), []).entries if entry.kind == "f"]


def logins(server: SshServer) -> int:
    return server.log().count("Accepted publickey")


def test_eight_looks_at_one_host_are_one_login(ssh: Connections, server: SshServer, data: Path) -> None:
    with ThreadPoolExecutor(STREAMS) as streams:
        found = list(streams.map(lambda _: names(ssh, server, data), range(STREAMS)))
    assert found == [[b"file"]] * STREAMS
    assert names(ssh, server, data) == [b"file"]
    assert logins(server) == 1


def test_a_session_that_died_is_opened_anew(ssh: Connections, server: SshServer, data: Path) -> None:
    assert names(ssh, server, data) == [b"file"]
    server.stop()
    with pytest.raises(HostError):
        names(ssh, server, data)
    server.start()
    assert names(ssh, server, data) == [b"file"]
    assert logins(server) == 2


def test_a_host_that_restarted_between_two_looks_is_not_noticed(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    assert names(ssh, server, data) == [b"file"]
    server.stop()
    server.start()
    assert names(ssh, server, data) == [b"file"]


def test_a_changed_host_key_is_refused_also_when_the_session_was_kept(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    assert names(ssh, server, data) == [b"file"]
    server.rotate_host_key()
    with pytest.raises(HostError, match="CHANGED"):
        names(ssh, server, data)


def test_one_listing_that_is_given_up_leaves_the_session_to_the_others(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    for number in range(3000):
        (data / f"{number}").touch()
    given_up = ssh.source(host_of(server)).list(str(data), []).entries
    whole = ssh.source(host_of(server)).list(str(data), []).entries
    next(given_up)
    given_up.close()
    assert sum(entry.kind == "f" for entry in whole) == 3001
    until(lambda: not runs_find_in(data))
    assert logins(server) == 1


def runs_find_in(data: Path) -> bool:
    found = subprocess.run(["pgrep", "-f", f"aurora-listing {data}"], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip())


def test_a_host_that_never_answers_costs_its_bound_once_and_not_once_a_stream(tmp_path: Path) -> None:
    with socket.socket() as half_open:
        half_open.bind(("127.0.0.1", 0))
        half_open.listen(STREAMS)
        host = SshHost(address="127.0.0.1", port=half_open.getsockname()[1], user="aurora", auth="none")
        ssh = Connections(Bounds(tmp_path / "known", connect_seconds=patient(2)))
        failed: list[HostError] = []

        def look() -> None:
            with pytest.raises(HostError) as caught:
                ssh.source(host).list("/data", [])
            failed.append(caught.value)

        looks = [threading.Thread(target=look) for _ in range(STREAMS)]
        for one in looks:
            one.start()
        for one in looks:
            one.join(patient(60))
        assert len(failed) == STREAMS
        half_open.setblocking(False)
        half_open.accept()[0].close()
        with pytest.raises(BlockingIOError):  # nobody has connected a second time
            half_open.accept()


def test_more_looks_than_a_session_has_channels_all_get_their_answer(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    looks = 3 * SSHD_DEFAULT
    with ThreadPoolExecutor(looks) as streams:
        found = list(streams.map(lambda _: names(ssh, server, data), range(looks)))
    assert found == [[b"file"]] * looks
    assert logins(server) == 1


def test_a_login_that_is_cut_off_may_be_tried_again_and_one_that_is_denied_may_not(
    server: SshServer, tmp_path: Path
) -> None:
    kinds = set()
    for after in range(1400, 3600, 300):
        with cut_after(after, (server.address, server.port)) as port:
            ssh = Connections(Bounds(tmp_path / f"known_{after}", connect_seconds=patient(20)))
            host = host_of(server).model_copy(update={"address": "127.0.0.9", "port": port})
            try:
                connect(host, ssh.bounds).close()
            except HostError as error:
                kinds.add(error.transient)
    assert kinds == {True}
    ssh = Connections(Bounds(tmp_path / "known", connect_seconds=patient(20)))
    with pytest.raises(HostRefusedError):
        connect(host_of(server).model_copy(update={"user": "nobody_known_here"}), ssh.bounds)


@contextmanager
def cut_after(count: int, server: tuple[str, int]) -> Iterator[int]:
    """A way to ``server`` that breaks off when ``count`` bytes have gone there; yields its port on 127.0.0.9."""
    listener = socket.create_server(("127.0.0.9", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(server) as far:

            def back() -> None:
                with suppress(OSError):
                    while block := far.recv(4096):
                        client.sendall(block)

            answers = threading.Thread(target=back)
            answers.start()
            sent = 0
            with suppress(OSError):
                while (block := client.recv(512)) and (sent := sent + len(block)) < count:
                    far.sendall(block)
            for end in (client, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            answers.join()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        thread.join(patient(60))
        listener.close()
