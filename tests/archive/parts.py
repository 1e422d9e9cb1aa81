"""Shared by the archive's tests: a site with an archive of several hosts over one directory, and its pushes."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from aurora_platform.archive.ledger import Ledger, Row
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import SshHost
from aurora_platform.config.site import Site
from aurora_platform.layout import Layout
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import ArchiveHost
from tests.mirror.parts import DAY, write
from tests.patience import patient

LOG = logging.getLogger("tests.archive")
CONNECT, STALL = patient(2), patient(4)  # s; tests of faulty hosts wait for them, so they are short
MET: dict[str, Any] = {
    "host": "here",
    "path": "/nowhere",
    "raw": "met",
    "include": ["**/*.csv"],
    "day": r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
    "start": "2026-01-12",
}


@dataclass(frozen=True)
class Observatory:
    """A site below ``home``, with the archive ``gws`` beside it behind some hosts; all parts are real."""

    home: Path
    hosts: tuple[SshHost, ...]
    bandwidth: int = 0
    stall: float = STALL
    max_attempts: int = 3
    gws_name: str = "gws"
    wait: int = int(patient(20))
    known_hosts: Path | None = None
    """Shared by tests, which saves a login in each; by default its own, which tests that fork need."""
    streams: dict[str, Any] = field(default_factory=lambda: {"met": MET})

    @property
    def gws(self) -> Path:
        return self.home / self.gws_name

    @property
    def site(self) -> Site:
        return Site.model_validate(
            {
                "name": "tested",
                "paths": {name: str(self.home / name) for name in ("raw", "products", "state", "manifests")},
                "hosts": {"here": {"kind": "local"}},
                "streams": self.streams,
                "archive": self.archive.model_dump(exclude_unset=True),
                "limits": {"lock": f"{self.wait}s"},
            }
        )

    @property
    def archive(self) -> Archive:
        places = {name: str(self.gws / name) for name in ("raw", "products")}
        return Archive(hosts=self.hosts, max_attempts=self.max_attempts, **places)

    @property
    def raw(self) -> Path:
        return self.home / "raw" / "met"

    @property
    def products(self) -> Path:
        return self.home / "products"

    @property
    def connections(self) -> Connections:
        known_hosts = self.known_hosts or self.home / "state" / "known_hosts"
        return Connections(Bounds(known_hosts, connect_seconds=CONNECT, listing_seconds=patient(20)))

    @property
    def archive_hosts(self) -> Sequence[ArchiveHost]:
        bounds = {"stall_seconds": self.stall, "transfer_seconds": patient(60), "bandwidth_kib": self.bandwidth}
        return self.connections.but(**bounds).archive_hosts(self.archive, LOG)

    def ledger(self) -> Ledger:
        ledger = Ledger(Layout.of(self.site).ledger)
        ledger.add_archive("gws")
        return ledger

    def row(self, remote_path: Path) -> Row | None:
        with self.ledger() as ledger:
            return ledger.row("gws", str(remote_path))

    def pushing(self, act: Callable[[Pushing], Any], hosts: Sequence[ArchiveHost] | None = None) -> Any:
        """Call ``act`` with the pushes of this site and an open ledger."""
        with self.ledger() as ledger:
            return act(Pushing(self.site, self.archive, self.archive_hosts if hosts is None else hosts, ledger))

    def push_raw(self, *days: date, hosts: Sequence[ArchiveHost] | None = None) -> Any:
        return self.pushing(lambda pushing: pushing.raw("met", days or [DAY]), hosts)

    def push_core(self, hosts: Sequence[ArchiveHost] | None = None) -> Any:
        return self.pushing(lambda pushing: pushing.core_products(), hosts)

    def push_wxcam(self, *days: date) -> Any:
        return self.pushing(lambda pushing: pushing.wxcam_products(days or [DAY]))

    def but(self, **changes: Any) -> Observatory:
        return replace(self, **changes)


def write_raw(observatory: Observatory, files: dict[str, bytes]) -> None:
    write(observatory.raw, files)


def files_below(root: Path) -> dict[str, bytes]:
    """Every file whose path has no dot name, with its content."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    }


def adds_up(report: Any) -> bool:
    parts = (report.unsettled, report.failed, report.parked, report.refused)
    return report.seen == report.files + report.unchanged + sum(part.total for part in parts)


def receivers(root: Path) -> list[int]:
    """The process ids of remote rsync receivers that write below a directory."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_rsync = (directory / "cmdline").read_bytes().startswith(b"rsync\0--server\0")
            if is_rsync and root in (directory / "cwd").readlink().parents:
                found.append(int(directory.name))
    return found


def arriving(root: Path) -> int:
    """How many bytes of a file in transfer have arrived; 0 without one."""
    sizes = [0]
    for place in root.glob("*/.incoming/*/new/*"):
        with suppress(OSError):
            sizes.append(place.stat().st_size)
    return max(sizes)


@contextmanager
def running(act: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run ``act`` in a thread during the block; yields the list that gets its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()
    try:
        yield results
    finally:
        thread.join()


def why_no_namespace() -> str | None:
    """Why no mount namespace can be created on this machine, as a skip reason; None where it can."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else f"no mount namespace: {done.stderr.strip()}"
