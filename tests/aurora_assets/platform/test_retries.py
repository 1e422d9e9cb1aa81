"""Transient errors are tried again, all others fail at once. Every error is caused by a real fault."""

import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    Backoff,
    DagsterInstance,
    ExecuteInProcessResult,
    Failure,
    RetryPolicy,
    materialize,
)

from aurora_assets.aurora_asset import TRY_AGAIN, aurora_asset, fail_at_once_unless_transient
from aurora_platform.cameras.catalog import open_readonly
from aurora_platform.cameras.images import inspect_image
from aurora_platform.config.site import load_site
from aurora_platform.errors import MediaError, TransferError, is_transient
from aurora_platform.fs.locks import hold_lock
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import ANYTHING, LOCAL_HOST, ChangingSource, Mirror, host_of, stream_of, write

Fault = Callable[[], object]
FaultContext = Callable[[Path], AbstractContextManager[Fault]]
RETRIES = 2
FAST = RetryPolicy(max_retries=RETRIES, delay=0.01, backoff=Backoff.EXPONENTIAL)

# -- faults with a transient error -------------------------------------------------------------------------------------


def mirror_of(home: Path, server: SshServer) -> Mirror:
    (home / "far").mkdir(exist_ok=True)
    write(home / "far", {"file": b"x"})
    return Mirror(stream_of(home / "far", ANYTHING), home, host_of(server))


@contextmanager
def host_down(home: Path) -> Iterator[Fault]:
    with SshServer(home / "sshd") as server:
        mirror = mirror_of(home, server)
    yield mirror.run


@contextmanager
def host_down_after_the_listing(home: Path) -> Iterator[Fault]:
    with SshServer(home / "sshd") as server:
        mirror = mirror_of(home, server)

        def run() -> None:
            server.stop()
            server.start()
            mirror.run(source=ChangingSource(mirror.source, server.stop))

        yield run


@contextmanager
def disk_full(home: Path) -> Iterator[Fault]:
    def write_to_full_disk() -> None:
        with open("/dev/full", "wb") as file:
            file.write(b"x")

    yield write_to_full_disk


@contextmanager
def database_locked(home: Path) -> Iterator[Fault]:
    # In another process: SQLite's locks belong to processes.
    program = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('CREATE TABLE t (x)'); db.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(home / "db")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    with closing(sqlite3.connect(home / "db", timeout=0)) as db:
        yield lambda: db.execute("INSERT INTO t VALUES (1)")
    holder.communicate()


@contextmanager
def database_full(home: Path) -> Iterator[Fault]:
    with closing(sqlite3.connect(home / "db", isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("PRAGMA max_page_count = 2")
        yield lambda: db.execute("INSERT INTO t VALUES (zeroblob(100000))")


@contextmanager
def lock_held(home: Path) -> Iterator[Fault]:
    def work() -> None:
        with hold_lock(home / "locks", "catalog.2026-03-05", timedelta(0)):
            raise AssertionError("the lock is held")

    with hold_lock(home / "locks", "catalog.2026-03-05", timedelta(0)):
        yield work


# -- faults with a permanent error -------------------------------------------------------------------------------------


@contextmanager
def host_key_changed(home: Path) -> Iterator[Fault]:
    with SshServer(home / "sshd") as server:
        mirror = mirror_of(home, server)
        mirror.run()
        server.rotate_host_key()
        yield mirror.run


@contextmanager
def login_refused(home: Path) -> Iterator[Fault]:
    with SshServer(home / "sshd") as server:
        unknown_user = host_of(server).model_copy(update={"auth": "none", "identity": None})
        yield mirror_of(home, server).but(host=unknown_user).run


@contextmanager
def no_such_source_root(home: Path) -> Iterator[Fault]:
    with SshServer(home / "sshd") as server:
        yield mirror_of(home, server).but(stream=stream_of(home / "unmounted", ANYTHING)).run


@contextmanager
def no_such_local_root(home: Path) -> Iterator[Fault]:
    yield Mirror(stream_of(home / "unmounted", ANYTHING), home).run


@contextmanager
def image_unusable(home: Path) -> Iterator[Fault]:
    (home / "HDR_20260305_100000.jpg").touch()
    yield lambda: inspect_image(home / "HDR_20260305_100000.jpg")


@contextmanager
def no_catalogue(home: Path) -> Iterator[Fault]:
    def read() -> None:
        with open_readonly(home / "wxcam_catalog.sqlite"):
            raise AssertionError("there is no catalogue")

    yield read


@contextmanager
def not_a_database(home: Path) -> Iterator[Fault]:
    (home / "db").write_bytes(b"a page of a newspaper" * 500)
    with closing(sqlite3.connect(home / "db")) as db:
        yield lambda: db.execute("SELECT * FROM t")


@contextmanager
def site_file_wrong(home: Path) -> Iterator[Fault]:
    (home / "site.yaml").write_text("name: a\nname: b\n")
    yield lambda: load_site(home / "site.yaml")


@contextmanager
def path_is_a_directory(home: Path) -> Iterator[Fault]:
    yield lambda: home.open("wb")


@contextmanager
def programming_error(home: Path) -> Iterator[Fault]:
    yield lambda: {"a": 1}["b"]


FAULTS: list[tuple[FaultContext, bool, str]] = [
    (host_down, True, r"HostError: 127\.0\.0\.2:\d+: .*Try: ssh"),
    (host_down_after_the_listing, True, r"TransferError: rsync ended with (255|12) .*127\.0\.0\.2"),
    (disk_full, True, "OSError: .*No space left on device"),
    (database_locked, True, "OperationalError: database is locked"),
    (database_full, True, "OperationalError: database or disk is full"),
    (lock_held, True, r"BusyError: catalog\.2026-03-05: another run .*fuser -v .*catalog\.2026-03-05\.lock"),
    (host_key_changed, False, r"HostRefusedError: 127\.0\.0\.2:\d+: the host key has CHANGED.*known_hosts"),
    (login_refused, False, r"HostRefusedError: 127\.0\.0\.2:\d+: .*Try: ssh"),
    (no_such_source_root, False, r"NoSuchRootError: 127\.0\.0\.2: .*/unmounted does not exist there\. Is the path"),
    (no_such_local_root, False, r"NoSuchRootError: .*/unmounted: no such directory\. .*Is the disk mounted"),
    (image_unusable, False, r"MediaError: the file is empty"),
    (no_catalogue, False, r"CatalogError: .*wxcam_catalog\.sqlite: .*Materialize wxcam/catalog"),
    (not_a_database, False, "DatabaseError: file is not a database"),
    (site_file_wrong, False, r"SiteError: .*site\.yaml: not YAML: .*duplicate key 'name'"),
    (path_is_a_directory, False, r"DiskError: .*Is a directory"),
    (programming_error, False, "KeyError: 'b'"),
]


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def run(work: Callable[[], object], instance: DagsterInstance) -> ExecuteInProcessResult:
    """A run of one asset that does ``work``, with a retry policy like that of our assets but shorter pauses."""

    @aurora_asset(AssetKey("tiny"), retry_policy=FAST)
    def tiny() -> None:
        work()

    return materialize([tiny], instance=instance, raise_on_error=False)


def message_of(result: ExecuteInProcessResult) -> str:
    """The message at the root of a failure, as the UI shows it: ``Type: message``."""
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    assert error is not None
    while error.cls_name != "Failure" and error.cause:
        error = error.cause
    return error.message.strip()


@pytest.mark.parametrize(("fault", "transient", "message"), FAULTS, ids=[kind.__name__ for kind, *_ in FAULTS])
def test_transient_errors_are_tried_again_and_others_fail_at_once_with_the_next_step(
    tmp_path: Path, instance: DagsterInstance, fault: FaultContext, transient: bool, message: str
) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            raised()
        except Exception as error:
            errors.append(error)
            raise

    with fault(tmp_path) as raised:
        result = run(work, instance)
    assert not result.success
    assert {is_transient(error) for error in errors} == {transient}
    assert len(errors) == (1 + RETRIES if transient else 1)
    assert re.search(message, message_of(result)), message_of(result)


def test_a_run_succeeds_if_the_host_is_back_at_the_second_attempt(tmp_path: Path, instance: DagsterInstance) -> None:
    with SshServer(tmp_path / "sshd") as server:
        mirror = mirror_of(tmp_path, server)
        server.stop()
        attempts = []

        def work() -> None:
            attempts.append(1)
            try:
                mirror.run()
            except Exception:
                server.start()
                raise

        assert run(work, instance).success
    assert len(attempts) == 2
    assert (mirror.root / "file").read_bytes() == b"x"


def test_a_failure_raised_by_an_asset_is_passed_on_unchanged(instance: DagsterInstance) -> None:
    attempts = []

    def work(allowed: bool) -> None:
        attempts.append(1)
        raise Failure("the checks say no", allow_retries=allowed)

    for allowed, expected in ((False, 1), (True, 1 + RETRIES)):
        attempts.clear()
        assert "the checks say no" in message_of(run(lambda allowed=allowed: work(allowed), instance))
        assert len(attempts) == expected


def test_the_guard_does_not_change_a_function_that_succeeds() -> None:
    @fail_at_once_unless_transient
    def double(number: int, *, plus: int = 0) -> int:
        """Twice a number."""
        return 2 * number + plus

    assert (double(2), double(2, plus=1), double.__name__, double.__doc__) == (4, 5, "double", "Twice a number.")


def test_a_keyboard_interrupt_is_passed_on() -> None:
    @fail_at_once_unless_transient
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_a_failure_keeps_its_cause() -> None:
    @fail_at_once_unless_transient
    def unusable() -> None:
        raise MediaError("FISH/a.jpg: the file is empty")

    with pytest.raises(Failure, match=r"^MediaError: FISH/a\.jpg: the file is empty$") as caught:
        unusable()
    assert isinstance(caught.value.__cause__, MediaError)
    assert caught.value.allow_retries is False


def test_the_pauses_between_attempts_grow_and_last_long_enough_for_a_switch_to_reboot() -> None:
    pauses = [TRY_AGAIN.calculate_delay(attempt) for attempt in (1, 2, 3)]
    assert TRY_AGAIN.max_retries == len(pauses)
    assert sum(pauses) > 30
    assert pauses[2] > pauses[0]


# -- exit codes of rsync -----------------------------------------------------------------------------------------------

LOG = logging.getLogger("tests.failures")


def fetch(home: Path, root: str | None = None) -> None:
    """One transfer by the real resource, with the ``rsync`` that is found in PATH."""
    write(home / "far", {"file": b"x" * 200_000})
    (home / "target").mkdir(exist_ok=True)
    transfer = Connections(Bounds(home / "known_hosts")).transfer(LOCAL_HOST, LOG)
    transfer.fetch(
        root or str(home / "far"), ["file"], home / "target", home / "work", home / "locks" / "lock", 1 << 20
    )


def rsync_that(script: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a script with the name rsync first in PATH; inside ``script`` PATH is the former one."""
    tools = home / "bin"
    tools.mkdir()
    (tools / "rsync").write_text(f"#!/bin/sh\nPATH=${{PATH#*:}}\n{script}\n")
    (tools / "rsync").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")


# From man rsync: wrong use, or not installed; and errors of networks, disks, time limits and signals.
PERMANENT = [1, 2, 3, 4, 6, 127]
TRANSIENT = [5, 10, 11, 12, 13, 14, 20, 21, 22, 30, 35, 124, 137, 143, 255]


@pytest.mark.parametrize("code", PERMANENT + TRANSIENT)
def test_the_exit_code_of_rsync_decides_whether_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    rsync_that(f"echo 'rsync: [sender] the reason' >&2; exit {code}", tmp_path, monkeypatch)
    with pytest.raises(
        TransferError, match=rf"^rsync ended with {code} \(.*\): rsync: \[sender\] the reason\. `aurora audit` "
    ) as caught:
        fetch(tmp_path)
    assert is_transient(caught.value) is (code in TRANSIENT)


@pytest.mark.parametrize("code", [0, 23, 24])
def test_an_rsync_that_could_not_copy_single_files_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    rsync_that(f"exit {code}", tmp_path, monkeypatch)
    fetch(tmp_path)


@pytest.mark.parametrize("number", ["TERM", "KILL"])
def test_an_rsync_ended_by_a_signal_is_a_transient_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    rsync_that(f"kill -{number} $$; sleep 5", tmp_path, monkeypatch)
    with pytest.raises(TransferError, match=r"\((killed|ended by a signal)\)") as caught:
        fetch(tmp_path)
    assert is_transient(caught.value)


def test_a_missing_rsync_is_not_a_transient_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "few"
    tools.mkdir()
    for name in ("setpriv", "flock", "timeout", "prlimit"):
        found = subprocess.run(["which", name], check=True, capture_output=True, text=True).stdout.strip()
        (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(TransferError, match=r"rsync ended with 127 \(rsync is not installed there\)") as caught:
        fetch(tmp_path)
    assert not is_transient(caught.value)


def test_an_unknown_option_of_the_real_rsync_is_not_a_transient_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsync_that('exec rsync --no-such-option "$@"', tmp_path, monkeypatch)
    with pytest.raises(TransferError, match=r"rsync ended with 1 \(.*--no-such-option") as caught:
        fetch(tmp_path)
    assert not is_transient(caught.value)


def can_mount() -> bool:
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="a small disk of its own needs root (unshare -m)")
def test_a_full_disk_ends_the_real_rsync_with_a_transient_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only rsync has the mount, and it ends with rsync.
    work = tmp_path / "work" / "new"
    mount = f"mount -t tmpfs -o size=64k tmpfs {work}"
    rsync_that(f'exec unshare -m sh -c \'{mount} && exec rsync "$@"\' sh "$@"', tmp_path, monkeypatch)
    with pytest.raises(TransferError, match=r"rsync ended with 11 \(error in file I/O: is the disk full\?\)") as caught:
        fetch(tmp_path)
    assert is_transient(caught.value)
    assert "No space left on device" in str(caught.value)
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.skipif(not can_mount(), reason="a small disk of its own needs root (unshare -m)")
@pytest.mark.parametrize(("options", "reason"), [("nr_inodes=1", "No space left"), ("ro", "Read-only file system")])
def test_a_read_only_disk_or_one_without_inodes_is_a_transient_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, reason: str
) -> None:
    # rsync then ends with 23, which usually means that single files could not be read on the host.
    mount = f"mount -t tmpfs -o {options} tmpfs {tmp_path / 'work' / 'new'}"
    rsync_that(f'exec unshare -m sh -c \'{mount} && exec rsync "$@"\' sh "$@"', tmp_path, monkeypatch)
    with pytest.raises(TransferError, match=f"could not write on this machine: .*{reason}") as caught:
        fetch(tmp_path)
    assert is_transient(caught.value)
