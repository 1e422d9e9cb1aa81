"""Transfers that are cut: by a host, a signal, a time bound or SIGKILL. The next pass goes on, and no litter stays."""

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
    Noted,
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
def big(far: Path) -> Path:
    """A host with one file that takes a while, and one that does not."""
    write(far, {BIG: random.Random(5).randbytes(SIZE), SMALL: b"x"})
    return far


@pytest.fixture
def slow(big: Path, own_server: SshServer, tmp_path: Path) -> Mirror:
    """A mirror over a thin line: the big file takes 10 s, or as many times that as bounds here are longer."""
    return Mirror(stream_of(big), tmp_path / "home", host_of(own_server), bandwidth=300 // factor())


def programs(mirror: Mirror) -> set[int]:
    """The processes on this side that work for a mirror: those that have its home in their command line."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (directory / "cmdline").read_bytes().split(b"\0")
            if any(os.fsencode(mirror.home) in part for part in command) and int(directory.name) != os.getpid():
                found.add(int(directory.name))
    return found


def rsyncs(mirror: Mirror) -> set[int]:
    return {pid for pid in programs(mirror) if comm(pid) == "rsync"}


def terminate(mirror: Mirror) -> None:
    for pid in rsyncs(mirror):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def comm(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def has_begun(mirror: Mirror) -> bool:
    """Whether a good part of the big file has arrived."""
    new = mirror.work / "new"
    with contextlib.suppress(OSError):
        return any(path.stat().st_size > 200_000 for path in new.rglob("*") if path.is_file())
    return False


def once_begun(mirror: Mirror, act: Callable[[], object]) -> AbstractContextManager[None]:
    """Run the block; when a good part has arrived, act."""
    return once(lambda: has_begun(mirror), act)


def check_next_pass(mirror: Mirror, source: Path, *, resumes: bool | None = True) -> None:
    """Without the thin line, the next pass takes up what had come and ends with the right tree."""
    assert not (mirror.root / BIG).exists(), "half a file has no name"
    report = mirror.but(bandwidth=0).run()
    assert (mirror.root / BIG).stat().st_size == SIZE
    assert differences(source, mirror.root) == []
    assert resumes is None or (report.resumed_bytes > 100_000) == resumes
    assert left_over(mirror.raw) == []


def test_a_host_that_goes_down_in_the_middle_is_resumed(slow: Mirror, big: Path, own_server: SshServer) -> None:
    with pytest.raises(TransferError, match=r"rsync ended with \d+ \(") as caught, once_begun(slow, own_server.stop):
        slow.run()
    assert "\n" not in str(caught.value)
    until(lambda: not programs(slow))
    own_server.start()
    check_next_pass(slow, big)


def test_an_rsync_that_is_terminated_is_resumed(slow: Mirror, big: Path) -> None:
    with (
        pytest.raises(TransferError, match=r"ended by a signal|connection broke"),
        once_begun(slow, lambda: terminate(slow)),
    ):
        slow.run()
    check_next_pass(slow, big)


def test_a_cut_file_is_resumed_although_another_day_was_fetched_meanwhile(slow: Mirror, big: Path) -> None:
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
    assert not (slow.root / BIG).exists(), "it was ended long before the file had come"
    until(lambda: not programs(slow))
    check_next_pass(slow, big)


def test_a_host_that_stops_sending_is_left_after_the_stall_time(slow: Mirror, big: Path, own_server: SshServer) -> None:
    frozen: list[int] = []

    def freeze() -> None:
        frozen.extend(senders(own_server))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)

    with pytest.raises(TransferError, match="nothing moved for too long"), once_begun(slow, freeze):
        slow.but(stall=patient(3)).run()  # with 1 s rsync's own --timeout would do, with more it does not
    assert frozen
    until(lambda: not programs(slow))  # ssh too, although the far side still keeps the session open
    check_next_pass(slow, big)


def test_an_rsync_that_is_killed_while_the_host_is_frozen_leaves_no_ssh(
    slow: Mirror, big: Path, own_server: SshServer
) -> None:
    def freeze_and_kill() -> None:
        for pid in senders(own_server):
            os.kill(pid, signal.SIGSTOP)
        for pid in rsyncs(slow):  # as when memory runs out
            with contextlib.suppress(ProcessLookupError):  # it is two processes, and one may end with the other
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(TransferError, match=r"killed|connection broke"), once_begun(slow, freeze_and_kill):
        slow.run()
    until(lambda: not programs(slow))
    check_next_pass(slow, big, resumes=None)


def senders(server: SshServer) -> list[int]:
    """The far sides of rsync that run in this server's sessions."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (directory / "cmdline").read_bytes().startswith(b"rsync\0--server\0--sender"):
                pid = int(directory.name)
                found += [pid] if is_of(server, pid) else []
    return found


def is_of(server: SshServer, pid: int) -> bool:
    """Whether a process is of this server: its parents lead to the sshd that was started with its configuration."""
    while pid > 1:
        if os.fsencode(server.directory) in Path(f"/proc/{pid}/cmdline").read_bytes():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.mark.parametrize("wait_for_it", [True, False])
def test_a_run_that_is_killed_takes_rsync_with_it_and_the_next_one_converges(
    slow: Mirror, big: Path, wait_for_it: bool
) -> None:
    run = fork.Process(target=slow.run)
    run.start()
    until(lambda: has_begun(slow))
    assert rsyncs(slow)
    run.kill()
    run.join()
    if wait_for_it:
        until(lambda: not programs(slow))
        check_next_pass(slow, big)
    else:  # at once: the dead run's transfer may still be ending, and holds its lock meanwhile
        slow.but(bandwidth=0).run()
        assert differences(big, slow.root) == []
        assert left_over(slow.raw) == []
        assert not programs(slow)


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_is_killed_at_any_moment_leaves_a_tree_that_the_next_one_completes(
    camera: tuple[Path, object], tmp_path: Path, seed: int
) -> None:
    mirror = Mirror(stream_of(camera[0]), tmp_path / "home")
    run = fork.Process(target=mirror.run)
    run.start()
    time.sleep(patient(random.Random(seed).uniform(0, 0.25)))  # at any moment of its work, also on a slow machine
    run.kill()
    run.join()
    mirror.run()
    expected = {p.relative_to(camera[0]) for p in camera[0].rglob("HDR_*")}
    assert {p.relative_to(mirror.root) for p in mirror.root.rglob("HDR_*")} == expected
    assert all((mirror.root / p).read_bytes() == (camera[0] / p).read_bytes() for p in expected)
    assert left_over(mirror.raw) == []


def test_what_a_dead_run_left_is_removed_although_nothing_is_left_to_copy(big: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(big), tmp_path / "home")
    mirror.run()
    (mirror.work / "new").mkdir(parents=True)
    (mirror.work / "new" / ".HDR_20260305_100000.mp4.AbCdEf").write_bytes(b"half")
    assert mirror.run().total("copied") == 0
    assert left_over(mirror.raw) == []


def test_what_was_kept_of_an_older_version_does_not_spoil_the_new_one(
    slow: Mirror, big: Path, own_server: SshServer
) -> None:
    with pytest.raises(TransferError), once_begun(slow, own_server.stop):
        slow.run()
    own_server.start()
    write(big, {BIG: random.Random(6).randbytes(SIZE)})
    check_next_pass(slow, big, resumes=False)


def test_a_transfer_that_still_ends_holds_off_the_next_one(big: Path, tmp_path: Path) -> None:
    mirror = Mirror(stream_of(big), tmp_path / "home")
    mirror.locks.mkdir(parents=True)
    with (mirror.locks / "mirror.wxcam.transfer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match=r"mirror\.wxcam\.transfer: another run still works on this.*fuser"):
            mirror.but(stall=0.2).run(DAY)
    assert mirror.run(DAY).total("copied") == 2


FIRST = "FISH/20260305/HDR_20260305_090000.mp4"  # rsync sends a directory's files in this order


def test_what_came_whole_before_a_transfer_was_cut_is_published_by_the_run_that_fails(slow: Mirror, big: Path) -> None:
    write(big, {FIRST: b"came whole"})

    with pytest.raises(TransferError), once_begun(slow, lambda: terminate(slow)):
        slow.run()
    assert (slow.root / FIRST).read_bytes() == b"came whole"
    check_next_pass(slow, big)


@pytest.mark.parametrize("is_changed", [False, True])
def test_what_came_whole_to_a_run_that_was_killed_is_not_sent_again_unless_it_has_changed(
    slow: Mirror, big: Path, is_changed: bool
) -> None:
    write(big, {FIRST: b"came whole"})
    run = fork.Process(target=slow.run)
    run.start()
    until(lambda: has_begun(slow))
    run.kill()
    run.join()
    until(lambda: not programs(slow))
    assert not (slow.root / FIRST).exists(), "it was never proved"
    if is_changed:
        write(big, {FIRST: b"anew whole"}, at=SETTLED + timedelta(hours=1))
    transfer = Noted(slow.but(bandwidth=0).transfer)
    slow.run(transfer=transfer)
    assert transfer.paths == [*[[FIRST]] * is_changed, [BIG]], "nor is the other small one, which came before it"
    assert (slow.root / FIRST).read_bytes() == (b"anew whole" if is_changed else b"came whole")
    assert differences(big, slow.root) == []
    assert left_over(slow.raw) == []
