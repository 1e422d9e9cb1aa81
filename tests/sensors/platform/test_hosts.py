"""The arrival sensors with remote hosts that are down, silent, slow or changed: each fails only its own sensor."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster._core.scheduler.instigation import TickStatus

from aurora_platform.layout import Layout
from aurora_simulator.ssh_server import SshServer, readable_directory, why_no_sshd
from tests.daemon import (
    HOUR,
    MINUTE,
    SCAN_LIMIT,
    SUCCESS,
    YESTERDAY,
    Clock,
    Daemon,
    daemon_of,
    error_of,
    on_host,
    put,
    skipped,
)
from tests.patience import patient
from tests.troubled_hosts import CLOCK, ENDLESS, answer_with


@contextmanager
def silent_host() -> Iterator[int]:
    """The port of a host that accepts connections and never answers."""
    with socket.create_server(("127.0.0.3", 0)) as listener:
        yield listener.getsockname()[1]


def fails_alone(daemon: Daemon) -> str:
    """One tick in which ``met`` fails within its limit and ``here`` requests its run; the error line of ``met``."""
    put(daemon.directory / "met")
    tick = daemon.sense_arrivals("met", "here")
    assert tick.end_timestamp
    # One scan may take patient(5); a second scan after the failed one would take this long.
    assert tick.end_timestamp - tick.timestamp < patient(10)
    assert daemon.last_tick("arrivals_here").status == TickStatus.SUCCESS
    assert [run.job_name for run in daemon.runs()] == ["here_day"]
    return error_of(tick)


def test_a_file_on_a_remote_host_starts_a_run_like_a_local_file(server: SshServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with daemon_of(tmp_path, on_host(server, root)) as daemon:
        put(root)
        daemon.sense_arrivals()
        assert [run.status for run in daemon.work()] == [SUCCESS]
        assert "1 file listed" in skipped(daemon.sense_arrivals())


def test_the_sensors_of_a_host_share_one_session_and_open_another_after_it_died(
    server: SshServer, tmp_path: Path
) -> None:
    def three(data: dict) -> None:
        on_host(server, tmp_path)(data)
        for name in ("met_two", "met_three"):
            data["streams"][name] = data["streams"]["met"] | {"raw": name}

    def logins() -> int:
        return server.log().count("Accepted publickey for ")

    streams = ("met", "met_two", "met_three")
    with daemon_of(tmp_path, three) as daemon:
        before = logins()
        for number in range(3):
            daemon.sense_arrivals(*streams)
            ticks = [daemon.last_tick(f"arrivals_{name}") for name in streams]
            assert [tick.status for tick in ticks] == [TickStatus.SKIPPED] * 3, number
            assert logins() - before == 1
        server.stop()
        server.start()
        daemon.sense_arrivals(*streams)
        assert [daemon.last_tick(f"arrivals_{name}").status for name in streams] == [TickStatus.SKIPPED] * 3
        assert logins() - before == 2


def test_a_host_without_a_listening_sshd_fails_only_its_own_sensor_with_one_line(
    server: SshServer, tmp_path: Path
) -> None:
    with daemon_of(tmp_path, on_host(server, tmp_path)) as daemon:
        server.stop()
        assert re.search(rf"127\.0\.0\.2:{server.port}: .*Unable to connect", fails_alone(daemon))
        server.start()
        assert daemon.sense_arrivals().status == TickStatus.SKIPPED


def test_a_host_that_never_answers_fails_only_its_own_sensor_with_one_line(server: SshServer, tmp_path: Path) -> None:
    with (
        silent_host() as port,
        daemon_of(tmp_path, on_host(server, tmp_path, address="127.0.0.3", port=port)) as daemon,
    ):
        assert f"127.0.0.3:{port}" in fails_alone(daemon)


def test_a_host_whose_key_has_changed_fails_only_its_own_sensor_with_one_line(
    server: SshServer, tmp_path: Path
) -> None:
    with daemon_of(tmp_path, on_host(server, tmp_path)) as daemon:
        assert daemon.sense_arrivals().status == TickStatus.SKIPPED
        server.rotate_host_key()
        error = fails_alone(daemon)
        assert "the host key has CHANGED; refused" in error
        assert str(Layout.of(daemon.site).known_hosts) in error


@pytest.mark.parametrize(
    "script",
    ["sleep 3600", CLOCK + ENDLESS],
    ids=["silent", "endless"],
)
def test_a_host_whose_listing_does_not_end_fails_only_its_own_sensor_with_one_line(
    server: SshServer, tmp_path: Path, script: str
) -> None:
    answer_with(server, script)
    with daemon_of(tmp_path, on_host(server, tmp_path)) as daemon:
        assert f"HostError: 127.0.0.2: the listing took longer than {SCAN_LIMIT} s" in fails_alone(daemon)


def test_an_unreadable_source_fails_only_its_own_sensor_with_the_reason(tmp_path: Path) -> None:
    # Root reads everything on its own machine, so the host is another user's.
    auth = "none" if os.geteuid() == 0 else "key"
    if reason := why_no_sshd(auth):
        pytest.skip(reason)
    with (
        readable_directory() as root,
        SshServer(tmp_path / "sshd", auth=auth) as server,
        daemon_of(tmp_path, on_host(server, root)) as daemon,
    ):
        put(root)
        root.chmod(0o311)  # its names may not be read, so no file is listed
        error = fails_alone(daemon)
        root.chmod(0o755)
        assert f"HostRefusedError: 127.0.0.2: {root} is not readable there: Permission denied" in error


def test_a_file_that_cannot_be_copied_is_tried_once_an_hour(tmp_path: Path, clock: Clock) -> None:
    # Root reads everything on its own machine, so the host is another user's.
    auth = "none" if os.geteuid() == 0 else "key"
    if reason := why_no_sshd(auth):
        pytest.skip(reason)
    with (
        readable_directory() as root,
        SshServer(tmp_path / "sshd", auth=auth) as server,
        daemon_of(tmp_path, on_host(server, root)) as daemon,
    ):
        put(root, part="_secret").chmod(0o000)
        for part in ("_1", "_2"):
            put(root, part=part)
            while daemon.sense_arrivals().status == TickStatus.SUCCESS:
                assert [run.status for run in daemon.work()] == [SUCCESS]
        # One run per new file, and one that tried the rest of the first run again.
        assert len(daemon.runs()) == 3
        tried = daemon.runs()[1].run_id[:8]
        for minutes in (2, 59):
            clock.ahead = minutes * MINUTE
            reason = skipped(daemon.sense_arrivals())
            assert f"{YESTERDAY}: run {tried} could not copy some files (see its refused_files)" in reason
        clock.ahead = HOUR
        assert daemon.sense_arrivals().status == TickStatus.SUCCESS
        copied = {path.name[12:] for path in Layout.of(daemon.site).raw_root("met").iterdir()}
        assert copied == {"_1.txt", "_2.txt"}
