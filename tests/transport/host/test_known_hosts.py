"""``known_hosts``: a line that cannot be read costs the hosts that it names, and makes none of them a new one."""

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

OTHERS_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIGqfFEaQXRSDHnvTx4PbcYzTZBvtSLSzW8Kq7CqGSxNd"  # nobody has its private part
ELSEWHERE = b"[10.9.9.9]:2222"
DAMAGE = {
    "no text": (b"%s\xe9\xff ssh-ed25519 " + OTHERS_KEY.encode(), "not text"),
    "no text in its type": (b"%s ssh-\xc3\x28 " + OTHERS_KEY.encode(), "not text"),
    "NUL bytes before it": (b"\0" * 200 + b"%s ssh-ed25519 " + OTHERS_KEY.encode(), "NUL"),
    "NUL bytes in it": (b"%s ssh-ed25519 AAAAC3Nza" + b"\0" * 50, "NUL"),
    "cut in its type": (b"%s ssh-ed", "cut off"),
    "cut before its key": (b"%s ssh-ed25519 ", "cut off"),
    "cut in its key": (b"%s ssh-ed25519 " + OTHERS_KEY.encode()[:-8], "cut off"),
    "cut in its key, between two bytes": (b"%s ssh-ed25519 " + OTHERS_KEY.encode()[:-3], "not base64"),
    "wrong base64": (b"%s ssh-ed25519 !!!", "not base64"),
    "another key type than its own": (b"%s ssh-rsa " + OTHERS_KEY.encode(), "damaged"),
    "an unknown type": (b"%s ssh-quantum " + OTHERS_KEY.encode(), "unknown type"),
    "an unknown marker": (b"@trusted %s ssh-ed25519 " + OTHERS_KEY.encode(), "marker"),
    "behind another, with a space for the line break": (
        ELSEWHERE + b" ssh-ed25519 " + OTHERS_KEY.encode() + b" %s ssh-ed25519 " + OTHERS_KEY.encode(),
        "rest of another line",
    ),
    "with the line breaks of an old Macintosh": (
        ELSEWHERE + b" ssh-ed25519 " + OTHERS_KEY.encode() + b" root@a\r%s ssh-ed25519 " + OTHERS_KEY.encode(),
        "rest of another line",
    ),
    "glued to another": (b"[10.8.8.8]:22 ssh-ed25519 AAAAC3Nz%s ssh-ed25519 " + OTHERS_KEY.encode(), "rest of another"),
}
WHOLE = {
    "a comment": b"# caf\xe9 \0",
    "an empty line": b"  \t",
    "another host's key": ELSEWHERE + b" ssh-ed25519 " + OTHERS_KEY.encode() + b" caf\xe9",
    "a line that ends as on Windows": ELSEWHERE + b" ssh-ed25519 " + OTHERS_KEY.encode() + b"\r",
    "a revoked key": b"@revoked * ssh-ed25519 " + OTHERS_KEY.encode(),
    "an authority": b"@cert-authority *.example.org ssh-ed25519 " + OTHERS_KEY.encode(),
}


@pytest.fixture(scope="module")
def far() -> Iterator[SshServer]:
    with readable_directory() as directory, SshServer(directory / "sshd") as server:
        yield server


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.fixture
def ssh(known: Path) -> Connections:
    return Connections(Bounds(known, connect_seconds=patient(20), listing_seconds=patient(20)))


def name_of(server: SshServer) -> bytes:
    return f"[{server.address}]:{server.port}".encode()


def key_of(server: SshServer) -> bytes:
    return b" ".join(server.host_key.with_suffix(".pub").read_bytes().split()[:2])


def line_of(server: SshServer) -> bytes:
    return name_of(server) + b" " + key_of(server)


def say_ok(ssh: Connections, server: SshServer) -> str:
    return ssh.ask(host_of(server), ["echo", "ok"])


def by_openssh(ssh: Connections, server: SshServer) -> str:
    """As rsync logs in."""
    command = [*openssh_command(host_of(server), ssh.bounds), server.address, "echo ok"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_lines_of_other_hosts_that_cannot_be_read_stop_no_host_and_are_named(
    far: SshServer, ssh: Connections, known: Path
) -> None:
    damaged = b"\n".join([*WHOLE.values(), *(text.replace(b"%s", ELSEWHERE) for text, _ in DAMAGE.values())])
    known.write_bytes(damaged)  # the last one's end was cut off too
    assert say_ok(ssh, far) == "ok\n"
    assert known.read_bytes() == damaged + b"\n" + line_of(far) + b"\n"
    assert by_openssh(ssh, far) == "ok\n"
    found = damaged_lines(known)
    assert list(found) == list(range(len(WHOLE) + 1, len(WHOLE) + len(DAMAGE) + 1))
    for why, (_, wanted) in zip(found.values(), DAMAGE.values(), strict=True):
        assert wanted in why
    (report,) = audit_known_hosts(known)
    assert report.level is Level.WARN
    assert f"lines 7, 8, 9, 10, 11 and 10 more of {known} cannot be read" in report.what
    assert report.next_step.endswith(f"sed -i '7d;8d;9d;10d;11d' {known}")


def test_ssh_does_not_add_a_key_to_the_rest_of_a_line(far: SshServer, ssh: Connections, known: Path) -> None:
    known.write_bytes(ELSEWHERE + b" ssh-ed25519 AAAAC3Nz")
    assert by_openssh(ssh, far) == "ok\n"
    assert known.read_bytes() == ELSEWHERE + b" ssh-ed25519 AAAAC3Nz\n" + line_of(far) + b"\n"


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_host_whose_only_line_cannot_be_read_is_refused_and_not_taken_for_a_new_one(
    far: SshServer, ssh: Connections, known: Path, kind: str
) -> None:
    text = b"\n" + DAMAGE[kind][0].replace(b"%s", name_of(far)) + b"\n"
    if kind == "no text":  # it would be another name, and whose that was nobody can know
        text = text.replace(b"\xe9\xff", b" \xe9\xff")
    known.write_bytes(text)
    for way in (say_ok, by_openssh):
        with pytest.raises(HostKeyError, match="refused") as refused:
            way(ssh, far)
        assert f"line 2 of {known} may belong to {name_of(far).decode()}" in str(refused.value)
        assert f"sed -i '2d' {known}" in str(refused.value)
    assert known.read_bytes() == text
    # Beside another line it is compared by that.
    known.write_bytes(text + line_of(far) + b"\n")
    assert list(host_keys_of(known, name_of(far).decode()).keys) == ["ssh-ed25519"]


def test_a_refused_host_is_a_new_one_when_the_operator_has_done_what_the_message_says(
    far: SshServer, ssh: Connections, known: Path
) -> None:
    known.write_bytes(b"\n" + name_of(far) + b" ssh-ed25519 !!!\n")
    with pytest.raises(HostRefusedError, match="refused") as refused:
        say_ok(ssh, far)
    subprocess.run(["sh", "-c", str(refused.value).rpartition(": ")[2].removesuffix(".")], check=True)
    assert say_ok(ssh, far) == "ok\n"
    assert known.read_bytes() == b"\n" + line_of(far) + b"\n"


def test_a_changed_key_is_refused_beside_a_line_that_cannot_be_read(
    far: SshServer, ssh: Connections, known: Path
) -> None:
    damaged = name_of(far) + b" ssh-ed25519 AAAA\xff\n"
    known.write_bytes(damaged + line_of(far) + b"\n")
    assert say_ok(ssh, far) == "ok\n"
    known.write_bytes(damaged + name_of(far) + b" ssh-ed25519 " + OTHERS_KEY.encode() + b"\n")
    with pytest.raises(HostRefusedError, match="CHANGED"):
        connect(host_of(far), ssh.bounds)
    assert by_openssh(ssh, far) == ""


@pytest.mark.parametrize("kind", WHOLE)
def test_what_belongs_into_the_file_is_no_damage(known: Path, kind: str) -> None:
    known.write_bytes(WHOLE[kind] + b"\n")
    assert [one.level for one in audit_known_hosts(known)] == [Level.OK]


@pytest.mark.parametrize("kind", ["a pattern", "a hash", "capitals"])
def test_a_key_that_stands_under_another_form_of_the_name_is_compared(
    far: SshServer, ssh: Connections, known: Path, kind: str
) -> None:
    salt, name = bytes(20), name_of(far)
    digest = base64.b64encode(hmac.digest(salt, name, "sha1"))
    other = {
        "a pattern": b"!10.*,[127.0.0.?]:*",
        "a hash": b"|1|" + base64.b64encode(salt) + b"|" + digest,
        "capitals": name.upper(),
    }[kind]
    known.write_bytes(other + b" " + key_of(far) + b"\n")
    assert say_ok(ssh, far) == "ok\n"
    assert known.read_bytes().count(b"\n") == 1, "it was known"
    known.write_bytes(other + b" ssh-ed25519 " + OTHERS_KEY.encode() + b"\n")
    with pytest.raises(HostRefusedError, match="CHANGED"):
        connect(host_of(far), ssh.bounds)
    # And where the rest of that line is lost.
    known.write_bytes(other + b" ssh-ed25519 AAAA\n")
    with pytest.raises(HostKeyError, match="line 1 of"):
        connect(host_of(far), ssh.bounds)


def test_a_revoked_key_is_refused_of_a_new_host_and_of_a_known_one(
    far: SshServer, ssh: Connections, known: Path
) -> None:
    for before in (b"", line_of(far) + b"\n"):
        known.write_bytes(before + b"@revoked * " + key_of(far) + b"\n")
        with pytest.raises(HostKeyError, match="@revoked; refused"):
            connect(host_of(far), ssh.bounds)


def test_a_new_host_beside_a_damaged_line_is_accepted_with_a_word_about_it(
    far: SshServer, ssh: Connections, known: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known.write_bytes(b"rubbish\n")
    with caplog.at_level(logging.WARNING, "aurora.ssh"):
        assert say_ok(ssh, far) == "ok\n"
    (said,) = caplog.messages
    assert said.startswith(f"{name_of(far).decode()} is new;")
    assert "SHA256:" in said
    assert "line 1 of known_hosts, which cannot be read" in said


def test_what_is_no_file_of_host_keys_is_named_with_the_next_step(
    far: SshServer, ssh: Connections, known: Path, tmp_path: Path
) -> None:
    def directory() -> None:
        known.mkdir()

    def pipe() -> None:
        os.mkfifo(known)

    def endless() -> None:
        known.write_bytes(b"#" * 3_000_000)

    def circle() -> None:
        known.symlink_to(known)

    for make in (directory, pipe, endless, circle):
        make()
        for way in (say_ok, by_openssh):
            with pytest.raises(HostRefusedError, match=f"{known}.* Move it away"):
                way(ssh, far)
        assert [one.level for one in audit_known_hosts(known)] == [Level.FAIL]
        known.rename(tmp_path / make.__name__)
    assert say_ok(ssh, far) == "ok\n"


def test_a_key_is_added_whole_or_not_at_all(far: SshServer, known: Path, tmp_path: Path) -> None:
    known.write_bytes(line_of(far) + b"\n")
    (key,) = host_keys_of(known, name_of(far).decode()).keys.values()
    full = tmp_path / "full"
    full.write_bytes(b"# no newline at its end")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    then = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # As on a disk that is full: some bytes fit.
        resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
        with known_hosts_lock(full), pytest.raises(OSError, match="No space"):
            add_host_key(full, "new.example.org", key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, then)
    assert full.read_bytes() == b"# no newline at its end"
    add_host_key(full, "new.example.org", key)
    assert full.read_bytes() == b"# no newline at its end\nnew.example.org " + key_of(far) + b"\n"
    assert full.stat().st_mode & 0o777 == 0o644


def test_a_key_that_another_session_added_meanwhile_is_held_against_ours(
    far: SshServer, ssh: Connections, known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_then(line: bytes) -> None:
        def slowly(*arguments: object) -> object:
            monkeypatch.undo()
            found = ssh_session.require_comparable_keys(*arguments)
            known.write_bytes(line + b"\n")
            return found

        monkeypatch.setattr(ssh_session, "require_comparable_keys", slowly)

    and_then(line_of(far))
    assert say_ok(ssh, far) == "ok\n"
    assert known.read_bytes() == line_of(far) + b"\n", "it stands there once"
    known.unlink()
    and_then(name_of(far) + b" ssh-ed25519 " + OTHERS_KEY.encode())
    with pytest.raises(HostError, match="CHANGED"):
        connect(host_of(far), ssh.bounds)
