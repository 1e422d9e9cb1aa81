"""Pooled sessions: shared by all requests to the same host, and opened anew when they died."""

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
SSHD_DEFAULT = 10  # channels per session (MaxSessions)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def ssh(tmp_path: Path) -> Connections:
    known_hosts = tmp_path / "state" / "known_hosts"
    return Connections(Bounds(known_hosts, connect_seconds=patient(20), listing_seconds=patient(20)))


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


def test_eight_listings_of_one_host_need_one_login(ssh: Connections, server: SshServer, data: Path) -> None:
    with ThreadPoolExecutor(STREAMS) as streams:
        listings = list(streams.map(lambda _: names(ssh, server, data), range(STREAMS)))
    assert listings == [[b"file"]] * STREAMS
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


def test_a_restart_of_the_host_between_two_listings_causes_no_error(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    assert names(ssh, server, data) == [b"file"]
    server.stop()
    server.start()
    assert names(ssh, server, data) == [b"file"]


def test_a_changed_host_key_is_refused_also_after_a_pooled_session(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    assert names(ssh, server, data) == [b"file"]
    server.rotate_host_key()
    with pytest.raises(HostError, match="CHANGED"):
        names(ssh, server, data)


def test_a_listing_that_is_given_up_leaves_the_session_to_other_listings(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    for number in range(3000):
        (data / f"{number}").touch()
    given_up = ssh.source(host_of(server)).list(str(data), []).entries
    complete = ssh.source(host_of(server)).list(str(data), []).entries
    next(given_up)
    given_up.close()
    assert sum(entry.kind == "f" for entry in complete) == 3001
    until(lambda: not runs_find_in(data))
    assert logins(server) == 1


def runs_find_in(data: Path) -> bool:
    done = subprocess.run(["pgrep", "-f", f"aurora-listing {data}"], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip())


def test_a_host_that_never_answers_costs_its_bound_once_and_not_once_per_stream(tmp_path: Path) -> None:
    with socket.socket() as half_open:
        half_open.bind(("127.0.0.1", 0))
        half_open.listen(STREAMS)
        host = SshHost(address="127.0.0.1", port=half_open.getsockname()[1], user="aurora", auth="none")
        ssh = Connections(Bounds(tmp_path / "known_hosts", connect_seconds=patient(2)))
        failed: list[HostError] = []

        def fail_to_list() -> None:
            with pytest.raises(HostError) as caught:
                ssh.source(host).list("/data", [])
            failed.append(caught.value)

        threads = [threading.Thread(target=fail_to_list) for _ in range(STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(patient(60))
        assert len(failed) == STREAMS
        half_open.setblocking(False)
        half_open.accept()[0].close()
        with pytest.raises(BlockingIOError):  # nobody has connected a second time
            half_open.accept()


def test_more_listings_than_a_session_has_channels_all_get_their_answer(
    ssh: Connections, server: SshServer, data: Path
) -> None:
    count = 3 * SSHD_DEFAULT
    with ThreadPoolExecutor(count) as streams:
        listings = list(streams.map(lambda _: names(ssh, server, data), range(count)))
    assert listings == [[b"file"]] * count
    assert logins(server) == 1


def test_a_login_that_is_cut_off_is_transient_and_a_denied_login_is_not(server: SshServer, tmp_path: Path) -> None:
    kinds = set()
    for after in range(1400, 3600, 600):
        with cut_after(after, (server.address, server.port)) as port:
            ssh = Connections(Bounds(tmp_path / f"known_{after}", connect_seconds=patient(20)))
            host = host_of(server).model_copy(update={"address": "127.0.0.9", "port": port})
            try:
                connect(host, ssh.bounds).close()
            except HostError as error:
                kinds.add(error.transient)
    assert kinds == {True}
    ssh = Connections(Bounds(tmp_path / "known_hosts", connect_seconds=patient(20)))
    with pytest.raises(HostRefusedError):
        connect(host_of(server).model_copy(update={"user": "nobody_known_here"}), ssh.bounds)


@contextmanager
def cut_after(count: int, server: tuple[str, int]) -> Iterator[int]:
    """A proxy to ``server`` that closes the connection after ``count`` bytes; yields its port on 127.0.0.9."""
    listener = socket.create_server(("127.0.0.9", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(server) as remote:

            def relay_answers() -> None:
                with suppress(OSError):
                    while block := remote.recv(4096):
                        client.sendall(block)

            answers = threading.Thread(target=relay_answers)
            answers.start()
            total = 0
            with suppress(OSError):
                while (block := client.recv(512)) and (total := total + len(block)) < count:
                    remote.sendall(block)
            for end in (client, remote):
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
