"""The SSH server for tests: real OpenSSH and Fabric clients connect to it like to an instrument host."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import fabric
import pytest
from paramiko.auth_strategy import AuthSource, AuthStrategy, NoneAuth
from paramiko.config import SSHConfig

from aurora_simulator.ssh_server import Auth, SshServer, make_readable, readable_directory, why_no_sshd
from tests.patience import patient


def needs_sshd(auth: Auth) -> pytest.MarkDecorator:
    reason = why_no_sshd(auth)
    return pytest.mark.skipif(reason is not None, reason=reason or "")


@pytest.fixture
def by_key(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "by_key") as server:
        yield server


@pytest.fixture
def by_none(tmp_path: Path) -> Iterator[SshServer]:
    with SshServer(tmp_path / "by_none", auth="none") as server:
        yield server


class OnlyNone(AuthStrategy):
    """Offer the "none" method and nothing else."""

    def __init__(self, user: str) -> None:
        super().__init__(ssh_config=SSHConfig())
        self._user = user

    def get_sources(self) -> Iterator[AuthSource]:
        yield NoneAuth(username=self._user)


def ssh_command(server: SshServer, command: str, known_hosts: Path | None = None) -> list[str]:
    identity = str(server.identity) if server.identity else "none"
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": f"{patient(20):g}",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": identity,
        "PubkeyAuthentication": "yes" if server.identity else "no",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(known_hosts or server.directory / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
    }
    flags = [flag for key, value in options.items() for flag in ("-o", f"{key}={value}")]
    return ["ssh", "-F", "/dev/null", *flags, "-p", str(server.port), f"{server.user}@{server.address}", command]


def ssh(server: SshServer, command: str, known_hosts: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ssh_command(server, command, known_hosts),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(60),
    )


@needs_sshd("key")
def test_openssh_runs_a_command_with_key_authentication(by_key: SshServer) -> None:
    result = ssh(by_key, "echo ok; id -un")
    assert result.returncode == 0, result.stderr + by_key.log()
    assert result.stdout.split() == ["ok", by_key.user]
    assert f"Accepted publickey for {by_key.user}" in by_key.log()


@needs_sshd("key")
def test_a_server_with_key_authentication_refuses_a_client_without_key(by_key: SshServer) -> None:
    by_key.identity = None
    result = ssh(by_key, "echo ok")
    assert result.returncode == 255
    assert "Permission denied (publickey)" in result.stderr


@needs_sshd("none")
def test_openssh_runs_a_command_with_none_authentication(by_none: SshServer) -> None:
    result = ssh(by_none, "echo ok; id -un")
    assert result.returncode == 0, result.stderr + by_none.log()
    assert result.stdout.split() == ["ok", by_none.user]
    assert result.stderr.count("\n") == 1  # only that the host key was added, no warning about a missing home
    assert f"Accepted none for {by_none.user}" in by_none.log()


@needs_sshd("none")
def test_a_server_with_none_authentication_refuses_root(by_none: SshServer) -> None:
    by_none.user = "root"
    result = ssh(by_none, "echo ok")
    assert result.returncode == 255
    assert "Permission denied" in result.stderr


@needs_sshd("none")
def test_fabric_runs_a_command_with_none_authentication(by_none: SshServer) -> None:
    with fabric.Connection(
        by_none.address,
        user=by_none.user,
        port=by_none.port,
        config=fabric.Config(overrides={"load_ssh_configs": False}),
        connect_kwargs={"auth_strategy": OnlyNone(by_none.user)},
    ) as connection:
        first = connection.run("echo ok", hide=True, in_stream=False)
        second = connection.run("id -un", hide=True, in_stream=False)
    assert (first.stdout.strip(), second.stdout.strip()) == ("ok", by_none.user)
    assert by_none.log().count("Accepted none for") == 1


@needs_sshd("key")
def test_a_rotated_host_key_is_refused_by_a_client_that_accepted_the_old_one(by_key: SshServer, tmp_path: Path) -> None:
    known_hosts, port = tmp_path / "known_hosts", by_key.port
    assert ssh(by_key, "echo ok", known_hosts).stdout == "ok\n"
    by_key.rotate_host_key()
    refused = ssh(by_key, "echo ok", known_hosts)
    assert (refused.returncode, refused.stdout, by_key.port) == (255, "", port)
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    assert ssh(by_key, "echo ok", tmp_path / "empty_known_hosts").stdout == "ok\n"


@needs_sshd("key")
def test_a_stopped_server_refuses_connections_and_restarts_with_the_same_port_and_key(by_key: SshServer) -> None:
    port = by_key.port
    assert ssh(by_key, "echo ok").stdout == "ok\n"
    by_key.stop()
    by_key.stop()
    assert "Connection refused" in ssh(by_key, "echo ok").stderr
    by_key.start()
    assert by_key.port == port
    assert ssh(by_key, "echo ok").stdout == "ok\n"


@pytest.mark.parametrize("auth", [pytest.param(auth, marks=needs_sshd(auth)) for auth in ("key", "none")])
def test_stopping_ends_running_sessions_and_their_background_processes(auth: Auth, tmp_path: Path) -> None:
    with SshServer(tmp_path, auth=auth) as server:
        detached = ssh(server, "setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!")
        assert detached.returncode == 0, detached.stderr
        attached = subprocess.Popen(
            ssh_command(server, "echo $$; exec env -i sleep 600"), stdout=subprocess.PIPE, text=True
        )
        assert attached.stdout is not None
        remote_pids = [int(detached.stdout), int(attached.stdout.readline())]
        assert all(is_alive(pid) for pid in remote_pids)
    assert not any(is_alive(pid) for pid in remote_pids)
    assert attached.wait(timeout=patient(60)) == 255
    attached.stdout.close()


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() not in ("", "Z")


@needs_sshd("key")
def test_several_servers_run_on_several_addresses(by_key: SshServer, tmp_path: Path) -> None:
    with SshServer(tmp_path / "other", address="127.0.0.3", host_key=by_key.host_key) as other:
        assert ssh(by_key, "echo first").stdout == "first\n"
        assert ssh(other, "echo second").stdout == "second\n"
    assert ssh(by_key, "echo still").stdout == "still\n"


@needs_sshd("key")
def test_a_server_that_cannot_start_shows_the_log_of_sshd(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no hostkeys available"):
        SshServer(tmp_path, host_key=tmp_path / "missing").start()


@needs_sshd("none")
def test_the_none_user_reads_below_a_private_directory_once_it_is_made_readable(by_none: SshServer) -> None:
    with readable_directory() as directory:
        private = directory / "private"
        source = private / "source"
        source.mkdir(parents=True)
        (source / "data.txt").write_text("42\n")
        (source / "data.txt").chmod(0o644)
        private.chmod(0o700)
        assert "Permission denied" in ssh(by_none, f"cat {source}/data.txt").stderr
        make_readable(source)
        assert ssh(by_none, f"cat {source}/data.txt").stdout == "42\n"


def test_nothing_outside_the_temp_root_is_made_readable() -> None:
    with pytest.raises(ValueError, match="is not a directory below"):
        make_readable(Path("/usr/share"))
