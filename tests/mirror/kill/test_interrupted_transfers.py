"""Transfers cut by a host, a signal, a time limit or SIGKILL: the next pass resumes them and leaves no other files."""

import contextlib
import fcntl
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from aurora_platform.errors import BusyError, TransferError
from aurora_simulator.ssh_server import SshServer
from tests.mirror.parts import (
    DAY,
    SETTLED,
    Mirror,
    RecordingTransfer,
    differences,
    host_of,
    left_over,
    once,
    stream_of,
    write,
)
from tests.patience import factor, patient, until

BIG = "FISH/20260305/HDR_20260305_100000.mp4"
SMALL = "FISH/20260305/10/HDR_20260305_100000.jpg"
SIZE = 3_000_000
fork = get_context("fork")


@pytest.fixture
def big(source_root: Path) -> Path:
    """A host with a large file and a small file."""
    write(source_root, {BIG: random.Random(5).randbytes(SIZE), SMALL: b"x"})
    return source_root


@pytest.fixture
def slow(big: Path, own_server: SshServer, tmp_path: Path) -> Mirror:
    """A mirror with low bandwidth: the big file takes 10 s, longer on a busy machine."""
    return Mirror(stream_of(big), tmp_path / "home", host_of(own_server), bandwidth=300 // factor())


def processes_of(mirror: Mirror) -> set[int]:
    """The local processes of a mirror: its home is in their command line."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (directory / "cmdline").read_bytes().split(b"\0")
            if any(os.fsencode(mirror.home) in part for part in command) and int(directory.name) != os.getpid():
                found.add(int(directory.name))
    return found


def rsync_processes(mirror: Mirror) -> set[int]:
    return {pid for pid in processes_of(mirror) if name_of(pid) == "rsync"}


def terminate_rsync(mirror: Mirror) -> None:
    for pid in rsync_processes(mirror):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def has_arrived_partly(mirror: Mirror) -> bool:
    """Whether 200 kB of the big file have arrived."""
    new = mirror.work / "new"
    with contextlib.suppress(OSError):
        return any(path.stat().st_size > 200_000 for path in new.rglob("*") if path.is_file())
    return False


def when_begun(mirror: Mirror, act: Callable[[], object]) -> AbstractContextManager[None]:
    """Run the block; act when a part of the big file has arrived."""
    return once(lambda: has_arrived_partly(mirror), act)


def check_next_pass(mirror: Mirror, source: Path, *, resumes: bool | None = True) -> None:
    """With full bandwidth, the next pass resumes the transfer and completes the tree."""
    assert not (mirror.root / BIG).exists(), "a partial file is not published"
    report = mirror.but(bandwidth=0).run()
    assert (mirror.root / BIG).stat().st_size == SIZE
    assert differences(source, mirror.root) == []
    assert resumes is None or (report.resumed_bytes > 100_000) == resumes
    assert left_over(mirror.raw) == []


def test_a_transfer_is_resumed_after_the_host_went_down(slow: Mirror, big: Path, own_server: SshServer) -> None:
    with pytest.raises(TransferError, match=r"rsync ended with \d+ \(") as caught, when_begun(slow, own_server.stop):
        slow.run()
    assert "\n" not in str(caught.value)
    until(lambda: not processes_of(slow))
    own_server.start()
    check_next_pass(slow, big)


def test_a_transfer_is_resumed_after_rsync_was_terminated(slow: Mirror, big: Path) -> None:
    with (
        pytest.raises(TransferError, match=r"ended by a signal|connection broke"),
        when_begun(slow, lambda: terminate_rsync(slow)),
    ):
        slow.run()
    check_next_pass(slow, big)


def test_a_partial_file_is_resumed_after_a_pass_over_another_day(slow: Mirror, big: Path) -> None:
    with pytest.raises(TransferError, match="took longer"):
        slow.but(bound=patient(3)).run()
    write(big, {"FISH/20260301/10/HDR_20260301_100000.jpg": b"of another day"})
    assert slow.but(bandwidth=0).run(date(2026, 3, 1)).total("copied") == 1
    assert slow.but(bandwidth=0).run().resumed_bytes > 100_000
    assert left_over(slow.raw) == []


def test_a_transfer_that_takes_too_long_is_ended_and_resumed(slow: Mirror, big: Path) -> None:
    began = time.monotonic()
    with pytest.raises(TransferError, match="took longer than the site's limit for a transfer"):
        slow.but(bound=patient(3)).run()
    assert time.monotonic() - began >= patient(3)
    assert not (slow.root / BIG).exists(), "it ended long before the file arrived"
    until(lambda: not processes_of(slow))
    check_next_pass(slow, big)


def test_a_transfer_ends_after_the_stall_time_if_the_host_stops_sending(
    slow: Mirror, big: Path, own_server: SshServer
) -> None:
    frozen: list[int] = []

    def freeze() -> None:
        frozen.extend(senders(own_server))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)

    with pytest.raises(TransferError, match="nothing moved for too long"), when_begun(slow, freeze):
        slow.but(stall=patient(3)).run()  # 1 s would be covered by rsync's own --timeout
    assert frozen
    until(lambda: not processes_of(slow))  # ssh too, although the host still keeps the session open
    check_next_pass(slow, big)


def test_an_rsync_that_is_killed_while_the_host_is_frozen_leaves_no_ssh(
    slow: Mirror, big: Path, own_server: SshServer
) -> None:
    def freeze_and_kill() -> None:
        for pid in senders(own_server):
            os.kill(pid, signal.SIGSTOP)
        for pid in rsync_processes(slow):  # as when memory runs out
            with contextlib.suppress(ProcessLookupError):  # it is two processes, and one may end with the other
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(TransferError, match=r"killed|connection broke"), when_begun(slow, freeze_and_kill):
        slow.run()
    until(lambda: not processes_of(slow))
    check_next_pass(slow, big, resumes=None)


def senders(server: SshServer) -> list[int]:
    """The rsync senders that run in this server's sessions."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (directory / "cmdline").read_bytes().startswith(b"rsync\0--server\0--sender"):
                pid = int(directory.name)
                found += [pid] if belongs_to(server, pid) else []
    return found


def belongs_to(server: SshServer, pid: int) -> bool:
    """Whether a process belongs to this server: its sshd is among the parent processes."""
    while pid > 1:
        if os.fsencode(server.directory) in Path(f"/proc/{pid}/cmdline").read_bytes():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.mark.parametrize("waits_for_rsync", [True, False])
def test_a_killed_run_ends_its_rsync_and_the_next_run_completes_the_tree(
    slow: Mirror, big: Path, waits_for_rsync: bool
) -> None:
    run = fork.Process(target=slow.run)
    run.start()
    until(lambda: has_arrived_partly(slow))
    assert rsync_processes(slow)
    run.kill()
    run.join()
    if waits_for_rsync:
        until(lambda: not processes_of(slow))
        check_next_pass(slow, big)
    else:  # at once: the killed run's transfer may still be ending, and holds its lock until then
        slow.but(bandwidth=0).run()
        assert differences(big, slow.root) == []
        assert left_over(slow.raw) == []
        assert not processes_of(slow)


@pytest.mark.parametrize("seed", range(6))
def test_after_a_kill_at_any_moment_the_next_run_completes_the_tree(
    camera: tuple[Path, object], tmp_path: Path, seed: int
) -> None:
    mirror = Mirror(stream_of(camera[0]), tmp_path / "home")
    run = fork.Process(target=mirror.run)
    run.start()
    time.sleep(patient(random.Random(seed).uniform(0, 0.25)))  # scaled for a slow machine
    run.kill()
    run.join()
    mirror.run()
    expected = {p.relative_to(camera[0]) for p in camera[0].rglob("HDR_*")}
    assert {p.relative_to(mirror.root) for p in mirror.root.rglob("HDR_*")} == expected
    assert all((mirror.root / p).read_bytes() == (camera[0] / p).read_bytes() for p in expected)
    assert left_over(mirror.raw) == []


def test_files_of_a_killed_run_are_removed_even_if_nothing_is_copied(big: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(big), tmp_path / "home")
    mirror.run()
    (mirror.work / "new").mkdir(parents=True)
    (mirror.work / "new" / ".HDR_20260305_100000.mp4.AbCdEf").write_bytes(b"half")
    assert mirror.run().total("copied") == 0
    assert left_over(mirror.raw) == []


def test_a_partial_file_of_an_older_version_does_not_damage_the_new_version(
    slow: Mirror, big: Path, own_server: SshServer
) -> None:
    with pytest.raises(TransferError), when_begun(slow, own_server.stop):
        slow.run()
    own_server.start()
    write(big, {BIG: random.Random(6).randbytes(SIZE)})
    check_next_pass(slow, big, resumes=False)


def test_a_pass_waits_for_the_lock_of_the_previous_transfer(big: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(big), tmp_path / "home")
    mirror.locks.mkdir(parents=True)
    with (mirror.locks / "mirror.wxcam.transfer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match=r"mirror\.wxcam\.transfer: another run still works on this.*fuser"):
            mirror.run(DAY, wait=0.2)
    assert mirror.run(DAY).total("copied") == 2


FIRST = "FISH/20260305/HDR_20260305_090000.mp4"  # rsync sends a directory's files in this order


def test_files_that_arrived_complete_before_a_cut_are_published_by_the_failing_run(slow: Mirror, big: Path) -> None:
    write(big, {FIRST: b"came whole"})

    with pytest.raises(TransferError), when_begun(slow, lambda: terminate_rsync(slow)):
        slow.run()
    assert (slow.root / FIRST).read_bytes() == b"came whole"
    check_next_pass(slow, big)


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_file_that_arrived_in_a_killed_run_is_transferred_again_only_if_it_changed(
    slow: Mirror, big: Path, is_changed: bool
) -> None:
    write(big, {FIRST: b"came whole"})
    run = fork.Process(target=slow.run)
    run.start()
    until(lambda: has_arrived_partly(slow))
    run.kill()
    run.join()
    until(lambda: not processes_of(slow))
    assert not (slow.root / FIRST).exists(), "it was never verified"
    if is_changed:
        write(big, {FIRST: b"anew whole"}, at=SETTLED + timedelta(hours=1))
    transfer = RecordingTransfer(slow.but(bandwidth=0).transfer)
    slow.run(transfer=transfer)
    assert transfer.paths == [*[[FIRST]] * is_changed, [BIG]], (
        "the small file, which arrived before, is not transferred again either"
    )
    assert (slow.root / FIRST).read_bytes() == (b"anew whole" if is_changed else b"came whole")
    assert differences(big, slow.root) == []
    assert left_over(slow.raw) == []
