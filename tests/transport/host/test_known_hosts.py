"""``known_hosts``: a damaged line affects only the hosts that it names, and none of them becomes a new host."""

import base64
import hmac
import logging
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.operations.audit_host import audit_known_hosts
from aurora_platform.operations.audit_result import Level
from aurora_platform.transport import ssh_session
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.known_hosts import (
    HostKeyError,
    add_host_key,
    damaged_lines,
    host_keys_of,
    known_hosts_lock,
)
from aurora_platform.transport.openssh import openssh_command
from aurora_platform.transport.ssh_session import connect
from aurora_simulator.ssh_server import SshServer, readable_directory
from tests.mirror.parts import host_of
from tests.patience import patient

OTHER_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIGqfFEaQXRSDHnvTx4PbcYzTZBvtSLSzW8Kq7CqGSxNd"  # nobody has its private key
OTHER_HOST = b"[10.9.9.9]:2222"
DAMAGE = {
    "not text": (b"%s\xe9\xff ssh-ed25519 " + OTHER_KEY.encode(), "not text"),
    "not text in its type": (b"%s ssh-\xc3\x28 " + OTHER_KEY.encode(), "not text"),
    "NUL bytes before it": (b"\0" * 200 + b"%s ssh-ed25519 " + OTHER_KEY.encode(), "NUL"),
    "NUL bytes in it": (b"%s ssh-ed25519 AAAAC3Nza" + b"\0" * 50, "NUL"),
    "cut in its type": (b"%s ssh-ed", "cut off"),
    "cut before its key": (b"%s ssh-ed25519 ", "cut off"),
    "cut in its key": (b"%s ssh-ed25519 " + OTHER_KEY.encode()[:-8], "cut off"),
    "cut in its key, between two bytes": (b"%s ssh-ed25519 " + OTHER_KEY.encode()[:-3], "not base64"),
    "wrong base64": (b"%s ssh-ed25519 !!!", "not base64"),
    "another key type than its own": (b"%s ssh-rsa " + OTHER_KEY.encode(), "damaged"),
    "an unknown type": (b"%s ssh-quantum " + OTHER_KEY.encode(), "unknown type"),
    "an unknown marker": (b"@trusted %s ssh-ed25519 " + OTHER_KEY.encode(), "marker"),
    "after another, with a space for the line break": (
        OTHER_HOST + b" ssh-ed25519 " + OTHER_KEY.encode() + b" %s ssh-ed25519 " + OTHER_KEY.encode(),
        "rest of another line",
    ),
    "with the line breaks of an old Macintosh": (
        OTHER_HOST + b" ssh-ed25519 " + OTHER_KEY.encode() + b" root@a\r%s ssh-ed25519 " + OTHER_KEY.encode(),
        "rest of another line",
    ),
    "glued to another": (b"[10.8.8.8]:22 ssh-ed25519 AAAAC3Nz%s ssh-ed25519 " + OTHER_KEY.encode(), "rest of another"),
}
UNDAMAGED = {
    "a comment": b"# caf\xe9 \0",
    "an empty line": b"  \t",
    "another host's key": OTHER_HOST + b" ssh-ed25519 " + OTHER_KEY.encode() + b" caf\xe9",
    "a line that ends as on Windows": OTHER_HOST + b" ssh-ed25519 " + OTHER_KEY.encode() + b"\r",
    "a revoked key": b"@revoked * ssh-ed25519 " + OTHER_KEY.encode(),
    "an authority": b"@cert-authority *.example.org ssh-ed25519 " + OTHER_KEY.encode(),
}


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with readable_directory() as directory, SshServer(directory / "sshd") as server:
        yield server


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.fixture
def ssh(known_hosts: Path) -> Connections:
    return Connections(Bounds(known_hosts, connect_seconds=patient(20), listing_seconds=patient(20)))


def name_of(server: SshServer) -> bytes:
    return f"[{server.address}]:{server.port}".encode()


def key_of(server: SshServer) -> bytes:
    return b" ".join(server.host_key.with_suffix(".pub").read_bytes().split()[:2])


def line_of(server: SshServer) -> bytes:
    return name_of(server) + b" " + key_of(server)


def run_by_paramiko(ssh: Connections, server: SshServer) -> str:
    return ssh.ask(host_of(server), ["echo", "ok"])


def run_by_openssh(ssh: Connections, server: SshServer) -> str:
    """Log in as rsync does."""
    command = [*openssh_command(host_of(server), ssh.bounds), server.address, "echo ok"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_damaged_lines_of_other_hosts_affect_no_host_and_are_listed(
    server: SshServer, ssh: Connections, known_hosts: Path
) -> None:
    damaged = b"\n".join([*UNDAMAGED.values(), *(text.replace(b"%s", OTHER_HOST) for text, _ in DAMAGE.values())])
    known_hosts.write_bytes(damaged)  # the last line has no end
    assert run_by_paramiko(ssh, server) == "ok\n"
    assert known_hosts.read_bytes() == damaged + b"\n" + line_of(server) + b"\n"
    assert run_by_openssh(ssh, server) == "ok\n"
    damages = damaged_lines(known_hosts)
    assert list(damages) == list(range(len(UNDAMAGED) + 1, len(UNDAMAGED) + len(DAMAGE) + 1))
    for damage, (_, expected) in zip(damages.values(), DAMAGE.values(), strict=True):
        assert expected in damage
    (report,) = audit_known_hosts(known_hosts)
    assert report.level is Level.WARN
    assert f"lines 7, 8, 9, 10, 11 and 10 more of {known_hosts} cannot be read" in report.what
    assert report.next_step.endswith(f"sed -i '7d;8d;9d;10d;11d' {known_hosts}")


def test_ssh_does_not_append_a_key_to_a_line_that_was_cut_off(
    server: SshServer, ssh: Connections, known_hosts: Path
) -> None:
    known_hosts.write_bytes(OTHER_HOST + b" ssh-ed25519 AAAAC3Nz")
    assert run_by_openssh(ssh, server) == "ok\n"
    assert known_hosts.read_bytes() == OTHER_HOST + b" ssh-ed25519 AAAAC3Nz\n" + line_of(server) + b"\n"


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_host_whose_only_line_is_damaged_is_refused_and_not_accepted_as_a_new_host(
    server: SshServer, ssh: Connections, known_hosts: Path, kind: str
) -> None:
    text = b"\n" + DAMAGE[kind][0].replace(b"%s", name_of(server)) + b"\n"
    if kind == "not text":  # otherwise it would be another name, and the host could not be identified
        text = text.replace(b"\xe9\xff", b" \xe9\xff")
    known_hosts.write_bytes(text)
    for run_command in (run_by_paramiko, run_by_openssh):
        with pytest.raises(HostKeyError, match="refused") as refused:
            run_command(ssh, server)
        assert f"line 2 of {known_hosts} may belong to {name_of(server).decode()}" in str(refused.value)
        assert f"sed -i '2d' {known_hosts}" in str(refused.value)
    assert known_hosts.read_bytes() == text
    # With a second, readable line the key is compared with that line.
    known_hosts.write_bytes(text + line_of(server) + b"\n")
    assert list(host_keys_of(known_hosts, name_of(server).decode()).keys) == ["ssh-ed25519"]


def test_a_refused_host_is_accepted_after_the_operator_has_followed_the_message(
    server: SshServer, ssh: Connections, known_hosts: Path
) -> None:
    known_hosts.write_bytes(b"\n" + name_of(server) + b" ssh-ed25519 !!!\n")
    with pytest.raises(HostRefusedError, match="refused") as refused:
        run_by_paramiko(ssh, server)
    subprocess.run(["sh", "-c", str(refused.value).rpartition(": ")[2].removesuffix(".")], check=True)
    assert run_by_paramiko(ssh, server) == "ok\n"
    assert known_hosts.read_bytes() == b"\n" + line_of(server) + b"\n"


def test_a_changed_key_is_refused_beside_a_damaged_line(server: SshServer, ssh: Connections, known_hosts: Path) -> None:
    damaged = name_of(server) + b" ssh-ed25519 AAAA\xff\n"
    known_hosts.write_bytes(damaged + line_of(server) + b"\n")
    assert run_by_paramiko(ssh, server) == "ok\n"
    known_hosts.write_bytes(damaged + name_of(server) + b" ssh-ed25519 " + OTHER_KEY.encode() + b"\n")
    with pytest.raises(HostRefusedError, match="CHANGED"):
        connect(host_of(server), ssh.bounds)
    assert run_by_openssh(ssh, server) == ""


@pytest.mark.parametrize("kind", UNDAMAGED)
def test_valid_lines_are_not_reported_as_damaged(known_hosts: Path, kind: str) -> None:
    known_hosts.write_bytes(UNDAMAGED[kind] + b"\n")
    assert [line.level for line in audit_known_hosts(known_hosts)] == [Level.OK]


@pytest.mark.parametrize("kind", ["a pattern", "a hash", "capitals"])
def test_a_key_under_another_form_of_the_host_name_is_compared(
    server: SshServer, ssh: Connections, known_hosts: Path, kind: str
) -> None:
    salt, name = bytes(20), name_of(server)
    name_hash = base64.b64encode(hmac.digest(salt, name, "sha1"))
    other = {
        "a pattern": b"!10.*,[127.0.0.?]:*",
        "a hash": b"|1|" + base64.b64encode(salt) + b"|" + name_hash,
        "capitals": name.upper(),
    }[kind]
    known_hosts.write_bytes(other + b" " + key_of(server) + b"\n")
    assert run_by_paramiko(ssh, server) == "ok\n"
    assert known_hosts.read_bytes().count(b"\n") == 1, "no key was added"
    known_hosts.write_bytes(other + b" ssh-ed25519 " + OTHER_KEY.encode() + b"\n")
    with pytest.raises(HostRefusedError, match="CHANGED"):
        connect(host_of(server), ssh.bounds)
    # Also if the rest of that line is lost.
    known_hosts.write_bytes(other + b" ssh-ed25519 AAAA\n")
    with pytest.raises(HostKeyError, match="line 1 of"):
        connect(host_of(server), ssh.bounds)


def test_a_revoked_key_is_refused_for_a_new_host_and_for_a_host_in_the_file(
    server: SshServer, ssh: Connections, known_hosts: Path
) -> None:
    for before in (b"", line_of(server) + b"\n"):
        known_hosts.write_bytes(before + b"@revoked * " + key_of(server) + b"\n")
        with pytest.raises(HostKeyError, match="@revoked; refused"):
            connect(host_of(server), ssh.bounds)


def test_a_new_host_beside_a_damaged_line_is_accepted_with_a_warning(
    server: SshServer, ssh: Connections, known_hosts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known_hosts.write_bytes(b"rubbish\n")
    with caplog.at_level(logging.WARNING, "aurora.ssh"):
        assert run_by_paramiko(ssh, server) == "ok\n"
    (message,) = caplog.messages
    assert message.startswith(f"{name_of(server).decode()} is new;")
    assert "SHA256:" in message
    assert "line 1 of known_hosts, which cannot be read" in message


def test_anything_but_a_file_of_host_keys_is_an_error_with_the_next_step(
    server: SshServer, ssh: Connections, known_hosts: Path, tmp_path: Path
) -> None:
    def directory() -> None:
        known_hosts.mkdir()

    def pipe() -> None:
        os.mkfifo(known_hosts)

    def endless() -> None:
        known_hosts.write_bytes(b"#" * 3_000_000)

    def circle() -> None:
        known_hosts.symlink_to(known_hosts)

    for make in (directory, pipe, endless, circle):
        make()
        for run_command in (run_by_paramiko, run_by_openssh):
            with pytest.raises(HostRefusedError, match=f"{known_hosts}.* Move it away"):
                run_command(ssh, server)
        assert [line.level for line in audit_known_hosts(known_hosts)] == [Level.FAIL]
        known_hosts.rename(tmp_path / make.__name__)
    assert run_by_paramiko(ssh, server) == "ok\n"


def test_a_key_is_added_completely_or_not_at_all(server: SshServer, known_hosts: Path, tmp_path: Path) -> None:
    known_hosts.write_bytes(line_of(server) + b"\n")
    (key,) = host_keys_of(known_hosts, name_of(server).decode()).keys.values()
    full = tmp_path / "full"
    full.write_bytes(b"# no newline at its end")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # As on a disk that is full: some bytes fit.
        resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
        with known_hosts_lock(full), pytest.raises(OSError, match="No space"):
            add_host_key(full, "new.example.org", key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous_handler)
    assert full.read_bytes() == b"# no newline at its end"
    add_host_key(full, "new.example.org", key)
    assert full.read_bytes() == b"# no newline at its end\nnew.example.org " + key_of(server) + b"\n"
    assert full.stat().st_mode & 0o777 == 0o644


def test_a_key_that_another_session_added_meanwhile_is_compared_with_ours(
    server: SshServer, ssh: Connections, known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_meanwhile(line: bytes) -> None:
        def slowly(*arguments: object) -> object:
            monkeypatch.undo()
            keys = ssh_session.require_comparable_keys(*arguments)
            known_hosts.write_bytes(line + b"\n")
            return keys

        monkeypatch.setattr(ssh_session, "require_comparable_keys", slowly)

    add_meanwhile(line_of(server))
    assert run_by_paramiko(ssh, server) == "ok\n"
    assert known_hosts.read_bytes() == line_of(server) + b"\n", "the key was added once"
    known_hosts.unlink()
    add_meanwhile(name_of(server) + b" ssh-ed25519 " + OTHER_KEY.encode())
    with pytest.raises(HostError, match="CHANGED"):
        connect(host_of(server), ssh.bounds)
