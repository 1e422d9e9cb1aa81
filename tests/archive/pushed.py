"""A site whose three places are local directories, with real pushes to the archive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aurora_platform.archive import backlog
from aurora_platform.archive.archived_finalizations import prepare_verification
from aurora_platform.archive.ledger import Ledger
from aurora_platform.archive.push_plan import Pushing
from aurora_platform.config.archive import Archive
from aurora_platform.config.hosts import ArchiveDirectory, SshHost
from aurora_platform.layout import Layout
from aurora_platform.transport.bounds import Bounds
from aurora_platform.transport.connections import Connections
from aurora_platform.transport.protocols import ArchiveHost
from tests.archive.parts import LOG
from tests.archive.places import DAY, STREAM, Observatory
from tests.patience import patient


def hosts_of_kind(kind: str, hosts: tuple[SshHost, ...]) -> tuple[ArchiveDirectory | SshHost, ...]:
    """The hosts, or for the kind `local` this machine, whose archive is then on the disk of the local copies."""
    return (ArchiveDirectory(kind="local", same_disk=True),) if kind == "local" else hosts


class PushedSite(Observatory):
    """A site with three local places, and its archive behind real hosts."""

    hosts: tuple[ArchiveDirectory | SshHost, ...]

    @property
    def archive_settings(self) -> Archive:
        return self.records.archive.model_copy(update={"hosts": self.hosts})

    def archive_hosts(self) -> Sequence[ArchiveHost]:
        connection_bounds = {"connect_seconds": patient(10), "listing_seconds": patient(20)}
        transfer_bounds = {"stall_seconds": patient(20), "transfer_seconds": patient(60)}
        bounds = Bounds(self.home / "known_hosts", **connection_bounds, **transfer_bounds)
        return Connections(bounds, Layout.of(self.site).raw_roots).archive_hosts(self.archive_settings, LOG)

    def push(self, change: Callable[[ArchiveHost], Any] = lambda host: host) -> Any:
        """Push the day; ``change`` may make a host faulty."""
        hosts = [change(host) for host in self.archive_hosts()]
        with self.records.ledger() as ledger:
            return Pushing(self.site, self.archive_settings, hosts, ledger).raw(STREAM, [DAY])

    def prepare_verification(self) -> None:
        """What a verification does first: learn which finalizations the archive has, and fetch back what is missing."""
        assert not prepare_verification(self.records, self.archive_hosts(), STREAM, None, lambda text: None)

    def finalize(self) -> list[str]:
        """Push and finalize a day of six files; returns their names."""
        names = self.fill(sides=["source", "local"])
        assert self.push().files == len(names)
        assert self.verify_and_publish().report.days[0].verdict.is_final
        return names

    def raw_backlog(self) -> backlog.Backlog:
        with self.records.ledger() as ledger:
            return backlog.raw_push(self.site, STREAM, ledger, [DAY])

    def ledger(self) -> Ledger:
        return self.records.ledger()
