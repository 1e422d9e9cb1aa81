"""Shared parts of the mirror's tests: a stream, a host, and a mirror with the real rsync and SSH."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from aurora_platform.config.hosts import Host, LocalHost, SshHost
from aurora_platform.config.streams import Stream
from aurora_platform.mirror.reports import MirrorReport
from aurora_platform.mirror.scan import Survey, scan
from aurora_platform.mirror.sync import mirror_days
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.listing import ListedEntry, Listing
from aurora_platform.transport.protocols import Source, Transfer, TransferResult
from aurora_simulator.ssh_server import Auth, SshServer, why_no_sshd
from tests.patience import patient, until

DAY = date(2026, 3, 5)
SETTLED = datetime(2026, 3, 5, 12, tzinfo=UTC)
LOCAL_HOST = LocalHost(kind="local")
LOG = logging.getLogger("tests.mirror")
CHECKS = frozenset({"nothing_refused", "matches_source", "no_file_in_the_future", "nothing_foreign"})
"""The checks of every stream; a stream with a cadence has one more."""

CAMERA: dict[str, Any] = {
    "host": "camera",
    "raw": "wxcam",
    "include": ["FISH/**/HDR_*.jpg", "FISH/**/HDR_*.mp4", "PANO/**/HDR_*_PANO.jpg", "PANO/**/HDR_*_PANO.mp4"],
    "day": r"HDR_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})_",
    "day_dirs": ["FISH/%Y%m%d", "PANO/%Y%m%d"],
    "start": "2026-01-12",
}
FLAT: dict[str, Any] = {
    "host": "camera",
    "raw": "flat",
    "include": ["*.dat"],
    "day": r"_(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(\D|$)",
    "day_names": ["*_%Y%m%d_*"],
    "start": "2026-01-12",
}
ANYTHING: dict[str, Any] = {
    "host": "camera",
    "raw": "all",
    "include": ["**/*"],
    "day": "mtime",
    "start": "2026-01-12",
}


def stream_of(root: Path | str, settings: dict[str, Any] = CAMERA, **changes: Any) -> Stream:
    return Stream.model_validate({**settings, "path": str(root), **changes})


def auths() -> list[Any]:
    """Both login methods, as parameters; a method that this machine cannot run is skipped with the reason."""
    kinds: tuple[Auth, ...] = ("key", "none")
    return [
        pytest.param(auth, marks=pytest.mark.skipif(bool(why_no_sshd(auth)), reason=why_no_sshd(auth) or ""))
        for auth in kinds
    ]


def host_of(server: SshServer) -> SshHost:
    return SshHost(
        address=server.address, port=server.port, user=server.user, auth=server.auth, identity=server.identity
    )


def write(root: Path, files: dict[str, bytes], at: datetime = SETTLED) -> None:
    """Write files with mtimes that differ below the second."""
    for number, (name, content) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        mtime = int(at.timestamp()) * 10**9 + 123_456_789 + number
        os.utime(path, ns=(mtime, mtime))


@dataclass
class RecordingSource:
    """A real source that records each call."""

    source: Source
    calls: list[tuple[str, list[str]]] = field(default_factory=list)

    def list(self, root: str, below: Sequence[str], **more: Sequence[str]) -> Listing:
        self.calls.append((root, [*below]))
        return self.source.list(root, below, **more)


class ChangingSource:
    """A real source; after its first listing was read, the host changes."""

    def __init__(self, source: Source, change: Callable[[], object]) -> None:
        self.source = source
        self.change = change
        self.has_changed = False

    def list(self, root: str, below: Sequence[str], **more: Sequence[str]) -> Listing:
        listing = self.source.list(root, below, **more)
        entries = list(listing.entries)
        if not self.has_changed:
            self.has_changed = True
            self.change()
        return replace(listing, entries=iter(entries))


@dataclass
class RecordingTransfer:
    """A real transfer that records each call."""

    transfer: Transfer
    paths: list[list[str]] = field(default_factory=list)
    work_and_lock: list[tuple[Path, Path]] = field(default_factory=list)

    def fetch(
        self, root: str, paths: Sequence[str], target: Path, work: Path, lock: Path, largest: int
    ) -> TransferResult:
        self.paths.append(sorted(paths))
        self.work_and_lock.append((work, lock))
        return self.transfer.fetch(root, paths, target, work, lock, largest)


@dataclass(frozen=True)
class Mirror:
    """One stream, its host, and the directory of its copy."""

    stream: Stream
    home: Path
    host: Host = LOCAL_HOST
    stall: float = patient(20)
    bound: float = patient(60)
    bandwidth: int = 0
    connect: float = patient(10)

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def root(self) -> Path:
        return self.raw / self.stream.raw

    @property
    def work(self) -> Path:
        return self.raw / ".incoming" / "wxcam"

    @property
    def locks(self) -> Path:
        return self.home / "state" / "locks"

    @property
    def connections(self) -> Connections:
        return Connections(
            Bounds(
                self.home / "state" / "known_hosts",
                connect_seconds=self.connect,
                listing_seconds=self.bound,
                stall_seconds=self.stall,
                transfer_seconds=self.bound,
                bandwidth_kib=self.bandwidth,
            )
        )

    @property
    def source(self) -> Source:
        return self.connections.source(self.host)

    @property
    def transfer(self) -> Transfer:
        return self.connections.transfer(self.host, LOG)

    def run(
        self,
        *days: date,
        source: Source | None = None,
        transfer: Transfer | None = None,
        wait: float = patient(20),
        live_from: date = date.min,
        source_days: Path | None = None,
        **more: Any,
    ) -> MirrorReport:
        return mirror_days(
            "wxcam",
            self.stream,
            days or [DAY],
            source=source or self.source,
            transfer=transfer or self.transfer,
            raw=self.raw,
            locks=self.locks,
            wait=timedelta(seconds=wait),
            live_from=live_from,
            source_days=source_days,
            **more,
        )

    def scan(self, *days: date, source: Source | None = None, within: timedelta | None = None) -> Survey:
        """Scan these days; without days, the whole source."""
        return scan(self.stream, source or self.source, self.root, days or None, within)

    def but(self, **changes: Any) -> Mirror:
        return replace(self, **changes)


def adds_up(report: MirrorReport) -> bool:
    return all(day.seen == day.copied + day.unchanged + day.unsettled.total + day.refused_count for day in report.days)


CAMERA_FILES = ("*/", "HDR_*.jpg", "HDR_*.JPG", "HDR_*.mp4")


def differences(first: Path, second: Path, only: Sequence[str] = ("*",)) -> list[str]:
    """What rsync finds different between two trees, in both directions, by content and mtime in ns."""
    return not_in(first, second, only) + not_in(second, first, only)


def not_in(target: Path, source: Path, only: Sequence[str] = ("*",)) -> list[str]:
    """What rsync would copy from ``source`` to ``target``; it reads all bytes of both."""
    command = ["rsync", "--recursive", "--links", "--checksum", "--times", "--omit-dir-times", "--modify-window=-1"]
    command += ["--prune-empty-dirs", "--dry-run", "--itemize-changes", "--exclude=.*"]
    command += [*(f"--include={pattern}" for pattern in only), "--exclude=*", f"{source}/", f"{target}/"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def entries(listing: Listing) -> dict[bytes, ListedEntry]:
    """The entries of a listing by path."""
    return {entry.path: entry for entry in listing.entries}


def stamps_by_path(root: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, mtime and ctime of every file: they change if a file is written again, or only touched."""
    return {str(path.relative_to(root)): stamps(path) for path in root.rglob("*") if path.is_file()}


def stamps(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def once(condition: Callable[[], object], act: Callable[[], object]) -> Iterator[None]:
    """Run the block; act as soon as the condition is true."""

    def watch() -> None:
        until(condition)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def left_over(raw: Path) -> list[str]:
    """All unpublished files: those of the work directory, and hidden names anywhere."""
    return [
        str(path.relative_to(raw))
        for path in raw.rglob("*")
        if not path.is_dir() and any(part.startswith(".") for part in path.relative_to(raw).parts)
    ]


class Poller(ABC):
    """Polls without pause, in a thread of its own, until the block ends."""

    def __init__(self) -> None:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    @abstractmethod
    def poll(self) -> None:
        """Poll once."""

    def _loop(self) -> None:
        while not self._ends.wait(0.001):
            self.poll()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
