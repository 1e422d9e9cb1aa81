"""Hashing over a real sshd: correct checksums with every tool, one login, and every problem ends in time."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paramiko import ChannelException

from aurora_platform.errors import HostError, HostRefusedError
from aurora_platform.fs.versions import FileVersion
from aurora_platform.transport import checksums as plain
from aurora_platform.transport import ssh_checksums, threads
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.checksums import Checksum, LocalHasher
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.remote_sha256 import BEHIND_SYMLINK, MISSING, NOT_BELOW_ROOT, NOT_REGULAR, SYMLINK
from aurora_platform.transport.ssh_session import SshSession
from aurora_simulator.ssh_server import SshServer, readable_directory, why_no_sshd
from tests.inotify import watch_reads
from tests.mirror.parts import host_of
from tests.patience import factor, patient, until

TOOLS = ("python3", "openssl", "sha256sum")
PROGRAMS = ("python3", "sha256sum")  # one tool for each of the two remote programs: openssl uses that of sha256sum
NEEDED = ("sh", "find", "cat", "sleep", "renice", "date")  # besides the hashing tool
# Sizes of sparse files that take about the same time; the shell script reports progress for files of this size.
LARGE = {"python3": 500_000_000, "sha256sum": 110_000_000}


class Host(SshServer):
    """A host that has only these programs."""

    programs: tuple[str, ...] = ()
    most_channels = 10

    def _config(self, port: int) -> str:
        bin_directory = self.directory / "bin"
        shutil.rmtree(bin_directory, ignore_errors=True)
        bin_directory.mkdir()
        for name in (*NEEDED, *self.programs):
            executable = (
                "/usr/bin/python3" if name == "python3" and Path("/usr/bin/python3").exists() else shutil.which(name)
            )
            assert executable, f"{name} is not installed"
            (bin_directory / name).symlink_to(executable)
        config = super()._config(port).replace("SetEnv ", f"SetEnv PATH={bin_directory} ")
        return f"{config}MaxSessions {self.most_channels}\n"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Host]]:
    """One host per tool, which has only this tool."""
    servers = {}
    for number, tool in enumerate(TOOLS):
        host = Host(tmp_path_factory.mktemp(tool), address=f"127.0.0.{20 + number}")
        host.programs = (tool,)
        host.start()
        servers[tool] = host
    yield servers
    for host in servers.values():
        host.stop()


@pytest.fixture
def ssh(tmp_path: Path) -> Connections:
    known_hosts = tmp_path / "state" / "known_hosts"
    return Connections(Bounds(known_hosts, connect_seconds=patient(20), listing_seconds=patient(20)))


@pytest.fixture
def sparse_home(tmp_path: Path) -> Iterator[Path]:
    """A directory for sparse files, in memory if possible: elsewhere the kernel fills pages to read them."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as name:
        yield Path(name)


def by_path(found: Iterator[Checksum], count: int) -> dict[str, Checksum]:
    checksums = list(found)
    assert len(checksums) == count
    return {checksum.path: checksum for checksum in checksums}


def sha256sum(path: Path) -> str:
    with path.open("rb") as file:
        return subprocess.run(["sha256sum"], stdin=file, capture_output=True, check=True).stdout.decode()[:64]


def logins(host: SshServer) -> int:
    return host.log().count("Accepted publickey")


def programs_started(host: SshServer) -> int:
    return host.log().count("Starting session: command")


def sparse(path: Path, size: int) -> None:
    path.touch()
    os.truncate(path, size)


@pytest.mark.parametrize("tool", TOOLS)
def test_checksums_are_those_of_sha256sum_with_every_tool(
    ssh: Connections, hosts: dict[str, Host], tmp_path: Path, tool: str
) -> None:
    root = tmp_path / "root"
    (root / "a folder").mkdir(parents=True)
    names = ["a folder/file", "-n", "--", "empty", "$(touch PWNED)", "a;b|c&d", "new\nline", "tail\n", "*", "\\0101\\"]
    names += ["'\"`", "\udcff\udc81\udc88", "ü €", "#", " lead", "trail ", "{", "a=b", "%s%n", "~", "tab\t", "\x7f\x01"]
    for number, name in enumerate(names):
        (root / name).write_bytes(b"" if name == "empty" else os.urandom(1 + number * 7000))
        os.utime(root / name, ns=(0, 1_700_000_000_123_456_789 + number))
    found = by_path(ssh.hasher(host_of(hosts[tool])).checksums(str(root), names), len(names))
    for number, name in enumerate(names):
        path = root / name
        size, mtime = path.stat().st_size, 1_700_000_000_123_456_789 + number
        assert found[name] == Checksum(name, FileVersion(size, mtime), sha256sum(path))
    assert not list(tmp_path.rglob("PWNED"))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_file_that_cannot_be_hashed_has_a_reason_with_every_tool(
    ssh: Connections, hosts: dict[str, Host], tmp_path: Path, tool: str
) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_text("file")
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to("folder/file")
    (root / "dangling").symlink_to("nowhere")
    (root / "behind").symlink_to("folder")
    (root / "folder" / "out").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    reasons = {
        "folder/file": "",
        "nothing": MISSING,
        "no/such/folder": MISSING,
        "folder/file/below": MISSING,
        "link": SYMLINK,
        "dangling": SYMLINK,
        "behind/file": BEHIND_SYMLINK,
        "folder/out/secret": BEHIND_SYMLINK,
        "folder/out/root/folder/file": BEHIND_SYMLINK,
        "folder": NOT_REGULAR,
        "pipe": NOT_REGULAR,
        "../secret": NOT_BELOW_ROOT,
        "/etc/passwd": NOT_BELOW_ROOT,
        "": NOT_BELOW_ROOT,
        "nul\0": NOT_BELOW_ROOT,
        "\ud800": NOT_BELOW_ROOT,
    }
    found = by_path(ssh.hasher(host_of(hosts[tool])).checksums(str(root), list(reasons)), len(reasons))
    assert {path: checksum.error for path, checksum in found.items()} == reasons
    assert {checksum.sha256 for checksum in found.values() if checksum.error} == {None}


NAMES = st.lists(
    st.binary(min_size=1, max_size=40).filter(lambda raw: not {0, 47}.intersection(raw) and raw not in (b".", b"..")),
    min_size=1,
    max_size=12,
    unique=True,
)


@pytest.mark.parametrize("tool", PROGRAMS)
def test_every_file_name_survives_the_real_shell(
    hosts: dict[str, Host], tmp_path_factory: pytest.TempPathFactory, tool: str
) -> None:
    state = tmp_path_factory.mktemp("state")
    hasher = Connections(Bounds(state / "known_hosts")).hasher(host_of(hosts[tool]))

    @settings(max_examples=8)
    @given(NAMES)
    def check(raw: list[bytes]) -> None:
        root = tmp_path_factory.mktemp("root")
        names = [os.fsdecode(name) for name in raw]
        for name in names:
            (root / name).write_text(repr(name))
        found = by_path(hasher.checksums(str(root), names), len(names))
        assert found == {checksum.path: checksum for checksum in LocalHasher().checksums(str(root), names)}
        assert not any(checksum.error for checksum in found.values())

    check()


@pytest.mark.parametrize("tool", PROGRAMS)
@pytest.mark.parametrize("how", ["replaced", "grown", "link"])
def test_a_file_that_is_changed_while_it_is_read_has_no_checksum(
    ssh: Connections, hosts: dict[str, Host], sparse_home: Path, tool: str, how: str
) -> None:
    path = sparse_home / "file"
    sparse(path, LARGE[tool])
    sparse(sparse_home / "new", LARGE[tool])
    shutil.copystat(path, sparse_home / "new")

    def change_file() -> None:
        if how == "replaced":
            (sparse_home / "new").replace(path)
        elif how == "grown":
            os.truncate(path, LARGE[tool] + 1)
        else:
            path.rename(sparse_home / "real")
            path.symlink_to("real")

    hasher = ssh.hasher(host_of(hosts[tool]))
    list(hasher.checksums(str(sparse_home), ["nothing"]))  # determines the tool
    with watch_reads(path) as wait_until_it_is_read, ThreadPoolExecutor(1) as executor:
        change = executor.submit(lambda: (wait_until_it_is_read(), change_file()))
        found = list(hasher.checksums(str(sparse_home), ["file"]))
        change.result()
    assert [(checksum.error, checksum.sha256) for checksum in found] == [("changed while it was read", None)]


def test_three_thousand_files_are_one_login_and_three_programs(ssh: Connections, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    names = [f"file {number}" for number in range(3000)]
    for name in names:
        (root / name).write_text(name)
    host = Host(tmp_path / "sshd")
    host.programs = ("python3",)
    with host:
        hasher = ssh.hasher(host_of(host))
        found = by_path(hasher.checksums(str(root), names), 3000)
        assert found == {checksum.path: checksum for checksum in LocalHasher().checksums(str(root), names)}
        assert (logins(host), programs_started(host)) == (1, 1 + 3), "one program determines the tool"
        assert len(list(hasher.checksums(str(root), names[:2]))) == 2
        assert (logins(host), programs_started(host)) == (1, 1 + 3 + 2), "the tool is determined once"
        assert list(hasher.checksums(str(root), [])) == []


def test_a_host_that_allows_only_one_channel_hashes_over_one_channel(ssh: Connections, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    host = Host(tmp_path / "sshd")
    host.programs, host.most_channels = ("python3",), 1
    with host:
        assert len(list(ssh.hasher(host_of(host)).checksums(str(tmp_path), ["file"] * 500))) == 500


def test_two_channels_refused_at_the_same_time_do_not_end_the_session(
    ssh: Connections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(tmp_path / "sshd")
    host.programs, host.most_channels = ("python3",), 1
    with host:
        session = SshSession(host_of(host), ssh.bounds)
        with session.start(["sleep", "600"]) as held:
            transport = session.connection()[0].transport
            monkeypatch.setattr(transport, "get_exception", lambda: None)  # another thread has taken the error
            with pytest.raises(ChannelException):
                session.start(["true"])
            assert transport.is_active()
            assert not held.closed


def test_a_listing_does_not_wait_for_hashing(ssh: Connections, hosts: dict[str, Host], tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "small").touch()
    for name in "abcdef":
        sparse(tmp_path / "tree" / name, 1 << 40)
    host = host_of(hosts["python3"])
    found = ssh.hasher(host).checksums(str(tmp_path / "tree"), ["small", *"abcdef"])
    assert next(found).path == "small"
    assert len(list(ssh.source(host).list(str(tmp_path / "tree"), []).entries)) == 8
    too_late = ssh.hasher(host, within=1.2).checksums(str(tmp_path / "tree"), ["small"])
    with pytest.raises(HostError, match="not started in time"):
        list(too_late)
    found.close()
    assert len(list(ssh.hasher(host).checksums(str(tmp_path / "tree"), ["small"]))) == 1, "the permits are released"


def test_a_host_without_a_hashing_tool_and_a_missing_root_are_refused(
    ssh: Connections, hosts: dict[str, Host], tmp_path: Path
) -> None:
    bare = Host(tmp_path / "sshd")
    with bare, pytest.raises(HostRefusedError, match="no program for SHA-256 on the host: install python3"):
        list(ssh.hasher(host_of(bare)).checksums("/etc", ["passwd"]))
    for host in hosts.values():
        with pytest.raises(HostRefusedError, match=r"hashing: the directory does not exist there.*site file"):
            list(ssh.hasher(host_of(host)).checksums("/no/such/root", ["file"] * 100))


@pytest.mark.parametrize("tool", PROGRAMS)
def test_files_that_the_remote_user_must_not_read_have_that_reason(tool: str, ssh: Connections) -> None:
    if why := why_no_sshd("none"):
        pytest.skip(why)
    with readable_directory() as home:
        (home / "open").write_text("open")
        (home / "private").write_text("private")
        (home / "private").chmod(0o600)
        (home / "closed").mkdir(mode=0o700)
        host = Host(home / "sshd", auth="none")
        host.programs = (tool,)
        with host:
            paths = ["open", "private", "closed/file"]
            found = by_path(ssh.hasher(host_of(host)).checksums(str(home), paths), 3)
    assert found["open"].error == ""
    assert found["private"].error.startswith("cannot be read")
    assert found["closed/file"].error.startswith("cannot be read")


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_host_that_dies_during_hashing_is_an_error_after_the_checksums_before_it(
    hosts: dict[str, Host], tmp_path: Path, how: str
) -> None:
    bounds = Bounds(tmp_path / "known_hosts", connect_seconds=patient(20), hashing_stall_seconds=patient(2))
    ssh = Connections(bounds)
    host = Host(tmp_path / "sshd")
    host.programs = ("python3",)
    for name in "abc":
        sparse(tmp_path / name, 1 << 40)
        (tmp_path / f"small {name}").touch()
    with host:
        remote = ssh.hasher(host_of(host)).checksums(str(tmp_path), ["small a", "small b", "small c", *"abc"])
        before = {next(remote).path for _ in range(3)}
        threading.Timer(0.2, host.stop if how == "killed" else lambda: freeze(host)).start()
        began = time.monotonic()
        silent = f"no progress for {patient(2):g} s"
        with pytest.raises(HostError, match=rf"hashing: ({silent}|the connection was lost)|session failed"):
            next(remote)
        assert time.monotonic() - began < patient(2 + 30), "by default it is a minute, and the files take many"
    assert before == {"small a", "small b", "small c"}


def freeze(host: SshServer) -> None:
    """Stop all processes of a host; its stop() can still kill them."""
    from aurora_simulator.ssh_server import _MARK

    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            session = f"{_MARK}={host._mark}".encode() in (directory / "environ").read_bytes()
            if session or os.fsencode(host.directory) in (directory / "cmdline").read_bytes():
                os.kill(int(directory.name), signal.SIGSTOP)


@pytest.mark.parametrize("tool", PROGRAMS)
def test_one_huge_file_is_not_a_stall_and_a_silent_program_is(
    hosts: dict[str, Host], sparse_home: Path, tmp_path: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse(sparse_home / "huge", 3 * LARGE[tool] * factor())  # more work if the tests have more patience
    stall = patient(0.5)
    ssh = Connections(Bounds(tmp_path / "known_hosts", hashing_stall_seconds=stall))
    found: list[str] = []
    for seconds in ("0.1", "3600"):
        set_heartbeat(seconds, monkeypatch)
        try:
            found += [
                checksum.error for checksum in ssh.hasher(host_of(hosts[tool])).checksums(str(sparse_home), ["huge"])
            ]
        except HostError as error:
            found.append(str(error).partition("hashing: ")[2].partition(". ")[0])
    assert found == ["", f"no progress for {stall:g} s"]


def set_heartbeat(seconds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the interval of the heartbeats of the remote programs."""

    def command(tool: str, root: str) -> list[str]:
        parts = (part.replace("sleep 4", f"sleep {seconds}") for part in plain.remote_command(tool, root))
        return [part.replace("_HEARTBEAT_SECONDS = 4", f"_HEARTBEAT_SECONDS = {seconds}") for part in parts]

    monkeypatch.setattr(ssh_checksums, "remote_command", command)


@pytest.mark.parametrize("tool", PROGRAMS)
def test_a_reader_that_stops_ends_the_remote_programs(
    ssh: Connections, hosts: dict[str, Host], sparse_home: Path, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sparse_home / "small").touch()
    for name in "abc":
        sparse(sparse_home / name, 1 << 40)  # ten minutes of hashing, and more
    set_heartbeat("0.1", monkeypatch)
    found = ssh.hasher(host_of(hosts[tool])).checksums(str(sparse_home), ["small", *"abc"])
    with watch_reads(sparse_home / "a") as wait_until_it_is_read:
        assert next(found).path == "small"
        wait_until_it_is_read()
    found.close()
    until(lambda: not readers(sparse_home))


def readers(directory: Path) -> set[str]:
    """Files below a directory that some process has open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink().is_relative_to(directory) and str(os.getpid()) not in link.parts:
                found.add(str(link.readlink()))
    return found


# Remote programs that answer wrongly once they have the request, and the error that each causes.
LIES = {
    "noise": ("echo welcome; cat >/dev/null", "unexpected answer"),
    "floods a line": ("exec cat /dev/zero", "unexpected answer"),
    "floods lines": ("while :; do echo '0 - no'; done", "unexpected answer"),
    "another file": ("echo '7 - no'; cat >/dev/null", "unexpected answer"),
    "ends early": ("echo '0 - no'; exit 0", "ended with exit code 0: no message"),
    "dies": ("echo '0 - no'; echo Killed >&2; kill -9 $$", "connection was lost|exit code"),
    "missing": ("exec no-such-program", "ended with exit code 127: .*no-such-program"),
    "never reads, never answers": ("sleep 3600", f"no progress for {patient(1):g} s"),
    "only beats": ("while :; do printf . >&2; sleep 0.2; done", "took longer than the bound"),
    "floods stderr": ("exec cat /dev/zero >&2", "took longer than the bound"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_remote_program_with_wrong_answers_ends_in_time_with_one_clear_line(
    hosts: dict[str, Host], tmp_path: Path, lie: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_checksums, "remote_command", lambda tool, root: ["sh", "-c", lie[0]])
    bounds = Bounds(tmp_path / "known_hosts", hashing_stall_seconds=patient(1), hashing_seconds=int(patient(2)))
    ssh = Connections(bounds)
    began = time.monotonic()
    with pytest.raises(HostError, match=lie[1]) as caught:
        list(ssh.hasher(host_of(hosts["openssl"])).checksums(str(tmp_path), ["a", "b", "c"]))
    assert time.monotonic() - began < patient(2 + 30)
    assert str(caught.value).startswith("127.0.0.21: hashing: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_twenty_thousand_names_neither_block_nor_fill_the_memory(
    hosts: dict[str, Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(20_000)
    ssh = Connections(Bounds(tmp_path / "known_hosts"))
    count, most_ahead, checksums = 0, 0, iter(ssh.hasher(host_of(hosts["python3"])).checksums("/etc", names))
    for checksum in checksums:
        count += 1
        assert checksum.error == MISSING
        most_ahead = max(most_ahead, names.given - count)
    assert count == 20_000
    assert most_ahead <= (3 + 1 + threads._MAX_QUEUED) * ssh_checksums._MAX_PATHS + 3, (
        "requests ahead of the reader are bounded"
    )


class Names(Sequence):
    """Names that are made on access, so that nothing holds all of them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.given = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number):
        self.given += 1
        return f"no/such/folder/of/{number:06}{'x' * 150}"
