"""Faulty archive hosts: after each the push uses the next host within the stated time limit, and reports why."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from aurora_platform.config.hosts import SshHost
from aurora_platform.errors import ArchiveError
from aurora_simulator.ssh_server import SshServer
from tests.archive.parts import (
    CONNECT,
    STALL,
    Observatory,
    arriving,
    files_below,
    receivers,
    why_no_namespace,
    write_raw,
)
from tests.mirror.parts import host_of, left_over, once
from tests.patience import patient
from tests.troubled_hosts import Proxy, accepts_and_never_answers, nobody_answers, nothing_listens

SLACK = patient(15)  # s, for the work itself: it takes half a second, and the default timeouts a minute
BIG = random.Random(3).randbytes(6_000_000)
ADDRESS = "127.0.0.21"


@dataclass(frozen=True)
class Setup:
    """The parts from which a faulty host is made."""

    observatory: Observatory
    good: SshServer
    home: Path

    def at(self, port: int) -> SshHost:
        return host_of(self.good).model_copy(update={"address": ADDRESS, "port": port})


@contextmanager
def unresponsive_host(setup: Setup, port: Callable[[str], AbstractContextManager[int]]) -> Iterator[SshHost]:
    with port(ADDRESS) as number:
        yield setup.at(number)


@contextmanager
def with_another_key(setup: Setup) -> Iterator[SshHost]:
    with SshServer(setup.home, address=ADDRESS) as server:
        setup.observatory.connections.ask(host_of(server), ["true"])
        server.rotate_host_key()
        yield host_of(server)


@contextmanager
def forcing(setup: Setup, command: str) -> Iterator[SshHost]:
    with SshServer(setup.home, address=ADDRESS, options=[f"ForceCommand {command}"]) as server:
        yield host_of(server)


@contextmanager
def with_a_disk(setup: Setup, mount: str) -> Iterator[SshHost]:
    """A host that has another disk at the archive's path, or the same disk in another state, in its own namespace."""
    if reason := why_no_namespace():
        pytest.skip(reason)
    gws = setup.observatory.gws
    gws.mkdir()
    within = ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', str(gws)]
    with SshServer(setup.home, address=ADDRESS, within=within) as server:
        yield host_of(server)


@contextmanager
def with_connection_that(setup: Setup, fault: str, after: int = 2_000_000) -> Iterator[SshHost]:
    with Proxy(setup.good, ADDRESS, fault, left=after) as proxy:  # type: ignore[arg-type]
        yield setup.at(proxy.port)
        assert proxy.has_failed.is_set()


TROUBLES: dict[str, tuple[Callable[[Setup], AbstractContextManager[SshHost]], str, float]] = {
    "refused": (
        lambda setup: unresponsive_host(setup, nothing_listens),
        "Connection refused, nothing listens there",
        0,
    ),
    "dead": (lambda setup: unresponsive_host(setup, nobody_answers), "no answer in time", CONNECT),
    "half open": (lambda setup: unresponsive_host(setup, accepts_and_never_answers), r"\(half open\)", CONNECT),
    "wrong host key": (with_another_key, "the host key has CHANGED", 0),
    "login without shell": (
        lambda setup: forcing(setup, "echo This account is currently not available. >&2; exit 1"),
        "This account is currently not available",
        0,
    ),
    "shell that prints something else": (
        lambda setup: forcing(setup, "echo Welcome"),
        "works, but a program.*Welc",
        0,
    ),
    "shell that prints nothing": (lambda setup: forcing(setup, "true"), "works, but a program cannot be run", 0),
    "shell that never ends": (
        lambda setup: forcing(setup, "exec sleep 3600"),
        f"took longer than {2 * CONNECT:g} s",
        STALL,
    ),
    "no rsync": (
        lambda setup: forcing(
            setup, 'case $SSH_ORIGINAL_COMMAND in rsync*) exit 127;; esac; eval "$SSH_ORIGINAL_COMMAND"'
        ),
        r"rsync ended with (12|127) \(",
        0,
    ),
    "disk full": (
        lambda setup: with_a_disk(setup, 'mount -t tmpfs -o size=1m none "$0"'),
        "could not write in the archive: .*No space left on device",
        0,
    ),
    "disk read-only": (
        lambda setup: with_a_disk(setup, 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"'),
        "Read-only file system",
        0,
    ),
    "connection lost half-way": (
        lambda setup: with_connection_that(setup, "cuts"),
        r"(?i)rsync ended with \d+ \(.*conn",
        0,
    ),
    "connection silent half-way": (
        lambda setup: with_connection_that(setup, "goes silent"),
        "nothing moved for too long",
        STALL,
    ),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_after_a_host_fails_the_push_uses_the_next_host_within_the_time_limit(
    observatory: Observatory, servers: list[SshServer], tmp_path: Path, trouble: str
) -> None:
    make, why, bound = TROUBLES[trouble]
    write_raw(observatory, {"20260305.csv": BIG, "a/20260305_b.csv": b"b"})
    archived = observatory.gws / "raw" / "met"
    with make(Setup(observatory, servers[0], tmp_path / "troubled")) as bad:
        observatory = observatory.but(hosts=(bad, host_of(servers[1]), host_of(servers[2])))
        began = time.monotonic()
        report = observatory.push_raw()
        took = time.monotonic() - began
    assert report.host == f"{servers[1].address}:{servers[1].port}"
    assert list(report.host_errors) == [f"{bad.address}:{bad.port}"]
    assert re.search(why, report.host_errors[f"{bad.address}:{bad.port}"]), report.host_errors
    assert "\n" not in str(report.host_errors)
    assert took < bound + SLACK
    assert (report.files, report.bytes, report.failed.total) == (2, len(BIG) + 1, 0)
    assert files_below(archived) == {"20260305.csv": BIG, "a/20260305_b.csv": b"b"}
    row = observatory.row(archived / "20260305.csv")
    assert row is not None
    assert row.copied_at
    assert row.attempts == 0, "the failure of a host is not a failed attempt of the file"
    assert left_over(observatory.home / "raw") == []


def test_the_next_host_resumes_a_transfer_that_a_lost_connection_interrupted(
    observatory: Observatory, servers: list[SshServer], tmp_path: Path
) -> None:
    write_raw(observatory, {"20260305.csv": BIG})
    with with_connection_that(Setup(observatory, servers[0], tmp_path), "cuts", after=5_000_000) as bad:
        report = observatory.but(hosts=(bad, host_of(servers[1]))).push_raw()
    assert report.matched_bytes > 500_000
    assert report.literal_bytes < len(BIG)
    assert left_over(observatory.gws) == []


def test_when_no_host_works_the_error_has_the_reason_of_each(
    observatory: Observatory, servers: list[SshServer], tmp_path: Path
) -> None:
    write_raw(observatory, {"20260305.csv": b"x"})
    setup = Setup(observatory, servers[0], tmp_path / "troubled")
    with (
        nothing_listens("127.0.0.22") as refusing,
        accepts_and_never_answers("127.0.0.23") as silent,
        forcing(setup, "echo no shell for you >&2; exit 3") as shut,
    ):
        bad = (setup.at(refusing).model_copy(update={"address": "127.0.0.22"}),)
        bad += (setup.at(silent).model_copy(update={"address": "127.0.0.23"}), shut)
        with pytest.raises(ArchiveError) as caught:
            observatory.but(hosts=bad).push_raw()
    message = str(caught.value)
    assert message.startswith("no host of archive gws works. 127.0.0.22:")
    for text in ("nothing listens there", "(half open)", "no shell for you", *(f"{b.address}:{b.port}: " for b in bad)):
        assert text in message
    assert "\n" not in message
    assert caught.value.transient
    row = observatory.row(observatory.gws / "raw" / "met" / "20260305.csv")
    assert row is not None
    assert (row.copied_at, row.attempts) == (None, 0)
    assert observatory.push_raw().files == 1, "the next run starts again with all hosts"


def test_the_first_host_of_the_site_is_used_while_it_works(observatory: Observatory, servers: list[SshServer]) -> None:
    for number in range(2):
        write_raw(observatory, {f"20260305_{number}.csv": b"x"})
        report = observatory.push_raw()
        assert (report.host, report.host_errors) == (f"127.0.0.11:{servers[0].port}", {})


def test_a_frozen_remote_rsync_is_abandoned_although_its_sshd_and_kernel_still_answer(
    observatory: Observatory, servers: list[SshServer]
) -> None:
    write_raw(observatory, {"20260305.csv": BIG[:3_000_000]})
    slow = observatory.but(bandwidth=2000, hosts=(host_of(servers[0]), host_of(servers[1])))
    frozen: list[int] = []

    def freeze() -> None:
        frozen.extend(receivers(slow.gws))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)

    began = time.monotonic()
    try:
        with once(lambda: arriving(slow.gws) > 1_000_000, freeze):
            report = slow.push_raw()
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGKILL)
    assert frozen
    assert report.host == f"127.0.0.12:{servers[1].port}"
    assert "nothing moved for too long" in next(iter(report.host_errors.values()))
    assert report.files == 1
    assert time.monotonic() - began < STALL + SLACK  # the slow connection takes 1.5 s for the whole file


def test_a_slow_connection_is_not_dead_although_all_bytes_are_written_long_before_they_arrive(
    observatory: Observatory, servers: list[SshServer]
) -> None:
    content = BIG[:900_000]
    write_raw(observatory, {"20260305.csv": content})
    with Proxy(servers[0], ADDRESS, "is slow") as proxy:
        slow = host_of(servers[0]).model_copy(update={"address": ADDRESS, "port": proxy.port})
        began = time.monotonic()
        report = observatory.but(hosts=(slow,), stall=patient(2)).push_raw()
    assert time.monotonic() - began > patient(3), "the connection has its own speed, however fast this machine is"
    assert (report.files, report.host_errors) == (1, {})
